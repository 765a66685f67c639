"""Training and the run cache: identical when repeated, identical when killed and resumed, never done twice."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from p3mlib.data.datasets import SYNTH_MARKERS, MissingData
from p3mlib.experiments import config, corpus, runs, untrained
from p3mlib.experiments.parallel import run_all
from p3mlib.experiments.profiles import TrainChange
from p3mlib.experiments.train import fit, learning_rate
from p3mlib.experiments.views import TrainingViews, loader_processes
from p3mlib.io import PrivateFile
from p3mlib.models import bases

SETS = [("P3M-500-P", "B"), ("P3M-500-NP", "N")]


def experiment(name="p3mnet_r34", **train):
    """A row of profile smoke from scratch, smaller than there."""
    base = config.load().experiment(name, "smoke")
    return scaled(base, {"init": "scratch", "width": 0.0625, "size": 64, "epochs": 2, **train})


def with_seed(one, seed):
    return one.model_copy(update={"seed": seed})


def scaled(one, train, **test):
    """An experiment whose profile trains and tests otherwise, and whose row adds nothing to that."""
    profile = one.profile
    changed = {"train": profile.train.model_copy(update=train), "test": profile.test.model_copy(update=test)}
    row = one.row.model_copy(update={"training": TrainChange()})
    return one.model_copy(update={"row": row, "profile": profile.model_copy(update=changed)})


def test_a_run_holds_everything_and_is_not_done_again(home, monkeypatch):
    run = runs.get(experiment(), SETS, progress=False)
    record = run.record
    assert (
        record["images"] == 16
        and record["training"]["seed"] == 0
        and record["versions"]["torch"] == torch.__version__.split("+")[0]
        and record["versions"]["opencv"] == cv2.__version__
    )
    assert set(record["evaluations"]) == {"P3M-500-P.B", "P3M-500-NP.N"}
    assert record["seconds"].keys() == {"training", "scoring"} and all(spent > 0 for spent in record["seconds"].values())
    assert len(run.training_log()) == 2 and run.training_log()["total"].notna().all()
    assert len(run.per_image("P3M-500-P", "B")) == 4
    assert len(list((run.folder / "gallery" / "P3M-500-NP.N").glob("*.png"))) == 4
    assert not list(run.folder.rglob("*partial*")) and not (run.folder / "checkpoint.pt").exists()

    monkeypatch.setattr(runs, "fit", None)
    (run.folder / "model.safetensors").unlink()
    again = runs.get(experiment(), SETS, progress=False)
    assert again.record == record, "per-image results stand without the weights"
    with pytest.raises(FileNotFoundError, match="no weights to score other images"):
        runs.get(experiment(), [("P3M-500-P", "N")], progress=False)
    with pytest.raises(KeyError, match="was not scored"):
        run.per_image("RWP", "N")


def test_training_under_ppt_cannot_open_an_original_image(home, tmp_path):
    private, normal = experiment(), experiment("p3mnet_r34_n")
    portraits = {domain: corpus.open_set("train", domain, private.profile, False) for domain in "BN"}
    with pytest.raises(PrivateFile, match="original_image"):
        fit(private, portraits["N"], tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
    for one, domain in ((private, "B"), (normal, "N")):
        run = runs.get(one, [], progress=False)
        original = "train/original_image" in run.record["read"]
        assert original == (domain == "N") and ("train/blurred_image" in run.record["read"]) != original
    pasted = runs.get(experiment("p3mnet_r34_icp"), [], progress=False).record["read"]
    assert "CelebA-HQ-img" in pasted and "train/original_image" not in pasted


def test_two_runs_of_a_row_give_identical_per_image_files(home, monkeypatch):
    contents = []
    for name in ("first", "second"):
        monkeypatch.setenv("P3M_RUNS", name)
        run = runs.get(experiment("tfi"), SETS, progress=False)
        contents.append([(run.folder / "per_image" / f"{s}.{d}.csv").read_bytes() for s, d in SETS])
    assert contents[0] == contents[1]


def test_another_way_of_testing_scores_again_without_training(home, monkeypatch):
    first = experiment("basic")
    run = runs.get(first, SETS[:1], progress=False)
    before = run.record["evaluations"]["P3M-500-P.B"]
    monkeypatch.setattr(runs, "fit", None)
    hybrid = scaled(first, {}, strategy="hybrid", ratio=0.5)
    again = runs.get(hybrid, SETS[:1], progress=False)
    assert again.id == run.id and before["strategy"] == "resize"
    assert again.record["evaluations"]["P3M-500-P.B"] == {**before, "strategy": "hybrid", "ratio": 0.5}


@pytest.mark.parametrize("row", ["basic", "shm", "hatt"])
def test_a_training_that_was_killed_and_resumed_gives_the_same_weights(row, home, monkeypatch):
    """A real SIGKILL after the first epochs, then the same command again; of one stage, of three, and with a critic."""
    one = experiment(row, epochs=8).model_dump_json(exclude_unset=True)
    spec = "from p3mlib.experiments import runs; from p3mlib.experiments.config import Experiment; "
    spec += f"runs.get(Experiment.model_validate_json({one!r}), [], progress=False)"

    def start(folder):
        return subprocess.Popen([sys.executable, "-c", spec], env={**os.environ, "P3M_RUNS": str(folder)})

    straight, broken = home / "straight", home / "broken"
    assert start(straight).wait() == 0
    process = start(broken)
    deadline = time.monotonic() + 120
    while not list(broken.rglob("checkpoint.pt")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    (checkpoint,) = broken.rglob("checkpoint.pt")
    done = len(torch.load(checkpoint, weights_only=True)["history"])
    assert 1 <= done < 8 and not list(broken.rglob("model.safetensors")), "killed too late to test anything"
    assert start(broken).wait() == 0
    (first,), (second,) = (list(folder.rglob("model.safetensors")) for folder in (straight, broken))
    one, other = load_file(first), load_file(second)
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    logs = [path.with_name("train.csv").read_text() for path in (first, second)]
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 8 + 1


def test_rows_go_on_from_a_base_of_the_package_in_their_last_stage(home):
    rows = [config.load().experiment(name, "smoke") for name in ("shm", "shm_n")]
    assert rows[0].run_id("d") != rows[1].run_id("d") and rows[0].start == rows[1].start == "shm-s0"
    trained = run_all(rows, {row.name: [] for row in rows}, jobs=2, progress=False)
    base = sum(len(lap["loss"]) for lap in bases.laps(bases.cards()["shm-s0"]))
    for run, row in zip(trained, rows, strict=True):
        log = run.training_log()
        assert run.record["base"] == "shm-s0" and list(log["epoch"]) == list(range(base + row.train.epochs))
        assert set(log["stage"][:base]) == {"base"} and set(log["stage"][base:]) == {"end to end"}
        assert ("train/original_image" in run.record["read"]) == (row.row.domain == "N")


def test_a_process_looks_at_all_files_and_decodes_them_once(home, monkeypatch):
    looks = []
    write_all = corpus.synthetic.write_all
    monkeypatch.setattr(
        corpus.synthetic, "write_all", lambda *a, now, **options: looks.extend(now) or write_all(*a, now=now, **options)
    )
    runs.get(experiment("basic"), SETS, progress=False)
    runs.get(experiment("tfi"), SETS, progress=False)
    assert sorted(looks) == sorted({"train", *(name for name, _ in SETS)})
    profile = experiment().profile
    assert corpus.kept("train", "B", profile, False) is corpus.kept("train", "B", profile, False)
    assert corpus.kept("train", "N", profile, False) is not corpus.kept("train", "B", profile, False)
    large = experiment(in_memory=False).profile
    assert isinstance(corpus.kept("train", "B", large, False), runs.datasets.Portraits)


def test_only_images_that_are_asked_for_are_rendered(tmp_path, monkeypatch):
    monkeypatch.setenv("P3M_HOME", str(tmp_path))
    profile, folder = experiment().profile, tmp_path / "data" / "smoke"
    assert corpus.size("train", "B", profile) == 16 and not folder.exists()
    assert [s["name"] for s in corpus.samples("P3M-500-P", "N", profile, 2)] == ["p_00000", "p_00001"]
    assert len(corpus.samples("RWP", "N", profile, 99)) == 2 and len(corpus.open_set("P3M-500-NP", "N", profile, False)) == 4
    assert len(list(folder.glob("**/mask/*.png"))) == 6 and not (folder / "P3M-10k" / "train").exists()
    assert len(corpus.open_set("P3M-500-P", "B", profile, False)) == 4


def test_what_never_looks_at_the_image_is_scored_once(home, monkeypatch):
    profile = config.load().profile("smoke")
    mean, black = (
        untrained.reference(method, profile, progress=False).per_image("RWP", "N") for method in reversed(untrained.REFERENCES)
    )
    alphas = [s["alpha"] for s in corpus.samples("RWP", "N", profile, 9)]
    assert black["MAD"].tolist() == pytest.approx([alpha.mean() for alpha in alphas])
    assert (mean["MAD"] != black["MAD"]).all()
    monkeypatch.setattr(runs, "evaluate", None)
    assert untrained.reference("Mean matte", profile, progress=False).per_image("RWP", "N").equals(mean)


def test_real_photographs_stay_on_disk(home, monkeypatch):
    profile = experiment().profile
    monkeypatch.setenv("P3M_ROOT", str(corpus.root("train", profile)))
    for name, domain in (("train", "B"), *SETS):
        assert isinstance(corpus.kept(name, domain, profile, False), runs.datasets.Portraits)
    assert isinstance(corpus.kept("RWP", "N", profile, False), runs.datasets.InMemory)


def test_training_learns(home):
    """Sixteen images, learned nearly by heart."""
    run = runs.get(experiment(epochs=25, width=0.125, lr=3e-3), [], progress=False)
    log = run.training_log()["total"]
    assert log.iloc[-1] < 0.6 * log.iloc[0]


def test_fill_trains_side_by_side_what_get_trains_alone(home, monkeypatch):
    experiments = [experiment("basic"), experiment("tfi")]
    together = run_all(experiments, {one.name: SETS[:1] for one in experiments}, jobs=2, progress=False)
    monkeypatch.setenv("P3M_RUNS", "alone")
    for run, one in zip(together, experiments, strict=True):
        alone = runs.get(one, SETS[:1], progress=False)
        assert alone.id == run.id and alone.per_image(*SETS[0]).equals(run.per_image(*SETS[0]))


def test_missing_layers_and_too_few_images_are_named(home):
    with pytest.raises(ValueError, match="16 training images are fewer than one batch of 32"):
        runs.get(experiment(batch_size=32), [], progress=False)


def test_missing_real_data_is_an_explanation(home, monkeypatch):
    monkeypatch.setenv("P3M_ROOT", "nowhere")
    with pytest.raises(MissingData, match="no such folder"):
        runs.get(experiment(), SETS, progress=False)
    with pytest.raises(MissingData, match="expected below it"):
        corpus.check_real_roots()
    assert corpus.samples("P3M-500-P", "B", experiment().profile, 3) == []
    assert runs.folder(experiment()) is None


def test_a_real_root_in_which_p3m_synth_is_not_drawn_to_its_end_is_refused(home, monkeypatch):
    monkeypatch.setenv("P3M_ROOT", str(home / "part" / "P3M-10k"))
    corpus.synthetic.write_all(home / "part", {"P3M-500-P": 1}, 32, 0, jobs=1, progress=False)
    corpus.check_real_roots()
    finished, started = (home / "part" / name for name in SYNTH_MARKERS)
    finished.rename(started)  # as an interrupted call leaves it
    with pytest.raises(MissingData, match="not all is drawn; python -m p3mlib synth"):
        corpus.check_real_roots()


def test_learning_rate():
    train = config.load().profile("smoke").train
    values = [learning_rate(train, done) for done in np.linspace(0, 1, 101)]
    assert max(values) <= train.lr and values.index(max(values)) in (5, 6) and values[0] < 0.1 * train.lr and values[-1] < 1e-9

    def rates(schedule, *moments):
        return [learning_rate(train.model_copy(update={"schedule": schedule}), done) / train.lr for done in moments]

    assert rates("constant", 0, 0.5, 1) == [1, 1, 1]
    assert rates("step", 0, 0.24, 0.25, 0.6, 0.99) == pytest.approx([1, 1, 0.1, 0.01, 0.001])
    assert rates("poly", 0, 0.5) == pytest.approx([1, 0.5**0.9])
    assert rates("triangle", 0, 0.05, 0.1, 0.2, 0.3) == pytest.approx([1 / 3, 2 / 3, 1, 1 / 3, 1])


def test_networks_train_as_published_where_the_profile_says_so():
    grid = config.load()
    paper, laptop = (grid.experiment("modnet", profile).train for profile in ("paper", "laptop"))
    assert (paper.optimiser, paper.lr, paper.schedule, paper.epochs, paper.batch_size) == ("sgd", 0.01, "step", 40, 16)
    assert (laptop.optimiser, laptop.schedule) == ("adam", "cosine") and laptop.width == 1.5 * grid.profile("laptop").train.width
    assert grid.experiment("p3mnet_r34", "paper").train == grid.profile("paper").train
    assert (grid.experiment("dim", "laptop").train.batch_size, grid.experiment("dim", "paper").train.batch_size) == (16, 1)
    assert grid.experiment("lf", "laptop").row.options["blocks"] == [2, 4, 6, 4] and grid.rows["lf"].options == {}


def test_the_gallery_holds_the_first_predictions(home):
    run = runs.get(experiment(), SETS, progress=False)
    gallery = run.gallery(*SETS[0])
    assert list(gallery) == sorted(run.per_image(*SETS[0]).index)[: runs.GALLERY] and gallery["p_00000"].shape == (128, 128)
    assert run.gallery("RWP", "N") == {}


def test_untrained_methods_are_cached_too(home, monkeypatch):
    profile = config.load().profile("smoke")
    sets = [("P3M-500-P", "B"), ("P3M-500-P", "N")]
    run = untrained.get("Closed", sets, profile, progress=False)
    assert [len(run.per_image(*pair)) for pair in sets] == [4, 4] and run.id.startswith("closed-")
    monkeypatch.setattr(runs, "evaluate", None)
    assert untrained.get("Closed", sets, profile, progress=False).id == run.id


def test_run_json_is_readable(home):
    run = runs.get(experiment("basic"), [], progress=False)
    assert json.loads((run.folder / "run.json").read_text())["training"]["options"] == {
        "tfi": False,
        "sbfi": False,
        "dbfi": False,
    }


def test_damaged_records_checkpoints_and_scores_are_named_and_made_anew(home, caplog):
    run = runs.get(experiment("basic"), SETS[:1], progress=False)
    weights, table = load_file(run.folder / "model.safetensors"), run.folder / "per_image" / "P3M-500-P.B.csv"
    scores = table.read_bytes()
    record = (run.folder / "run.json").read_bytes()
    damages = {
        "run.json": lambda: (run.folder / "run.json").write_bytes(record[: len(record) // 2]),
        "checkpoint.pt": lambda: ((run.folder / "run.json").unlink(), (run.folder / "checkpoint.pt").write_bytes(b"\x80\x02x")),
        "P3M-500-P.B.csv": lambda: table.write_bytes(scores[:-40]),
    }
    for name, damage in damages.items():
        caplog.clear()
        damage()
        again = runs.get(experiment("basic"), SETS[:1], progress=False)
        assert f"{name}: damaged" in caplog.text and again.id == run.id
        assert table.read_bytes() == scores and again.record["finished"]
        assert all(torch.equal(load_file(run.folder / "model.safetensors")[key], value) for key, value in weights.items())


def test_little_shared_memory_means_no_loader_processes(home, monkeypatch, caplog):
    one = experiment("basic", workers=4)
    views = TrainingViews(corpus.open_set("train", "B", one.profile, False), one.train, 0)
    assert loader_processes(views) == 4 and not caplog.text
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(64, 63, 100_000))
    assert loader_processes(views) == 0 and "/dev/shm has 0 MB free and 4 loader processes may need" in caplog.text
