"""The printed form of tables: cells, lines, Markdown that a phone can show, LaTeX that needs booktabs alone."""

import html
import re
from pathlib import Path

import pandas as pd
import pytest

from p3mlib.results.printed import (
    Column,
    Row,
    cell_text,
    in_the_flow,
    latex_table,
    markdown_table,
    method_lines,
    number_text,
    write,
)

WRITTEN = sorted((Path(__file__).parent.parent / "tables" / "laptop").glob("*.md"))
NARROW = 18  # characters: an interval of five-figure errors, the longest line that a column of numbers needs
KNOWN = "begin end caption centering footnotesize tiny setlength tabcolsep multicolumn usepackage".split()
KNOWN += "toprule midrule bottomrule".split()  # booktabs
KNOWN += "textbackslash textasciitilde textasciicircum times pm approx dagger surd".split()


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (8.729, "SAD", "8.73"),
        (0.00261, "MSE", "0.0026"),
        (1.2, "SAD-FG", "1.20"),
        (1.2, "SAD - none", "1.20"),
        (float("nan"), "SAD", "-"),
        (None, "SAD", "-"),
        ("", "SAD", "-"),
    ],
)
def test_numbers_have_the_papers_decimals(value, metric, text):
    assert number_text(value, metric) == text


def test_a_cell_has_its_interval_below_the_value():
    assert cell_text((107.053, 94.12, 121.46), "SAD") == "107.05\n[94.12, 121.46]"
    assert cell_text((39.48, float("nan"), float("nan")), "Params") == "39.48"
    assert cell_text(None, "SAD") == "-"
    assert cell_text((-0.18, -3.28, 2.82), "SAD - N:N") == "-0.18 ≈\n[-3.28, 2.82]", "within the noise"
    assert cell_text((0.2, 0.09, 0.28), "SAD - N:N") == "0.20\n[0.09, 0.28]"


def test_two_lines_a_method_but_one_where_the_paper_prints_nothing():
    rows = [Row(("SHM", "✓"), "SHM", setting="B"), Row(("Mean matte", ""), "Mean matte", setting="-")]
    columns = [Column("SAD", "SAD", "P3M-500-P", ":B"), Column("MSE", "MSE", "P3M-500-P", ":B")]
    summary = {("SHM", "P3M-500-P", "B:B", "SAD"): (1.0, 0.5, 2.0), ("Mean matte", "P3M-500-P", "-:B", "MSE"): (0.1, 0.1, 0.2)}
    lines = method_lines(rows, columns, summary, {("SHM", "P3M-500-P", "B:B", "SAD"): "21.56"})
    assert lines == [
        ["SHM", "✓", "1.00\n[0.50, 2.00]", "-"],
        ["paper", "", "21.56", "-"],
        ["Mean matte", "", "-", "0.1000\n[0.1000, 0.2000]"],
    ]


def test_written_files(tmp_path, monkeypatch):
    monkeypatch.setenv("P3M_HOME", str(tmp_path))
    printed = write(7, "smoke", pd.DataFrame({"value": [2.0]}), ["Model", "SAD"], [["A|B", "50%_&"]], "Errors < 3.")
    folder = tmp_path / "tables" / "smoke"
    assert sorted(p.name for p in folder.iterdir()) == ["table_7.csv", "table_7.md", "table_7.tex"]
    assert pd.read_csv(folder / "table_7.csv")["value"].item() == 2
    text = (folder / "table_7.md").read_text()
    assert text == "Table 7. Errors &lt; 3.\n\n| Model | SAD |\n| --- | --- |\n| A\\|B | 50%_&amp; |\n"
    assert printed._repr_markdown_() == text.strip()
    assert r"A$|$B & 50\%\_\& \\" in (folder / "table_7.tex").read_text()
    write("transfer", "smoke", pd.DataFrame(), ["Model"], [["A"]], "Errors.")
    assert (folder / "transfer.md").read_text().startswith("Errors.\n"), "what the paper has not has no number"


