"""The command line: `python -m p3mlib COMMAND`, or `p3mlib COMMAND` where the package is installed.

Commands: list, synth, verify, layers, anonymize, audit, train, predict, evaluate, ship, pack, bench, export,
claims, stability, slides, report, notebooks. Each tells what it takes with --help; the exit status is 0 if all is well, 1 if
something is wrong with the data, 2 for wrong arguments, 130 when interrupted. P3M_TRACEBACK=1 shows where an error came from.
"""

import os
import sys
import traceback
from pathlib import Path

import typer

from p3mlib.commands import images, networks, results

COMMANDS = (
    *(results.list_, images.synth, images.verify, images.layers, images.anonymize, images.audit),
    *(networks.train, networks.predict, networks.evaluate, networks.ship, networks.pack, networks.bench, networks.export),
    *(results.claims, results.stability, results.slides, results.report, results.notebooks),
)
app = typer.Typer(help=" ".join(__doc__.split()), context_settings={"help_option_names": ["-h", "--help"]})
for command in COMMANDS:
    app.command(command.__name__.rstrip("_"))(command)


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
        goes_on = not {"audit", "verify", "export", "bench", "claims", "slides"} & set(argv[:1])
        print(f"interrupted{'; the same command goes on from here' * goes_on}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
