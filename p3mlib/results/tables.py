"""The paper's tables, one function each: gather results, write CSV, Markdown and LaTeX, return what a notebook shows."""

from dataclasses import replace
from importlib import resources

import pandas as pd

from p3mlib import paths
from p3mlib.data import datasets
from p3mlib.experiments import config, runs
from p3mlib.results import captions, report

COMPARED = ("SAD", "SAD-FG")  # of which copy-and-paste tables print the change


def table_1(profile):
    """Table 1: matting data sets as the paper lists them, and the images counted on disk."""
    with resources.files("p3mlib.results").joinpath("paper_datasets.csv").open() as file:
        frame = pd.read_csv(file, dtype=str, keep_default_na=False)
    scale = config.load().profile(profile)
    counted = _counted(scale)
    frame["counted"] = ["" for _ in frame.index]
    real = paths.real_root("P3M-10k") is not None
    if real:
        frame.loc[frame["dataset"] == "P3M-10k", "counted"] = counted
    else:
        ours = {
            "table": "1",
            "dataset": "P3M-Synth",
            "citation": "this project",
            "public": "yes",
            "portrait_images": "-",
            "images": "-",
            "natural_images": "rendered",
            "resolution": "x".join(map(str, scale.data.size)),
            "annotation": "exact",
            "privacy_preserving": "no person; face obfuscation",
            "counted": counted,
        }
        frame = pd.concat([frame, pd.DataFrame([ours])], ignore_index=True).fillna("")
    shown = (
        "dataset citation public images portrait_images natural_images resolution annotation privacy_preserving counted".split()
    )
    titles = "Data set,Source,Public,Images (paper),Portraits,Natural,Resolution,Annotation,Privacy,Images on disk"
    caption = (
        f"Matting data sets; the last column is counted on this machine (train + P3M-500-P + P3M-500-NP). Profile {profile}."
    )
    lines = [[cell or "-" for cell in row] for row in frame[shown].itertuples(index=False)]
    return captions.Printed(frame, report.write(1, profile, frame, titles.split(","), lines, caption), {}, ())


def _counted(scale):
    parts = []
    for name, domain in (("train", "B"), ("P3M-500-P", "B"), ("P3M-500-NP", "N")):
        try:
            parts.append(str(len(runs.open_set(name, domain, scale))))
        except datasets.MissingData:
            parts.append("-")
    return " + ".join(parts)


def table_2(profile, progress=True):
    """Table 2: traditional trimap-based methods in the transition area, on blurred and un-blurred images."""
    table = config.load().tables[2]
    results = report.untrained_results(2, profile, progress)
    frame = report.tidy(2, results, table.metrics)
    scaled = report.small_images(results)
    summary = report.summary(results, table.metrics, scaled)
    columns = [(dataset, f"-:{domain}", metric) for dataset, domain in table.sets for metric in table.metrics]
    side = config.load().profile(profile).test.traditional_side
    notes = captions.notes_of(results)
    caption = captions.caption_of(
        "Traditional trimap-based methods; errors in the transition area without the blurred pixels,",
        "mean [95% interval over images].",
        captions.data_sentence(profile),
        f"Longer side at most {side} px." if side else "",
        captions.size_sentence(scaled),
        _masks_sentence(profile),
        " ".join(f"({note})" for note in notes),
    )
    lines = captions.method_lines(table.methods, lambda _: [], columns, summary, captions.paper_lookup(frame))
    header = ["Method", "", *captions.headers(columns, scaled)]
    return captions.Printed(frame, report.write(2, profile, frame, header, lines, caption), summary, notes)


def _masks_sentence(profile):
    scale = config.load().profile(profile)
    try:
        masked = runs.open_set("P3M-500-P", "B", scale).has("facemask")
    except datasets.MissingData:
        return ""
    return "" if masked else "This data has no face masks: the blurred pixels could not be left out."


