"""Per-image errors -> the numbers of tables: tidy rows beside the paper's value, means with intervals, paired differences."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from p3mlib.data.datasets import MissingData
from p3mlib.experiments import config, corpus, runs, untrained
from p3mlib.experiments.bench import bench
from p3mlib.models import build_model, count_parameters

COLUMNS = "table method backbone setting dataset metric value unit note cp obfuscation modules".split()
COLUMNS += "paper low high at_paper_size images seed run".split()
PAPER_KILOPIXELS = {"RWP": 1300, "P3M-500-P": 1720, "P3M-500-NP": 1720}  # the paper's mean image, MAD x this = SAD
UNITS = {"SAD": "1e3", "Grad": "1e3", "Conn": "1e3", "Params": "M", "Inference time": "s"}
AREAS = {3: "-U"}  # table -> what the names of the errors that it reads end in
RELEASED = ", released weights"  # what the methods of rows end in whose weights are the authors', see released.py


@cache
def paper_values():
    """The paper's 763 printed numbers: DataFrame with the columns of the tidy tables up to `modules`, all text."""
    with resources.files("p3mlib.results").joinpath("paper_values.csv").open() as file:
        return pd.read_csv(file, dtype=str, keep_default_na=False)


@dataclass(frozen=True)
class Result:
    """One method on one test set with one seed; `errors` is the per-image table, None if it could not be run (`note`).

    `setting` is train:test as in the paper; `cp` the kind of copy and paste in training as the tables name it, "" for none.
    """

    method: str
    setting: str
    dataset: str
    errors: pd.DataFrame | None
    backbone: str = ""
    modules: str = ""
    seed: int | None = None
    run: str = ""
    note: str = ""
    cp: str = ""

    @property
    def label(self):
        """Method, with its copy and paste."""
        return config.labelled(self.method, self.cp)

    def values(self, metric, scaled=False):
        """One error an image: Series. `scaled` brings SAD to the paper's mean image size: MAD x 1,720 (RWP 1,300).

        Raises ValueError for a metric that was not measured; the message lists those that were.
        """
        if metric not in self.errors:
            raise ValueError(f"{self.label} on {self.dataset}: no metric '{metric}'; there are {', '.join(self.errors)}")
        if not scaled or not metric.startswith("SAD"):
            return self.errors[metric]
        return self.errors[metric] / (self.errors["megapixels"] * 1000) * PAPER_KILOPIXELS[self.dataset]


def bootstrap_interval(values, draws=2000, level=0.95):
    """Percentile interval of the mean over images, with a fixed seed.

    Args:
        values: (n,) float, one error an image; for several seeds their mean image by image. NaN does not count.
    Returns:
        (low, high); (nan, nan) for fewer than two images.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return float("nan"), float("nan")
    picks = np.random.default_rng(0).integers(len(values), size=(draws, len(values)))
    low, high = np.quantile(values[picks].mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def tidy(number, results, metrics):
    """Results -> one row a method, set, metric and seed, beside the paper's value; columns `COLUMNS`."""
    return _beside_paper([_tidy_row(number, result, metric) for result in results for metric in metrics])


def _tidy_row(number, result, metric):
    row = {"table": number, "metric": metric, "unit": UNITS.get(metric.split("-")[0], "1")}
    row |= {f: getattr(result, f) for f in ("method", "backbone", "setting", "dataset", "modules", "seed", "run", "note", "cp")}
    if result.errors is not None:
        values = result.values(metric)
        low, high = bootstrap_interval(values)
        row |= {"value": values.mean(), "low": low, "high": high, "images": int(values.count())}
        if metric.startswith("SAD"):
            row["at_paper_size"] = result.values(metric, scaled=True).mean()
    return row


def parameter_rows(number, table_rows):
    """Tidy rows of the parameter counts at width 1, counted the paper's way."""
    rows = []
    for row in table_rows:
        cell = {"table": number, "method": row.method, "backbone": row.backbone, "setting": "", "dataset": "", "metric": "Params"}
        count = count_parameters(build_model(row.model, **row.options)) / 1e6
        rows.append({**cell, "value": count, "unit": "M", "modules": modules(row.options), "note": "at width 1"})
    return _beside_paper(rows)


