"""Scores of one or several sets of weights as text: means with intervals over images, and of two their paired difference."""

from dataclasses import asdict

import pandas as pd

from p3mlib.metrics import UNITS
from p3mlib.results.printed import number_text
from p3mlib.results.report import bootstrap_interval, within_noise


def scores_text(scored):
    """A table, one row a metric, one column a set of weights.

    Args:
        scored: list of scoring.Scored, on the same images. Of two, a third column is the mean difference, image by image over
            those that both have; ≈ marks an interval that holds zero.
    Returns:
        text of several lines; the mean over images and its 95% interval from a bootstrap over images.
    """
    metrics = [name for name in scored[0].errors.columns if name != "megapixels"]
    labels = labels_of(scored)
    columns = {name: [_cell(one.errors[metric], metric) for metric in metrics] for name, one in zip(labels, scored, strict=True)}
    if len(scored) == 2:
        apart = paired(scored)
        columns[f"{' - '.join(labels)}, {len(apart)} images"] = [_cell(apart[metric], metric, True) for metric in metrics]
    units = {"1": "", "1e3": " (1e3)"}
    index = [f"{metric}{units[UNITS.get(metric, '1e3' if metric.startswith('SAD') else '1')]}" for metric in metrics]
    return pd.DataFrame(columns, index).to_string(justify="left")


def labels_of(scored):
    """Labels of a list of scoring.Scored, with their places in it where several have one label: list of str."""
    labels = [one.label for one in scored]
    return [f"{label} ({place})" if labels.count(label) > 1 else label for place, label in enumerate(labels, 1)]


def scores_record(scored):
    """What `scores_text` says, for JSON: of each set of weights its protocol, table and [mean, low, high] of every metric, of two
    also those of the paired difference."""
    record = {
        "weights": [
            {"label": one.label, "protocol": asdict(one.protocol), "table": str(one.path), "images": len(one.errors)}
            | {"metrics": _record(one.errors)}
            for one in scored
        ]
    }
    if len(scored) == 2:
        apart = paired(scored)
        record["difference"] = {"images": len(apart), "metrics": _record(apart)}
    return record


def _record(errors):
    """dict metric -> [mean, low, high], None where there is no number."""
    columns = {name: (errors[name].mean(), *bootstrap_interval(errors[name])) for name in errors if name != "megapixels"}
    return {name: [float(x) if x == x else None for x in cell] for name, cell in columns.items()}


def paired(scored):
    """Differences of two Scored, first - second, image by image: DataFrame of the images that both have."""
    return scored[0].errors.sub(scored[1].errors).dropna(how="all")


def _cell(values, metric, difference=False):
    low, high = bootstrap_interval(values)
    mean = values.mean()
    noise = " ≈" if difference and within_noise((mean, low, high)) else ""
    texts = [number_text(value, metric) for value in (mean, low, high)]
    return texts[0] if low != low else f"{texts[0]}{noise} [{texts[1]}, {texts[2]}]"
