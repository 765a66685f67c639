"""One page with everything of a profile: tables, figures, claims and executed notebooks. It loads nothing from elsewhere."""

import base64
import datetime
import html
import os
import re
from importlib import resources
from string import Template

import mistune
import nbformat
import pandas as pd
from mistune.util import safe_entity
from nbconvert import HTMLExporter
from pygments.formatters import HtmlFormatter

from p3mlib import paths
from p3mlib.experiments import config
from p3mlib.experiments.run import Run, provenance
from p3mlib.io import write_text
from p3mlib.results import seen
from p3mlib.results.printed import MARKUP

TABLES, FIGURES = range(1, 12), range(1, 16)
EXTRA = {
    "claims": "Claims C1-C40", "transfer": "Transfer to real portraits", "people": "Real people, sharp and blurred",
    "statistics": "P3M-Synth beside photographs",
}  # fmt: skip
HEADLINES = (  # notebook, the cell whose sentences are shown
    ("05_trimap_free", "takeaways.blurred_training("),
    ("10_copy_paste", "takeaways.copy_and_paste(table, "),
    ("12_claims", "takeaways.verdicts("),
)
_UNNAMED = 'alt="No description has been provided for this image"'


class _Tables(mistune.HTMLRenderer):
    """Of HTML in Markdown it keeps the line breaks and small print of cells; all else is shown as text."""

    def text(self, text):
        return safe_entity(text)

    def inline_html(self, html):
        return html if html in MARKUP else super().inline_html(html)


_markdown = mistune.create_markdown(renderer=_Tables(escape=True), plugins=["table"])


def write_page(profile, failed=(), seconds=None, explorers=""):
    """Write `build/<profile>/index.html` and a page for each executed notebook beside it.

    What a profile has not made yet is named as not run. Every page stands alone: pictures are inside it, no script is.

    Args:
        profile: name. failed: dict notebook -> what went wrong in its last execution.
        seconds: that the command took which made what is on the page; None: nothing was made, only the page.
        explorers: HTML to try, see `widgets.stills`.
    Returns:
        path of index.html.
    Raises:
        ValueError: unknown profile.
    """
    scale = config.load().profile(profile)
    folder = paths.build() / paths.tables(profile).name
    parts = {
        "title": f"P3M companion, profile {folder.name}",
        "first": _first(profile, folder.name),
        "facts": _facts(scale, seconds),
        "explorers": explorers and f'<h2 id="explorers">Try it</h2><p>In a notebook these move freely.</p>{explorers}',
        "tables": _tables(profile),
        "claims": _table_block(profile, "claims", EXTRA["claims"]),
        "beyond": "".join(_table_block(profile, name, EXTRA[name]) for name in ("transfer", "people", "statistics")),
        "figures": _figures(profile),
        "notebooks": _notebooks(folder, dict(failed)),
        "contents": _contents(profile),
    }
    write_text(folder / "index.html", filled("index.html", parts))
    return folder / "index.html"


def _first(profile, name):
    """One figure, and what the takeaways of the executed notebooks say, with their intervals."""
    path = paths.figures(profile) / "teaser.png"
    figure = _picture(path, seen.TEASER) if path.exists() else _not_run("The first figure")
    lines = [line for stem, call in HEADLINES for line in _said(paths.build() / "notebooks" / name / f"{stem}.ipynb", call)]
    found = "".join(f"<li>{html.escape(line)}</li>" for line in dict.fromkeys(lines))
    return figure + (f'<ul tabindex="0">{found}</ul>' if found else _not_run("Headline findings"))


def _said(path, call):
    """Sentences that the cell with `call` in an executed notebook shows."""
    if not path.exists():
        return []
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code" and call in c.source]
    texts = [output.get("data", {}).get("text/markdown", "") for cell in cells for output in cell.outputs]
    return [line.removeprefix("- ") for line in texts[0].splitlines()] if texts else []


def filled(name, parts):
    """A file of `pages/` with `parts`, texts by their names there, and the style."""
    files = resources.files("p3mlib.results").joinpath("pages")
    style = files.joinpath("style.css").read_text()
    return Template(files.joinpath(name).read_text()).substitute(parts, style=style)


def _facts(scale, seconds):
    found, grid = provenance(), config.load()
    height, width = scale.data.size
    made = datetime.datetime.now(datetime.UTC).isoformat(" ", "minutes").removesuffix("+00:00")
    facts = {
        "Written": f"{made} UTC",
        "Time": _time(scale.name, seconds),
        "Commit": found["commit"],
        "Device": f"{found['device']}, {os.cpu_count()} cores",
        "Versions": ", ".join(f"{name} {v}" for name, v in {"Python": found["python"], **found["versions"]}.items()),
        "Data": f"real: {', '.join(n for n in paths.REAL_ROOTS if paths.real_root(n))}; the rest P3M-Synth"
        if paths.is_real()
        else f"P3M-Synth, {height} x {width} px, {scale.data.counts['train']} training portraits",
        "Seeds": ", ".join(map(str, sorted({e.seed for e in grid.experiments(grid.rows, scale.name)}))),
    }
    return "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(text)}</dd>" for name, text in facts.items())


