"""Numbers of a set of tables, by (table, method, setting, data set, metric), and how they are read and drawn anew."""

import re
import zlib
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pandas as pd

from p3mlib import paths
from p3mlib.experiments import config, shipped, untrained
from p3mlib.results import report

EARLIER = ("SHM", "LF", "HATT", "MODNet", "GFM")
VARIANTS = ("P3M-Net (R34)", "P3M-Net (Swin-T)", "P3M-Net (ViTAE-S)")
FREE = (*EARLIER, *VARIANTS)
DEEP = ("DIM", "AlphaGAN", "GCA", "IndexNet", "FBA")  # Table 3
TRADITIONAL = ("Closed", "IFM", "KNN", "Compre", "Robust", "Learning", "Global", "Shared")  # Table 2
COLUMNS = {"P3M-500-P": (5, "B:B"), "P3M-500-NP": (5, "B:N"), "RWP": (6, "B:N")}  # data set -> table, setting
TEN = ("SAD", "MSE", "MAD", "SAD-T", "MSE-T", "MAD-T", "SAD-FG", "SAD-BG", "Grad", "Conn")


class NotRun(LookupError):
    """A number that a predicate needs is not there."""


@dataclass(frozen=True)
class Numbers:
    """Errors by (table, method, setting, data set, metric): arrays (seeds, images), or single numbers."""

    values: dict

    def __call__(self, table, method, setting, metric="SAD", dataset="P3M-500-P"):
        """Mean over seeds and images. Raises NotRun."""
        try:
            return self.means[str(table), method, setting, dataset, metric]
        except KeyError:
            raise NotRun(f"Table {table}: {method} {setting} {dataset} {metric}") from None

    @cached_property
    def means(self):
        """dict key -> mean over seeds and images."""
        return {key: float(value.mean() if isinstance(value, np.ndarray) else value) for key, value in self.values.items()}

    @cached_property
    def _stacks(self):
        """What is drawn together: dict (network, data set, (seeds, images)) -> (keys, their errors (keys, seeds, images))."""
        groups = {}
        for key, array in self.values.items():
            if np.ndim(array) == 2:
                groups.setdefault((report.network_of(key[1]), key[3], array.shape), []).append(key)
        return {group: (keys, np.stack([self.values[key] for key in keys])) for group, keys in groups.items()}

    @cached_property
    def _exchanges(self):
        """What changes places in `shuffled`: dict within -> list of (table, data set, dict row -> its metrics)."""
        found = {within: {} for within in (False, True)}
        for table, method, setting, dataset, metric in self.values:
            for within, groups in found.items():
                group = table, dataset, _family(table, method) if within else ""
                groups.setdefault(group, {}).setdefault((method, setting), []).append(metric)
        return {within: [(*group[:2], rows) for group, rows in groups.items()] for within, groups in found.items()}

    def free(self, method, dataset, metric="SAD"):
        """Of Tables 5 and 6."""
        table, setting = COLUMNS[dataset]
        return self(table, method, setting, metric, dataset)

    def change(self, method, table=4):
        """SAD(B:N) / SAD(N:N) - 1."""
        return self(table, method, "B:N") / self(table, method, "N:N") - 1

    def drop(self, method):
        """SAD(B:N) - SAD(N:N) of Table 4."""
        return self(4, method, "B:N") - self(4, method, "N:N")

    def resampled(self, draw):
        """Means over images and seeds drawn anew: one draw of images a data set, the same for all; seeds for each network, the
        same for its rows, which share more than the number of a seed.

        The number `draw` alone decides them, so they are the same whichever tables are there.
        """

        @cache
        def picks(what, count):
            return np.random.default_rng([draw, zlib.crc32(repr(what).encode())]).integers(count, size=count)

        drawn = dict(self.values)
        for (network, dataset, (seeds, images)), (keys, errors) in self._stacks.items():
            some = errors[:, picks(network, seeds)][:, :, picks(dataset, images)]
            drawn.update(zip(keys, some.mean(axis=(1, 2)).tolist(), strict=True))
        return Numbers(drawn)

    def shuffled(self, rng, within):
        """Means that have changed places: what a predicate says of it is chance.

        The rows (method, setting) of one table and data set exchange all their numbers; with `within`, only the rows of one
        method, its settings, kinds of copy and paste and modules.
        """
        drawn = {}
        for table, dataset, rows in self._exchanges[within]:
            names = list(rows)
            for name, place in zip(names, rng.permutation(len(names)), strict=True):
                giver = names[place]
                for metric in rows[name]:
                    source = self.means.get((table, *giver, dataset, metric))
                    if source is not None:
                        drawn[table, *name, dataset, metric] = source
        return Numbers(drawn)


