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
        found = [
            _line(key, values, paper)
            for key, values in numbers.values.items()
            if key[3:] == (dataset.value, metric.value)
            and setting.value in ("all", key[2])
            and filtered.value.lower() in key[1].lower()
        ]
        found = list({(line["method"], line["how"]): line for line in found[::-1]}.values())  # of several tables the first
        column = {"ours": "ours", "the paper's": "paper", "name": "method"}[order.value]
        found.sort(key=lambda r: (r[column] is None, r[column], r["method"]))
        shown = [[r["method"], r["how"], r["table"], _told(r), _number(r["paper"])] for r in found[: most.value]]
        header = ["method", "train:test", "table", "ours [95%]", "paper"]
        if reference.index:
            base = {line["how"]: line for line in found if line["method"] == reference.value}
            shown = [[*cells, _gap(r, base.get(r["how"]))] for cells, r in zip(shown, found, strict=False)]
            header.append(f"less {reference.value}, paired [95%]")
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


def _line(key, values, paper):
    number, method, how, *_ = key
    line = {"table": number, "method": method, "how": how, "ours": float(np.mean(values))}
    return line | {"paper": paper.values.get(key), "images": np.mean(values, 0) if np.ndim(values) == 2 else None}


def _told(line):
    """Our number, with its interval where it is one over images."""
    if line["images"] is None or len(line["images"]) < 2:
        return f"{line['ours']:.4g}"
    low, high = bootstrap_interval(line["images"])
    return f"{line['ours']:.4g} [{low:.4g}, {high:.4g}]"


def _gap(line, reference):
    """The difference to the reference's row of the same setting, where both are over the same images."""
    ours, theirs = line["images"], reference and reference["images"]
    if line is reference or ours is None or theirs is None or len(ours) != len(theirs):
        return ""
    low, high = bootstrap_interval(ours - theirs)
    return f"{(ours - theirs).mean():+.4g} [{low:+.4g}, {high:+.4g}]" + (" ≈" if low <= 0 <= high else "")


def _number(value):
    return "-" if value is None else f"{value:.4g}"
