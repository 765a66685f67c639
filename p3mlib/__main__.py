"""The command line: `python -m p3mlib COMMAND`, or `p3mlib COMMAND` where the package is installed.

Commands: list, synth, verify, layers, anonymize, audit, train, predict, evaluate, ship, pack, bench, export,
claims, stability, slides, report, notebooks. Each tells what it takes with --help; the exit status is 0 if all is well, 1 if
something is wrong with the data, 2 for wrong arguments, 130 when interrupted. P3M_TRACEBACK=1 shows where an error came from.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option

app = typer.Typer(help=" ".join(__doc__.split()), context_settings={"help_option_names": ["-h", "--help"]})


def main(argv=None):
    """Run one command; returns the exit status (see above). What is wrong is one sentence on stderr that names the command."""
    argv = sys.argv[1:] if argv is None else list(map(os.fspath, argv))
    for stream in (sys.stdout, sys.stderr):  # names of files that are not UTF-8 are printed with backslashes
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    name = " ".join(["p3mlib", *[word for word in argv if not word.startswith("-")][:1]])
    program = "p3mlib" if Path(sys.argv[0]).stem == "p3mlib" else "python -m p3mlib"
    try:
        status = typer.main.get_command(app)(argv, program, standalone_mode=False) or 0
    except typer.TyperException as error:  # wrong arguments
        told = error.format_message().replace("Value error, ", "").rstrip(".")
        context = getattr(error, "ctx", None)
        print(f"{name}: {told}; see {context.command_path if context else program} --help", file=sys.stderr)
        return error.exit_code
    except Exception as error:
        if os.environ.get("P3M_TRACEBACK") == "1":
            traceback.print_exc()
        told = error if isinstance(error, (ValueError, OSError)) else " ".join(f"{type(error).__name__}: {error}".split())
        print(f"{name}: {told}", file=sys.stderr)
        return 1
    if status == 130:
        print("interrupted; the same command goes on from here", file=sys.stderr)
    return status


def _between(low, high):
    """A callback that takes numbers from `low` to `high` and nothing else, NaN neither; typer's own `max` lets NaN pass."""

    def check(value: float | None):
        if value is not None and not low <= value <= high:
            raise typer.BadParameter(f"{value:g} is not between {low:g} and {high:g}")
        return value

    return check


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


def _profiles():
    from p3mlib.experiments import config

    return list(config.load().profiles)


def _rows():
    from p3mlib.experiments import config

    return list(config.load().rows)


def _names():
    from p3mlib.experiments import notebooks

    return list(notebooks.find())


Profile = Annotated[str, Option(help="of experiments.yaml: how much and how large", autocompletion=_profiles)]
Jobs = Annotated[int | None, Option(min=1, help="processes; default: one per CPU")]
Trainings = Annotated[int | None, Option(min=1, help="trainings side by side")]
Scheduler = Annotated[
    str | None, Option(metavar="ADDRESS", help="of a Dask scheduler, tcp://HOST:8786, whose workers train and score")
]
Json = Annotated[bool, Option("--json", help="print JSON")]
Folder = Annotated[Path, Argument(metavar="FOLDER")]
SmallestFace = Annotated[
    float, Option(callback=_between(10, 1000), help="pixels from cheek to cheek, 10 to 1000; smaller ones are not looked for")
]
WEIGHTS = "run folder, its model.safetensors, id on the hub, or released weights: CHECKPOINT, or NETWORK:CHECKPOINT"
Strategy = Annotated[
    Literal["resize", "hybrid"] | None,
    Option(help="one pass, or details from a second one at twice the ratio; default: the weights' own, else resize"),
]
Ratio = Annotated[
    float | None,
    Option(
        callback=_between(0.01, 4),
        help="network's input side over the image's, 0.01 to 4; default: the weights' own, else 512 px on the longer side",
    ),
]
Device = Annotated[str | None, Option(help="cpu, cuda:1, mps, ...; default: an accelerator where there is one")]