def table_7(profile, progress=True):
    """Table 7: BASIC and what TFI, sBFI and dBFI add, with two reference rows that never look at the image."""
    grid = config.load()
    table = grid.tables[7]
    results = report.trained_results(7, profile, progress)
    references = report.reference_results(7, profile, progress)
    rows = [grid.rows[name] for name in table.rows]
    frame = pd.concat(
        [report.parameter_rows(7, rows), report.tidy(7, results, table.metrics), report.tidy(7, references, table.metrics)],
        ignore_index=True,
    )
    scaled = report.small_images(results + references)
    summary = report.summary(results, table.metrics, scaled)
    for (method, dataset, setting, metric), cell in report.summary(references, table.metrics, scaled).items():
        summary[method, dataset, f"B:{setting[-1]}", metric] = cell
    params = frame[frame["metric"] == "Params"].set_index("method")
    summary |= {(m, "", "", "Params"): (v, float("nan"), float("nan")) for m, v in params["value"].items()}
    columns = [("", "", "Params"), *((d, f"B:{domain}", metric) for d, domain in table.sets for metric in table.metrics)]
    switches = {row.method: ["✓" if row.options[k] else "" for k in ("tfi", "sbfi", "dbfi")] for row in rows}
    lines = captions.method_lines(
        [*report.REFERENCES, *switches], lambda m: switches.get(m, [""] * 3), columns, summary, captions.paper_lookup(frame)
    )
    notes = captions.notes_of(results)
    caption = captions.caption_of(
        "Ablation of the integration modules; whole image, mean over seeds [95% interval over images]; Params (M) at width 1.",
        captions.training_sentence(grid, table.rows, profile),
        captions.data_sentence(profile),
        captions.size_sentence(scaled),
        "The first two rows are references that never look at the image.",
        captions.misprints(frame),
        " ".join(f"({note})" for note in notes),
    )
    header = ["Model", "TFI", "sBFI", "dBFI", "", "Params (M)", *captions.headers(columns[1:], scaled)]
    return captions.Printed(frame, report.write(7, profile, frame, header, lines, caption), summary, notes)


def table_3(profile, progress=True):
    """Table 3: deep trimap-based methods, errors in the transition area without the blurred pixels; otherwise as `table_4`."""
    what = "Deep trimap-based methods, errors in the transition area without the blurred pixels,"
    return _protocols(3, what, trimap_based_results(profile, progress), [], profile)


def trimap_based_results(profile, progress=True):
    """Results of Table 3: errors of the transition area without the blurred pixels, under their plain names."""
    results, names = [], {"SAD-U": "SAD", "MSE-U": "MSE", "MAD-U": "MAD", "megapixels": "megapixels"}
    for result in report.trained_results(3, profile, progress):
        errors = None if result.errors is None else result.errors[list(names)].rename(columns=names)
        results.append(replace(result, errors=errors))
    return results


def table_4(profile, progress=True):
    """Table 4: trimap-free methods trained and tested on blurred or un-blurred images, and what PPT costs each of them.

    `summary` also holds (method, "P3M-500-P", "B:N-N:N", "SAD"): the paired difference with its interval.
    """
    results, references = report.trained_results(4, profile, progress), report.reference_results(4, profile, progress)
    return _protocols(4, "Trimap-free methods", results, references, profile)


