"""Per-image errors -> tables: tidy CSV, Markdown and LaTeX, our number over the paper's."""

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import pandas as pd

from p3mlib import paths
from p3mlib.data.datasets import MissingData
from p3mlib.experiments import config, runs
from p3mlib.experiments.bench import bench
from p3mlib.experiments.evaluate import evaluate, mean_matte
from p3mlib.io import write_text
from p3mlib.models import build_model, count_parameters
from p3mlib.models.inference import resize

COLUMNS = [
    "table",
    "method",
    "backbone",
    "setting",
    "dataset",
    "metric",
    "value",
    "unit",
    "note",
    "cp",
    "obfuscation",
    "modules",
    "paper",
    "low",
    "high",
    "at_paper_size",
    "images",
    "seed",
    "run",
]
PAPER_KILOPIXELS = {"RWP": 1300, "P3M-500-P": 1720, "P3M-500-NP": 1720}  # the paper's mean image, MAD x this = SAD
UNITS = {"SAD": "1e3", "Grad": "1e3", "Conn": "1e3", "Params": "M", "Inference time": "s"}
DECIMALS = {"SAD": 2, "Grad": 2, "Conn": 2, "Params": 2}
REFERENCES = ("All background", "Mean matte")


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


def at_paper_size(errors, metric, dataset):
    """A sum metric rescaled to the paper's mean image size, per image: Series; for SAD this is MAD x 1,720 (RWP 1,300)."""
    return errors[metric] / (errors["megapixels"] * 1000) * PAPER_KILOPIXELS[dataset]


def tidy(number, results, metrics):
    """Results -> one row a method, set, metric and seed, beside the paper's value; columns `COLUMNS`."""
    rows = [_tidy_row(number, result, metric) for result in results for metric in metrics]
    return _beside_paper(pd.DataFrame(rows, columns=COLUMNS))


def _tidy_row(number, result, metric):
    row = {"table": number, "metric": metric, "unit": UNITS.get(metric.split("-")[0], "1")}
    row |= {f: getattr(result, f) for f in ("method", "backbone", "setting", "dataset", "modules", "seed", "run", "note", "cp")}
    if result.errors is not None:
        values = result.errors[metric]
        low, high = bootstrap_interval(values)
        row |= {"value": values.mean(), "low": low, "high": high, "images": int(values.count())}
        if metric.startswith("SAD"):
            row["at_paper_size"] = at_paper_size(result.errors, metric, result.dataset).mean()
    return row


def parameter_rows(number, table_rows):
    """Tidy rows of the parameter counts at width 1, counted the paper's way."""
    rows = []
    for row in table_rows:
        count = count_parameters(build_model(row.model, **row.options))
        rows.append(
            {
                "table": number,
                "method": row.method,
                "backbone": row.backbone,
                "setting": "",
                "dataset": "",
                "metric": "Params",
                "value": count / 1e6,
                "unit": "M",
                "modules": modules(row.options),
                "note": "at width 1",
            }
        )
    return _beside_paper(pd.DataFrame(rows, columns=COLUMNS))


def timing_rows(number, table_rows, size, rounds, progress=True):
    """Tidy rows of inference times in seconds at batch 1 and width 1, and how much faster than run plainly.

    Metrics: "Inference time" (the fast path in full precision), and the other paths as "Inference time (plain)" etc.; `note`
    has the ratio to plain, measured in the same rounds.
    """
    timed = bench([row.model for row in table_rows], size, rounds, memory=False, progress=progress)
    names, rows = {row.model: row for row in table_rows}, []
    for line in timed:
        row, path = names[line["model"]], line["path"]
        note = f"{line['device']}, {line['threads']} threads, {size} px, {path}: {line['ratio']:.2f} of plain"
        metric = "Inference time" if path == "fp32" else f"Inference time ({path})"
        cell = {"table": number, "method": row.method, "backbone": row.backbone, "setting": "", "dataset": f"{size}x{size} input"}
        rows.append({**cell, "metric": metric, "value": line["ms"] / 1e3, "unit": "s", "note": note})
    return _beside_paper(pd.DataFrame(rows, columns=COLUMNS))


def modules(options):
    """The paper's name of a set of switches: "none" or e.g. "TFI+sBFI"."""
    names = {"tfi": "TFI", "sbfi": "sBFI", "dbfi": "dBFI"}
    return "+".join(text for key, text in names.items() if options.get(key)) or "none"


