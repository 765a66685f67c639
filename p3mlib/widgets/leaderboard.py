"""Leaderboard: every row of every table by any metric and set, ours beside the paper's, with paired differences."""

from collections import Counter

import ipywidgets
import numpy as np

from p3mlib.results import claims
from p3mlib.results.report import bootstrap_interval
from p3mlib.widgets.frame import LABEL, WIDE, Explorer, choice, slider, table

_ORDERS = ("ours", "the paper's", "name")


def leaderboard_explorer(numbers):
    """Choose metric and set; sort, filter, and compare with a row.

    Args:
        numbers: claims.Numbers of ours; where they are (seeds, images), differences are paired image by image.
    Returns:
        Explorer.
    Raises:
        ValueError: no number is there.
    """
    if not numbers.values:
        raise ValueError("no numbers: there are no tables yet; `make paper` writes them")
    paper = claims.from_paper()
    fields = [sorted({key[i] for key in numbers.values}) for i in range(5)]
    (fullest, best), _ = Counter((key[3], key[4]) for key in numbers.values).most_common(1)[0]
    first = "SAD" if any(key[3:] == (fullest, "SAD") for key in numbers.values) else best
    metric, dataset = choice("metric", fields[4], first), choice("set", fields[3], fullest)
    setting = choice("train:test", ["all", *fields[2]])
    order, filtered = choice("sort by", _ORDERS), ipywidgets.Text(description="name contains", style=LABEL, layout=WIDE)
    reference, most = choice("compare with", ["nothing", *fields[1]]), slider("rows", 15, 5, 60, 5)

    def draw():
        rows = {}
        for (number, method, how, where, what), values in numbers.values.items():
            wanted = (what, where) == (metric.value, dataset.value) and setting.value in ("all", how)
            if wanted and filtered.value.lower() in method.lower():
                rows.setdefault((method, how), (number, values))
        found = [
            _line(key, number, values, numbers, paper, dataset.value, metric.value) for key, (number, values) in rows.items()
        ]
        _compare(found, reference.value)
        column = {"ours": "ours", "the paper's": "paper", "name": "method"}[order.value]
        found.sort(key=lambda r: (r[column] is None, r[column], r["method"]))
        shown = [[r["method"], r["how"], r["table"], r["told"], _number(r["paper"]), r["gap"]] for r in found[: most.value]]
        header = ["method", "train:test", "table", "ours [95%]", "paper", f"less {reference.value}, paired [95%]"]
        said = f"{metric.value} on {dataset.value}: {len(found)} rows, the lowest is the best; {len(shown)} are shown."
        return table(header, shown, said)

    advice = (
        "Sort by ours, then by the paper's: which rows change places? Compare with one of them: a difference whose interval "
        "holds 0 decides nothing. Rows from one network on the same images are paired; sums (SAD) grow with the size of an "
        "image."
    )
    controls = {"metric": metric, "set": dataset, "setting": setting, "sort": order, "filter": filtered}
    controls |= {"reference": reference, "rows": most}
    return Explorer("Who is ahead, by which number, and for sure?", advice, controls, draw)


def _line(key, number, values, numbers, paper, dataset, metric):
    method, how = key
    per_image = np.mean(values, 0) if np.ndim(values) == 2 else None
    low, high = bootstrap_interval(per_image) if per_image is not None else (float("nan"),) * 2
    ours = float(np.mean(values))
    told = f"{ours:.4g}" + (f" [{low:.4g}, {high:.4g}]" if low == low else "")
    theirs = paper.values.get((number, method, how, dataset, metric))
    line = {"method": method, "how": how, "table": number, "ours": ours, "told": told, "gap": "", "images": per_image}
    return line | {"paper": None if theirs is None else float(theirs)}


def _compare(found, reference):
    """Write into every row its difference to the reference's row of the same setting, over the same images."""
    base = {row["how"]: row["images"] for row in found if row["method"] == reference}
    for row in found:
        other = base.get(row["how"])
        if other is None or row["images"] is None or row["method"] == reference or len(other) != len(row["images"]):
            continue
        apart = row["images"] - other
        low, high = bootstrap_interval(apart)
        row["gap"] = f"{apart.mean():+.4g} [{low:+.4g}, {high:+.4g}]" + (" ≈" if low <= 0 <= high else "")


def _number(value):
    return "-" if value is None else f"{value:.4g}"