def _protocols(number, what, results, references, profile):
    grid = config.load()
    table = grid.tables[number]
    frame = report.tidy(number, results + references, table.metrics)
    scaled = report.small_images(results)
    summary = report.summary(results, table.metrics, scaled)
    settings = ("N:N", "B:N", "B:B", "N:B")
    for (method, dataset, setting, metric), cell in report.summary(references, table.metrics, scaled).items():
        summary |= {(method, dataset, s, metric): cell for s in settings if s[-1] == setting[-1]}
    methods = list(dict.fromkeys(grid.rows[name].method for name in table.rows))
    columns = [("P3M-500-P", setting, metric) for setting in settings for metric in table.metrics]
    columns.append(("P3M-500-P", "B:N-N:N", "SAD"))
    for method in methods:
        gap = report.paired_difference(results, (method, "B:N"), (method, "N:N"), scaled)
        if gap:
            summary[method, "P3M-500-P", "B:N-N:N", "SAD"] = gap
    trivial = report.REFERENCES if references else ()
    lines = captions.method_lines([*trivial, *methods], lambda _: [], columns, summary, captions.paper_lookup(frame))
    for line in lines:
        cell = summary.get((line[0], "P3M-500-P", "B:N-N:N", "SAD"))
        line[-1] += " ≈" if cell and report.within_noise(cell) else ""
    notes = captions.notes_of(results)
    caption = captions.caption_of(
        f"{what} trained on blurred (B) or un-blurred (N) images and tested on either (train:test), P3M-500-P;",
        "mean over seeds [95% interval over images]. N:B is not in the paper. The last column is the paired difference of SAD",
        "with its interval over images and seeds; ≈ marks one within the noise.",
        "The first two rows never look at the image." if references else "",
        captions.training_sentence(grid, table.rows, profile),
        captions.data_sentence(profile),
        captions.size_sentence(scaled),
        captions.misprints(frame),
        " ".join(f"({note})" for note in notes),
    )
    header = ["Method", "", *captions.headers(columns[:-1], scaled), "SAD† B:N - N:N" if scaled else "SAD B:N - N:N"]
    header = [text.replace("P3M-500-P ", "") for text in header]
    return captions.Printed(frame, report.write(number, profile, frame, header, lines, caption), summary, notes)


def table_5(profile, progress=True):
    """Table 5: ten metrics of the trimap-free methods trained under PPT, on blurred and un-blurred images."""
    return _ten_metrics(5, "Trimap-free methods trained on blurred images", profile, progress)


def table_6(profile, progress=True):
    """Table 6: the same networks on real-world portraits without any blurring."""
    return _ten_metrics(6, "Generalisation: the networks of Table 5 on real-world portraits (RWP)", profile, progress)


def _ten_metrics(number, title, profile, progress):
    grid = config.load()
    table = grid.tables[number]
    results = report.trained_results(number, profile, progress)
    references = report.reference_results(number, profile, progress)
    frame = report.tidy(number, results + references, table.metrics)
    scaled = report.small_images(results)
    summary = report.summary(results, table.metrics, scaled)
    printed = report.paper_values()
    printed = printed[printed["table"] == str(number)]
    trivial = report.summary(references, table.metrics, scaled)
    lines = []
    for dataset, domain in table.sets:
        for method in report.REFERENCES:
            cells = [report.interval_text(trivial.get((method, dataset, f"-:{domain}", m)), m) for m in table.metrics]
            lines.append([dataset, method, "ours", *cells])
        for method, cp in printed[["method", "cp"]].drop_duplicates().itertuples(index=False):
            theirs = printed[(printed["method"] == method) & (printed["cp"] == cp) & (printed["dataset"] == dataset)]
            theirs = theirs.set_index("metric")["value"].to_dict()
            label = config.labelled(method, cp)
            cells = [report.interval_text(summary.get((label, dataset, f"B:{domain}", m)), m) for m in table.metrics]
            lines.append([dataset, label + "*" * (method == "DIM"), "ours", *cells])
            lines.append(["", "", "paper", *(theirs.get(m) or "-" for m in table.metrics)])
    notes = captions.notes_of(results)
    caption = captions.caption_of(
        f"{title}; mean over seeds [95% interval over images].",
        captions.training_sentence(grid, table.rows, profile),
        captions.data_sentence(profile),
        captions.size_sentence(scaled).replace("1.72", "1.3" if number == 6 else "1.72"),
        "The first two rows of a set never look at the image. DIM* is given the trimap.",
        " ".join(f"({note})" for note in notes),
    )
    header = ["Test set", "Method", "", *(m + "†" * (scaled and m.startswith("SAD")) for m in table.metrics)]
    return captions.Printed(frame, report.write(number, profile, frame, header, lines, caption), summary | trivial, notes)