def _beside_paper(frame):
    """Fill `paper` with the printed value, and `note` with what is known about that value where ours has no note."""
    printed, known = paper_values(), {}
    for key, value, note in zip(_keys(printed), printed["value"], printed["note"], strict=True):
        known.setdefault(key, (value, note))
    found = [known.get(key, ("", "")) for key in _keys(frame.astype(object).fillna("").astype(str))]
    frame["paper"] = [value for value, _ in found]
    ours = frame["note"].fillna("").astype(str)
    frame["note"] = [note or (f"paper: {theirs}" if theirs else "") for note, (_, theirs) in zip(ours, found, strict=True)]
    return frame


def _keys(frame):
    labels = map(config.labelled, frame["method"], frame["cp"])
    return list(zip(frame["table"], labels, *(frame[name] for name in ("setting", "dataset", "metric")), strict=True))


def trained_results(number, profile, progress=True):
    """Results of every row and seed of a trained table; rows whose data is missing carry the reason."""
    grid = config.load()
    table, results = grid.tables[number], []
    there, reasons = runs.available(table.sets, grid.profile(profile))
    for experiment in (e for name in table.rows for e in grid.experiments([name], profile)):
        row = experiment.row
        common = {"method": row.method, "backbone": row.backbone, "modules": modules(row.options), "seed": experiment.seed}
        common["cp"] = config.COPY_PASTE[row.copy_paste]
        try:
            run, note = runs.get(experiment, there, progress=progress), ""
        except MissingData as error:
            run, note = None, str(error).splitlines()[0]
        for dataset, domain in table.sets:
            scored = run is not None and (dataset, domain) in there
            common |= {"errors": run.per_image(dataset, domain) if scored else None, "run": run.id if scored else ""}
            common["note"] = note or reasons.get((dataset, domain), "")
            results.append(Result(setting=f"{row.domain}:{domain}", dataset=dataset, **common))
    return results


def reference_results(number, profile, progress=True):
    """What two predictors score that never look at the image: all background, and the mean training matte."""
    grid = config.load()
    scale, results = grid.profile(profile), []
    for dataset, domain in grid.tables[number].sets:
        try:
            portraits = runs.open_set(dataset, domain, scale, progress)
            matte = _mean_matte(profile)
        except MissingData as error:
            note = str(error).splitlines()[0]
            results += [Result(method, f"-:{domain}", dataset, None, note=note) for method in REFERENCES]
            continue
        for method, constant in zip(REFERENCES, (np.zeros_like(matte), matte), strict=True):
            errors = evaluate(lambda sample, c=constant: resize(c, sample["alpha"].shape), portraits, progress=progress)
            results.append(Result(method, f"-:{domain}", dataset, errors))
    return results


@cache
def _mean_matte(profile):
    scale = config.load().profile(profile)
    return mean_matte(runs.open_set("train", "B", scale), scale.data.size)


def untrained_results(number, profile, progress=True):
    """Results of every traditional method of a table; what is missing (method or images) carries the reason."""
    grid = config.load()
    table, scale, results = grid.tables[number], grid.profile(profile), []
    available, reasons = runs.available(table.sets, scale)
    for method, function in table.methods.items():
        run = runs.untrained(method, available, scale, progress) if function and available else None
        for dataset, domain in table.sets:
            note = reasons.get((dataset, domain), "") if function else "not implemented yet"
            errors = run.per_image(dataset, domain) if run and not note else None
            results.append(Result(method, f"-:{domain}", dataset, errors, run=run.id if errors is not None else "", note=note))
    return results