def timing_rows(number, table_rows, size, rounds, progress=True, named=None):
    """Tidy rows of inference times in seconds at batch 1 and width 1, and how much faster than run plainly.

    `named` gives the weights of a model, see `weights.load`; without it they are random.

    Metrics: "Inference time" (the fast path in full precision), and the other paths as "Inference time (plain)" etc.; `note`
    has the ratio to plain, measured in the same rounds.
    """
    names, rows = {(named or {}).get(row.model, row.model): row for row in table_rows}, []
    timed = bench(list(names), size, rounds, memory=False, progress=progress)
    for line in timed:
        row, path = names[line["model"]], line["path"]
        note = f"{line['device']}, {line['threads']} threads, {size} px, {path}: {line['ratio']:.2f} of plain"
        metric = "Inference time" if path == "fp32" else f"Inference time ({path})"
        cell = {"table": number, "method": row.method, "backbone": row.backbone, "setting": "", "dataset": f"{size}x{size} input"}
        rows.append({**cell, "metric": metric, "value": line["ms"] / 1e3, "unit": "s", "note": note})
    return _beside_paper(rows)


def modules(options):
    """The paper's name of a set of switches: "none" or e.g. "TFI+sBFI"."""
    names = {"tfi": "TFI", "sbfi": "sBFI", "dbfi": "dBFI"}
    return "+".join(text for key, text in names.items() if options.get(key)) or "none"


def _beside_paper(rows):
    """Tidy frame of `rows` with the printed value as `paper`, and as `note` what is known about it where ours has no note."""
    frame = pd.DataFrame(rows, columns=COLUMNS)
    found = [_printed().get(key, ("", "")) for key in _keys(frame.astype(object).fillna("").astype(str))]
    frame["paper"] = [value for value, _ in found]
    ours = frame["note"].fillna("").astype(str)
    frame["note"] = [note or (f"paper: {theirs}" if theirs else "") for note, (_, theirs) in zip(ours, found, strict=True)]
    return frame


@cache
def _printed():
    """(table, label, data set, setting, metric) -> what the paper prints, and a note."""
    frame = paper_values()
    return dict(zip(_keys(frame), zip(frame["value"], frame["note"], strict=True), strict=True))


def _keys(frame):
    labels = map(config.labelled, frame["method"].str.removesuffix(RELEASED), frame["cp"])
    return list(zip(frame["table"], labels, *(frame[name] for name in ("dataset", "setting", "metric")), strict=True))


def paper_cells(number):
    """What the paper prints in a table, in its order: dict (label, data set, setting, metric) -> text."""
    return {key[1:]: text for key, (text, _) in _printed().items() if key[0] == str(number)}


def beside_released(cells):
    """`paper_cells` that the rows with released weights have too."""
    return cells | {(key[0] + RELEASED, *key[1:]): text for key, text in cells.items()}


def table_results(number, profile, progress=True):
    """Results of every method, seed and test set of a table; what is missing (data or a method) carries the reason.

    A profile that trains only some rows has only those. Table 3 reads the errors of the transition area without the blurred
    pixels (`AREAS`), under their plain names.
    """
    grid = config.load()
    table, scale, tested, found = grid.tables[number], grid.profile(profile), [], []
    there, reasons = corpus.available(table.sets, scale)
    for experiment in (e for name in grid.shown(number, profile) for e in grid.experiments([name], profile)):
        row, run, missing = experiment.row, None, ""
        about = {"method": row.method, "backbone": row.backbone, "modules": modules(row.options), "seed": experiment.seed}
        try:
            run = runs.get(experiment, there, progress=progress)
        except MissingData as error:
            missing = str(error).splitlines()[0]
        tested.append(({**about, "cp": config.COPY_PASTE[row.copy_paste]}, row.domain, run, missing))
    for method, function in table.methods.items():
        run = untrained.get(method, there, scale, progress) if function and there else None
        tested.append(({"method": method}, "-", run, "" if function else "not implemented yet"))
    names = {metric + AREAS[number]: metric for metric in table.metrics} | {"megapixels": "megapixels"} if number in AREAS else {}
    for about, train, run, missing in tested:
        for dataset, domain in table.sets:
            note = missing or reasons.get((dataset, domain), "")
            errors = None if note else run.per_image(dataset, domain)
            errors = errors[list(names)].rename(columns=names) if names and not note else errors
            about |= {"errors": errors, "run": "" if note else run.id, "note": note}
            found.append(Result(setting=f"{train}:{domain}", dataset=dataset, **about))
    return found


