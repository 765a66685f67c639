"""A few faults (`make faults` tries as many as fit its time), that the judge sees what is lost, and faults of single files."""

import json
import shutil
import subprocess

import faults
import pytest
import torch
from fault_kinds import KINDS, TRAIN
from test_runs import SETS, experiment

from p3mlib.experiments import resume, runs
from p3mlib.experiments.train import build


@pytest.fixture(scope="module")
def work(tmp_path_factory, smoke_home):
    """Folder of a campaign with rendered images, and a function command -> what it leaves without a fault."""
    folder = tmp_path_factory.mktemp("faults")
    shutil.copytree(smoke_home / "data", folder / "data")
    return folder, faults.prepare(folder)


@pytest.mark.parametrize("name", ["killed", "checkpoint flipped", "full disk", "weights flipped"])
def test_after_a_fault_the_same_command_gives_the_same(name, work):
    folder, references = work
    result = faults.attempt(folder, name, 1, 0, references)
    assert len(references(KINDS[name][1]).results) > 10
    assert result is None or (result.lost == "" and result.faults > 0)


@pytest.mark.parametrize(
    ("why", "damage"),
    [("other results", lambda one: one.files("*/train.csv")[0].write_text("epoch\n")),
     ("half files", lambda one: (one.files("basic-*")[0] / ".0.1.partial").touch()),
     ("processes are left", lambda one: subprocess.Popen(["sleep", "99"], env={"P3M_HOME": str(one.home)}))],
)  # fmt: skip
def test_the_judge_sees_what_is_lost(work, monkeypatch, why, damage):
    folder, references = work
    monkeypatch.setitem(KINDS, "damage", (lambda one: one.finish() or (damage(one) and None), TRAIN))
    monkeypatch.setattr(faults, "GRACE", 0)
    assert why in faults.attempt(folder, "damage", 2, 0, references).lost


def test_the_table_counts_what_was_lost():
    tries = [faults.Tried(2.0, 3, ""), faults.Tried(4.0, 1, "other results")]
    text = faults.table({"killed": tries, "older cache": []})
    assert "| kill -9 of `train` in one process | 2 | 4 | 1 | 3 | 4 |" in text and "| all | 2 | 4 | 1 | | |" in text


def test_of_claims_only_those_on_speed_are_left_out(tmp_path):
    tables = tmp_path / "tables" / "smoke"
    tables.mkdir(parents=True)
    rows = [
        "The paper's claims on the tables: 3 PASS",
        "C1A PASS 1.0",
        "C39A PASS 0.1",
        "C39B PASS 0.1",
        "C39C PASS 6.49",
        "C39D PASS 0.1",
    ]
    (tables / "claims.md").write_text("\n".join(rows) + "\n")
    assert faults.results(tmp_path) == {"tables/smoke/claims.md": b"C1A PASS 1.0\nC39C PASS 6.49\n"}


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_in_a_checkpoint_is_named_and_not_used(home, tmp_path, caplog):
    network = build(experiment("basic"))
    state = {"objective": {}, "network": network.state_dict(), "optimiser": {}, "history": [1]}
    torch.save(state, tmp_path / "checkpoint.pt")
    assert resume.read(tmp_path, network)["history"] == [1] and not caplog.text
    flip(tmp_path / "checkpoint.pt", (tmp_path / "checkpoint.pt").stat().st_size // 2)
    assert resume.read(tmp_path, network) == {} and "checkpoint.pt: damaged (the checksum of" in caplog.text


@pytest.mark.parametrize("change", [lambda s: s.pop("optimiser"), lambda s: s["network"].popitem()])
def test_a_checkpoint_of_an_older_version_is_named_and_not_used(home, tmp_path, caplog, change):
    network = build(experiment("basic"))
    state = {"objective": {}, "network": network.state_dict(), "optimiser": {}, "history": [1]}
    change(state)
    torch.save(state, tmp_path / "checkpoint.pt")
    assert resume.read(tmp_path, network) == {} and "so the training begins anew" in caplog.text


def test_weights_with_a_flipped_bit_score_nothing_and_are_trained_anew(home, caplog):
    run = runs.get(experiment("basic"), SETS[:1], progress=False)
    table, weights = run.folder / "per_image" / "P3M-500-P.B.csv", run.folder / "model.safetensors"
    before, expected = table.read_bytes(), weights.read_bytes()
    flip(weights, -5)
    runs.get(experiment("basic"), SETS, progress=False)
    assert f"{weights}: damaged" in caplog.text and f"so {run.id} is trained anew" in caplog.text
    assert table.read_bytes() == before and weights.read_bytes() == expected and len(run.per_image(*SETS[1])) == 4


def test_a_record_without_what_this_version_writes_is_scored_again(home):
    run = runs.get(experiment("basic"), SETS[:1], progress=False)
    record = run.record
    for key in ("evaluations", "seconds"):
        (run.folder / "run.json").write_text(json.dumps({name: value for name, value in record.items() if name != key}))
        runs.get(experiment("basic"), SETS[:1], progress=False)
        assert run.record["evaluations"] == record["evaluations"]


def test_what_a_killed_command_left_half_written_goes(home):
    run = runs.get(experiment("basic"), [], progress=False)
    half = run.folder / ".0badcafe.1.partial.csv"
    half.touch()
    runs.get(experiment("basic"), SETS[:1], progress=False)
    assert not half.exists() and len(run.per_image(*SETS[0])) == 4