def test_text_of_a_cell_is_never_markup():
    table = markdown_table(["Method\ntest set"], [["<script>x</script>\n<br>"]])
    assert table.splitlines()[0] == "| Method<br><small>test set</small> |"
    assert table.splitlines()[2] == "| &lt;script&gt;x&lt;/script&gt;<br><small>&lt;br&gt;</small> |"


def test_latex_has_a_row_for_each_line_and_one_heading_for_a_group():
    header = ["Method", "B:N\nSAD†", "B:N\nMSE", "N:N\nSAD†"]
    lines = [
        ["{R34}^~\\\n#1", "-0.18 ≈\n[-3.28, 2.82]", "0.1", "±2"],
        ["paper", "✓", "[2](table_2.md), [3](table_3.md)", "a < b"],
    ]
    rows = [line.strip() for line in latex_table("100% of $5", header, lines).splitlines()]
    assert rows[0] == r"% needs \usepackage{booktabs}" and r"\caption{100\% of \$5}" in rows
    at = rows.index(r"\toprule")
    assert rows[at + 1 :] == [
        r"Method & \multicolumn{2}{l}{B:N} & N:N \\",
        r"& SAD$\dagger$ & MSE & SAD$\dagger$ \\",
        r"\midrule",
        r"\{R34\}\textasciicircum{}\textasciitilde{}\textbackslash{} & -0.18 $\approx$ & 0.1 & $\pm$2 \\",
        r"{\tiny \#1} & {\tiny [-3.28, 2.82]} &  &  \\",
        r"paper & $\surd$ & 2, 3 & a $<$ b \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table*}",
    ]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_no_column_of_numbers_is_wider_than_a_third_of_a_phone(path):
    """Visible text of the committed tables, line by line; where cells are sentences (claims, Table 1), word by word."""
    lines = [line.replace("\\|", "/").split("|")[1:-1] for line in path.read_text().splitlines() if line.startswith("|")]
    cells = [cell for line in lines[:1] + lines[2:] for cell in line[1:]]
    assert len(lines) > 5 and not re.search(r"<(?!br>|small>|/small>)", "".join(cells))
    visible = [html.unescape(re.sub("</?small>", "", text)).strip() for cell in cells for text in cell.split("<br>")]
    parts = [part for text in visible for part in (text.split() if path.stem in ("claims", "table_1") else [text])]
    assert not [part for part in parts if len(part) > NARROW]


@pytest.mark.parametrize("path", [path.with_suffix(".tex") for path in WRITTEN], ids=lambda path: path.stem)
def test_latex_needs_booktabs_alone(path):
    text = path.read_text()
    assert text.isascii() and set(re.findall(r"\\([a-zA-Z]+)", text)) <= set(KNOWN)
    widths = {
        len(re.sub(r"\\multicolumn\{(\d+)\}", lambda m: "&" * (int(m[1]) - 1), re.sub(r"\\&", "", line)).split("&"))
        for line in text.splitlines()
        if line.endswith(r"\\")
    }
    assert len(widths) == 1, "every row has all columns"


def test_in_the_flow_a_large_table_shows_15_rows_of_8_columns_and_the_rest_on_demand():
    lines = [[f"{r}|{c}" for c in range(10)] for r in range(20)]
    text = f"A caption.\n\n{markdown_table([f'c{c}' for c in range(10)], lines)}"
    caption, first, summary, full, end = in_the_flow(text).split("\n\n")
    rows = first.splitlines()
    assert caption == "A caption." and len(rows) == 15 + 2 and rows[-1].startswith("| 14\\|0 | 14\\|1 |")
    assert all(len(re.split(r"(?<!\\)\|", row)) == 8 + 2 for row in rows)
    assert "show all: 20 rows and 10 columns" in summary and f"A caption.\n\n{full}" == text and end == "</details>"
    small = f"A caption.\n\n{markdown_table(['a'], [['1']])}"
    assert in_the_flow(small) == small
