"""Seconds that notebooks take when each is opened by hand in a fresh clone: no run cache, no portraits.

By hand, from the repository's root, beside nothing else:

python tests/benchmarks/bench_notebooks.py [NOTEBOOK...]
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).parents[2]
FOLDER = PROJECT / "notebooks"


def seconds(name):
    """Execute a notebook in a home of its own; what it writes is thrown away. Raises CalledProcessError where a cell fails."""
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(PROJECT / "tables", Path(home) / "tables")
        command = [sys.executable, "-m", "nbconvert", *"--execute --to notebook --log-level ERROR --output-dir".split(), home]
        begin = time.monotonic()
        subprocess.run([*command, FOLDER / f"{name}.ipynb"], env=os.environ | {"P3M_HOME": home}, check=True)
        return time.monotonic() - begin


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in FOLDER.glob("[0-9]*.ipynb")):
        print(f"{name}: {seconds(name):.0f} s", flush=True)
