"""The set-up and the house rules: pins, environments, layers, notebooks without outputs."""

import ast
import graphlib
import json
import re
import shutil
import subprocess
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CUDA = re.compile("torch$|torchvision$|triton$|nvidia-|cuda-")  # what TORCH=cpu takes from elsewhere, or leaves out
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Imports go downward only, from wing to wing. The first name of a module below `p3mlib` is its wing.
WINGS = [
    {"io", "paths", "bars", "_moved", "_numba"},
    {"losses", "traditional", "copy_paste", "matte"},
    {"models", "metrics", "anonymize"},
    {"data"},
    {"synthetic"},
    {"experiments", "privacy"},
    {"results", "drawing"},
    {"widgets", "exercises"},
    {"commands"},
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
    for line in pins((ROOT / "requirements.txt").read_text()):
        name, pinned = line.split("==")
        assert version(name).split("+")[0] == pinned


def locked():
    """requirements.lock as dict: normalised name -> (version, marker or None, what needs it, number of hashes)."""
    lock = {}
    for entry in re.split(r"^(?=[a-z0-9])", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1:]:
        name, pinned, marker = re.match(r"(\S+)==([\w.]+)(?: ; (.*?))? \\\n", entry).groups()
        users = re.findall(r"^    #(?: via)? +(\S.*)$", entry, re.MULTILINE)
        lock[name] = pinned, marker, users, len(re.findall("--hash=sha256:[0-9a-f]{64}", entry))
    return lock


def test_the_lock_has_the_direct_pins_and_hashes():
    lock = locked()
    direct = {name: pinned for name, (pinned, _, users, _) in lock.items() if "-r requirements.txt" in users}
    wanted = dict(line.split("==") for line in pins((ROOT / "requirements.txt").read_text()))
    wanted = {canonicalize_name(name): pinned for name, pinned in wanted.items()}
    assert direct == wanted, "requirements.lock is not of this requirements.txt: run `make lock`"
    assert all(hashes for *_, hashes in lock.values())
    assert not re.search(r"://|file:|--(extra-)?index|--find-links", (ROOT / "requirements.lock").read_text())


def test_the_lock_is_complete():
    """Whatever an installed package of the lock needs is in the lock too, in the installed version."""
    lock, here = locked(), {"extra": ""}
    for name, (pinned, marker, _, _) in lock.items():
        if marker and not Marker(marker).evaluate():
            continue
        try:
            package = distribution(name)
        except PackageNotFoundError:
            assert CUDA.match(name), f"{name} is in requirements.lock, but not installed"
            continue
        assert package.version.split("+")[0] == pinned, f"{name}: not as locked; run `make setup`"
        needed = (Requirement(text) for text in package.requires or ())
        needed = [canonicalize_name(r.name) for r in needed if not r.marker or r.marker.evaluate(here)]
        assert not set(needed) - lock.keys(), f"run `make lock`: {name} needs {set(needed) - lock.keys()}"


def test_torch_for_the_cpu_leaves_cuda_out(tmp_path):
    """TORCH=cpu: torch from the index that TORCH_INDEX names, all else from the lock, without what torch needs for CUDA."""
    for name in ("Makefile", "requirements.txt", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    log, fake = tmp_path / "log", tmp_path / ".venv" / "bin" / "python"
    fake.parent.mkdir(parents=True)
    fake.write_text(f'#!/bin/sh\necho "$@" >> {log}\n')
    fake.chmod(0o755)
    make = partial(subprocess.run, cwd=tmp_path, capture_output=True, text=True)
    index = "--index-url https://example.org/cpu"
    assert make(["make", "setup", f"PYTHON={fake}", "TORCH=cpu", f"TORCH_INDEX={index}"]).returncode == 0
    torch = " ".join(line for line in pins((ROOT / "requirements.txt").read_text()) if line.startswith("torch"))
    assert f"--no-deps {index} {torch}\n" in log.read_text() and "requirements.lock" not in log.read_text()
    parts = {
        path.name: set(re.findall(r"^([a-z0-9-]+)==", path.read_text(), re.MULTILINE))
        for path in (tmp_path / ".venv").glob("*.lock")
    }
    assert parts["rest.lock"] == {name for name in locked() if not CUDA.match(name)} and {"timm", "numpy"} <= parts["rest.lock"]
    assert "cuda.lock" not in log.read_text() and "torch.lock" not in log.read_text()

    (tmp_path / ".venv" / ".ready").unlink()
    assert make(["make", "setup", f"PYTHON={fake}"]).returncode == 0
    installed = re.findall(r"--require-hashes -r \.venv/(\w+\.lock)", log.read_text().split("ensurepip")[-1])
    assert installed == ["cuda.lock", "torch.lock", "rest.lock"] and set.union(*parts.values()) == locked().keys()
    for options, message in (["TORCH=cpu"], "TORCH_INDEX="), (["TORCH=gpu"], "TORCH=gpu: pypi or cpu"):
        (tmp_path / ".venv" / ".ready").unlink(missing_ok=True)
        done = make(["make", "setup", f"PYTHON={fake}", *options])
        assert done.returncode != 0 and message in done.stdout


def test_hooks_and_container_use_what_make_sets_up():
    wanted = {line.split("==")[0] for line in pins((ROOT / "requirements.txt").read_text())}
    hooks = [hook for part in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in part["hooks"]]
    programs = {hook["entry"].split()[0] for hook in hooks if hook["language"] == "system"}
    assert programs == {".venv/bin/ruff", ".venv/bin/nbstripout"} and {Path(program).name for program in programs} <= wanted
    container = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    assert container["postCreateCommand"] == "make setup" and container["image"] == "python:3.11"


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


def test_the_map_shows_the_wings_of_the_tree():
    floors = [set(line.split()) for line in re.findall("^│ (.*?)│", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)]
    assert floors == WINGS[::-1], "the map in CONTRIBUTING.md, from top to bottom, and WINGS differ"
    rooms = [path.stem for path in (ROOT / "p3mlib").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()]
    assert sorted(rooms) == sorted({"__init__"}.union(*WINGS))


def test_what_contributing_names_is_there():
    text = re.sub("```.*?```", "", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.DOTALL)
    files = [name for name in re.findall(r"`([\w./]+/[\w./]*)`", text) if not re.search("NN|NAME|build/", name)]
    assert len(files) > 10 and not [name for name in files if not (ROOT / name).exists()]
    named = {"_BUILDERS": "models/build.py", "TABLES": "results/page.py", "PREDICATES": "results/claims/methods.py"}
    named |= {"from_tables": "results/claims/numbers.py", "table_2": "results/tables.py"}
    assert all(name in (ROOT / "p3mlib" / file).read_text() for name, file in named.items())
    targets = set(re.findall("^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall("`make ([a-z]+)", text)) <= targets


def test_no_module_imports_itself_through_others():
    graph = {module_of(path): set() for path in (ROOT / "p3mlib").rglob("*.py")}
    for path in (ROOT / "p3mlib").rglob("*.py"):
        own = module_of(path)
        graph[own] = {other for other in imported(path) if other != own and not own.startswith(f"{other}.")}
    assert len(graph) > 80
    graphlib.TopologicalSorter(graph).prepare()  # CycleError names the circle


def test_every_wing_says_what_lives_there_and_what_others_use_of_it():
    uses = [(path, other.split(".")) for path in (ROOT / "p3mlib").rglob("*.py") for other in imported(path)]
    for init in (ROOT / "p3mlib").glob("*/__init__.py"):
        wing, text = init.parent, ast.get_docstring(ast.parse(init.read_text()))
        _, _, listed = text.partition("Used from outside")
        assert "Imports " in text and listed, wing
        used = {other[1] for path, other in uses if wing not in path.parents and other[0] == wing.name and len(other) > 1}
        assert used <= set(re.findall(r"`(\w+)", listed)), wing.name


def test_papermill_is_imported_in_one_place():
    users = [
        p.name for p in (ROOT / "p3mlib").rglob("*.py") if "papermill" in p.read_text() and "import papermill" in p.read_text()
    ]
    assert users == ["kernels.py"]
    callers = [p.name for p in (ROOT / "p3mlib").rglob("*.py") if "experiments.kernels" in imported(p)]
    assert callers == ["results.py"], "the command that executes notebooks; what a notebook imports need not wait for papermill"


def test_the_library_neither_prints_nor_names_cuda():
    for path in (ROOT / "p3mlib").rglob("*.py"):
        text = path.read_text()
        assert path.name == "__main__.py" or path.parent.name == "commands" or not re.search(r"^\s*print\(", text, re.M), path
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
    takeaway = text[text.index("**Takeaway.**") : text.index("## Exercise")]
    typed = re.findall(r"\d+\.\d+|\d+ ?%|\b[1-9]\d{1,2}\b(?!\.ipynb|[_ ]\w)", takeaway)
    assert not typed, f"numbers typed into the takeaway, which results.takeaways could write: {typed}"


@pytest.mark.parametrize(("python", "message"), [("old", "Python 3.11 or newer is needed"), ("bare", "lacks the venv module")])
def test_make_says_what_a_python_lacks(tmp_path, python, message):
    """`make` with a Python that fails the version check, or has no venv, prints one sentence and stops."""
    fake = tmp_path / "python"
    fails = "version_info" if python == "old" else "ensurepip"
    fake.write_text(f'#!/bin/sh\ncase "$2" in *{fails}*) exit 1;; esac\nexit 0\n')
    fake.chmod(0o755)
    for name in ("Makefile", "requirements.txt", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    done = subprocess.run(["make", "setup", f"PYTHON={fake}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0 and message in done.stdout
    assert not (tmp_path / ".venv").exists()
