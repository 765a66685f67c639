"""Slides of executed notebooks, through nbconvert and reveal.js: a slide for every heading, its cells below each other on it."""

import nbformat
from nbconvert import SlidesExporter

from p3mlib import paths
from p3mlib.io import write_text
from p3mlib.results.page import without_widgets

NOTEBOOKS = ("00_start_here", "01_anonymize", "06_p3mnet_ablation", "10_copy_paste")
REVEAL = "https://unpkg.com/reveal.js@4.0.2"


def write_slides(profile, names=NOTEBOOKS, reveal=REVEAL):
    """Write `build/<profile>/slides/<notebook>.slides.html`.

    Args:
        profile: name. names: of executed notebooks. reveal: address or folder of reveal.js, which is not part of the package:
            slides load it, and what nbconvert needs for formulas, when they are opened.
    Returns:
        paths of the files.
    Raises:
        FileNotFoundError: a notebook has not been executed; the message says how.
    """
    exporter = SlidesExporter(reveal_url_prefix=reveal, reveal_scroll=True, exclude_input_prompt=True, exclude_output_prompt=True)
    written = []
    for name in names:
        path = paths.build() / "notebooks" / paths.tables(profile).name / f"{name}.ipynb"
        if not path.exists():
            raise FileNotFoundError(f"{path}: not executed yet; python -m p3mlib notebooks {name} --profile {profile} does it")
        body, _ = exporter.from_notebook_node(on_slides(without_widgets(nbformat.read(path, as_version=4))))
        written.append(paths.build() / paths.tables(profile).name / "slides" / f"{name}.slides.html")
        write_text(written[-1], body)
    return written


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
