"""How a table is printed: what a cell says, two lines for a method, and the files, CSV, Markdown and LaTeX.

The text of a cell may have several lines, and is then narrow enough for a phone: the first says the number or the name, the
others, printed small, what belongs to it (an interval, a test set).
"""

import html
import re
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

import pandas as pd

from p3mlib import paths
from p3mlib.io import write_text
from p3mlib.results.report import within_noise

COLUMNS, ROWS = 8, 15  # of a table in the flow of a notebook; the rest stands behind "show all"
DECIMALS = {"SAD": 2, "Grad": 2, "Conn": 2, "Params": 2}
MARKUP = ("<br>", "<small>", "</small>")  # all that the Markdown of a table has of HTML
_MATHS = {"×": r"\times", "±": r"\pm", "≈": r"\approx", "†": r"\dagger", "✓": r"\surd", "<": "<", ">": ">", "|": "|"}
_TEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {sign: f"${text}$" for sign, text in _MATHS.items()}
_TEX |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


@dataclass(frozen=True)
class Printed:
    """A written table: tidy `frame`, `markdown` for the reader, `summary` and `notes` for figures and takeaways."""

    frame: pd.DataFrame
    markdown: str
    summary: dict = field(default_factory=dict)
    notes: tuple = ()

    def _repr_markdown_(self):
        return in_the_flow(self.markdown)


class Row(NamedTuple):
    """A method in a table: its first cells, and its part of the keys (label, data set, setting, metric) of a summary."""

    cells: tuple
    label: str
    dataset: str = ""
    setting: str = ""


class Column(NamedTuple):
    """A metric in a table: its title, and its part of the keys; what rows say of data set and setting, columns leave empty."""

    title: str
    metric: str
    dataset: str = ""
    setting: str = ""


def number_text(value, metric):
    """A value with the paper's decimals, "-" where there is none."""
    if value is None or value == "" or value != value:
        return "-"
    return f"{float(value):.{DECIMALS.get(re.split('[- ]', metric)[0], 4)}f}"


def cell_text(cell, metric):
    """The mean and below it [low, high], or "-"; ≈ after a difference ("SAD - N:N") within the noise."""
    if cell is None:
        return "-"
    mean, low, high = (number_text(value, metric) for value in cell)
    noise = " ≈" if " - " in metric and within_noise(cell) else ""
    return mean if low == "-" else f"{mean}{noise}\n[{low}, {high}]"


def method_lines(rows, columns, summary, paper):
    """Two lines a row: ours with its interval, and what the paper prints, where it prints anything.

    Args:
        rows, columns: Row and Column; the parts of a key that they give are joined, so one of the two leaves each part empty.
        summary: key -> (mean, low, high). paper: key -> text.
    """
    lines = []
    for row in rows:
        keys = [(row.label, row.dataset + c.dataset, row.setting + c.setting, c.metric) for c in columns]
        lines.append([*row.cells, *(cell_text(summary.get(key), key[-1]) for key in keys)])
        theirs = [paper.get(key) or "-" for key in keys]
        if set(theirs) != {"-"}:
            lines.append(["paper", *[""] * (len(row.cells) - 1), *theirs])
    return lines


def write(number, profile, frame, header, lines, caption, summary=None, notes=()):
    """Write `table_<number>.csv`, `.md` and `.tex` into the profile's tables folder.

    Args:
        number:  of the table in the paper, or the name of one that the paper has not; it then names the files.
        frame:   tidy DataFrame for the CSV. header: column titles. lines: rows of text cells. caption: one paragraph.
    Returns:
        Printed.
    """
    stem, title = (number, caption) if isinstance(number, str) else (f"table_{number}", f"Table {number}. {caption}")
    text = f"{html.escape(title, quote=False)}\n\n{markdown_table(header, lines)}"
    path = paths.tables(profile) / stem
    write_text(path.with_suffix(".csv"), frame.to_csv(index=False, float_format="%.6g"))
    write_text(path.with_suffix(".md"), f"{text}\n")
    write_text(path.with_suffix(".tex"), latex_table(caption, header, lines))
    return Printed(frame, text, summary or {}, notes)


def markdown_table(header, lines):
    """Rows of text cells as a Markdown table; of HTML it has `MARKUP` alone, what looks like more in a cell is text."""
    rows = [map(_markdown, header), ["---"] * len(header), *(map(_markdown, line) for line in lines)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def in_the_flow(text):
    """A caption and a Markdown table as a notebook shows them: first `ROWS` and `COLUMNS`, and behind "show all" everything."""
    caption, _, table = text.partition("\n\n")
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
    if not lines or (len(lines[0]) <= COLUMNS and len(lines) - 2 <= ROWS):
        return text
    first = "\n".join(f"|{'|'.join(line[:COLUMNS])}|" for line in lines[: ROWS + 2])
    size = f"{len(lines) - 2} rows and {len(lines[0])} columns"
    return f"{caption}\n\n{first}\n\n<details><summary>show all: {size}</summary>\n\n{table}\n\n</details>"


def _markdown(cell):
    first, *others = html.escape(cell, quote=False).replace("|", "\\|").split("\n")
    return first + "".join(f"<br><small>{other}</small>" for other in others)


def latex_table(caption, header, lines):
    """Rows of text cells as a LaTeX table that needs `booktabs` alone: a row for each line of the cells, links as text."""
    rows = [[_latex(text, small) for text in row] for line in lines for small, row in enumerate(_rows(line))]
    frame = pd.DataFrame(rows, columns=pd.MultiIndex.from_arrays([*map(_latex, row)] for row in _rows(header)))
    columns = "".join("p{4cm}" if width > 40 else "l" for width in frame.map(len).max())
    style, options = frame.style.hide(axis="index"), {"environment": "table*", "position_float": "centering", "hrules": True}
    text = style.to_latex(**options, multicol_align="l", column_format=columns, caption=_latex(caption))
    small = "\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}"
    return "% needs \\usepackage{booktabs}\n" + text.replace("\\centering", small, 1)


def _rows(line):
    return zip_longest(*(cell.split("\n") for cell in line), fillvalue="")


def _latex(text, small=False):
    text = re.sub(r"\[(\w+)\]\(\S+\)", r"\1", text).translate(str.maketrans(_TEX))
    return f"{{\\tiny {text}}}" if small and text else text
