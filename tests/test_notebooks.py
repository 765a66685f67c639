"""Every notebook in profile smoke through papermill, and nbval on the cells whose output must not change."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import nbformat
import pandas as pd
import psutil
import pytest
import reference
from fault_kinds import started
from PIL import Image

from p3mlib.__main__ import main
from p3mlib.experiments import kernels

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
    stems = ["claims", *(f"figure_{n:02}" for n in range(1, 16)), "photographs", "teaser"]
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


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A function that makes notebooks of one cell each (name -> source) the project's own."""
    (tmp_path / "nb").mkdir()
    monkeypatch.setattr("p3mlib.paths.notebooks", lambda: tmp_path / "nb")

    def write(**cells):
        for name, source in cells.items():
            notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
            nbformat.write(notebook, tmp_path / "nb" / f"{name[1:]}.ipynb")

    return write


def without_bars(text):
    """Lines on stderr that are no progress bar."""
    return [line for line in re.split(r"[\r\n]", text) if line.strip() and not re.match(r"notebooks: +\d+%", line)]


def printed(home, name):
    return nbformat.read(home / "build" / "notebooks" / "smoke" / f"{name}.ipynb", 4).cells[-1].outputs[0].text


def test_a_failing_notebook_is_named(home, own, capsys):
    own(_00_broken="1 / 0")
    assert main(["notebooks", "--profile", "smoke"]) == 1
    assert "00_broken: cell 2 failed: ZeroDivisionError" in capsys.readouterr().err  # after the injected parameters


def test_a_killed_kernel_stops_no_other_notebook_and_only_results_are_printed(home, own, capfd):
    own(_00_dies="import os\nos.kill(os.getpid(), 9)", _01_fine="print('here')")
    assert main(["notebooks", "--profile", "smoke"]) == 1
    output, errors = capfd.readouterr()  # of the processes and kernels too
    (line,) = without_bars(errors)
    assert line.startswith("00_dies: its kernel died")
    assert printed(home, "01_fine") == "here\n"
    assert "its kernel died" in (home / "build" / "smoke" / "index.html").read_text()
    assert len(output.splitlines()) == 4 and output.splitlines()[-1].endswith("index.html")


def test_ctrl_c_ends_the_command_and_its_kernel(home):
    command = [sys.executable, "-m", "p3mlib", "notebooks", "02_metrics", "--profile", "smoke"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what runs in the background of a shell ignores Ctrl-C
    call = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True, preexec_fn=heard)
    while call.poll() is None and not (kernels := started(call.pid, "ipykernel_launcher")):
        time.sleep(0.1)
    os.killpg(call.pid, signal.SIGINT)
    _, errors = call.communicate(timeout=120)
    assert call.returncode == 130 and "interrupted; the same command goes on from here" in errors and "Traceback" not in errors
    assert not psutil.wait_procs(kernels, timeout=60)[1]


def test_the_kernel_is_this_python_whatever_is_installed(home, own, tmp_path, monkeypatch):
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(json.dumps({"argv": ["/bin/false"], "display_name": "p", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    own(_00_where="import sys\nprint(sys.executable)")
    assert kernels.execute(["00_where"], "smoke", progress=False) == {}
    assert printed(home, "00_where") == f"{sys.executable}\n"


def test_an_idle_kernel_is_stopped_without_an_interrupt(monkeypatch):
    """An interrupt that meets the answer to the last message is what kernels report as "KeyboardInterrupt caught"."""
    signals = []

    async def start_and_stop():
        manager = kernels.Kernels()
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        client.stop_channels()
        monkeypatch.setattr(manager.provisioner, "send_signal", lambda number: signals.append(number) or asyncio.sleep(0))
        await manager.shutdown_kernel()
        assert not await manager.is_alive()

    asyncio.run(start_and_stop())
    assert signals == []


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
    """Run nbval on a copy of a notebook as far as its last tagged cell, in profile smoke, with the expected outputs filled in."""
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    tagged = [cell for cell in notebook.cells if TAG in cell.metadata.get("tags", [])]
    notebook.cells = notebook.cells[: notebook.cells.index(tagged[-1]) + 1]  # the whole is executed by the test above
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
