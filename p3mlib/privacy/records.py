"""The anonymiser's report in its target folder: rows by image, kept over calls, one call at a time."""

import io as streams
import logging
from contextlib import contextmanager

import pandas as pd
from filelock import FileLock, Timeout

from p3mlib import io

NAME = "report.csv"
_FIRST = ("image", "status", "faces", "sizes", "detectors", "identity", "area", "seen_from", "message")
_OURS = {"image", "status", "faces", "detectors", "identity", "area", "message"}  # in reports of all versions
_LOCK = ".report.lock"


def row(name, status, **fields):
    """A row with what every row has; `name` is the image's, relative to the source."""
    return {**dict.fromkeys(_FIRST, ""), "image": io.printable(name), "status": status, **fields}


@contextmanager
def alone(target):
    """While this lasts no other call writes into `target`; others wait, and say so."""
    lock = FileLock(target / _LOCK)
    try:
        lock.acquire(timeout=1)
    except Timeout:
        logging.getLogger(__name__).warning("another call writes into %s; this one waits for its end", target)
        lock.acquire()
    try:
        yield
    finally:
        (target / _LOCK).unlink(missing_ok=True)  # while it is held: who waits for it sees that, and makes a new one
        lock.release()


def read(target):
    """Rows of a target's report by image, {} where there is none yet. Raises ValueError for a file that is not ours."""
    path = target / NAME
    if not path.is_file():
        return {}
    try:
        frame = pd.read_csv(streams.StringIO(path.read_text(encoding="utf-8")), dtype=str, keep_default_na=False)
        if _OURS - set(frame.columns):
            raise ValueError(f"no column {', '.join(sorted(_OURS - set(frame.columns)))}")
    except ValueError as error:  # of decoding and of pandas too
        raise ValueError(
            f"{path}: is no report of `anonymize` ({error}), so it is left as it is; move it away or choose another folder"
        ) from error
    return {known["image"]: known for known in frame.to_dict("records")}


def write(target, rows):
    """Write rows by image; returns them as a DataFrame of str."""
    path, frame = target / NAME, as_frame(rows.values())
    io.write_text(path, frame.to_csv(index=False))
    return frame


def as_frame(rows):
    """Rows as a DataFrame of str, in the order of the images' names."""
    rows = list(rows)
    frame = pd.DataFrame(rows, columns=None if rows else list(_FIRST), dtype=object).fillna("").astype(str)
    return frame.sort_values("image", ignore_index=True)
