"""The paper's tables, one function each: what it shows and says; what makes it of that stands in table.py."""

from importlib import resources

import pandas as pd

from p3mlib import paths
from p3mlib.data import datasets
from p3mlib.experiments import config, corpus
from p3mlib.results import released, report
from p3mlib.results.printed import Column, Row, method_lines, write
from p3mlib.results.table import Difference, Table, make

PROTOCOLS = "trained on blurred (B) or un-blurred (N) images, tested on either (train:test), P3M-500-P; N:B is not in the paper"
SETTINGS = {setting: setting for setting in ("N:N", "B:N", "B:B", "N:B")}
COST = Difference("N:N", "training on un-blurred images", {"B:N": "N:N"})
UNSEEN = "errors in the transition area without the blurred pixels"
TRIMAP = "DIM is given the trimap."
OURS = "P3M-Net (Lite0) is ours, beyond the paper."
BLURRED = {"B:B": "B:B", "N:B": "B:B", "B:N": "B:N", "N:N": "B:N"}
PASTED = Difference("none", "blurred training without copy and paste", BLURRED, ("SAD", "SAD-FG"))
PASTING = (
    "Networks marked † are trained on un-blurred images. Hole is the face-hole rate: how much of alpha is missing inside the "
    "face masks where it is 1. P3M-500-P, un-blurred shows the same people as P3M-500-P; the paper does not print it here."
)


def table_1(profile):
    """Table 1: matting data sets as the paper lists them, and the images counted on disk."""
    with resources.files("p3mlib.results").joinpath("paper_datasets.csv").open() as file:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    scale = config.load().profile(profile)
    real, ours = paths.real_root("P3M-10k") is not None, {"table": "1", "dataset": "P3M-Synth", "citation": "this project"}
    ours |= {"public": "yes", "portrait_images": "-", "images": "-", "natural_images": "rendered", "annotation": "exact"}
    ours |= {"resolution": "x".join(map(str, scale.data.size)), "privacy_preserving": "no person; face obfuscation"}
    frame = pd.concat([frame, pd.DataFrame([] if real else [ours])], ignore_index=True).fillna("")
    frame["counted"] = ""
    frame.loc[frame["dataset"] == ("P3M-10k" if real else "P3M-Synth"), "counted"] = _counted(scale)
    titles = {"dataset": "Data set", "citation": "Source", "public": "Public", "images": "Images (paper)"}
    titles |= {"portrait_images": "Portraits", "natural_images": "Natural", "resolution": "Resolution"}
    titles |= {"annotation": "Annotation", "privacy_preserving": "Privacy", "counted": "Images on disk"}
    caption = f"Matting data sets; the last column is counted here (train + P3M-500-P + P3M-500-NP). Profile {profile}."
    return write(1, profile, frame, [*titles.values()], frame[[*titles]].replace("", "-").to_numpy().tolist(), caption)


def _counted(scale):
    parts = []
    for name, domain in (("train", "B"), ("P3M-500-P", "B"), ("P3M-500-NP", "N")):
        try:
            parts.append(str(corpus.size(name, domain, scale)))
        except datasets.MissingData:
            parts.append("-")
    return " + ".join(parts)


def table_2(profile, progress=True):
    """Table 2: traditional trimap-based methods in the transition area, on blurred and un-blurred images."""
    settings = {"-:B": "blurred", "-:N": "un-blurred"}
    return make(Table(2, f"Traditional trimap-based methods, {UNSEEN}", settings, remarks=(_side, _masks)), profile, progress)


def _side(profile):
    side = config.load().profile(profile).test.traditional_side
    return f"Longer side at most {side} px." if side else ""


def _masks(profile):
    if corpus.real_root("P3M-500-P") is None:
        return ""
    try:
        masked = corpus.open_set("P3M-500-P", "B", config.load().profile(profile)).has("facemask")
    except datasets.MissingData:
        return ""
    return "" if masked else "This data has no face masks: the blurred pixels could not be left out."


def table_3(profile, progress=True):
    """Table 3: deep trimap-based methods, errors in the transition area without the blurred pixels; otherwise as `table_4`."""
    return make(Table(3, f"Deep trimap-based methods, {UNSEEN}, {PROTOCOLS}", SETTINGS, COST), profile, progress)


