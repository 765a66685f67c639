"""Commands on results: what there is, claims, pages, notebooks."""

import sys
import time
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from p3mlib.commands.options import Json, Profile, Scheduler, Trainings, notebook_names, one_place


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


def report(profile: Profile = "laptop"):
    """one page with all tables, figures, claims and executed notebooks of a profile"""
    from p3mlib.results import page
    from p3mlib.widgets.stills import page_explorers

    print(page.write_page(profile, explorers=page_explorers()))


def slides(
    profile: Profile = "laptop",
    reveal: Annotated[str | None, Option(metavar="URL", help="address or folder of reveal.js, for slides with it")] = None,
):
    """slides of notebooks 00, 01, 06 and 10, from their executed copies; they load nothing from elsewhere"""
    from p3mlib.results import slides

    for path in slides.write_slides(profile, reveal=reveal):
        print(path)


def notebooks(
    names: Annotated[list[str] | None, Argument(help="default: all, in order", autocompletion=notebook_names)] = None,
    profile: Profile = "laptop",
    jobs: Trainings = None,
    scheduler: Scheduler = None,
):
    """execute the notebooks with papermill: tables, figures, executed copies, report"""
    from p3mlib import paths
    from p3mlib.experiments import kernels, notebooks
    from p3mlib.results import page
    from p3mlib.widgets.stills import page_explorers

    one_place(jobs, scheduler)
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
