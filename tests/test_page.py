"""The page of a profile: everything is on it, what is missing is named, nothing is loaded from elsewhere."""

from html.parser import HTMLParser

import nbformat
import numpy as np
import pytest
from PIL import Image

from p3mlib import paths
from p3mlib.__main__ import main
from p3mlib.experiments import runs
from p3mlib.results import page, seen
from p3mlib.results.printed import markdown_table
from p3mlib.widgets import stills

VOID = {"meta", "img", "br", "hr", "input", "link"}


class Reader(HTMLParser):
    """Collects ids, links, sources, texts; notes tags that are closed out of order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.wrong, self.ids, self.links, self.loads, self.text = [], [], set(), [], [], ""
        self.tags = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        known = dict(attributes)
        self.tags.append(tag)
        self.ids.add(known.get("id"))
        if tag == "a":
            self.links.append(known.get("href"))
        self.loads += [known[name] for name in ("src", "srcset", "data", "poster") if name in known]
        self.loads += [known["href"]] if tag == "link" else []
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text += data


@pytest.fixture
def built(home):
    """A profile of which one table, one figure, the claims and one notebook exist."""
    tables, figures = paths.tables("smoke"), paths.figures("smoke")
    executed = paths.build() / "notebooks" / "smoke"
    for folder in (tables, figures, executed):
        folder.mkdir(parents=True)
    (tables / "table_4.md").write_text(
        "Table 4. A caption.\n\n| Model | SAD |\n| --- | --- |\n| <b>x</b> & y<br><small>&lt;i&gt;</small> | 1.5 |\n"
    )
    (tables / "claims.md").write_text("Two claims.\n\n| Claim | Tables |\n| --- | --- |\n| C1 | [4](table_4.md) |\n")
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(figures / "figure_07.png")
    bar = nbformat.v4.new_output("stream", name="stderr", text="progress bar")
    view = nbformat.v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {}, "text/plain": "slider"})
    said, more = (nbformat.v4.new_output("stream", name="stdout", text=t) for t in ("the number is", " 42"))
    shown = markdown_table(["SAD"], [["107.05\n[94.12, 121.46]"]])
    cells = [
        nbformat.v4.new_markdown_cell("see [06](06_p3mnet_ablation.ipynb)"),
        nbformat.v4.new_code_cell("6 * 7", outputs=[bar, view, said, bar, more]),
        nbformat.v4.new_code_cell("table", outputs=[nbformat.v4.new_output("display_data", data={"text/markdown": shown})]),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), executed / "02_metrics.ipynb")
    return home


def test_everything_is_on_the_page_and_what_is_missing_is_named(built):
    written = page.write_page("smoke", {"03_trimap_traditional": "cell 4 failed: ValueError: <no>"})
    read = Reader(written.read_text())
    assert written == built / "build" / "smoke" / "index.html" and not read.wrong and not read.open
    assert {f"table_{n}" for n in range(1, 12)} | {f"figure_{n}" for n in range(1, 16)} | {
        "claims",
        "transfer",
        "statistics",
    } <= read.ids
    for missing in ("Table 3: not run", "Figure 8: not run", "Transfer to real portraits: not run", "01_anonymize: not run"):
        assert missing in read.text
    assert "Table 4: not run" not in read.text and "Figure 7: not run" not in read.text
    assert "<b>x</b> & y<i>" in read.text and not {"b", "i"} & set(read.tags), "text of a cell is text, not markup"
    assert "<br><small>" in written.read_text(), "but for its lines"
    assert "cell 4 failed: ValueError: <no>" in read.text
    assert "Commit" in read.text and "torch" in read.text and "UTC" in read.text
    inside = {link[1:] for link in read.links if link.startswith("#")}
    assert inside <= read.ids and "table_4" in inside
    assert {link for link in read.links if link.endswith(".html")} == {"02_metrics.html"}


def test_the_first_screen_says_what_executed_notebooks_found(built):
    before = page.write_page("smoke").read_text()
    assert "Headline findings: not run" in before and "The first figure: not run" in before
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(paths.figures("smoke") / "teaser.png")
    found = nbformat.v4.new_output("display_data", data={"text/markdown": "- SHM 3.1 [2.0, 4.2] <worse>\n- and more"})
    cell = nbformat.v4.new_code_cell("takeaways.blurred_training(table, PROFILE)", outputs=[found])
    folder = paths.build() / "notebooks" / "smoke"
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), folder / "05_trimap_free.ipynb")
    written = page.write_page("smoke").read_text()
    assert "<li>SHM 3.1 [2.0, 4.2] &lt;worse&gt;</li><li>and more</li>" in written
    assert written.index("<li>SHM") < written.index('<a href="#table_4">') and seen.TEASER in written
    assert f'alt="Figure 7. {seen.FIGURES[7]}"' in written


def test_no_page_loads_anything_or_runs_anything(built):
    folder = page.write_page("smoke").parent
    pages = sorted(folder.glob("*.html"))
    assert [p.name for p in pages] == ["02_metrics.html", "index.html"]
    for path in pages:
        text = path.read_text()
        read = Reader(text)
        assert all(source.startswith("data:") for source in read.loads), read.loads
        assert not {"script", "iframe", "object", "embed"} & set(read.tags)
        assert "@import" not in text and "url(" not in text
        assert 'name="viewport" content="width=device-width' in text and text.startswith("<!doctype html>")


def test_a_notebook_page_has_output_without_progress_bars_and_widgets(built):
    folder = page.write_page("smoke").parent
    read = Reader((folder / "02_metrics.html").read_text())
    assert "the number is 42" in read.text and "progress bar" not in read.text and "slider" not in read.text
    assert "<small>[94.12, 121.46]</small>" in (folder / "02_metrics.html").read_text(), "as JupyterLab shows a table"
    assert "06_p3mnet_ablation.html" in read.links and "index.html" in read.links


def test_the_page_says_how_long_it_took(built):
    (paths.tables("smoke") / "table_4.csv").write_text("table,value,run\n4,1.5,a-s0-1\n4,2.5,b-s0-2\n4,3.5,\n")
    made = {
        "a-s0-1": {"training": 600, "scoring": 20},
        "b-s0-2": {"scoring": 5},
        "other": {"training": 1e6},
    }
    for name, seconds in made.items():
        runs.Run(paths.runs("smoke") / name).update(seconds=seconds)
    written = page.write_page("smoke", seconds=1500)
    told = "25 min for this command; 2 runs behind the tables: 10 min of training, 25 s of scoring"
    assert told in Reader(written.read_text()).text


def test_the_command_writes_the_page_of_an_empty_profile(home, capsys):
    assert main(["report", "--profile", "smoke"]) == 0
    assert capsys.readouterr().out.strip().endswith("index.html")
    text = Reader((home / "build" / "smoke" / "index.html").read_text()).text
    assert "no runs" in text
    assert text.count(": not run") == 11 + 15 + 4 + 2 + len(list(paths.notebooks().glob("[0-9]*.ipynb")))
    assert main(["report", "--profile", "huge"]) != 0
    assert not list(home.rglob("*partial*"))


def test_explorers_on_the_page_need_no_script_and_no_kernel(built):
    text = page.write_page("smoke", explorers=stills.page_explorers()).read_text()
    read = Reader(text)
    assert not read.wrong and "script" not in read.tags and all(source.startswith("data:") for source in read.loads)
    for i, choices in enumerate((stills.EQUATION, stills.ANONYMISED, stills.SPOILED), 1):
        names = {f"explorer{i}", *(f"explorer{i}_{k}" for k in range(len(choices)))}
        assert names <= read.ids and len(choices) <= text.count(":checked ~ .state:nth-of-type(")
        assert all(f">{label}</label>" in text for label in choices)
    shown = text.split('<div class="state">')[1:]
    assert len(shown) == sum(map(len, (stills.EQUATION, stills.ANONYMISED, stills.SPOILED))) == len(set(shown))
    assert len(text) < 3e6


def test_every_state_has_a_rule_that_shows_it():
    style = page.filled(
        "index.html", dict.fromkeys("title first contents facts explorers claims tables figures beyond notebooks".split(), "")
    )
    for k in range(1, 1 + max(map(len, (stills.EQUATION, stills.ANONYMISED, stills.SPOILED)))):
        assert f".states > input:nth-of-type({k}):checked ~ .state:nth-of-type({k})" in style
