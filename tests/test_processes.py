"""Several processes of one training, as torchrun starts them: one run, written once, and one draw of faces for all."""

import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import psutil
import pytest
import torch

from p3mlib.copy_paste import SourceFaces
from p3mlib.experiments import config, processes, runs

ROWS = ("train", "basic", "p3mnet_r34_fcp", "alphagan", "--profile", "smoke")


def launched(number, *command):
    """A command of p3mlib in so many processes, begun."""
    call = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(number), "-m", "p3mlib"]
    how = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*call, *command], env={**os.environ, "OMP_NUM_THREADS": "1"}, **how)


def launch(number, *command):
    """(exit status, stdout, stderr) of it."""
    process = launched(number, *command)
    out, errors = process.communicate(timeout=600)
    return process.returncode, out, errors


def test_two_processes_train_and_score_one_run_though_one_dies_first(home, monkeypatch):
    process = launched(2, *ROWS)
    while process.poll() is None and not list(home.glob("runs/smoke/*/train.csv")):
        time.sleep(0.02)
    second = max(psutil.Process(process.pid).children(), key=lambda one: int(one.environ()["RANK"]))
    second.kill()
    process.communicate(timeout=60)
    assert process.returncode, "the launcher ends all"
    status, out, errors = launch(2, *ROWS)
    assert status == 0, errors[-3000:]
    folders = [line for line in out.splitlines() if line.strip()]
    assert len(folders) == 3
    for folder in folders:
        run = runs.Run(home / folder)
        record = run.record
        assert record["finished"] and record["evaluations"] and (record["processes"], record["precision"]) == (2, "no")
        assert not list(run.folder.rglob("*partial*"))
        assert np.isfinite(run.training_log()["total"]).all()
        assert all(len(pd.read_csv(table)) == 4 for table in (run.folder / "per_image").glob("*.csv"))
    # They saw what one process sees: the same batches, batch norm over all of them, the same critic.
    one = config.load().experiment("alphagan", "smoke")
    shared = runs.Run(runs.folder(one))
    monkeypatch.setenv("P3M_RUNS", "alone")
    alone = runs.get(one, [], progress=False)
    logs = [run.training_log() for run in (shared, alone)]
    np.testing.assert_allclose(logs[0]["total"], logs[1]["total"], rtol=1e-4)
    np.testing.assert_allclose(logs[0]["critic"], logs[1]["critic"], rtol=1e-4)
    for (name, one), other in zip(shared.load().named_buffers(), alone.load().buffers(), strict=True):
        assert "running" not in name or torch.allclose(one, other, rtol=1e-2, atol=1e-4), name
    monkeypatch.delenv("P3M_RUNS")
    # Nothing is done again by one process, which takes the run for its own.
    before = {path: path.read_bytes() for path in home.glob("runs/**/run.json")}
    assert launch(1, *ROWS)[0] == 0
    assert before == {path: path.read_bytes() for path in home.glob("runs/**/run.json")}


def test_a_failure_ends_all_processes_with_its_message(home):
    status, _, errors = launch(3, "train", "basic", "--profile", "smoke")
    assert status and "cannot be shared evenly by 3 processes" in errors


@pytest.mark.parametrize("kind", ["icp", "fcp", "matched"])
def test_processes_draw_parts_of_one_batch(kind):
    rng = np.random.default_rng(0)
    mask = np.zeros((40, 40), bool)
    mask[8:30, 10:28] = True
    faces = [{"name": str(n), "image": rng.random((40, 40, 3), dtype=np.float32), "facemask": mask} for n in range(5)]
    sources = SourceFaces(faces, kind, 32, probability=0.7)
    images, masks = torch.rand(8, 3, 32, 32), torch.zeros(8, 1, 32, 32)
    masks[:, :, 6:20, 8:24] = 1
    whole = sources.draw(images, masks, np.random.default_rng(3))
    parts = [sources.draw(images[i : i + 4], masks[i : i + 4], np.random.default_rng(3), i, 8) for i in (0, 4)]
    for key, expected in whole.items():
        found = torch.cat([part[key] for part in parts])
        assert torch.equal(found if len(found) == len(expected) else found[:1], expected), key


def test_alone_nothing_waits(tmp_path):
    assert processes.agreed({"a": 1}) == {"a": 1} and processes.state().num_processes == 1
    with processes.locked(tmp_path / "x.lock"):
        pass
