"""A training that is stopped within an epoch goes on to the same bytes, and says early what all of it needs."""

import pytest
import torch
from safetensors.torch import load_file
from test_runs import experiment

from p3mlib.__main__ import main
from p3mlib.experiments import config, corpus, forecast, resume, runs
from p3mlib.experiments.train import fit


class Stopped(BaseException):
    """As by Ctrl-C."""


class StopAt:
    """Stands in for a Forecast: stops the training after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def start(self, *about):
        self.about = about

    def begin(self):
        pass

    def end(self):
        if self.left == 0:
            raise Stopped
        self.left -= 1


def train(one, folder, hook=None):
    folder.mkdir(exist_ok=True)
    scale, row = one.profile, one.row
    faces = corpus.open_set("CelebA", "N", scale) if row.copy_paste != "none" else None
    fit(one, corpus.open_set("train", row.domain, scale), folder, False, faces, None, hook)
    return (folder / "model.safetensors").read_bytes(), (folder / "train.csv").read_bytes()


@pytest.mark.parametrize(("row", "workers"), [("shm", 0), ("hatt", 0), ("p3mnet_swin_t", 2), ("p3mnet_r34_icp", 0)])
def test_stopped_within_an_epoch_it_goes_on_to_the_same_bytes(row, workers, home, monkeypatch):
    """SHM has three stages and dropout, HATT a critic, Swin-T stochastic depth; one with loader processes, one pasting faces."""
    one = experiment(row, epochs=3, batch_size=4, workers=workers)
    torch.set_num_threads(1)
    straight = train(one, home / "straight")
    monkeypatch.setattr(resume, "EVERY", 0)
    states = []
    for steps in (2, 1, 3):  # within the first epoch, within it again, in the second
        with pytest.raises(Stopped):
            train(one, home / "broken", StopAt(steps))
        states.append(torch.load(home / "broken" / "checkpoint.pt", weights_only=True))
    assert [len(state["history"]) for state in states] == [0, 0, 1] and states[0]["within"]["step"] == 2
    assert states[1]["within"]["step"] == 3 and states[2]["within"]["step"] == 2
    assert train(one, home / "broken") == straight
    assert len(torch.load(home / "broken" / "checkpoint.pt", weights_only=True)["history"]) == 3, "until a record says finished"
    assert load_file(home / "broken" / "model.safetensors")


def test_killed_after_its_last_step_and_before_its_record_nothing_is_trained_again(home, monkeypatch):
    one = experiment("basic")
    with monkeypatch.context() as patched, pytest.raises(Stopped):
        patched.setattr(runs, "record", lambda *_: StopAt(0).end())
        runs.get(one, [], progress=False)
    weights = runs.needed_folder(one) / "model.safetensors"
    before = weights.read_bytes()
    with monkeypatch.context() as patched:
        patched.setattr("p3mlib.experiments.train._epoch", lambda *_: 1 / 0)
        run = runs.get(one, [], progress=False)
    assert run.record["finished"] and weights.read_bytes() == before
    assert not (run.folder / "checkpoint.pt").exists()


def test_a_checkpoint_of_before_is_read(tmp_path):
    network = torch.nn.Linear(2, 2)
    torch.save({"objective": {}, "network": network.state_dict(), "optimiser": {}, "history": []}, tmp_path / "checkpoint.pt")
    assert resume.read(tmp_path, network)["within"] is None


def test_a_trial_keeps_nothing_and_says_what_the_training_needs(home, capsys):
    assert main(["train", "basic_n", "--profile", "smoke", "--batch", "4"]) == 2
    assert "--batch goes with --steps" in capsys.readouterr().err
    assert main(["train", "p3mnet_r34", "basic_n", "--profile", "smoke", "--steps", "1", "--batch", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("p3mnet_r34 seed 0: 8 steps of 4 images, ") and "waiting for data" in lines[0]
    assert lines[0].endswith("GB at the peak, CPU") and lines[1].startswith("basic_n seed 0: ")
    assert lines[2].startswith("all 2 trainings, one after the other: ") and not list(home.glob("runs/smoke/*"))
    assert main(["train", "p3mnet_r34", "--profile", "smoke", "--steps", "9"]) == 1
    assert "its whole training has fewer than 9 steps" in capsys.readouterr().err


def test_a_long_training_says_so_after_its_first_steps(home, monkeypatch):
    said = []
    monkeypatch.setattr(forecast.tqdm, "write", said.append)
    one = experiment("basic", epochs=3, batch_size=4)
    train(one, home / "quick", forecast.Forecast())
    assert not said
    monkeypatch.setattr(forecast.Forecast, "LONG", 0)
    train(one, home / "long", forecast.Forecast())
    assert len(said) == 1 and said[0].startswith("basic seed 0: 12 steps of 4 images, ")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 32}, "basic: 16 training images are fewer than one batch of 32"),
        ({"init": "imagenet"}, "nobody publishes ImageNet weights for p3mnet_vitae_s on a hub"),
    ],
)
def test_what_would_end_a_later_training_is_said_before_the_first(change, message, home, monkeypatch, capsys):
    grid = config.load()
    smoke = grid.profiles["smoke"]
    monkeypatch.setitem(grid.profiles, "smoke", smoke.model_copy(update={"train": smoke.train.model_copy(update=change)}))
    monkeypatch.delenv("P3M_IMAGENET", raising=False)
    assert main(["train", "basic", "p3mnet_vitae_s", "--profile", "smoke", "--jobs", "1"]) == 1
    assert message in capsys.readouterr().err and not list(home.glob("runs/smoke/*"))


@pytest.mark.parametrize(("seconds", "text"), [(45, "45 s"), (91, "1.5 min"), (3600 * 3.2, "3.2 h"), (86400 * 25.1, "25.1 days")])
def test_durations(seconds, text):
    assert forecast.duration(seconds) == text
