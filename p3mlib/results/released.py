"""Rows of tables from the weights that the authors of P3M-Net released, tested as they test; P3M_WEIGHTS names their folder."""

from functools import cache

import pandas as pd

from p3mlib import paths
from p3mlib.experiments import config, corpus
from p3mlib.experiments.scoring import score_weights
from p3mlib.models import weights
from p3mlib.models.official import how_tested
from p3mlib.results import report

TABLES = (5, 6, 7, 8)


def results(number, profile, progress=True):
    """Results of the released P3M-Nets that a table shows, and of their authors' rows that were never released.

    What is scored stands in `released/` of the profile's runs, a table for each set that grows image by image: see
    `scoring.score_weights`.

    Returns:
        list of report.Result whose methods end in `report.RELEASED`; empty for another table, or without P3M_WEIGHTS.
    Raises:
        ValueError: an image that cannot be scored; and as `weights.of_p3m`.
    """
    if number not in TABLES or paths.released() is None:
        return []
    grid, found = config.load(), []
    scale, table = grid.profile(profile), grid.tables[number]
    there, reasons = corpus.available(table.sets, scale)
    for row in _rows(grid, table):
        why = _lacking(row)
        for pair in table.sets:
            note = why or reasons.get(pair, "")
            scored = score(row.model, *pair, scale, progress) if pair in there and not why else None
            found.append(
                report.Result(
                    row.method + report.RELEASED,
                    f"B:{pair[1]}",
                    pair[0],
                    scored.errors if scored else None,
                    backbone=row.backbone,
                    modules=report.modules(row.options),
                    run=str(scored.path.relative_to(paths.runs(profile))) if scored else "",
                    note=note,
                )
            )
    return found


def score(model, name, domain, scale, progress=True):
    """scoring.Scored of a released network on one set of a profile, by the protocol of its release.

    Args:
        model: name of the network. name, domain: of the set. scale: config.Profile.
    """
    folder = paths.runs(scale.name) / "released" / corpus.identity(name, domain, scale)
    portraits, checkpoint = corpus.open_set(name, domain, scale, progress), files()[model]
    eight_bit = how_tested(model)["eight_bit"]
    scored = score_weights(f"{model}:{checkpoint}", portraits, folder, resizing="legacy", eight_bit=eight_bit, progress=progress)
    for path, reason in scored.failed.items():
        raise ValueError(f"{path}: {reason}")
    return scored


def files():
    """The released checkpoints by the name of their network; empty without P3M_WEIGHTS. Raises as `weights.of_p3m`."""
    folder = paths.released()
    return _files(folder) if folder else {}


@cache
def _files(folder):
    return weights.of_p3m(folder)


def sentence():
    """How the released rows of a table were tested, for its caption."""
    parts = []
    for model in files():
        how = how_tested(model)
        eight = "truncated to 8 bits" if how["eight_bit"] else "not rounded"
        parts.append(f"{files()[model].name} with {how['sets'].upper()}, ratio {how['ratio']:g}, predictions {eight}")
    return f"Released weights are the authors' files, tested as they test: {'; '.join(parts)}; legacy resizing."


def parameter_rows(number, table_rows):
    """Tidy rows of the parameter counts of the released networks, see `report.parameter_rows`."""
    rows = [row for row in table_rows if is_whole(row) and row.model in files()]
    return _marked(report.parameter_rows(number, rows)) if rows else pd.DataFrame()


def timing_rows(number, table_rows, size, rounds, progress=True):
    """Tidy rows of the inference times of the released networks, see `report.timing_rows`."""
    named = {row.model: f"{row.model}:{files()[row.model]}" for row in table_rows if is_whole(row) and row.model in files()}
    rows = [row for row in table_rows if row.model in named]
    return _marked(report.timing_rows(number, rows, size, rounds, progress, named)) if rows else pd.DataFrame()


def _marked(frame):
    return frame.assign(method=frame["method"] + report.RELEASED)


def is_whole(row):
    """True for a row of a P3M-Net as published: all modules, blurred images, no copy and paste."""
    return row.model in weights.P3M_NETS and row.domain == "B" and row.copy_paste == "none" and all(row.options.values())


def _rows(grid, table):
    """Rows of a table that train a network of the authors on blurred images alone, whether it was released or not."""
    rows = [grid.rows[name] for name in table.rows]
    return [row for row in rows if row.model in weights.P3M_NETS and row.domain == "B" and row.copy_paste == "none"]


def _lacking(row):
    """Why there are no weights of a row; empty where there are."""
    if not is_whole(row):
        return "not released"
    return "" if row.model in files() else f"no released weights of {row.model} in P3M_WEIGHTS"