def _time(profile, seconds):
    """How long the command took, and all runs that the tables show, whenever they were made."""
    ids = set()
    for path in paths.tables(profile).glob("*.csv"):
        ids |= set(pd.read_csv(path, usecols=lambda name: name == "run", dtype=str).get("run", pd.Series()).dropna())
    records = [Run(paths.runs(profile) / name).record for name in sorted(ids)]
    spent = [record["seconds"] for record in records if "seconds" in record]
    parts = {work: sum(those.get(work, 0) for those in spent) for work in ("training", "scoring")}
    facts = [] if seconds is None else [f"{_minutes(seconds)} for this command"]
    if spent:
        facts += [f"{len(spent)} runs behind the tables: " + ", ".join(f"{_minutes(s)} of {work}" for work, s in parts.items())]
    return "; ".join(facts) or "no runs"


def _minutes(seconds):
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"


def _not_run(what):
    return f'<p class="missing">{html.escape(what)}: not run.</p>'


def _table_block(profile, stem, title):
    path = paths.tables(profile) / f"{stem}.md"
    if not path.exists():
        return f'<section id="{stem}"><h3>{title}</h3>{_not_run(title)}</section>'
    caption, _, table = path.read_text().partition("\n\n")
    body = _markdown(table).replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    body = re.sub(r'href="(table_\d+)\.md"', r'href="#\1"', body)
    return f'<section id="{stem}"><h3>{title}</h3>{_markdown(caption)}{body}</section>'


def _tables(profile):
    return "".join(_table_block(profile, f"table_{n}", f"Table {n}") for n in TABLES)


def _figures(profile):
    blocks = []
    for number in FIGURES:
        path, title = paths.figures(profile) / f"figure_{number:02d}.png", f"Figure {number}"
        shown = _picture(path, f"{title}. {seen.FIGURES[number]}") if path.exists() else _not_run(title)
        blocks.append(f'<section id="figure_{number}"><h3>{title}</h3>{shown}</section>')
    extra = paths.figures(profile) / "claims.png"
    return "".join(blocks) + (_picture(extra, seen.CLAIMS) if extra.exists() else "")


def _picture(path, title):
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return f'<div class="wide"><img alt="{html.escape(title)}" loading="lazy" src="data:image/png;base64,{data}"></div>'


def _contents(profile):
    def links(stem, numbers, file):
        marks = [("" if file(n).exists() else ' class="missing"') for n in numbers]
        return " ".join(f'<a{mark} href="#{stem}_{n}">{n}</a>' for n, mark in zip(numbers, marks, strict=True))

    tables = links("table", TABLES, lambda n: paths.tables(profile) / f"table_{n}.md")
    figures = links("figure", FIGURES, lambda n: paths.figures(profile) / f"figure_{n:02d}.png")
    return (
        f'<p>Tables {tables}</p><p>Figures {figures}</p><p><a href="#claims">Claims</a> <a href="#transfer">Transfer</a> '
        '<a href="#people">People</a> <a href="#statistics">Statistics</a> <a href="#notebooks">Notebooks</a></p>'
    )


def _notebooks(folder, failed):
    """A page for each executed notebook; returns the list that links them."""
    exporter, lines = HTMLExporter(template_name="basic"), []
    executed = paths.build() / "notebooks" / folder.name
    for source in sorted(paths.notebooks().glob("[0-9]*.ipynb")):
        name, path = source.stem, executed / source.name
        trouble = f' <strong class="missing">{html.escape(failed[name])}</strong>' if failed.get(name) else ""
        if not path.exists():
            lines.append(f'<li><span class="missing">{html.escape(name)}: not run</span>{trouble}</li>')
            continue
        body, _ = exporter.from_notebook_node(without_widgets(nbformat.read(path, as_version=4)))
        body = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', body.replace(_UNNAMED, 'alt="output of this cell"'))
        parts = {"title": html.escape(name), "body": body, "colours": HtmlFormatter(style="default").get_style_defs(".highlight")}
        write_text(folder / f"{name}.html", filled("notebook.html", parts))
        lines.append(f'<li><a href="{name}.html">{html.escape(name)}</a>{trouble}</li>')
    return f"<ul>{''.join(lines)}</ul>"


def without_widgets(notebook):
    """The notebook without what only a live kernel shows (widgets, progress bars on the error stream), printed lines joined."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            kept = [o for o in cell.outputs if not (o.output_type == "stream" and o.name == "stderr")]
            for output in kept:
                data = output.get("data", {})
                live = [kind for kind in data if "widget" in kind or kind == "application/javascript"]
                for kind in live + ["text/plain"] * bool(live):  # which says VBox(...), or how far a bar was at first
                    data.pop(kind, None)
            kept = [o for o in kept if o.output_type not in ("display_data", "execute_result") or o.data]
            cell.outputs = []
            for output in kept:
                last = cell.outputs[-1] if cell.outputs else output
                if last is not output and last.output_type == output.output_type == "stream":
                    last.text += output.text
                else:
                    cell.outputs.append(output)
    return notebook
