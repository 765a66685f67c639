"""Runs side by side through Dask: on this machine, by the address of a scheduler, with workers that die or share no folder."""

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from test_runs import SETS, experiment

from p3mlib.__main__ import main
from p3mlib.experiments import cluster, config, runs, workers
from p3mlib.experiments.parallel import RunsFailed, fill, run_all
from p3mlib.experiments.tasks import Training, Untrained
from p3mlib.io import DamagedFile

ROWS = ["basic", "tfi"]


def python(*arguments, **environment):
    """A process of its own, with the settings that README asks for."""
    return subprocess.Popen([sys.executable, "-m", *arguments], env={**os.environ, "OMP_NUM_THREADS": "1", **environment})


@contextmanager
def scheduler(folder):
    """A Dask scheduler: its address, and a function that starts a worker of it with an environment and options."""
    file, started = folder / "scheduler.json", []

    def worker(*options, **environment):
        where = ["--scheduler-file", str(file), "--local-directory", str(folder), "--no-dashboard"]
        started.append(python("distributed.cli.dask_worker", *where, *options, **environment))
        return started[-1]

    started.append(
        python(
            "distributed.cli.dask_scheduler",
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--no-dashboard",
            "--scheduler-file",
            str(file),
        )
    )
    try:
        deadline = time.monotonic() + 120
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        yield json.loads(file.read_text())["address"], worker
    finally:
        for process in started:
            process.kill()
            process.wait()


def results(folder):
    """What trainings and scorings left below a folder of runs: dict relative path -> content."""
    kept = ("train.csv", "model.safetensors", "P3M-500-P.B.csv", "P3M-500-NP.N.csv")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.name in kept}


def lengths_seen(folder, until):
    """Epochs in the checkpoint of a training, each change of them, until `until()` is true."""
    seen = []
    while not until():
        for path in folder.rglob("checkpoint.pt"):
            try:
                length = len(torch.load(path, weights_only=True)["history"])
            except (FileNotFoundError, RuntimeError, EOFError):
                continue
            if seen[-1:] != [length]:
                seen.append(length)
        time.sleep(0.01)
    return seen


def test_two_workers_by_address_give_what_one_process_gives_though_one_dies_twice(home, monkeypatch, capsys):
    command = ["train", *ROWS, "--profile", "smoke"]
    monkeypatch.setenv("P3M_RUNS", "alone")
    assert main([*command, "--jobs", "1"]) == 0
    monkeypatch.delenv("P3M_RUNS")
    with scheduler(home) as (address, worker):
        workers_of_it = [worker("--no-nanny", "--nthreads", "1") for _ in range(2)]
        call = python("p3mlib", *command, "--scheduler", address)
        for deaths in range(2):
            while call.poll() is None and len(list(home.glob("runs/smoke/*/train.csv"))) <= deaths:
                time.sleep(0.02)
            assert call.poll() is None, "killed too late to test anything"
            workers_of_it[0].send_signal(signal.SIGKILL)
            workers_of_it[0] = worker("--no-nanny", "--nthreads", "1")
        assert call.wait(300) == 0
    assert results(home / "runs") == results(home / "alone") and len(results(home / "runs")) == 8
    assert not [path for path in (home / "runs").rglob("*") if "partial" in path.name or ".asked" in path.name]


def test_another_worker_goes_on_from_the_last_epoch_of_one_that_died(home):
    one = Training(experiment("basic", epochs=30))
    with scheduler(home) as (address, worker):
        first = worker("--no-nanny", "--nthreads", "1")
        call = f"from test_parallel import *; fill([Training(experiment('basic', epochs=30))], scheduler={address!r})"
        process = subprocess.Popen([sys.executable, "-c", call], cwd=os.path.dirname(__file__))
        seen = lengths_seen(home / "runs", lambda: process.poll() is not None or _epochs(home) > 2)
        first.send_signal(signal.SIGKILL)
        first.wait()
        worker("--no-nanny", "--nthreads", "1")
        seen += lengths_seen(home / "runs", lambda: process.poll() is not None)
        assert process.wait() == 0
    assert seen == sorted(seen) and seen[0] < 30, "a training that begins anew has fewer epochs than before"
    log = one.run().training_log()
    assert list(log["epoch"]) == list(range(30)) and one.is_done()


def _epochs(home):
    """How many epochs trainings have written."""
    return sum(len(path.read_text().splitlines()) - 1 for path in home.glob("runs/*/*/train.csv"))


def test_a_run_that_does_not_arrive_is_named_and_the_others_do(home, monkeypatch):
    real = workers.unpack

    def unpack(files, folder):
        if folder.name.startswith(ROWS[0]):
            raise OSError(28, "No space left on device", str(folder))
        real(files, folder)

    monkeypatch.setattr(workers, "unpack", unpack)
    tasks = [Training(config.load().experiment(row, "smoke"), tuple(SETS[:1])) for row in ROWS[:2]]
    with scheduler(home) as (address, worker):
        worker("--no-nanny", "--nthreads", "1", P3M_RUNS="there")
        with pytest.raises(RunsFailed, match="No space left on device"):
            fill(tasks, progress=False, scheduler=address)
    assert tasks[1].is_done() and not tasks[0].is_done()


