"""The command line: `python -m p3mlib COMMAND`, one of list, synth, verify, layers, anonymize, audit, train, predict, bench,
export, notebooks."""

import argparse
import json
import logging
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

# Set before torch and OpenMP start: spinning threads of one process starve the others on few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(argv=None):
    """Run one command; returns the exit status: 0, 1 (something is wrong with the data), 2 (wrong arguments)."""
    arguments = _parser().parse_args(argv)
    try:
        return arguments.run(arguments) or 0
    except (ValueError, OSError) as error:
        print(f"p3mlib {arguments.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from here", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(prog="python -m p3mlib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, run, text):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command("list", _list, "show profiles, rows, tables, models and which runs are cached")
    sub.add_argument("--profile", default="laptop")
    sub = command("synth", _synth, "render P3M-Synth into a folder, in the layouts of the real data sets")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--profile", default="laptop", help="takes size, counts and seed from this profile")
    sub.add_argument("--size", type=int, nargs=2, metavar=("H", "W"))
    sub.add_argument("--count", type=int, help="training images; the test sets shrink or grow in proportion")
    sub.add_argument("--seed", type=int)
    sub.add_argument("--jobs", type=int)
    sub = command("verify", _verify, "name damaged, missing, mis-sized and mismatched files of a data set")
    sub.add_argument("folder", type=Path)
    sub = command("layers", _layers, "estimate foreground and background colours of a real P3M-10k folder, which training needs")
    sub.add_argument("folder", type=Path)
    sub.add_argument("--jobs", type=int, help="processes; default: one per CPU")
    sub.add_argument("--limit", type=int, help="only the first so many images")
    sub = command("anonymize", _anonymize, "obfuscate the faces in photos and write them without any metadata")
    sub.add_argument("source", type=Path, metavar="SRC", help="folder, searched in depth, or one photo")
    sub.add_argument("target", type=Path, metavar="DST", help="folder; gets the photos, facemask/ and report.csv")
    sub.add_argument("--method", choices=("blur", "mosaic", "mask"), default="blur")
    sub.add_argument("--strength", type=float, help="sigma or cell over the face's size; default 0.2 (blur), 0.25 (mosaic)")
    sub.add_argument("--region", choices=("hull", "paper"), default="hull", help="paper: its polygon alone, open on turned heads")
    sub.add_argument("--margin", type=float, default=0.0, help="grow the area by this share of the face's size")
    sub.add_argument("--alpha", type=Path, metavar="DIR", help="mattes: their transition area stays as it is, as in the paper")
    sub.add_argument("--landmarks", type=Path, metavar="DIR", help="NAME.json or NAME.png for faces that detectors miss")
    sub.add_argument("--keep-faceless", action="store_true", help="write photos without a face too")
    sub.add_argument("--force", action="store_true", help="allow strengths at which people are recognised")
    sub.add_argument("--jobs", type=int, help="processes; default: one per CPU")
    sub = command("audit", _audit, "say what anonymised images still give away: metadata, identity, masks not applied, open rims")
    sub.add_argument("folder", type=Path, nargs="?", help="searched in depth; may be left out with --attack")
    sub.add_argument("--original", type=Path, metavar="DIR", help="the images before, same names: measures identity and detail")
    sub.add_argument("--attack", action="store_true", help="also train networks to undo obfuscations; report what they recover")
    sub.add_argument("--size", choices=("smoke", "laptop"), default="laptop", help="of the attack")
    sub.add_argument("--json", action="store_true")
    sub = command("train", _train, "train rows of the grid and score them; what is cached is not done again")
    sub.add_argument("rows", nargs="*", help="default: every row")
    sub.add_argument("--profile", default="laptop")
    sub.add_argument("--seed", type=int, help="default: every seed of the profile")
    sub.add_argument("--jobs", type=int, help="trainings side by side")
    sub.add_argument("--force", action="store_true", help="forget cached results of these rows")
    sub = command("predict", _predict, "write alpha and cut-out PNGs for photos")
    sub.add_argument("inputs", nargs="+", type=Path, metavar="IMAGE_OR_FOLDER")
    sub.add_argument("--weights", type=Path, required=True, help="model.safetensors of a run")
    sub.add_argument("-o", "--output", type=Path, required=True)
    sub.add_argument("--strategy", choices=("resize", "hybrid"))
    sub.add_argument("--ratio", type=float, help="network's input side over the image's; default: 512 px on the longer side")
    sub = command("bench", _bench, "time networks and measure their memory, side by side in one run")
    sub.add_argument("models", nargs="*", help="default: all")
    sub.add_argument("--size", type=int, default=512, help="side of the image in pixels")
    sub.add_argument("--rounds", type=int, default=7)
    sub.add_argument("--compile", action="store_true", help="torch.compile too, which takes minutes and needs a C++ compiler")
    sub.add_argument("--copy-paste", action="store_true", help="time training steps with copy and paste instead")
    sub.add_argument("--json", action="store_true")
    sub = command("export", _export, "write a network as ONNX")
    sub.add_argument("model", help="folder of weights, model.safetensors, id on the hub; or a network's name with --official")
    sub.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    sub.add_argument("--official", type=Path, metavar="CHECKPOINT", help="released weights of the network that is named")
    sub = command("claims", _claims, "the paper's claims on the tables of a profile")
    sub.add_argument("--profile", default="laptop")
    sub.add_argument("--save", action="store_true", help="write claims.csv, .md and .tex beside the tables")
    sub.add_argument("--json", action="store_true")
    sub = command("report", _report, "one page with all tables, figures, claims and executed notebooks of a profile")
    sub.add_argument("--profile", default="laptop")
    sub = command("notebooks", _notebooks, "execute the notebooks with papermill: tables, figures, executed copies, report")
    sub.add_argument("names", nargs="*", help="default: all, in order")
    sub.add_argument("--profile", default="laptop")
    sub.add_argument("--jobs", type=int, help="trainings side by side")
    return parser


def _list(arguments):
    from p3mlib import models
    from p3mlib.experiments import config, runs

    grid = config.load()
    profile = grid.profile(arguments.profile)
    print("profiles  " + ", ".join(grid.profiles))
    print("models    " + ", ".join(models.list_models()))
    for number, table in grid.tables.items():
        print(f"table {number:2}  {table.title}: {', '.join(table.rows or [m for m, f in table.methods.items() if f])}")
    for experiment in grid.experiments(grid.rows, arguments.profile):
        folder = runs.folder(experiment)
        state = "missing data" if folder is None else runs.Run(folder).state()
        print(f"row       {experiment.name:12} seed {experiment.seed}  {profile.name}  {state}")


def _synth(arguments):
    from p3mlib.experiments import config
    from p3mlib.synthetic import dataset

    data = config.load().profile(arguments.profile).data
    counts = dict(data.counts)
    if arguments.count is not None:
        if arguments.count < 1:
            raise ValueError(f"--count {arguments.count}: at least 1 training image")
        counts = {name: max(1, round(n * arguments.count / counts["train"])) for name, n in counts.items()}
    seed = data.seed if arguments.seed is None else arguments.seed
    dataset.write_all(arguments.folder, counts, tuple(arguments.size or data.size), seed, arguments.jobs)
    print(f"{arguments.folder}: {', '.join(f'{n} {name}' for name, n in counts.items())}")


def _verify(arguments):
    from p3mlib.data.verify import verify

    problems = verify(arguments.folder)
    for problem in problems:
        print(f"{problem.kind:11} {problem.path}: {problem.message}")
    print(f"{arguments.folder}: {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}")
    return 1 if problems else 0


def _layers(arguments):
    from p3mlib.data.foreground import write_layers

    failed = write_layers(arguments.folder, arguments.jobs, arguments.limit)
    for name, reason in failed.items():
        print(f"not done: {name}: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _anonymize(arguments):
    from p3mlib.privacy.folder import REPORT, Settings, anonymize_folder

    names = ("method", "strength", "region", "margin", "alpha", "landmarks", "keep_faceless", "force")
    settings = Settings(**{name: getattr(arguments, name) for name in names})
    report = anonymize_folder(arguments.source, arguments.target, settings, arguments.jobs)
    if arguments.region == "paper":
        print("region paper: on a turned head its polygon leaves eyes, nose and mouth open")
    open_ends = report[report["status"].isin(("no face", "not done"))]
    for message in report.loc[report["message"] != "", "message"]:
        print(message, file=sys.stderr)
    whole = (report["area"] == "whole (no matte)").sum()
    print(
        f"{(report['status'] == 'done').sum()} of {len(report)} done, {whole} without a matte: the whole area is obfuscated there"
    )
    print(f"{arguments.target / REPORT}: {len(open_ends)} images need a person")
    return 1 if len(open_ends) else 0


def _audit(arguments):
    from p3mlib.privacy import audit

    if not (arguments.folder or arguments.attack):
        raise ValueError("audit what? Name a folder of images, or pass --attack")
    images = audit.audit_folder(arguments.folder, arguments.original) if arguments.folder else []
    reports = list(tqdm(images, desc="audit", unit="image", disable=arguments.json or not arguments.folder))
    rows = []
    if arguments.attack:
        from p3mlib.privacy.attack import as_table, attack_table

        rows = attack_table(arguments.size)
    if arguments.json:
        print(json.dumps({"images": [audit.as_dict(report) for report in reports], "attack": rows}, indent=1))
    else:
        print("\n\n".join(([audit.as_text(reports)] if reports else []) + ([as_table(rows)] if rows else [])))
    return 1 if any(report.leaks or report.failure for report in reports) else 0


def _train(arguments):
    from p3mlib.experiments import config
    from p3mlib.experiments.parallel import fill

    grid = config.load()
    rows = arguments.rows or list(grid.rows)
    experiments = grid.experiments(rows, arguments.profile)
    if arguments.seed is not None:
        experiments = [grid.experiment(row, arguments.profile, arguments.seed) for row in rows]
    for run in fill(experiments, {row: grid.sets(row) for row in rows}, arguments.jobs, arguments.force):
        print(run.folder)


def _predict(arguments):
    from p3mlib.experiments import predict

    damaged = predict.predict_files(
        arguments.inputs, arguments.weights, arguments.output, arguments.strategy or "resize", arguments.ratio
    )
    for path, reason in damaged.items():
        print(f"not done: {path}: {reason}", file=sys.stderr)
    return 1 if damaged else 0


def _bench(arguments):
    import pandas as pd

    from p3mlib import models
    from p3mlib.experiments import bench

    if arguments.size < 32 or arguments.size % 32:
        raise ValueError(f"--size {arguments.size}: a positive multiple of 32")
    if arguments.copy_paste:
        names = arguments.models or ["p3mnet_resnet34"]
        rows = [row for name in names for row in bench.copy_paste_cost(name, arguments.size, arguments.rounds)]
    else:
        names = arguments.models or models.list_models()
        rows = bench.bench(names, arguments.size, arguments.rounds, compiled=arguments.compile)
    frame = pd.DataFrame(rows)
    print(json.dumps(rows, indent=1) if arguments.json else frame.to_string(index=False, float_format="{:.3f}".format))


def _export(arguments):
    from p3mlib import models
    from p3mlib.models.export import export

    if arguments.official:
        model = models.load_official(models.build_model(arguments.model), arguments.official)
    elif arguments.model in models.list_models():
        raise ValueError(f"{arguments.model} has no weights of its own: pass a folder of weights, or add --official CHECKPOINT")
    else:
        model = models.from_pretrained(arguments.model)
    export(model.eval(), arguments.output)
    print(f"{arguments.output}: input image (1, 3, H, W), H and W multiples of 32 from 64 to 2048")


def _claims(arguments):
    from p3mlib.experiments import config
    from p3mlib.results import claims

    config.load().profile(arguments.profile)
    board, caption = claims.of_profile(arguments.profile)
    if arguments.save:
        claims.save(board, arguments.profile, caption)
    if arguments.json:
        print(board.to_json(orient="records", indent=1))
        return
    for row in board.itertuples():
        agreement = "" if row.agreement != row.agreement else f"{row.agreement:.0%}"
        print(f"{row.claim:5} {row.verdict:9} {agreement:>4}  {row.says}\n{'':22}ours:  {row.ours}\n{'':22}paper: {row.paper}")
    print(f"\n{caption}")


def _report(arguments):
    from p3mlib.results import page

    print(page.write_page(arguments.profile))


def _notebooks(arguments):
    from p3mlib import paths
    from p3mlib.__main__ import _execute  # workers find it by this name; `__main__` is not imported by them
    from p3mlib.experiments import config, runs
    from p3mlib.results import page

    begin = time.monotonic()
    grid = config.load()
    grid.profile(arguments.profile)
    runs.check_real_roots()
    available = {path.stem: path for path in sorted(paths.notebooks().glob("[0-9]*.ipynb"))}
    strangers = set(arguments.names) - available.keys()
    if strangers:
        raise ValueError(f"no notebook {sorted(strangers)}; there are {', '.join(available)}")
    names = arguments.names or list(available)
    _fill(grid, names, arguments)
    folder = paths.build() / "notebooks" / paths.tables(arguments.profile).name
    folder.mkdir(parents=True, exist_ok=True)
    tasks = {name: (available[name], folder / f"{name}.ipynb", arguments.profile, paths.notebooks()) for name in names}
    together = [name for name in names if name not in grid.alone]
    failures = {}
    with tqdm(total=len(names), desc="notebooks", unit="notebook") as bar:
        for group, jobs in ((together, min(2, os.cpu_count() or 1)), ([name for name in names if name in grid.alone], 1)):
            with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
                futures = {pool.submit(_execute, *tasks[name]): name for name in group}
                for future in as_completed(futures):
                    failures[futures[future]] = future.result()
                    bar.update()
    failed = [name for name in names if failures[name]]
    for name in failed:
        print(f"{name}: {failures[name]}", file=sys.stderr)
    written = page.write_page(arguments.profile, {name: failures[name] for name in failed}, time.monotonic() - begin)
    print(f"tables in {paths.tables(arguments.profile)}\nfigures in {paths.figures(arguments.profile)}")
    print(f"executed notebooks in {folder}\neverything on one page: {written}")
    return 1 if failed else 0


def _execute(source, target, profile, folder):
    """Run one notebook in a process of its own; returns what went wrong in one line, or an empty string."""
    import papermill

    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        parameters = {"PROFILE": profile}
        papermill.execute_notebook(
            source, target, parameters, cwd=folder, kernel_name="python3", language="python", progress_bar=False
        )
    except papermill.PapermillExecutionError as error:
        return f"cell {error.exec_count} failed: {error.ename}: {error.evalue}"
    return ""


def _fill(grid, names, arguments):
    """Do the long work of the notebooks here, side by side and with progress bars; they then find it in the cache."""
    from p3mlib.experiments import runs
    from p3mlib.experiments.parallel import fill, fill_untrained

    profile = grid.profile(arguments.profile)
    needs = [grid.notebooks.get(name, ()) for name in names]
    rows = list(dict.fromkeys(need for group in needs for need in group if need in grid.rows))
    tables = dict.fromkeys(need for group in needs for need in group if need in grid.tables)
    wanted = grid.experiments(rows, arguments.profile)
    trainable = [experiment for experiment in wanted if runs.folder(experiment) is not None]
    if lacking := sorted({e.name for e in wanted} - {e.name for e in trainable}):
        print(f"no training images, so tables print '-' for: {', '.join(lacking)}", file=sys.stderr)
    there, _ = runs.available(dict.fromkeys(pair for row in rows for pair in grid.sets(row)), profile)
    fill(trainable, {row: [pair for pair in grid.sets(row) if pair in there] for row in rows}, arguments.jobs)
    for number in tables:
        methods = [method for method, function in grid.tables[number].methods.items() if function]
        sets, _ = runs.available(grid.tables[number].sets, profile)
        if sets:
            fill_untrained(methods, sets, profile, arguments.jobs)


if __name__ == "__main__":
    sys.exit(main())
