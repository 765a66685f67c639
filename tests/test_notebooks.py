"""Every notebook in profile smoke through papermill, and nbval on the cells whose output must not change."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
import reference
from PIL import Image

from p3mlib.__main__ import main

ROOT = Path(__file__).parent.parent
CHECKED = json.loads((ROOT / "tests" / "notebook_outputs.json").read_text())  # notebook -> outputs of its tagged cells
TAG = "nbval-check-output"


def test_one_command_regenerates_tables_and_figures(home, capsys):
    assert main(["notebooks", "--profile", "smoke"]) == 0
    tables = sorted(p.name for p in (home / "tables" / "smoke").iterdir())
    stems = ["claims", "statistics", *(f"table_{n}" for n in (1, 10, 11, 2, 3, 4, 5, 6, 7, 8, 9)), "transfer"]
    assert tables == [f"{stem}.{suffix}" for stem in stems for suffix in ("csv", "md", "tex")]
    assert not (pd.read_csv(home / "tables" / "smoke" / "claims.csv")["verdict"] == "not run").any()
    figures = home / "figures" / "smoke"
    stems = ["claims", *(f"figure_{n:02}" for n in range(1, 16)), "teaser"]
    assert sorted(p.name for p in figures.iterdir()) == [f"{stem}.{suffix}" for stem in stems for suffix in ("pdf", "png")]
    for path in figures.glob("*.png"):
        assert path.stat().st_size <= 200_000 and min(Image.open(path).size) > 200, path
    executed = sorted((home / "build" / "notebooks" / "smoke").glob("*.ipynb"))
    assert [p.name for p in executed] == sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb"))
    pages = sorted(p.name for p in (home / "build" / "smoke").glob("*.html"))
    assert pages == [*(p.with_suffix(".html").name for p in executed), "index.html"]
    _same_as_committed(reference.collect(home / "tables" / "smoke"))


def _same_as_committed(found):
    """To six digits on the processor type of the committed numbers; elsewhere trainings drift apart by rounding."""
    kind, expected = reference.committed()
    assert found.index.equals(expected.index)
    if kind == reference.processor():
        assert [f"{v:.6g}" for v in found] == [f"{v:.6g}" for v in expected]
    else:
        off = (found - expected).abs() / expected.abs().clip(lower=1e-3)
        assert (off < 0.1).all() and off.median() < 0.005, off.nlargest(5)


def test_a_failing_notebook_is_named(home, tmp_path, monkeypatch, capsys):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    (tmp_path / "nb").mkdir()
    nbformat.write(notebook, tmp_path / "nb" / "00_broken.ipynb")
    monkeypatch.setattr("p3mlib.paths.notebooks", lambda: tmp_path / "nb")
    assert main(["notebooks", "--profile", "smoke"]) == 1
    assert "00_broken: cell 2 failed: ZeroDivisionError" in capsys.readouterr().err  # after the injected parameters


def test_table_2_from_real_portraits(home, monkeypatch, real_sample):
    monkeypatch.setenv("P3M_ROOT", str(real_sample))
    assert main(["notebooks", "03_trimap_traditional", "06_p3mnet_ablation", "--profile", "smoke"]) == 0
    table = pd.read_csv(home / "tables" / "smoke-real" / "table_2.csv").set_index(["method", "dataset", "setting", "metric"])
    blurred, normal = table.loc["Closed", "P3M-500-P", "-:B", "SAD"], table.loc["Closed", "P3M-500-NP", "-:N", "SAD"]
    assert blurred["images"] == 3 and normal["images"] == 4 and blurred["value"] > 0
    unpublished = table.loc["Closed", "P3M-500-P", "-:N", "SAD"]
    assert pd.isna(unpublished["value"]) and "no P3M-10k data" in unpublished["note"]
    ablation = pd.read_csv(home / "tables" / "smoke-real" / "table_7.csv")
    trained = ablation[(ablation["metric"] == "SAD") & (ablation["method"] == "BASIC")]
    assert trained["value"].isna().all() and trained["paper"].notna().all(), "nothing to train on: '-' beside the paper's"
    assert not (home / "tables" / "smoke").exists()


def nbval(folder, name, outputs):
    """Run nbval on a copy of a notebook, in profile smoke, with the expected outputs filled in."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    tagged = [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", [])]
    assert len(tagged) == len(outputs), "tests/notebook_outputs.json and the tagged cells differ"
    for number, (cell, text) in enumerate(zip(tagged, outputs, strict=True), 1):
        cell.execution_count = number  # nbval takes a cell without one as never run
        cell.outputs = [nbformat.v4.new_output("stream", name="stdout", text=text)]
    for cell in notebook.cells:
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace("laptop", "smoke")
    copy = folder / f"{name}.ipynb"
    nbformat.write(notebook, copy)
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", str(copy)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.mark.parametrize("name", CHECKED)
def test_outputs_that_must_not_change(name, home):
    done = nbval(home, name, CHECKED[name])
    assert done.returncode == 0, done.stdout[-3000:]


def test_nbval_notices_a_changed_number(home):
    outputs = [text.replace("0.100", "0.200") for text in CHECKED["02_metrics"]]
    assert outputs != CHECKED["02_metrics"]
    done = nbval(home, "02_metrics", outputs)
    assert done.returncode == 1 and "0.200" in done.stdout