@app.command("list")
def list_(profile: Profile = "laptop"):
    """show profiles, rows, tables, models and which runs are cached"""
    from p3mlib import models
    from p3mlib.experiments import config, runs

    grid = config.load()
    scale = grid.profile(profile)
    print("profiles  " + ", ".join(grid.profiles))
    print("models    " + ", ".join(models.list_models()))
    for number, table in grid.tables.items():
        print(f"table {number:2}  {table.title}: {', '.join(table.rows or [m for m, f in table.methods.items() if f])}")
    for experiment in grid.experiments(grid.trained(profile), profile):
        folder = runs.folder(experiment)
        state = "missing data" if folder is None else runs.Run(folder).state()
        print(f"row       {experiment.name:12} seed {experiment.seed}  {scale.name}  {state}")


@app.command()
def synth(
    folder: Folder,
    profile: Annotated[str, Option(help="takes size, counts and seed from this profile", autocompletion=_profiles)] = "laptop",
    size: Annotated[tuple[int, int] | None, Option(metavar="H W", help="of the images in pixels")] = None,
    count: Annotated[int | None, Option(min=1, help="training images; the test sets shrink or grow in proportion")] = None,
    seed: Annotated[int | None, Option(min=0, help="of the whole benchmark")] = None,
    jobs: Jobs = None,
):
    """render P3M-Synth into a folder, in the layouts of the real data sets"""
    from p3mlib.experiments import config
    from p3mlib.synthetic import dataset

    data = config.load().profile(profile).data
    counts = dict(data.counts)
    if count is not None:
        counts = {name: max(1, round(n * count / counts["train"])) for name, n in counts.items()}
    dataset.write_all(folder, counts, tuple(size or data.size), data.seed if seed is None else seed, jobs)
    print(f"{folder}: {', '.join(f'{n} {name}' for name, n in counts.items())}")


@app.command()
def verify(folder: Folder):
    """name damaged, missing, mis-sized and mismatched files of a data set"""
    from p3mlib.data.verify import remarks, verify
    from p3mlib.io import printable

    problems = verify(folder)
    for text in remarks(folder):
        print(f"{'note':11} {text}")
    for problem in problems:
        print(f"{problem.kind:11} {printable(problem.path)}: {printable(problem.message)}")
    print(f"{folder}: {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}")
    return 1 if problems else 0


@app.command()
def layers(
    folder: Folder,
    jobs: Jobs = None,
    limit: Annotated[int | None, Option(min=1, help="only the first so many images")] = None,
):
    """estimate foreground and background colours of a real P3M-10k folder, which training needs"""
    from p3mlib.data.foreground import write_layers

    return _not_done(write_layers(folder, jobs, limit))


def _not_done(failed):
    """Print what could not be done, a dict name -> reason; returns the exit status."""
    from p3mlib.io import printable

    for name, reason in failed.items():
        print(f"not done: {printable(name)}: {reason}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} not done", file=sys.stderr)
    return 1 if failed else 0


