"""Slides: one for every heading, nothing of the set-up, a missing notebook is named."""

import re

import nbformat
import pytest

from p3mlib import paths
from p3mlib.__main__ import main
from p3mlib.results import slides


def cells():
    out = nbformat.v4.new_output("stream", text="42")
    return [
        nbformat.v4.new_markdown_cell("# 00 · Title"),
        nbformat.v4.new_code_cell("PROFILE = 1", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import numpy"),
        nbformat.v4.new_markdown_cell("## A heading"),
        nbformat.v4.new_markdown_cell("A sentence."),
        nbformat.v4.new_code_cell("6 * 7", outputs=[out]),
        nbformat.v4.new_markdown_cell("**Exercise 00.1 · predict.** How many?"),
    ]


def test_a_heading_and_an_exercise_begin_a_slide_and_set_up_is_left_out():
    notebook = slides.on_slides(nbformat.v4.new_notebook(cells=cells()))
    assert [c.metadata["slideshow"]["slide_type"] for c in notebook.cells] == [
        "slide",
        "skip",
        "skip",
        "slide",
        "-",
        "-",
        "slide",
    ]


def test_the_command_writes_them_and_names_what_is_not_executed(home, capsys):
    folder = paths.build() / "notebooks" / "smoke"
    folder.mkdir(parents=True)
    for name in slides.NOTEBOOKS[:-1]:
        nbformat.write(nbformat.v4.new_notebook(cells=cells()), folder / f"{name}.ipynb")
    with pytest.raises(
        FileNotFoundError, match="10_copy_paste.ipynb: not executed yet; python -m p3mlib notebooks 10_copy_paste"
    ):
        slides.write_slides("smoke")
    nbformat.write(nbformat.v4.new_notebook(cells=cells()), folder / "10_copy_paste.ipynb")
    assert main(["slides", "--profile", "smoke", "--reveal", "reveal.js"]) == 0
    written = capsys.readouterr().out.split()
    assert len(written) == 4
    text = (home / "build" / "smoke" / "slides" / "00_start_here.slides.html").read_text()
    assert len(re.findall("<section[^>]*>", text)) == 2 * 3 and "import numpy" not in text and "A sentence." in text
    assert re.search('href="reveal.js/dist/reveal.css"', text) and "unpkg.com/reveal" not in text


def test_slides_load_nothing_unless_reveal_is_named(home, capsys):
    folder = paths.build() / "notebooks" / "smoke"
    folder.mkdir(parents=True)
    for name in slides.NOTEBOOKS:
        nbformat.write(nbformat.v4.new_notebook(cells=cells()), folder / f"{name}.ipynb")
    assert main(["slides", "--profile", "smoke"]) == 0
    text = (home / "build" / "smoke" / "slides" / "00_start_here.slides.html").read_text()
    assert text.count('<section class="slide"') == 3 and "A sentence." in text and "42" in text and "import numpy" not in text
    assert "<script" not in text and "http" not in re.sub(r'(xmlns|href)="http[^"]*"', "", text) and "<link" not in text