def _family(table, method):
    """What a method is without its modules and its copy and paste."""
    return "" if table == "7" else report.network_of(method)


def from_results(results):
    """Numbers of ours. Args: results: table -> list of report.Result; images where an error is NaN (no face) are left out."""
    found = {}
    for table, items in results.items():
        for r in items:
            for metric in r.errors.columns if r.errors is not None else ():
                errors = r.errors[metric].dropna().to_numpy()
                if errors.size:
                    found.setdefault((str(table), r.label, r.setting, r.dataset, metric), []).append(errors)
    return Numbers({key: np.stack(arrays) for key, arrays in found.items()})


def from_tables(profile, released=False):
    """Numbers of the tables that are written in a profile's folder, per image where a run that is kept has them.

    Rows with released weights are left out; with `released` they alone count, under the names of their methods.

    Only what stands in a table counts: per-image errors are taken if their mean is the number in the table. SAD is at the
    paper's image size where the tables print it so.

    Returns:
        (Numbers, share of the errors that come per image).
    Raises:
        FileNotFoundError: the folder holds no table; the message says what to run.
    """
    folder, found = paths.tables(profile), {}
    files = [folder / f"table_{number}.csv" for number in range(2, 12)]
    if not any(file.exists() for file in files):
        raise FileNotFoundError(f"{folder}: no tables; make them with: make paper PROFILE={profile}")
    for file in filter(lambda f: f.exists(), files):
        kinds = {"seed": "Int64", **dict.fromkeys(("table", "setting", "cp", "run"), str)}
        frame = pd.read_csv(file, dtype=kinds, keep_default_na=False, na_values=[""])
        frame = frame[~frame["method"].isin(untrained.REFERENCES) & frame["value"].notna()]
        frame = frame[frame["method"].str.endswith(report.RELEASED) == released]
        sizes = report.at_paper_scale(frame)
        text = frame[["setting", "cp", "run"]].fillna("")
        for row, factor, setting, cp, run in zip(frame.itertuples(), sizes, *(text[c] for c in text), strict=True):
            dataset = row.dataset if setting else ""  # a count or a time
            key = row.table, config.labelled(row.method.removesuffix(report.RELEASED), cp), setting, dataset, row.metric
            found.setdefault(key, []).append(factor * _errors(shipped.place(profile, run), row, setting))
    values = {}
    for key, arrays in found.items():
        lengths = {len(array) for array in arrays}
        values[key] = np.stack(arrays if len(lengths) == 1 else [array.mean(keepdims=True) for array in arrays])
    errors = [array for key, array in values.items() if key[2]]
    return Numbers(values), float(np.mean([array.shape[1] > 1 for array in errors])) if errors else 0.0


@cache
def _read(path):
    return pd.read_csv(path) if path.exists() else None


def _errors(run, row, setting):
    """(images,) errors behind one number of a table, or that number alone."""
    path = run if run.suffix == ".csv" else run / "per_image" / f"{row.dataset}.{setting.rpartition(':')[2]}.csv"
    frame = _read(path) if setting else None
    for name in (row.metric, f"{row.metric}-U"):  # Table 3 leaves out the blurred pixels
        if frame is not None and name in frame and abs(frame[name].mean() - row.value) <= 1e-4 * abs(row.value):
            return frame[name].dropna().to_numpy()  # the same images for all: NaN depends on the ground truth
    return np.array([row.value])


def from_paper():
    """Numbers of the paper."""
    printed = report.paper_values()
    printed = printed.assign(method=list(map(config.labelled, printed["method"], printed["cp"])))
    printed = printed.assign(dataset=printed["dataset"].where(printed["setting"] != "", ""))
    numbers = pd.to_numeric(printed["value"], errors="coerce")
    keys = printed[["table", "method", "setting", "dataset", "metric"]].itertuples(index=False, name=None)
    return Numbers({key: value for key, value in zip(keys, numbers, strict=True) if not np.isnan(value)})


def percent(values):
    """Text of relative changes, dict method -> number."""
    return ", ".join(f"{_short(name)} {value:+.1%}" for name, value in values.items())


def plain(values):
    """Text of errors, dict method -> number."""
    return ", ".join(f"{_short(name)} {value:.2f}" for name, value in values.items())


@cache
def _short(name):
    return re.sub(r"P3M-Net \((.*?)\)", r"\1", name)
