"""The example that trains a whole profile on one GPU, here on the CPU: what it trains is what the package trains."""

import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from p3mlib.experiments import config, runs

EXAMPLES = Path(__file__).parent.parent / "examples"
ROWS = ("fba", "p3mnet_r34")
DRIVER = """
import sys
from p3mlib.experiments import config
grid = config.load()
train = grid.profile("smoke").train.model_copy(update=dict(init="scratch", width=0.0625, crop_sides=(64,), size=64, batch_size=4))
own = {"fba": grid.profile("laptop").overrides["fba"]}  # views of its own, of 96 px
grid.profiles["smoke"] = grid.profile("smoke").model_copy(update={"train": train, "overrides": own})
"""
CALL = """
import os
sys.path.insert(0, EXAMPLES)
import one_gpu
one_gpu.PART = 3
if KILLED:
    one_gpu.EVERY, took, calls = 0, one_gpu.Captured.__call__, []
    def dies(step, *arguments):
        calls.append(1)
        if len(calls) > 5:
            os._exit(9)
        took(step, *arguments)
    one_gpu.Captured.__call__ = dies
if __name__ == "__main__":
    sys.exit(one_gpu.main(["--profile", "smoke", *sys.argv[1:]]))
"""


def test_what_the_example_for_one_gpu_trains_is_what_the_package_trains(home, tmp_path, monkeypatch, capsys):
    def call(*arguments, killed=False):
        text = DRIVER + CALL.replace("EXAMPLES", repr(str(EXAMPLES))).replace("KILLED", str(killed))
        (tmp_path / "driver.py").write_text(text)
        command = [sys.executable, tmp_path / "driver.py", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=300)

    late = call(*ROWS, "--seconds", 0)
    assert late.returncode == 1 and late.stdout.count("time is up in epoch 0 of 2, step 0 of 4") == 2, late.stderr
    killed = call(*ROWS, killed=True)
    assert killed.returncode == 1 and "0 of 2 trained; the same command goes on" in killed.stdout, killed.stderr
    assert len(list((home / "runs" / "smoke").glob("*/captured.pt"))) == 2
    done = call(*ROWS)
    assert done.returncode == 0 and "2 of 2 trained" in done.stdout, done.stderr

    grid = config.load()
    monkeypatch.setitem(grid.profiles, "smoke", grid.profiles["smoke"])  # what stands there comes back afterwards
    exec(DRIVER, {})
    spec = importlib.util.spec_from_file_location("one_gpu", EXAMPLES / "one_gpu.py")
    spec.loader.exec_module(one_gpu := importlib.util.module_from_spec(spec))
    with pytest.raises(SystemExit):
        one_gpu.main(["--profile", "smoke", "p3mnet_r34_n"])
    assert "p3mnet_r34_n of profile smoke is not for this script" in capsys.readouterr().err
    assert one_gpu.main(["--profile", "smoke", *ROWS, "--pack", str(tmp_path / "packed")]) == 0
    packed = capsys.readouterr().out.split()
    for row in ROWS:
        experiment = grid.experiment(row, "smoke")
        ours = runs.Run(runs.needed_folder(experiment))
        assert not (ours.folder / "captured.pt").exists()
        with tarfile.open(packed[0]) as archive:
            names = {name for name in archive.getnames() if name.startswith(ours.id)}
        assert names == {f"{ours.id}/{name}" for name in ("config.json", "model.safetensors", "run.json", "train.csv")}
        with monkeypatch.context() as elsewhere:
            elsewhere.setenv("P3M_RUNS", str(tmp_path / "package"))
            theirs = runs.get(experiment, [("P3M-500-P", "B")], progress=False)
        own, other = (pd.read_csv(run.folder / "train.csv") for run in (ours, theirs))
        np.testing.assert_allclose(own["total"], other["total"], rtol=1e-3)
        assert own.columns.equals(other.columns) and ours.record.keys() == theirs.record.keys()
        assert ours.record["training"] == theirs.record["training"]
        for field in ("images", "read", "precision", "base"):
            assert ours.record[field] == theirs.record[field]
        runs.get(experiment, [("P3M-500-P", "B")], progress=False)
        assert ours.record["evaluations"] == theirs.record["evaluations"], "the package scores it as its own"
