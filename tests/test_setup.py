"""The set-up and the house rules: pins, environments, layers, notebooks without outputs."""

import ast
import graphlib
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Imports go downward only, from wing to wing. The first name of a module below `p3mlib` is its wing.
WINGS = [
    {"io", "paths", "_moved", "_numba"},
    {"losses", "traditional", "copy_paste", "matte"},
    {"models", "metrics", "anonymize"},
    {"data"},
    {"synthetic"},
    {"experiments", "privacy"},
    {"results", "drawing"},
    {"widgets"},
    {"__main__"},
]


def pins(text):
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_every_requirement_is_pinned_exactly():
    lines = pins((ROOT / "requirements.txt").read_text())
    assert lines and all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)
    names = [line.split("==")[0].lower() for line in lines]
    assert len(names) == len(set(names))


def test_environment_yml_takes_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = next(entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert conda == ["python=3.11", "pip"], "a conda pin beside pip's would drift"
    assert pip == ["-r requirements.txt", "-e ."]


def test_the_installed_versions_are_the_pinned_ones():
    from importlib.metadata import version

    for line in pins((ROOT / "requirements.txt").read_text()):
        name, pinned = line.split("==")
        assert version(name).split("+")[0] == pinned


def module_of(path, package=ROOT / "p3mlib"):
    """Dotted name below `package`: data/datasets.py is data.datasets, data/__init__.py is data."""
    return ".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")


def imported(path, package=ROOT / "p3mlib"):
    """Dotted names below `package` of the modules that a file imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert all(alias.name != "*" for alias in node.names), f"{path}: star import"
        whole = node.module if isinstance(node, ast.ImportFrom) else ""
        names = [f"{whole}.{alias.name}" for alias in node.names] if whole else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            if name.startswith("p3mlib."):
                rest = name.split(".")[1:]
                while rest and not package.joinpath(*rest).with_suffix(".py").exists() and not package.joinpath(*rest).is_dir():
                    rest.pop()
                if rest:
                    yield ".".join(rest)


def upward(package):
    """Sentences on imports from a higher wing, or from another one of the same height."""
    height = {name: level for level, names in enumerate(WINGS) for name in names}
    for path in sorted(package.rglob("*.py")):
        if path == package / "__init__.py":
            continue
        own = module_of(path, package)
        wing = own.split(".")[0]
        for other in (name.split(".")[0] for name in imported(path, package)):
            if other != wing and height[other] >= height[wing]:
                yield f"{own} imports {other}, which is not below {wing}"


def test_imports_go_downward():
    assert not list(upward(ROOT / "p3mlib"))


def test_an_upward_import_is_noticed(tmp_path):
    for name, text in {"data/datasets.py": "def f():\n    from p3mlib.results import tables\n", "results/tables.py": ""}.items():
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    assert list(upward(tmp_path)) == ["data.datasets imports results, which is not below data"]


def test_no_module_imports_itself_through_others():
    graph = {module_of(path): set() for path in (ROOT / "p3mlib").rglob("*.py")}
    for path in (ROOT / "p3mlib").rglob("*.py"):
        own = module_of(path)
        graph[own] = {other for other in imported(path) if other != own and not own.startswith(f"{other}.")}
    assert len(graph) > 80
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_every_wing_says_what_lives_there():
    for wing in ("data", "privacy", "experiments", "results", "drawing", "widgets", "models", "synthetic", "traditional"):
        text = ast.get_docstring(ast.parse((ROOT / "p3mlib" / wing / "__init__.py").read_text()))
        assert "Imports " in text and "Used from outside" in text, wing


def test_papermill_is_imported_in_one_place():
    users = [
        p.name for p in (ROOT / "p3mlib").rglob("*.py") if "papermill" in p.read_text() and "import papermill" in p.read_text()
    ]
    assert users == ["notebooks.py"]


def test_the_library_neither_prints_nor_names_cuda():
    for path in (ROOT / "p3mlib").rglob("*.py"):
        text = path.read_text()
        assert path.name == "__main__.py" or not re.search(r"^\s*print\(", text, re.M), path
        assert ".cuda()" not in text and "weights_only=False" not in text, path


def test_public_functions_have_docstrings():
    for path in (ROOT / "p3mlib").rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        for node in tree.body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{path}: {node.name}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_anatomy(path):
    cells = json.loads(path.read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code), "committed with outputs"
    tagged = [cell for cell in code if "parameters" in cell["metadata"].get("tags", [])]
    assert ["".join(cell["source"]) for cell in tagged] == ['PROFILE = "laptop"\nSEED = 0']
    for cell in code:
        source = "".join(cell["source"])
        assert source.count("\n") < 15, f"a cell of more than 15 lines: {source[:60]}"
        assert not re.search(r"^\s*(def|class) ", source, re.M)
    text = "".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    for part in ("**Question.**", "**Regenerates**", "**Time**", "**You will learn**", "**Takeaway.**", "## Exercise"):
        assert part in text, part


@pytest.mark.parametrize(("python", "message"), [("old", "Python 3.11 or newer is needed"), ("bare", "lacks the venv module")])
def test_make_says_what_a_python_lacks(tmp_path, python, message):
    """`make` with a Python that fails the version check, or has no venv, prints one sentence and stops."""
    fake = tmp_path / "python"
    fails = "version_info" if python == "old" else "ensurepip"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *{fails}*) exit 1;; esac\nexit 0\n')
    fake.chmod(0o755)
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_text((ROOT / name).read_text())
    done = subprocess.run(["make", "setup", f"PYTHON={fake}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and message in done.stdout
    assert not (tmp_path / ".venv").exists()
