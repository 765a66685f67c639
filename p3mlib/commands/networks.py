"""Commands on networks: training, predicting, scoring, timing, writing them elsewhere."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

from p3mlib.commands.options import (
    WEIGHTS,
    Device,
    Json,
    Profile,
    Ratio,
    Scheduler,
    Strategy,
    Trainings,
    not_done,
    one_place,
    row_names,
)


def _side(value: int):
    if value < 32 or value % 32:
        raise typer.BadParameter(f"{value} is not a positive multiple of 32")
    return value


def _shard(text: str | None):
    if text is None:
        return None
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise typer.BadParameter(f"'{text}' is no part of a set; the second of eight is 2/8")
    return text


def train(
    rows: Annotated[list[str] | None, Argument(help="default: every row", autocompletion=row_names)] = None,
    profile: Profile = "laptop",
    seed: Annotated[int | None, Option(min=0, help="default: every seed of the profile")] = None,
    jobs: Trainings = None,
    scheduler: Scheduler = None,
    force: Annotated[bool, Option("--force", help="forget cached results of these rows")] = False,
    steps: Annotated[
        int | None,
        Option(min=1, help="only try so many steps of each row, keep nothing, and say what all of it would need"),
    ] = None,
    batch: Annotated[int | None, Option(min=1, help="with --steps: images a step, for a machine that is too small")] = None,
):
    """train rows of the grid and score them; what is cached is not done again"""
    from p3mlib.experiments import config, processes
    from p3mlib.experiments.parallel import run_all

    one_place(jobs, scheduler)
    if batch and not steps:
        raise typer.BadParameter("--batch goes with --steps; a training takes the batches of its profile")
    grid = config.load()
    rows = rows or grid.trained(profile)
    experiments = grid.experiments(rows, profile)
    if seed is not None:
        experiments = [grid.experiment(row, profile, seed) for row in rows]
    if steps:
        return _tried(experiments, steps, batch)
    sets = {row: grid.scored(row, profile) for row in rows}
    for run in run_all(experiments, sets, jobs, force, scheduler=scheduler):
        processes.state().print(run.folder)


def _tried(experiments, steps, batch):
    """Try the first seed of each row for a few steps, and say what all seeds of all rows would need."""
    from p3mlib.experiments import runs
    from p3mlib.experiments.forecast import duration, trial

    runs.check(experiments)
    seeds, total = {}, 0.0
    for experiment in experiments:
        seeds.setdefault(experiment.name, []).append(experiment)
    for those in seeds.values():
        needs = trial(those[0], steps, batch)
        total += len(those) * needs.total
        print(needs.sentence())
    print(f"all {len(experiments)} trainings, one after the other: {duration(total)}, without scoring")


def ship(
    rows: Annotated[list[str] | None, Argument(help="default: every row of the profile", autocompletion=row_names)] = None,
    profile: Profile = "bases",
):
    """put finished runs into the package as bases, in half precision, with their cards"""
    from p3mlib.experiments import config
    from p3mlib.experiments.ship import ship as write

    grid = config.load()
    written, left = write(grid.experiments(rows or grid.trained(profile), profile))
    for name in written:
        print(f"{name}  written")
    for why in left.values():
        print(f"not written: {why}", file=sys.stderr)
    return int(not written)


def pack(profile: Profile = "laptop"):
    """put what notebooks show of finished runs beside the profile's tables, for kernels that have no run cache"""
    from p3mlib.experiments import shipped

    print(shipped.pack(profile))


def predict(
    inputs: Annotated[list[Path], Argument(metavar="IMAGE_OR_FOLDER")],
    output: Annotated[Path, Option("-o", "--output", help="folder; made when missing")],
    weights: Annotated[str | None, Option(help=f"{WEIGHTS}; default: those for photographs that the package brings")] = None,
    strategy: Strategy = None,
    ratio: Ratio = None,
    device: Device = None,
    force: Annotated[bool, Option("--force", help="do again what is finished and unchanged")] = False,
):
    """write alpha and cut-out PNGs for photos, in sRGB; folders are searched in depth; a second call goes on where one stopped"""
    from p3mlib.experiments.predict import predict_files
    from p3mlib.models.bases import PHOTO

    return not_done(predict_files(inputs, weights or PHOTO, output, strategy, ratio, device=device, force=force))


