"""Options that several commands take, and what they have in common."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer
from typer import Argument, Option


def between(low, high):
    """A callback that takes numbers from `low` to `high` and nothing else, NaN neither; typer's own `max` lets NaN pass."""

    def check(value: float | None):
        if value is not None and not low <= value <= high:
            raise typer.BadParameter(f"{value:g} is not between {low:g} and {high:g}")
        return value

    return check


def profile_names():
    """For a shell that completes."""
    from p3mlib.experiments import config

    return list(config.load().profiles)


def row_names():
    """For a shell that completes."""
    from p3mlib.experiments import config

    return list(config.load().rows)


def notebook_names():
    """For a shell that completes."""
    from p3mlib.experiments import notebooks

    return list(notebooks.find())


Profile = Annotated[str, Option(help="of experiments.yaml: how much and how large", autocompletion=profile_names)]
Jobs = Annotated[int | None, Option(min=1, help="processes; default: one per CPU")]
Trainings = Annotated[int | None, Option(min=1, help="trainings side by side")]
Scheduler = Annotated[
    str | None, Option(metavar="ADDRESS", help="of a Dask scheduler, tcp://HOST:8786, whose workers train and score")
]
Json = Annotated[bool, Option("--json", help="print JSON")]
Folder = Annotated[Path, Argument(metavar="FOLDER")]
SmallestFace = Annotated[
    float, Option(callback=between(10, 1000), help="pixels from cheek to cheek, 10 to 1000; smaller ones are not looked for")
]
WEIGHTS = "run folder, its model.safetensors, id on the hub, or released weights: CHECKPOINT, or NETWORK:CHECKPOINT"
Strategy = Annotated[
    Literal["resize", "hybrid"] | None,
    Option(help="one pass, or details from a second one at twice the ratio; default: the weights' own, else resize"),
]
Ratio = Annotated[
    float | None,
    Option(
        callback=between(0.01, 4),
        help="network's input side over the image's, 0.01 to 4; default: the weights' own, else 512 px on the longer side",
    ),
]
Device = Annotated[str | None, Option(help="cpu, cuda:1, mps, ...; default: an accelerator where there is one")]


def not_done(failed):
    """Print what could not be done, a dict name -> reason; returns the exit status."""
    from p3mlib.io import printable

    for name, reason in failed.items():
        print(f"not done: {printable(name)}: {reason}", file=sys.stderr)
    if failed:
        print(f"{len(failed)} not done", file=sys.stderr)
    return 1 if failed else 0


def one_place(jobs, scheduler):
    """Refuse options that speak of this machine and of a cluster."""
    if jobs and scheduler:
        raise typer.BadParameter(f"--jobs {jobs} is for this machine; with --scheduler its workers decide")
