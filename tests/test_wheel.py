"""The package as pip installs it: its wheel holds every file of the tree and works without a checkout or a place to write."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def files(folder):
    """Names of the package's files below `folder`, without what Python, editors and Jupyter leave there."""
    names = (path.relative_to(folder) for path in (folder / "p3mlib").rglob("*") if path.is_file())
    return {str(n) for n in names if "__pycache__" not in n.parts and not any(part.startswith(".") for part in n.parts)}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Folder with the files of the wheel, built without a network from a copy: a build leaves files in its source."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(ROOT / "p3mlib", source / "p3mlib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *options, source], check=True)
    (wheel,) = folder.glob("p3mlib-*.whl")
    zipfile.ZipFile(wheel).extractall(folder / "site")
    return folder / "site"


def run(code, folder, **environment):
    """What `code` prints where `folder` holds the package and neither the checkout nor its notebooks are near."""
    own = {name: value for name, value in os.environ.items() if name not in ("NUMBA_CACHE_DIR", "P3M_HOME")}
    own |= {"PYTHONPATH": str(folder), **environment}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder.parent, env=own, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_has_the_files_of_the_tree(site):
    assert files(site) == files(ROOT)


def test_the_wheel_works_from_another_folder(site):
    code = """
import p3mlib.results.claims
from p3mlib import paths
from p3mlib.experiments import config, notebooks
assert config.load().rows and p3mlib.results.claims.from_paper()
try:
    notebooks.find()
except FileNotFoundError as error:
    print(p3mlib.__file__, paths.home(), error)
"""
    said = run(code, site)
    assert said.startswith(f"{site}/p3mlib/__init__.py {site.parent} {site.parent}/notebooks: no notebooks")


def test_numba_gets_a_folder_where_none_can_be_written(site, tmp_path):
    shutil.copytree(site, tmp_path / "site")
    for package in [path.parent for path in (tmp_path / "site").rglob("__init__.py")]:
        shutil.rmtree(package / "__pycache__", ignore_errors=True)
        (package / "__pycache__").write_text("a file where a folder would be: nobody can write there, root neither")
    code = "import os, p3mlib; print(os.environ.get('NUMBA_CACHE_DIR')); import p3mlib.metrics"
    nowhere = {"HOME": "/proc/none", "XDG_CACHE_HOME": "/proc/none", "TMPDIR": str(tmp_path)}
    given = run(code, tmp_path / "site", **nowhere)
    assert Path(given).parent == tmp_path and not Path(given).exists()
    assert run(code, tmp_path / "site", **nowhere | {"XDG_CACHE_HOME": str(tmp_path / "cache")}) == "None"
    assert (tmp_path / "cache" / "numba").is_dir()
