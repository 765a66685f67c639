"""What tables say around their numbers: lines of ours over the paper's, headers, and the sentences of captions."""

from dataclasses import dataclass

import pandas as pd

from p3mlib import paths
from p3mlib.experiments import config
from p3mlib.results import report


@dataclass(frozen=True)
class Printed:
    """A written table: tidy `frame`, `markdown` for the reader, `summary` and `notes` for figures and takeaways."""

    frame: pd.DataFrame
    markdown: str
    summary: dict
    notes: tuple

    def _repr_markdown_(self):
        return self.markdown


def paper_lookup(frame):
    """{(method, data set, setting, metric): what the paper prints} of a tidy table."""
    labels = list(map(config.labelled, frame["method"], frame["cp"].fillna("")))
    return frame.set_index([labels, "dataset", "setting", "metric"])["paper"].to_dict()


def method_lines(methods, leads, columns, summary, paper):
    """Two lines a method: ours with its interval, and the paper's value."""
    lines = []
    for method in methods:
        ours = [report.interval_text(summary.get((method, *column)), column[-1]) for column in columns]
        theirs = [paper.get((method, *column)) or "-" for column in columns]  # as printed
        lines.append([method, *leads(method), "ours", *ours])
        if any(text != "-" for text in theirs):
            lines.append(["", *[""] * len(leads(method)), "paper", *theirs])
    return lines


def headers(columns, scaled):
    """Header of every column (data set, setting, metric); † marks SAD that is `scaled` to the paper's image size."""
    names = []
    for dataset, setting, metric in columns:
        sized = "†" if scaled and metric.startswith("SAD") else ""
        names.append(f"{dataset} {setting} {metric}{sized}".strip())
    return names


def data_sentence(profile):
    """Which data a table of `profile` is from."""
    if paths.is_real():
        named = [
            f"{name} from the folder named by {variable}" for name, variable in paths.REAL_ROOTS.items() if paths.real_root(name)
        ]
        return f"Data: {', '.join(named)}; the rest P3M-Synth. Profile {profile}."
    height, width = config.load().profile(profile).data.size
    data = f"Data: P3M-Synth, {height} x {width} px, profile {profile}."
    return f"{data} The paper's numbers are for P3M-10k: compare order and ratio."


def size_sentence(scaled):
    """What † means, where SAD is `scaled`."""
    return "† SAD at the paper's mean image size (per-image SAD / pixels x 1.72 Mpx); table CSV has both." if scaled else ""


def caption_of(*sentences):
    """The sentences that are not empty, as one text."""
    return " ".join(filter(None, sentences))


def notes_of(results):
    """Why results are missing, a sentence a reason, with the methods it holds for."""
    reasons = {}
    for result in results:
        if result.errors is None:
            reasons.setdefault(result.note, set()).add(result.method)
    return tuple(f"{', '.join(sorted(methods))}: {reason}" for reason, methods in reasons.items())


def misprints(frame):
    """Which of the paper's values in a tidy table are misprints, as a sentence."""
    wrong = frame[frame["note"].str.startswith("paper: misprint")].drop_duplicates("paper")
    texts = [f"{row.paper} ({row.metric}, {row.method}) is a {row.note.removeprefix('paper: ')}" for row in wrong.itertuples()]
    return f"As printed in the paper: {'; '.join(texts)}." if texts else ""


def _usual(values):
    """Text of the commonest of `values` (method -> text), with the methods that differ in brackets."""
    usual = max(values.values(), key=list(values.values()).count)
    others = {}
    for method, text in values.items():
        others.setdefault(text, []).append(method)
    listed = "; ".join(f"{', '.join(names)} {text}" for text, names in others.items() if text != usual)
    return f"{usual} ({listed})" if listed else usual


def _before(train):
    """How many epochs of which a training starts from, in words."""
    if not train.base_epochs:
        return ""
    shared = "rows of a seed" if train.base_per_seed else "rows and seeds"
    encoder = f", from an encoder of {train.encoder_epochs} epochs" if train.encoder_epochs else ""
    return f"{train.base_epochs} on blurred images, the same for all {shared}{encoder}"


def training_sentence(grid, rows, profile):
    """Widths, epochs and seeds of a table's trainings, and how their networks are tested."""
    trainings = {e.row.method: e.train for e in grid.experiments(rows, profile)}
    widths = _usual({method: f"{train.width:g}" for method, train in trainings.items()})
    epochs = _usual({method: str(train.epochs) for method, train in trainings.items()})
    before = _usual({method: _before(train) for method, train in trainings.items()})
    seeds = {}
    for experiment in (e for row in rows for e in grid.experiments([row], profile)):
        seeds.setdefault(experiment.row.method, set()).add(experiment.seed)
    counted = {tuple(sorted(found)) for found in seeds.values()}
    scale = grid.profile(profile)
    return (
        f"Trained at width {widths}, epochs: {epochs}{before and ' after '}{before}, "
        f"seeds {' or '.join(', '.join(map(str, c)) for c in sorted(counted))}. Tested with {scale.test}; what has a "
        "size rule of its own follows that."
    )