def evaluate(
    weights: Annotated[list[str], Argument(metavar="WEIGHTS...", help=f"each a {WEIGHTS}")],
    output: Annotated[Path, Option("-o", "--output", metavar="DIR", help="gets a table of all images for each weights")],
    name: Annotated[str | None, Option("--set", help="train, P3M-500-P, P3M-500-NP or RWP")] = None,
    root: Annotated[
        Path | None, Option(metavar="DIR", help="folder of the data set that has the set; default: P3M_ROOT, RWP_ROOT")
    ] = None,
    domain: Annotated[str | None, Option(help="B blurred or N normal images; default: B where there are any")] = None,
    images: Annotated[Path | None, Option(metavar="DIR", help="images of your own, in place of a set")] = None,
    mattes: Annotated[Path | None, Option(metavar="DIR", help="their mattes, of the same names")] = None,
    binary: Annotated[bool, Option("--binary", help="mattes are binary masks: IoU, recall, SAD away from the contour")] = False,
    strategy: Strategy = None,
    ratio: Ratio = None,
    resizing: Annotated[
        Literal["legacy", "modern", "area"] | None, Option(help="of images; default: the network's, else legacy")
    ] = None,
    eight_bit: Annotated[bool, Option("--eight-bit", help="truncate predictions to 8 bits, as the official release")] = False,
    limit: Annotated[int | None, Option(min=1, help="only the first so many images")] = None,
    shard: Annotated[
        str | None, Option(metavar="I/N", callback=_shard, help="every N-th image from the I-th; a call without it gathers all")
    ] = None,
    jobs: Annotated[int, Option(min=1, help="processes, each with a copy of the network")] = 1,
    device: Device = None,
    as_json: Json = False,
):
    """score weights on a set or on images of your own: all metrics with intervals; a second call goes on where one stopped"""
    from p3mlib.experiments import corpus
    from p3mlib.experiments.scoring import open_images, score_weights
    from p3mlib.results.scores import labels_of, scores_record, scores_text

    root = root or (corpus.real_root(name) if name else None)
    _one_source(name, root, domain, images, mattes, binary)
    portraits = open_images(name, domain, root, images, mattes, binary, limit, shard)
    scored = [
        score_weights(w, portraits, output, strategy, ratio, resizing, eight_bit, jobs, device, shard)
        for w in dict.fromkeys(weights)
    ]
    if as_json:
        print(json.dumps(scores_record(scored), indent=1))
    else:
        for label, one in zip(labels_of(scored), scored, strict=True):
            part = f" ({len(one.errors)} of them scored)" * (len(one.errors) < len(portraits))
            print(f"{label}: {one.protocol.sentence(portraits)}{part}\n  {one.path}")
        print(f"Mean over images [95% interval, bootstrap over images]\n{scores_text(scored)}")
    return not_done({path: reason for one in scored for path, reason in one.failed.items()})


def _one_source(name, root, domain, images, mattes, binary):
    """Refuse options of `evaluate` that do not name one source of images."""
    if name is None and images is None:
        raise typer.BadParameter("score on what? Pass --set NAME --root DIR, or --images DIR --mattes DIR")
    if name is not None and (root is None or images or mattes or binary):
        why = (
            "--root DIR is missing, and neither P3M_ROOT nor RWP_ROOT names one"
            if root is None
            else "--images, --mattes and --binary are for images of your own"
        )
        raise typer.BadParameter(f"--set {name}: {why}")
    if name is None and (mattes is None or root or domain):
        raise typer.BadParameter(
            f"--images {images}: " + ("--mattes DIR is missing" if mattes is None else "--root and --domain are for --set")
        )


def bench(
    models: Annotated[
        list[str] | None, Argument(help="names of networks, or weights as `predict` takes them; default: all")
    ] = None,
    size: Annotated[int, Option(callback=_side, help="side of the image in pixels")] = 512,
    rounds: Annotated[int, Option(min=1, help="timed passes of each path")] = 7,
    compiled: Annotated[
        bool, Option("--compile", help="torch.compile too, which takes minutes and needs a C++ compiler")
    ] = False,
    copy_paste: Annotated[bool, Option("--copy-paste", help="time training steps with copy and paste instead")] = False,
    as_json: Json = False,
):
    """time networks and measure their memory, side by side in one run"""
    import pandas as pd

    from p3mlib.experiments import bench
    from p3mlib.models import list_models

    if copy_paste:
        names = models or ["p3mnet_resnet34"]
        rows = [row for name in names for row in bench.copy_paste_cost(name, size, rounds)]
    else:
        rows = bench.bench(models or list_models(), size, rounds, compiled=compiled)
    print(json.dumps(rows, indent=1) if as_json else pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))


def export(
    model: Annotated[str, Argument(metavar="WEIGHTS", help=WEIGHTS)],
    output: Annotated[Path, Option("-o", "--output", metavar="FILE", help="the .onnx file")],
    official: Annotated[
        Path | None, Option(metavar="CHECKPOINT", help="WEIGHTS is a network's name: the same as NETWORK:CHECKPOINT")
    ] = None,
):
    """write a network as ONNX"""
    from p3mlib.models import weights
    from p3mlib.models.export import export

    export(weights.load(f"{model}:{official}" if official else model), output)
    print(f"{output}: input image (1, 3, H, W), H and W multiples of 32 from 64 to 2048")
