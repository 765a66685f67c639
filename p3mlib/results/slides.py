"""Slides of executed notebooks: a slide for every heading, its cells below each other on it.

By themselves they are one page that snaps from slide to slide and loads nothing; with the address of reveal.js, nbconvert's.
"""

import html
import re

import nbformat
from nbconvert import HTMLExporter, SlidesExporter
from pygments.formatters import HtmlFormatter

from p3mlib import paths
from p3mlib.io import write_text
from p3mlib.results.page import filled, without_widgets

NOTEBOOKS = ("00_start_here", "01_anonymize", "06_p3mnet_ablation", "10_copy_paste")


def write_slides(profile, names=NOTEBOOKS, reveal=None):
    """Write `build/<profile>/slides/<notebook>.slides.html`.

    Args:
        profile: name. names: of executed notebooks. reveal: address or folder of reveal.js, which is not part of the package:
            slides then load it, and what nbconvert needs for formulas, when they are opened. None: pages that load nothing.
    Returns:
        paths of the files.
    Raises:
        FileNotFoundError: a notebook has not been executed; the message says how.
    """
    written = []
    for name in names:
        path = paths.build() / "notebooks" / paths.tables(profile).name / f"{name}.ipynb"
        if not path.exists():
            raise FileNotFoundError(f"{path}: not executed yet; python -m p3mlib notebooks {name} --profile {profile} does it")
        notebook = on_slides(without_widgets(nbformat.read(path, as_version=4)))
        body = _plain(name, notebook) if reveal is None else _revealed(notebook, reveal)
        written.append(paths.build() / paths.tables(profile).name / "slides" / f"{name}.slides.html")
        write_text(written[-1], body)
    return written


def _revealed(notebook, reveal):
    options = {"reveal_scroll": True, "exclude_input_prompt": True, "exclude_output_prompt": True}
    return SlidesExporter(reveal_url_prefix=reveal, **options).from_notebook_node(notebook)[0]


def _plain(name, notebook):
    exporter, slides = HTMLExporter(template_name="basic"), []
    for cell in notebook.cells:
        kind = cell.metadata["slideshow"]["slide_type"]
        if kind == "slide":
            slides.append([])
        if kind != "skip":
            slides[-1].append(cell)
    bodies = (exporter.from_notebook_node(nbformat.v4.new_notebook(cells=cells))[0] for cells in slides)
    body = "".join(f'<section class="slide" tabindex="0">{body}</section>' for body in bodies)
    body = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.slides.html"', body)
    colours = HtmlFormatter(style="default").get_style_defs(".highlight")
    return filled("slides.html", {"title": html.escape(name), "body": body, "colours": colours})


def on_slides(notebook):
    """The notebook with a slide type for every cell: a heading or an exercise begins one, parameters and imports are left out."""
    begun = False
    for cell in notebook.cells:
        begins = cell.cell_type == "markdown" and cell.source.startswith(("#", "**Exercise", "**Takeaway"))
        begun = begun or begins
        setup = cell.cell_type == "code" and not cell.outputs and "import" in cell.source
        parameters = "parameters" in str(cell.metadata.get("tags", ""))
        cell.metadata["slideshow"] = {"slide_type": "skip" if setup or parameters or not begun else "slide" if begins else "-"}
    return notebook