def table_8(profile, progress=True):
    """Table 8: networks trained on blurred images, tested on the same images with faces blurred, mosaiced or masked.

    `summary` also holds (method, "P3M-500-P", setting, "SAD-change"): the paired difference with its interval.
    """
    grid = config.load()
    table, results = grid.tables[8], report.trained_results(8, profile, progress)
    frame, scaled = report.tidy(8, results, table.metrics), report.small_images(results)
    methods = [grid.rows[name].method for name in table.rows]
    summary = report.summary(results, table.metrics, scaled)
    columns = [(dataset, f"B:{domain}", metric) for dataset, domain in table.sets for metric in table.metrics]
    changes = [(dataset, f"B:{domain}", "SAD-change") for dataset, domain in table.sets[1:]]
    for method in methods:
        for dataset, setting, name in changes:
            gap = report.paired_difference(results, (method, setting), (method, "B:B"), scaled, dataset=dataset)
            summary |= {(method, dataset, setting, name): gap} if gap else {}
    lines = captions.method_lines(methods, lambda _: [], [*columns, *changes], summary, captions.paper_lookup(frame))
    for line in lines:
        for i, change in enumerate(changes, len(line) - len(changes)):
            cell = summary.get((line[0], *change))
            line[i] += " ≈" if cell and report.within_noise(cell) else ""
    notes = captions.notes_of(results)
    caption = captions.caption_of(
        "Other obfuscations than the one of training, P3M-500-P; mean over seeds [95% interval over images]. The last columns",
        "are paired differences of SAD to blurring with their intervals over images and seeds; ≈ marks one within the noise.",
        captions.training_sentence(grid, table.rows, profile),
        captions.data_sentence(profile),
        captions.size_sentence(scaled),
        " ".join(f"({note})" for note in notes),
    )
    names = {"B:B": "blurring", "B:Mosaic": "mosaicing", "B:Mask": "masking"}
    sized = "†" if scaled else ""
    header = ["Method", "", *(f"{names[s]} {m}{sized * (m == 'SAD')}" for _, s, m in columns)]
    header += [f"SAD{sized} {names[s]} - blurring" for _, s, _ in changes]
    return captions.Printed(frame, report.write(8, profile, frame, header, lines, caption), summary, notes)


def table_9(profile, progress=True):
    """Table 9: copy and paste with P3M-Net (R34), P3M-Net (Swin-T) and MODNet.

    `summary` also holds (label, data set, setting, "SAD - none"): the paired difference to the same network without it, the same
    for SAD-FG, where the gap of blurred training lies, and the face-hole rate as metric "Hole".
    """
    return _with_copy_paste(9, "Copy and paste under PPT", profile, progress)


def table_10(profile, progress=True):
    """Table 10: the same with P3M-Net (ViTAE-S)."""
    return _with_copy_paste(10, "Copy and paste with P3M-Net (ViTAE-S)", profile, progress)