def summary(results, metrics, scaled):
    """Mean over seeds with its interval over images, for printing.

    Args:
        scaled: show SAD at the paper's image size.
    Returns:
        dict (method, dataset, setting, metric) -> (mean, low, high).
    """
    frame = {}
    for result in results:
        if result.errors is not None:
            frame.setdefault((result.label, result.dataset, result.setting), []).append(result.errors)
    cells = {}
    for (method, dataset, setting), seeds in frame.items():
        for metric in metrics:
            sized = scaled and metric.startswith("SAD")
            per_seed = [at_paper_size(e, metric, dataset) if sized else e[metric] for e in seeds]
            per_image = pd.concat(per_seed, axis=1).mean(axis=1)
            cells[method, dataset, setting, metric] = (per_image.mean(), *bootstrap_interval(per_image))
    return cells


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
    sides, rng = [], np.random.default_rng(0)
    for method, setting in (one, other):
        key = method, setting, dataset
        found = [r.errors for r in results if (r.label, r.setting, r.dataset) == key and r.errors is not None]
        if not found:
            return None
        sized = scaled and metric.startswith("SAD")
        sides.append(np.stack([at_paper_size(e, metric, dataset) if sized else e[metric] for e in found]))
    known = ~np.isnan([side.sum(0) for side in sides]).any(0)  # no face, no face-hole rate
    sides = [side[:, known] for side in sides]
    images, means = int(known.sum()), []
    together = network_of(one[0]) == network_of(other[0]) and len(sides[0]) == len(sides[1])
    if not images:
        return None
    for _ in range(draws):
        picks = rng.integers(images, size=images)
        seeds = [rng.integers(len(side), size=len(side)) for side in sides]
        seeds = seeds[:1] * 2 if together else seeds
        means.append([side[chosen].mean(0)[picks].mean() for side, chosen in zip(sides, seeds, strict=True)])
    low, high = np.quantile(np.subtract(*np.transpose(means)), [0.025, 0.975])
    return sides[0].mean() - sides[1].mean(), low, high


def within_noise(cell):
    """True where the interval of a difference (mean, low, high) holds zero."""
    return not (cell[1] > 0 or cell[2] < 0)


def small_images(results):
    """True where the images are so small that SAD is printed at the paper's size."""
    sizes = [r.errors["megapixels"].mean() for r in results if r.errors is not None]
    return bool(sizes) and max(sizes) < 0.5


def number_text(value, metric):
    """A value with the paper's decimals, "-" where there is none."""
    if value is None or value == "" or value != value:
        return "-"
    return f"{float(value):.{DECIMALS.get(metric.split('-')[0], 4)}f}"


def at_paper_scale(frame):
    """What brings each number of a tidy frame to what the printed table shows: 1, or the paper's image size for small images."""
    paper = pd.to_numeric(frame["at_paper_size"])
    kilopixels = (frame["value"] * frame["dataset"].map(PAPER_KILOPIXELS) / paper).max()
    return (paper / frame["value"]).where(paper.notna() & (kilopixels < 500) & (frame["value"] != 0), 1.0)


def interval_text(cell, metric):
    """`mean [low, high]`, or "-"."""
    if cell is None:
        return "-"
    mean, low, high = (number_text(v, metric) for v in cell)
    return mean if low == "-" else f"{mean} [{low}, {high}]"


def write(number, profile, frame, header, lines, caption):
    """Write `table_<number>.csv`, `.md` and `.tex` into the profile's tables folder.

    Args:
        number:  of the table in the paper, or the name of one that the paper has not; it then names the files.
        frame:   tidy DataFrame for the CSV. header: column titles. lines: rows of text cells. caption: one paragraph.
    Returns:
        the Markdown text.
    """
    folder, own = paths.tables(profile), isinstance(number, str)
    stem = number if own else f"table_{number}"
    write_text(folder / f"{stem}.csv", frame.to_csv(index=False, float_format="%.6g"))
    title = caption if own else f"Table {number}. {caption}"
    markdown = markdown_table(header, lines)
    write_text(folder / f"{stem}.md", f"{title}\n\n{markdown}\n")
    write_text(folder / f"{stem}.tex", latex_table(caption, header, lines))
    return f"{title}\n\n{markdown}"


def markdown_table(header, lines):
    """Rows of text cells as a Markdown table."""
    return "\n".join([_md(header), _md(["---"] * len(header)), *map(_md, lines)])


def _md(cells):
    return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"


def latex_table(caption, header, lines):
    """Rows of text cells as a LaTeX table for `booktabs`."""

    def line(cells):
        return " & ".join(_escape(c) for c in cells) + r" \\"

    body = [r"\toprule", line(header), r"\midrule", *map(line, lines), r"\bottomrule"]
    table = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table*}",
        rf"\caption{{{_escape(caption)}}}",
        r"\centering\small",
        rf"\begin{{tabular}}{{{'l' * len(header)}}}",
        *body,
        r"\end{tabular}",
        r"\end{table*}",
        "",
    ]
    return "\n".join(table)


def _escape(text):
    for plain, escaped in (
        ("\\", r"\textbackslash "),
        ("&", r"\&"),
        ("%", r"\%"),
        ("_", r"\_"),
        ("#", r"\#"),
        ("×", r"$\times$"),
        ("†", r"$\dagger$"),
        ("✓", r"$\checkmark$"),
    ):
        text = str(text).replace(plain, escaped)
    return text
