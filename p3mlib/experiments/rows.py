"""A table that grows row by row on disk: what was written before a process died is there, and half a row is noticed."""

import csv
import io as text_io
import logging
import os

import pandas as pd

from p3mlib import io

log = logging.getLogger(__name__)


class Rows:
    """Rows of a CSV file, one an image: its name, the state of its files, numbers, and at its end the key of the table.

    What is on disk is read when this is made. Rows that are damaged, or end with another key, are left out with a warning.

    Args:
        path:    of the file; it may be missing. metrics: names of the numbers, in order.
        key:     of what made the numbers.
    Attributes:
        rows: name -> list of the fields as text.
    """

    def __init__(self, path, metrics, key):
        self.path, self.key = path, key
        self.columns = ["name", "files", *metrics, "key"]
        self.rows = self._read()

    def state(self, name):
        """State of an image's files when its row was made; None where there is no row."""
        return self.rows[name][1] if name in self.rows else None

    def _read(self):
        if not self.path.is_file():
            return {}
        header, *lines = self.path.read_bytes().decode(errors="replace").split("\n")
        rows = {}
        for fields in map(_fields, lines[:-1] if header == ",".join(self.columns) else []):
            if len(fields) == len(self.columns) and fields[-1] == self.key and all(map(_is_number, fields[2:-1])):
                rows[fields[0]] = fields
        if self._text(rows) != "\n".join([header, *lines]):
            log.warning("%s: some of it is damaged or stands twice; what is left is %d rows", io.printable(self.path), len(rows))
            io.write_text(self.path, self._text(rows))
        return rows

    def _text(self, rows):
        return "".join(map(_line, [self.columns, *rows.values()]))

    def append(self, name, files, errors):
        """Write one row to the end, so that it outlives this process.

        Args:
            name: in one line, see `io.printable`. files: state of its files, one word. errors: dict of all metrics.
        """
        self.rows[name] = [name, files, *(repr(float(errors[column])) for column in self.columns[2:-1]), self.key]
        if not self.path.is_file():
            io.write_text(self.path, self._text({}))
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(_line(self.rows[name]))
            file.flush()
            os.fsync(file.fileno())

    def adopt(self, other):
        """Take the rows of another table of the same key that are missing here."""
        if new := {name: fields for name, fields in other.rows.items() if name not in self.rows}:
            self.rows |= new
            self.sort()

    def sort(self):
        """Rows by name, whatever the order in which they were made, and each once."""
        self.rows = dict(sorted(self.rows.items()))
        io.write_text(self.path, self._text(self.rows))

    def frame(self, names):
        """DataFrame of these rows: index the names, columns the metrics."""
        numbers = [[float(field) for field in self.rows[name][2:-1]] for name in names]
        return pd.DataFrame(numbers, pd.Index(names, name="name"), self.columns[2:-1], float)


def _line(fields):
    text = text_io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(fields)
    return text.getvalue()


def _fields(line):
    try:
        return next(csv.reader([line]), [])
    except csv.Error:
        return []


def _is_number(text):
    try:
        float(text)
    except ValueError:
        return False
    return True