def reference_results(number, profile, progress=True):
    """What two predictors score that never look at the image: all background, and the mean training matte."""
    grid = config.load()
    scale, found = grid.profile(profile), []
    _, reasons = corpus.available(grid.tables[number].sets, scale)
    for method in untrained.REFERENCES:
        try:
            run, missing = untrained.reference(method, scale, progress), ""
        except MissingData as error:
            run, missing = None, str(error).splitlines()[0]
        for dataset, domain in grid.tables[number].sets:
            note = missing or reasons.get((dataset, domain), "")
            errors = None if note else run.per_image(dataset, domain)
            found.append(Result(method, f"-:{domain}", dataset, errors, note=note))
    return found


def summary(results, metrics, scaled):
    """Mean over seeds with its interval over images, for printing.

    Args:
        scaled: show SAD at the paper's image size.
    Returns:
        dict (method, dataset, setting, metric) -> (mean, low, high).
    """
    seeds, cells = {}, {}
    for result in results:
        if result.errors is not None:
            seeds.setdefault((result.label, result.dataset, result.setting), []).append(result)
    for key, those in seeds.items():
        for metric in metrics:
            per_image = pd.concat([result.values(metric, scaled) for result in those], axis=1).mean(axis=1)
            cells[*key, metric] = (per_image.mean(), *bootstrap_interval(per_image))
    return cells


def without_interval(frame):
    """The counts and times of a tidy frame as a summary."""
    return {(row.method, "", "", row.metric): (row.value, float("nan"), float("nan")) for row in frame.itertuples()}


def network_of(label):
    """What a labelled method is without its copy and paste and its modules."""
    return label.partition("+")[0]


def paired_difference(results, one, other, scaled, metric="SAD", dataset="P3M-500-P", draws=2000):
    """How much larger the error of `one` is than that of `other`, on the same images.

    Args:
        results: of trained methods. one, other: (label, setting). scaled: show sums at the paper's image size.
    Returns:
        (mean, low, high): 95% interval of the mean over images and seeds, drawn anew together (the same seeds on both sides where
        they are rows of one network, whose seeds share more than their number); None where one was not run or no image has the
        metric.
    """
    sides = []
    for method, setting in (one, other):
        key = method, setting, dataset
        found = [r for r in results if (r.label, r.setting, r.dataset) == key and r.errors is not None]
        if not found:
            return None
        sides.append(np.stack([result.values(metric, scaled) for result in found]))
    known = ~np.isnan([side.sum(0) for side in sides]).any(0)  # no face, no face-hole rate
    sides = [side[:, known] for side in sides]
    if not known.any():
        return None
    picks, seeds = _drawn(draws, int(known.sum()), *map(len, sides))
    together = network_of(one[0]) == network_of(other[0]) and len(sides[0]) == len(sides[1])
    seeds = seeds[:1] * 2 if together else seeds
    means = [np.take_along_axis(side[some].mean(1), picks, 1).mean(1) for side, some in zip(sides, seeds, strict=True)]
    low, high = np.quantile(np.subtract(*means), [0.025, 0.975])
    return sides[0].mean() - sides[1].mean(), low, high


@cache
def _drawn(draws, images, *seeds):
    """Images (draws, images) and, for each number of seeds, seeds (draws, seeds) that are drawn with replacement."""
    rng = np.random.default_rng(0)
    drawn = [[rng.integers(count, size=count) for count in (images, *seeds)] for _ in range(draws)]
    picks, *chosen = map(np.stack, zip(*drawn, strict=True))
    return picks, chosen


def within_noise(cell):
    """True where the interval of a difference (mean, low, high) holds zero."""
    return not (cell[1] > 0 or cell[2] < 0)


def small_images(results):
    """True where the images are so small that SAD is printed at the paper's size."""
    sizes = [r.errors["megapixels"].mean() for r in results if r.errors is not None]
    return bool(sizes and max(sizes) < 0.5)


def at_paper_scale(frame):
    """What brings each number of a tidy frame to what the printed table shows: 1, or the paper's image size for small images."""
    paper = pd.to_numeric(frame["at_paper_size"])
    kilopixels = (frame["value"] * frame["dataset"].map(PAPER_KILOPIXELS) / paper).max()
    return (paper / frame["value"]).where(paper.notna() & (kilopixels < 500) & (frame["value"] != 0), 1.0)