@app.command()
def anonymize(
    source: Annotated[Path, Argument(metavar="SRC", help="folder, searched in depth, or one photo")],
    target: Annotated[Path, Argument(metavar="DST", help="folder; gets the photos, facemask/ and report.csv")],
    method: Annotated[Literal["blur", "mosaic", "mask"], Option(help="how faces are hidden")] = "blur",
    strength: Annotated[
        float | None,
        Option(callback=_between(0.001, 1), help="sigma or cell over the face's size, to 1; default 0.2 (blur), 0.25 (mosaic)"),
    ] = None,
    region: Annotated[Literal["hull", "paper"], Option(help="paper: its polygon alone, open on turned heads")] = "hull",
    margin: Annotated[
        float, Option(callback=_between(0, 2), help="grow the area by this share of the face's size, 0 to 2")
    ] = 0.0,
    alpha: Annotated[
        Path | None, Option(metavar="DIR", help="mattes: their transition area stays as it is, as in the paper")
    ] = None,
    landmarks: Annotated[Path | None, Option(metavar="DIR", help="NAME.json or NAME.png for faces that detectors miss")] = None,
    smallest_face: SmallestFace = 24,
    keep_faceless: Annotated[bool, Option("--keep-faceless", help="write photos without a face too")] = False,
    force: Annotated[bool, Option("--force", help="allow strengths at which people are recognised")] = False,
    jobs: Jobs = None,
):
    """obfuscate the faces in photos and write them without any metadata"""
    from p3mlib.privacy.folder import OPEN_ENDS, REPORT, Settings, anonymize_folder

    options = {"alpha": alpha, "landmarks": landmarks, "keep_faceless": keep_faceless, "force": force}
    settings = Settings(method=method, strength=strength, region=region, margin=margin, smallest=smallest_face, **options)
    report = anonymize_folder(source, target, settings, jobs)
    if region == "paper":
        print("region paper: on a turned head its polygon leaves eyes, nose and mouth open")
    print(f"faces under {smallest_face:g} px from cheek to cheek are not looked for")
    open_ends = report[report["status"].isin(OPEN_ENDS)]
    for message in report.loc[report["message"] != "", "message"]:
        print(message, file=sys.stderr)
    done, whole = (report["status"] == "done").sum(), (report["area"] == "whole (no matte)").sum()
    print(f"{done} of {(report['status'] != 'not used').sum()} done, {whole} without a matte: the whole area is obfuscated there")
    print(f"{target / REPORT}: {len(open_ends)} images or files need a person")
    return 1 if len(open_ends) else 0


@app.command()
def audit(
    folder: Annotated[Path | None, Argument(metavar="FOLDER", help="searched in depth; may be left out with --attack")] = None,
    original: Annotated[
        Path | None, Option(metavar="DIR", help="the images before, same names: measures identity and detail")
    ] = None,
    attack: Annotated[
        bool, Option("--attack", help="also train networks to undo obfuscations; report what they recover")
    ] = False,
    size: Annotated[Literal["smoke", "laptop"], Option(help="of the attack")] = "laptop",
    smallest_face: SmallestFace = 24,
    as_json: Json = False,
):
    """say what anonymised images still give away: metadata, identity, masks not applied, open rims"""
    from tqdm import tqdm

    from p3mlib.privacy import audit

    if not (folder or attack):
        raise ValueError("audit what? Name a folder of images, or pass --attack")
    images = audit.audit_folder(folder, original, smallest_face) if folder else []
    reports = list(tqdm(images, desc="audit", unit="image", disable=as_json or not folder))
    rows = []
    if attack:
        from p3mlib.privacy.attack import as_table, attack_table

        rows = attack_table(size)
    if as_json:
        print(json.dumps({"images": [audit.as_dict(report) for report in reports], "attack": rows}, indent=1))
    else:
        print("\n\n".join(([audit.as_text(reports)] if reports else []) + ([as_table(rows)] if rows else [])))
    return 1 if any(report.leaks or report.failure for report in reports) else 0