def _with_copy_paste(number, title, profile, progress):
    grid = config.load()
    table, results = grid.tables[number], report.trained_results(number, profile, progress)
    metrics = (*table.metrics, "Hole")
    frame, scaled = report.tidy(number, results, metrics), report.small_images(results)
    summary, paper, lines = report.summary(results, metrics, scaled), captions.paper_lookup(frame), []
    shown = list(dict.fromkeys((r.method, r.label, r.setting[0]) for r in results))
    for dataset, domain in table.sets:
        for method, label, trained in shown:
            setting = f"{trained}:{domain}"
            cells = [report.interval_text(summary.get((label, dataset, setting, m)), m) for m in metrics]
            plain, gaps = f"B:{domain}", dict.fromkeys(COMPARED)
            if (label, setting) != (method, plain):
                pair = results, (label, setting), (method, plain), scaled
                gaps = {m: report.paired_difference(*pair, m, dataset) for m in COMPARED}
                summary |= {(label, dataset, setting, f"{m} - none"): gap for m, gap in gaps.items() if gap}
            noise = [" ≈" if gap and report.within_noise(gap) else "" for gap in gaps.values()]
            name = label + ("†" if trained == "N" else "")
            where = dataset + ("" if domain == "B" or dataset == "P3M-500-NP" else ", un-blurred")
            compared = [report.interval_text(gap, "SAD") + mark for gap, mark in zip(gaps.values(), noise, strict=True)]
            lines.append([where, name, "ours", *cells, *compared])
            theirs = [paper.get((label, dataset, setting, m)) or "-" for m in metrics]
            if any(text != "-" for text in theirs):
                lines.append(["", "", "paper", *theirs, *["-"] * len(COMPARED)])
    notes = captions.notes_of(results)
    caption = captions.caption_of(
        f"{title}; mean over seeds [95% interval over images]. Networks marked † are trained on un-blurred images. Hole is the",
        "face-hole rate: how much of alpha is missing inside the face masks where it is 1. The last columns are the",
        "paired differences to the same network without copy and paste, with intervals over images and seeds; ≈ marks one within",
        "the noise. P3M-500-P un-blurred shows the same people as P3M-500-P; the paper does not print it here.",
        captions.training_sentence(grid, table.rows, profile),
        captions.data_sentence(profile),
        captions.size_sentence(scaled).replace("† SAD", "SAD is").replace("SAD is at", "SAD is printed at"),
        " ".join(f"({note})" for note in notes),
    )
    header = ["Test set", "Method", "", *metrics, *(f"{m} - none" for m in COMPARED)]
    return captions.Printed(frame, report.write(number, profile, frame, header, lines, caption), summary, notes)


def table_11(profile, progress=True):
    """Table 11: parameters and inference time of every network that exists, beside the paper's times on its GPU."""
    grid = config.load()
    table, scale = grid.tables[11], grid.profile(profile)
    rows = [grid.rows[name] for name in table.rows]
    counted = report.parameter_rows(11, rows)
    timed = report.timing_rows(11, rows, scale.bench.size, scale.bench.rounds, progress)
    frame = pd.concat([counted, timed], ignore_index=True)
    printed = report.paper_values()
    printed = printed[printed["table"] == "11"].set_index(["method", "metric"])["value"].to_dict()
    ours = frame.set_index(["method", "metric"])["value"].to_dict()
    paths_timed = [m for m in dict.fromkeys(timed["metric"]) if m != "Inference time"]
    lines = []
    for method in dict.fromkeys(method for method, _ in printed):
        times = [ours.get((method, metric)) for metric in ("Inference time", *paths_timed)]
        cells = ["-" if t is None else f"{t:.4f}" for t in times]
        lines.append([method, "ours", report.number_text(ours.get((method, "Params")), "Params"), *cells])
        lines.append(["", "paper", printed[method, "Params"], printed[method, "Inference time"], *["-"] * len(paths_timed)])
    device = timed["note"].iloc[0].split(",")[0]
    caption = captions.caption_of(
        f"Parameters (M) at width 1, and seconds for one {scale.bench.size} x {scale.bench.size} image, median of",
        f"{scale.bench.rounds} on {device}; the paper's times are of a V100 at 512 x 512.",
        "The first time is our inference path in full precision; plain is the same network as the official code runs it.",
        f"Profile {profile}.",
    )
    header = ["Method", "", "Params (M)", "Time (s)", *(m.replace("Inference time", "Time") + " (s)" for m in paths_timed)]
    return captions.Printed(frame, report.write(11, profile, frame, header, lines, caption), ours, ())
