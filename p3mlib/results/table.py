"""What a table is: a declaration, and the one path that gathers, summarises, captions, lays out and writes it."""

from dataclasses import dataclass, field, replace

import pandas as pd

from p3mlib.experiments import config, untrained
from p3mlib.results import captions, released, report
from p3mlib.results.printed import Column, Row, method_lines, write


@dataclass(frozen=True)
class Difference:
    """Paired differences of `metrics` from a setting to the one that `against` names for it, without copy and paste there.

    `to` follows the minus in a header, and in the metrics of a summary ("SAD - none"); `words` say it in the caption.
    """

    to: str = ""
    words: str = ""
    against: dict = field(default_factory=dict)
    metrics: tuple = ("SAD",)

    def base(self, label, setting):
        """(label, setting) that another is compared with; None where there is nothing to compare."""
        base = report.network_of(label), self.against.get(setting)
        return base if base[1] and base != (label, setting) else None


@dataclass(frozen=True)
class Table:
    """What a table shows and says beside the rows, test sets and metrics that experiments.yaml gives it.

    Args:
        number: in the paper. what: first words of the caption. remarks: its last sentences, text or callable(profile).
        settings: train:test -> heading, those that stand side by side; none: the test sets stand below each other.
        references: with the rows that never look at the image. also: metrics of ours that the paper has not.
        switches: heading -> option of the rows that is ticked; beside them stand their parameters.
    """

    number: int
    what: str
    settings: dict = field(default_factory=dict)
    difference: Difference = Difference()
    references: bool = False
    also: tuple = ()
    switches: dict = field(default_factory=dict)
    remarks: tuple = ()

    def check(self, grid):
        """ValueError for a table, setting, metric or option that experiments.yaml has not; the message lists what it has."""
        self._known("such table in experiments.yaml", [self.number], grid.tables)
        table, against = grid.tables[self.number], self.difference.against
        rows = [grid.rows[name] for name in table.rows]
        settings = [f"{train}:{domain}" for train in [row.domain for row in rows] or "-" for _, domain in table.sets]
        self._known("setting", [*self.settings, *against, *against.values()], settings)
        self._known("metric", self.difference.metrics if against else (), [*table.metrics, *self.also])
        self._known("option", self.switches.values(), [option for row in rows for option in row.options])

    def _known(self, what, named, known):
        if strangers := [name for name in named if name not in known]:
            raise ValueError(f"table {self.number}: no {what} {strangers}; there are {', '.join(map(str, dict.fromkeys(known)))}")


def make(table, profile, progress=True):
    """Gather what a Table shows, from the run cache or by training, and write it as CSV, Markdown and LaTeX.

    Returns:
        Printed; its `summary` holds (label, data set, setting, metric) -> (mean, low, high), also of what never looks at the
        image (in every setting with the same test images) and of differences.
    Raises:
        ValueError: unknown profile, or the table names what is not there (see `Table.check`).
    """
    grid = config.load()
    table.check(grid)
    data, results = grid.tables[table.number], report.table_results(table.number, profile, progress)
    results += (theirs := released.results(table.number, profile, progress))
    references = report.reference_results(table.number, profile, progress) if table.references else []
    same = [replace(r, setting=s) for r in references for s in table.settings if s[1:] == r.setting[1:]]
    metrics, scaled = (*data.metrics, *table.also), report.small_images(results + references)
    frame = report.tidy(table.number, results + references, metrics)
    summary = report.summary(results + references + same, metrics, scaled) | _differences(table.difference, results, scaled)
    if table.switches:
        counted = report.parameter_rows(table.number, [grid.rows[name] for name in data.rows])
        frame, summary = pd.concat([counted, frame], ignore_index=True), summary | report.without_interval(counted)
    rows, paper = _rows(table, data, references + results, grid), report.beside_released(report.paper_cells(table.number))
    sign = "†" * (scaled and not any("†" in row.cells[0] for row in rows))
    columns, notes = _columns(table, data, metrics, sign), captions.notes_of(results)
    size = captions.size_sentence(dict(data.sets), sign) if scaled else ""
    header = ["Method" if table.settings else "Method\ntest set", *table.switches, *(column.title for column in columns)]
    last = [theirs and released.sentence(), captions.misprints(frame), *(f"({note})" for note in notes)]
    caption = _caption(table, data, profile, size, last)
    return write(table.number, profile, frame, header, method_lines(rows, columns, summary, paper), caption, summary, notes)