@app.command()
def train(
    rows: Annotated[list[str] | None, Argument(help="default: every row", autocompletion=_rows)] = None,
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

    _one_place(jobs, scheduler)
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


def _one_place(jobs, scheduler):
    """Refuse options that speak of this machine and of a cluster."""
    if jobs and scheduler:
        raise typer.BadParameter(f"--jobs {jobs} is for this machine; with --scheduler its workers decide")


@app.command()
def ship(
    rows: Annotated[list[str] | None, Argument(help="default: every row of the profile", autocompletion=_rows)] = None,
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


@app.command()
def pack(profile: Profile = "laptop"):
    """put what notebooks show of finished runs beside the profile's tables, for kernels that have no run cache"""
    from p3mlib.experiments import shipped

    print(shipped.pack(profile))


@app.command()
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

    return _not_done(predict_files(inputs, weights or PHOTO, output, strategy, ratio, device=device, force=force))


@app.command()
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
    from p3mlib.results.scores import scores_record, scores_text

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
        for one in scored:
            print(f"{one.label}: {one.protocol.sentence(portraits)}\n  {one.path}")
        print(f"Mean over images [95% interval, bootstrap over images]\n{scores_text(scored)}")
    return _not_done({path: reason for one in scored for path, reason in one.failed.items()})


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


@app.command()
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


@app.command()
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


@app.command()
def claims(
    profile: Profile = "laptop",
    save: Annotated[bool, Option("--save", help="write claims.csv, .md and .tex beside the tables")] = False,
    as_json: Json = False,
):
    """the paper's claims on the tables of a profile"""
    from p3mlib.experiments import config
    from p3mlib.results import claims

    config.load().profile(profile)
    board, caption = claims.of_profile(profile)
    if save:
        claims.save(board, profile, caption)
    if as_json:
        print(board.to_json(orient="records", indent=1))
        return
    for row in board.itertuples():
        agreement = "" if row.agreement != row.agreement else f"{row.agreement:.0%}"
        print(f"{row.claim:5} {row.verdict:9} {agreement:>4}  {row.says}\n{'':22}ours:  {row.ours}\n{'':22}paper: {row.paper}")
        if getattr(row, "released", "not run") != "not run":
            print(f"{'':22}released weights: {row.released}, {row.released_numbers}")
    print(f"\n{caption}")


@app.command()
def stability(
    profile: Profile = "laptop",
    against: Annotated[Path | None, Option(metavar="TABLES", help="a folder of tables made elsewhere; nothing is run")] = None,
):
    """how far every number moves with other kernels and other threads (everything is run twice), or from other tables"""
    from p3mlib import paths
    from p3mlib.results import stability

    for name in [against] if against else stability.VARIANTS:
        others = against or stability.run_again(profile, name)
        print(stability.as_text(name, *stability.compare(paths.tables(profile), others)), end="\n\n")


@app.command()
def report(profile: Profile = "laptop"):
    """one page with all tables, figures, claims and executed notebooks of a profile"""
    from p3mlib.results import page
    from p3mlib.widgets.stills import page_explorers

    print(page.write_page(profile, explorers=page_explorers()))


@app.command()
def slides(
    profile: Profile = "laptop",
    reveal: Annotated[str | None, Option(metavar="URL", help="address or folder of reveal.js, for slides with it")] = None,
):
    """slides of notebooks 00, 01, 06 and 10, from their executed copies; they load nothing from elsewhere"""
    from p3mlib.results import slides

    for path in slides.write_slides(profile, reveal=reveal):
        print(path)


@app.command()
def notebooks(
    names: Annotated[list[str] | None, Argument(help="default: all, in order", autocompletion=_names)] = None,
    profile: Profile = "laptop",
    jobs: Trainings = None,
    scheduler: Scheduler = None,
):
    """execute the notebooks with papermill: tables, figures, executed copies, report"""
    from p3mlib import paths
    from p3mlib.experiments import kernels, notebooks
    from p3mlib.results import page
    from p3mlib.widgets.stills import page_explorers

    _one_place(jobs, scheduler)
    begin, names = time.monotonic(), list(notebooks.find(names or ()))
    if lacking := notebooks.trainings(names, profile)[1]:
        print(f"no training images, so tables print '-' for: {', '.join(lacking)}", file=sys.stderr)
    notebooks.prepare(names, profile, jobs, scheduler=scheduler)
    failed = kernels.execute(names, profile)
    for name, reason in failed.items():
        print(f"{name}: {reason}", file=sys.stderr)
    written = page.write_page(profile, failed, time.monotonic() - begin, page_explorers())
    print(f"tables in {paths.tables(profile)}\nfigures in {paths.figures(profile)}")
    print(f"executed notebooks in {notebooks.folder(profile)}\neverything on one page: {written}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