def table_4(profile, progress=True):
    """Table 4: trimap-free methods trained and tested on blurred or un-blurred images, and what PPT costs each of them."""
    return make(Table(4, f"Trimap-free methods {PROTOCOLS}", SETTINGS, COST, references=True), profile, progress)


def table_5(profile, progress=True):
    """Table 5: ten metrics of the trimap-free methods trained under PPT, on blurred and un-blurred images."""
    what = "Trimap-free methods trained on blurred images"
    return make(Table(5, what, references=True, remarks=(TRIMAP, OURS)), profile, progress)


def table_6(profile, progress=True):
    """Table 6: the same networks on real-world portraits without any blurring."""
    what = "Generalisation: the networks of Table 5 on real-world portraits (RWP)"
    return make(Table(6, what, references=True, remarks=(TRIMAP, OURS)), profile, progress)


def table_7(profile, progress=True):
    """Table 7: BASIC and what TFI, sBFI and dBFI add, with two reference rows that never look at the image."""
    what, switches = "Ablation of the integration modules, whole image, Params (M) at width 1", ("TFI", "sBFI", "dBFI")
    table = Table(7, what, {"B:B": "blurred", "B:N": "un-blurred"}, references=True, switches={s: s.lower() for s in switches})
    return make(table, profile, progress)


def table_8(profile, progress=True):
    """Table 8: networks trained on blurred images, tested on the same images with faces blurred, mosaiced or masked."""
    what, settings = "Other obfuscations than the one of training, P3M-500-P", {"B:B": "blurring", "B:Mosaic": "mosaicing"}
    difference = Difference("blurring", "blurring", {"B:Mosaic": "B:B", "B:Mask": "B:B"})
    return make(Table(8, what, settings | {"B:Mask": "masking"}, difference), profile, progress)


def table_9(profile, progress=True):
    """Table 9: copy and paste with P3M-Net (R34), P3M-Net (Swin-T) and MODNet, and what it changes in SAD and SAD-FG.

    `summary` also holds the face-hole rate as metric "Hole".
    """
    table = Table(9, "Copy and paste under PPT", difference=PASTED, also=("Hole",), remarks=(PASTING, OURS))
    return make(table, profile, progress)


def table_10(profile, progress=True):
    """Table 10: the same with P3M-Net (ViTAE-S)."""
    what = "Copy and paste with P3M-Net (ViTAE-S)"
    return make(Table(10, what, difference=PASTED, also=("Hole",), remarks=(PASTING,)), profile, progress)


def table_11(profile, progress=True):
    """Table 11: parameters and inference time of every network that exists, beside the paper's times on its GPU."""
    grid = config.load()
    rows, bench = [grid.rows[name] for name in grid.tables[11].rows], grid.profile(profile).bench
    timed = report.timing_rows(11, rows, bench.size, bench.rounds, progress)
    theirs = [released.parameter_rows(11, rows), released.timing_rows(11, rows, bench.size, bench.rounds, progress)]
    parts, device = [report.parameter_rows(11, rows), timed, *theirs], timed["note"].iloc[0].split(",")[0]
    frame = pd.concat([part for part in parts if len(part)], ignore_index=True)
    paper = {(label, "", "", metric): text for (label, *_, metric), text in report.paper_cells(11).items()}
    paper = report.beside_released(paper)
    titles = {"Params": "Params (M)", "Inference time": "Time (s)"}
    titles |= {name: name.replace("Inference time ", "Time (s)\n") for name in timed["metric"] if name not in titles}
    columns = [Column(title, name) for name, title in titles.items()]
    summary, shown = report.without_interval(frame), []
    ours = frame["method"].str.removesuffix(report.RELEASED)
    for label in dict.fromkeys([*(label for label, *_ in report.paper_cells(11)), *ours]):
        both = [label] + [label + report.RELEASED] * ((label + report.RELEASED) in set(frame["method"]))
        shown += [Row((name.replace(report.RELEASED, "\nreleased weights"),), name) for name in both]
    caption = (
        f"Parameters (M) at width 1, and seconds for a {bench.size} x {bench.size} image, median of {bench.rounds} on {device}; "
        "the paper's times are of a V100 at 512 x 512. The first time is our inference path in full precision; plain is the same "
        f"network as the official code runs it. {OURS} Profile {profile}."
    )
    lines = method_lines(shown, columns, summary, paper)
    return write(11, profile, frame, ["Method", *titles.values()], lines, caption, summary)
