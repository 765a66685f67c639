"""Networks trained on P3M-Synth alone, tested on real portraits, beside a published anchor."""

from importlib import resources

import numpy as np
import pandas as pd

from p3mlib import paths
from p3mlib.data import datasets
from p3mlib.experiments import config, runs
from p3mlib.experiments.evaluate import evaluate, shrink, trimap_of
from p3mlib.matte import regions
from p3mlib.metrics import mad, mse, sad
from p3mlib.models.inference import predict, resize
from p3mlib.results import report
from p3mlib.results.printed import Column, Row, method_lines, write

SETS = (("P3M-500-P", "B"), ("P3M-500-NP", "N"))
METRICS = ("SAD", "MAD", "SAD-T")


def transfer_errors(pred, sample):
    """SAD, MSE and MAD over the whole image, SAD-T over the transition area of `trimap_of` the sample; no rescaling."""
    alpha, unknown = sample["alpha"], regions(trimap_of(sample))["unknown"]
    return {"SAD": sad(pred, alpha), "MSE": mse(pred, alpha), "MAD": mad(pred, alpha), "SAD-T": sad(pred, alpha, unknown)}


def transfer(rows, profile, root, limit=100, progress=True):
    """Errors on real portraits of networks that were trained on P3M-Synth, seed by seed; none of the images is trained on.

    An image goes through the network at the size of the profile's own images, whatever size rule the network has, and is scored
    at its full size.

    Args:
        rows: names of rows. profile: name. root: a real P3M-10k folder, or None. limit: images of each set.
    Returns:
        list of report.Result; `errors` is None, with the reason as `note`, where there are no portraits or nothing to train on.
    """
    grid = config.load()
    scale, results = grid.profile(profile), []
    sets = {pair: _open(root, *pair, limit) for pair in SETS}
    for experiment in (e for name in rows for e in grid.experiments([name], profile)):
        run, reason = _run(experiment) if any(those for those, _ in sets.values()) else (None, "")
        for (dataset, domain), (portraits, missing) in sets.items():
            errors = _score(run, scale, portraits, progress) if run and portraits else None
            row = experiment.row
            results.append(
                report.Result(
                    row.method,
                    f"{row.domain}:{domain}",
                    dataset,
                    errors,
                    backbone=row.backbone,
                    seed=experiment.seed,
                    run=run.id if errors is not None else "",
                    note=missing or reason,
                    cp=config.COPY_PASTE[row.copy_paste],
                )
            )
    return results


def _open(root, name, domain, limit):
    """(portraits or None, why not)."""
    if root is None:
        return None, "no real portraits: name a P3M-10k folder in P3M_SAMPLE"
    try:
        return datasets.open_dataset(name, root, domain, limit), ""
    except datasets.MissingData as error:
        return None, f"{name}: {str(error).splitlines()[0]}"


def _run(experiment):
    """The run of an experiment on P3M-Synth, whatever real folders the environment names: (run or None, why not)."""
    images, batch = experiment.profile.data.counts["train"], experiment.train.batch_size
    if images < batch:
        return None, f"profile {experiment.profile.name} renders {images} training image(s), fewer than one batch"
    with paths.synthetic_only():
        return runs.get(experiment, [], progress=False), ""


def _score(run, scale, portraits, progress):
    model, longest = run.load(), max(scale.data.size)

    def predictor(sample):
        trimap = trimap_of(sample)
        small = shrink({**sample, "trimap": trimap}, longest)
        alpha = predict(model, small["image"], ratio=1.0, resizing="modern", side=scale.train.size, trimap=small["trimap"])
        alpha = np.clip(resize(alpha, trimap.shape, "modern"), 0, 1)
        return np.where((trimap == 0) | (trimap == 1), trimap, alpha) if model.channels == 4 else alpha

    return evaluate(predictor, portraits, transfer_errors, progress=progress)


def anchors():
    """Published numbers of networks that saw no real matte: DataFrame method, dataset, metric, value, training, source."""
    with resources.files("p3mlib.results").joinpath("anchors.csv").open() as file:
        return pd.read_csv(file)


def transfer_table(rows, profile, limit=100, progress=True):
    """`transfer.csv`, `.md` and `.tex` of a profile, over the portraits of `paths.transfer_root`; what was not run prints "-"."""
    results, known = transfer(rows, profile, paths.transfer_root(), limit, progress), anchors()
    summary = report.summary(results, METRICS, scaled=False)
    shown = dict.fromkeys((r.label, r.setting[0]) for r in results)
    rows = [Row((f"{label}\nP3M-Synth, {trained}",), label, setting=trained) for label, trained in shown]
    columns = [Column(f"{dataset}\n{metric}", metric, dataset, f":{domain}") for dataset, domain in SETS for metric in METRICS]
    lines = method_lines(rows, columns, summary, {})
    for (method, training), those in known.groupby(["method", "training"], sort=False):
        printed = those.set_index(["dataset", "metric"])["value"]
        cells = [f"{printed.get((column.dataset, column.metric), '-')}" for column in columns]
        lines.append([f"{method} (published)\n{training}", *cells])
    counts = [max((len(r.errors) for r in results if r.dataset == d and r.errors is not None), default=0) for d, _ in SETS]
    caption = (
        f"Trained on P3M-Synth (Lite0 on an encoder from ImageNet), tested on real portraits ({counts[0]} of P3M-500-P, blurred, "
        f"{counts[1]} of P3M-500-NP) at full size, mean over seeds [95% interval over images]. Profile {profile}. The anchor is "
        "for all 500 images of each set; the mattes of sample portraits may be predictions of a network, not annotations."
    )
    header = ["Method\ntrained on", *(column.title for column in columns)]
    frame = report.tidy("transfer", results, ("SAD", "MSE", "MAD", "SAD-T")).drop(columns=["paper", "at_paper_size"])
    notes = tuple(dict.fromkeys(r.note for r in results if r.note))
    return write("transfer", profile, frame, header, lines, caption, summary, notes)