def _differences(difference, results, scaled):
    found = {}
    for label, dataset, setting in dict.fromkeys((r.label, r.dataset, r.setting) for r in results):
        base = difference.base(label, setting)
        for metric in difference.metrics if base else ():
            gap = report.paired_difference(results, (label, setting), base, scaled, metric, dataset)
            found |= {(label, dataset, setting, f"{metric} - {difference.to}"): gap} if gap else {}
    return found


def _rows(table, data, results, grid):
    """Methods in the paper's order where it has them all, for every test set unless those are columns; † is trained on N.

    Released weights of a method stand below it.
    """
    order = [*untrained.REFERENCES, *(label for label, *_ in report.paper_cells(table.number))]
    shown = list(dict.fromkeys((r.label, "" if table.settings else r.setting[0]) for r in results))
    names = {label: label.removesuffix(report.RELEASED) for label, _ in shown}
    theirs = any(label != name for label, name in names.items())
    if theirs and not set(names.values()) <= set(order):
        order = list(dict.fromkeys(names.values()))
    if set(names.values()) <= set(order):
        shown.sort(key=lambda pair: (order.index(names[pair[0]]), pair[0] != names[pair[0]]))
    options, rows = {grid.rows[name].label: grid.rows[name].options for name in data.rows}, []
    for dataset, domain in [("", "")] if table.settings else data.sets:
        where = dataset and f"\n{dataset}" + ", un-blurred" * (dataset == "P3M-500-P" and domain == "N")
        for label, trained in shown:
            ticks = ["✓" * bool(options.get(names[label], {}).get(option)) for option in table.switches.values()]
            weights = "\nreleased weights" * (label != names[label])
            cell = names[label] + "†" * (trained == "N") + weights + where
            rows.append(Row((cell, *ticks), label, dataset, trained and f"{trained}:{domain}"))
    return rows


def _columns(table, data, metrics, sign):
    """The metrics of every setting that is a column, or of none, with differences as their last."""
    titles, gap = {metric: metric + sign * metric.startswith("SAD") for metric in metrics}, table.difference
    pairs = [(name, s) for s in table.settings for name, domain in data.sets if domain == s.partition(":")[2]] or [("", "")]
    columns, several = [Column("Params (M)", "Params")] * bool(table.switches), len(dict(pairs)) > 1
    for dataset, setting in pairs:
        compared = gap.metrics if (gap.base("", setting) if setting else gap.against) else ()
        for metric, title in (titles | {f"{m} - {gap.to}": f"{titles[m]} - {gap.to}" for m in compared}).items():
            heading = filter(None, (dataset * several, table.settings.get(setting), title))
            columns.append(Column("\n".join(heading), metric, dataset, setting))
    return columns


def _caption(table, data, profile, size, last):
    to, trained = table.difference.words, config.load().shown(table.number, profile)
    sentences = [
        f"{table.what}; mean{' over seeds' * bool(trained)} [95% interval over images].",
        to and f"After a minus: paired differences to {to}, intervals over images and seeds; ≈ is within the noise.",
        trained and captions.training_sentence(trained, profile),
        captions.data_sentence(profile),
        size,
        table.references and f"{' and '.join(untrained.REFERENCES)} never look at the image.",
        *(remark(profile) if callable(remark) else remark for remark in table.remarks),
        *last,
    ]
    return " ".join(filter(None, sentences))