def test_without_a_shared_folder_runs_travel(home, monkeypatch):
    monkeypatch.setenv("P3M_RUNS", "alone")
    assert main(["train", *ROWS, "--profile", "smoke", "--jobs", "1"]) == 0
    monkeypatch.delenv("P3M_RUNS")
    runs.get(config.load().experiment("basic", "smoke"), SETS[:1], progress=False)  # one is here, and goes on there
    with scheduler(home) as (address, worker):
        for name in ("there", "elsewhere"):
            worker("--no-nanny", "--nthreads", "1", P3M_RUNS=name)
        assert main(["train", *ROWS, "--profile", "smoke", "--scheduler", address]) == 0
    assert results(home / "runs") == results(home / "alone")
    for run in (home / "runs" / "smoke").glob("*/run.json"):
        assert json.loads(run.read_bytes())["finished"]
    assert {p.name for p in (home / "runs").rglob("*.png")} == {p.name for p in (home / "alone").rglob("*.png")} != set()


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--no-nanny", "--nthreads", "2"], "has 2 threads; start it with --nthreads 1"),
     (["--nthreads", "1"], "may not start processes, which load data; start it with --no-nanny")],
)  # fmt: skip
def test_a_worker_that_is_not_fit_is_told_how_to_start(home, capsys, options, message):
    with scheduler(home) as (address, worker):
        worker(*options)
        assert main(["train", "basic", "--profile", "smoke", "--scheduler", address]) == 1
    error = capsys.readouterr().err
    assert message in error and "p3mlib train: basic seed 0: worker tcp://" in error and not list(home.rglob("train.csv"))


def test_an_address_where_nobody_is(home, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "_PATIENCE", 1)
    for address in ("tcp://127.0.0.1:9", "nonsense://x"):
        assert main(["train", "basic", "--profile", "smoke", "--scheduler", address]) == 1
        assert f"p3mlib train: --scheduler {address}: no Dask scheduler answers there" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_that_fails_is_named_and_the_others_are_done(home, jobs):
    tasks = [Training(experiment("basic", batch_size=32)), Training(experiment("tfi"), tuple(SETS[:1]))]
    with pytest.raises(RunsFailed) as failed:
        fill(tasks, jobs, progress=False)
    assert str(failed.value) == "basic seed 0: 16 training images are fewer than one batch of 32"
    assert tasks[1].is_done() and not tasks[0].is_done()
    assert fill(tasks[1:], jobs, progress=False)[0].state() == "cached"


def test_one_task_and_what_is_cached_need_no_cluster(home, monkeypatch):
    monkeypatch.setattr(cluster, "client", None)
    one, other = ([Training(experiment(name), tuple(SETS[:1]))] for name in ("basic", "tfi"))
    fill(one, jobs=2, progress=False)
    fill([*one, *other, *one], jobs=2, progress=False)
    methods = [Untrained("Closed", tuple(SETS), other[0].profile)]
    assert not methods[0].is_done() and fill([*one, *methods], jobs=2, progress=False)[1].per_image(*SETS[1]).shape[0] == 4
    assert methods[0].is_done() and fill([]) == []


def test_force_forgets_what_is_cached(home):
    one = experiment("basic")
    before = run_all([one], {"basic": SETS[:1]}, progress=False)[0]
    old = before.record
    run_all([one], {"basic": SETS[:1]}, progress=False)
    assert before.record == old
    (before.folder / "left.txt").touch()
    run_all([one], {"basic": SETS[:1]}, force=True, progress=False)
    assert before.record["finished"] and not (before.folder / "left.txt").exists()


def test_the_job_script_of_the_example_for_slurm(monkeypatch, tmp_path):
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install dask-jobqueue")
    script = Path(__file__).parent.parent / "examples" / "slurm.py"
    monkeypatch.chdir(tmp_path)
    done = subprocess.run(
        [sys.executable, script, "--print", "--memory", "8", "--directive=--partition=gpu", "p3mnet_r34", "--profile", "gpu"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for line in ("--cpus-per-task=5", "--mem=8G", "-t 12:00:00", "--gres=gpu:1", "--partition=gpu"):
        assert f"#SBATCH {line}\n" in done.stdout
    (command,) = [line for line in done.stdout.splitlines() if "dask_worker" in line]
    assert command.startswith(sys.executable)
    for option in ("--nthreads 1 ", "--no-nanny", "--resources GPU=1,MEMORY=8e9"):
        assert option in command


def test_a_file_that_was_damaged_on_its_way_is_named_and_nothing_is_written(home, tmp_path):
    run = runs.get(experiment("basic"), SETS[:1], progress=False)
    (run.folder / "checkpoint.pt").touch()
    files = workers.pack(run.folder)
    assert list(files)[-1] == "run.json" and not {"checkpoint.pt"} & files.keys()
    workers.unpack(files, tmp_path / "copy")
    assert workers.pack(tmp_path / "copy") == files
    digest, content = files["model.safetensors"]
    broken = {**files, "model.safetensors": (digest, content[:-1] + bytes([content[-1] ^ 1]))}
    with pytest.raises(DamagedFile, match="other/model.safetensors: was damaged on its way"):
        workers.unpack(broken, tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("failures", "begun"), [(0, 1), (2, 3), (3, 3)])
def test_a_cluster_whose_worker_dies_while_it_starts_starts_again(failures, begun):
    starts = []

    def start(**settings):
        starts.append(settings)
        if len(starts) <= failures:
            raise RuntimeError("Nanny failed to start.")  # as distributed says it
        return "cluster"

    if failures < 3:
        assert cluster._started(start, {"n_workers": 2}) == "cluster"
    else:
        with pytest.raises(RuntimeError, match="Nanny"):
            cluster._started(start, {"n_workers": 2})
    assert starts == [{"n_workers": 2}] * begun
