"""The set-up and the house rules: pins, environments, layers, notebooks without outputs."""

import ast
import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Imports go downward only: a module may import those of lower layers, and its own.
LAYERS = [
    {"paths", "io", "matte", "anonymize", "faces", "metadata"},
    {"datasets", "verify", "augment", "synthetic", "models", "traditional", "losses", "metrics", "config", "copy_paste"},
    {"train", "evaluate", "photos", "bench", "export", "layers", "anonymize_folder", "attack", "audit"},
    {"runs"},
    {"fill"},
    {"report", "captions", "tables", "plots", "flow", "diagrams", "encoder_diagram", "structure_diagram", "claims", "widgets"}
    | {"copy_paste_diagram", "statistics", "transfer", "site"},
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


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("p3mlib"):
            rest = node.module.split(".")[1:]
            yield from [rest[0]] if rest else [alias.name for alias in node.names]
        if isinstance(node, ast.ImportFrom):
            assert all(alias.name != "*" for alias in node.names), f"{path}: star import"
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("p3mlib."))


def test_imports_go_downward():
    depth = {name: level for level, names in enumerate(LAYERS) for name in names}
    files = [p for p in (ROOT / "p3mlib").rglob("*.py") if p != ROOT / "p3mlib" / "__init__.py"]
    assert len(files) > 20
    for path in files:
        name = path.relative_to(ROOT / "p3mlib").parts[0].removesuffix(".py")
        for other in imported(path):
            assert depth[other] <= depth[name], f"{path.name} imports {other} from a higher layer"


def test_papermill_is_imported_by_the_command_line_only():
    users = [
        p.name for p in (ROOT / "p3mlib").rglob("*.py") if "papermill" in p.read_text() and "import papermill" in p.read_text()
    ]
    assert users == ["__main__.py"]


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
