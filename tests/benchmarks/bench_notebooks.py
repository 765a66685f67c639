"""Seconds that notebooks take one after the other when they are opened by hand in a fresh clone, without a run cache.

The first one renders the portraits for all. By hand, from the repository's root, beside nothing else:

python tests/benchmarks/bench_notebooks.py [NOTEBOOK...]
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "notebooks"


def seconds(name, home):
    """Execute a notebook with P3M_HOME; its output is thrown away. Raises CalledProcessError where a cell fails."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "nbconvert", *"--execute --to notebook --log-level ERROR --output-dir".split(), out]
        begin = time.monotonic()
        subprocess.run([*command, FOLDER / f"{name}.ipynb"], env=os.environ | {"P3M_HOME": home}, check=True)
        return time.monotonic() - begin


def main(names):
    """Print a line for each notebook."""
    with tempfile.TemporaryDirectory() as home:
        for name in names or sorted(path.stem for path in FOLDER.glob("[0-9]*.ipynb")):
            print(f"{name}: {seconds(name, home):.0f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
