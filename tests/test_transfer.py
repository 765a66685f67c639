"""Transfer: weights from P3M-Synth, test images from elsewhere."""

import shutil

import numpy as np
import pytest

from p3mlib import paths
from p3mlib.data.datasets import LAYOUTS
from p3mlib.experiments import config, runs
from p3mlib.models.inference import predict
from p3mlib.results.transfer import anchors, transfer, transfer_errors, transfer_table
from p3mlib.synthetic import dataset

ROWS = ["p3mnet_r34"]


@pytest.fixture
def portraits(tmp_path):
    """A folder in the released layout, of another size and seed than the profile's; its P3M-500-NP is empty."""
    return dataset.write_p3m(tmp_path / "P3M-10k", {"train": 16, "P3M-500-P": 3}, (160, 96), 9, jobs=1, progress=False)


def test_errors_need_no_rescaling():
    alpha = np.zeros((100, 200), np.float32)
    alpha[:, 100:] = 1
    trimap = alpha.copy()
    trimap[:, 95:105] = 0.5
    found = transfer_errors(np.zeros_like(alpha), {"alpha": alpha, "trimap": trimap})
    assert found["SAD"] == pytest.approx(10) and found["MAD"] == pytest.approx(0.5) and found["MSE"] == pytest.approx(0.5)
    assert found["SAD-T"] == pytest.approx(0.5)
    assert 0 < transfer_errors(np.zeros_like(alpha), {"alpha": alpha})["SAD-T"] < 10, (
        "a trimap made of the matte, where none is stored"
    )


def test_networks_of_p3m_synth_are_scored_on_the_other_folder(home, portraits):
    blurred, normal = transfer(ROWS, "smoke", portraits, progress=False)
    assert len(blurred.errors) == 3 and blurred.errors["megapixels"].unique() == pytest.approx([160 * 96 / 1e6])
    assert normal.errors is None and "P3M-500-NP" in normal.note
    trained = runs.Run(paths.runs("smoke") / blurred.run).record
    assert trained["training"]["data"].startswith("synth") and blurred.setting == "B:B"
    limited, _ = transfer(ROWS, "smoke", portraits, limit=2, progress=False)
    assert limited.errors.equals(blurred.errors.iloc[:2])
    shutil.rmtree(portraits / LAYOUTS["P3M-500-P"].folder / "trimap")
    without, _ = transfer(ROWS, "smoke", portraits, limit=2, progress=False)
    assert without.errors["SAD"].equals(limited.errors["SAD"]) and without.errors["SAD-T"].between(0, without.errors["SAD"]).all()


def test_every_network_sees_the_size_of_the_profile_and_a_trimap_stays_exact(home, portraits, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "p3mlib.results.transfer.predict", lambda model, image, **how: seen.append(image.shape) or predict(model, image, **how)
    )
    shm, _, dim, _ = transfer(["shm", "dim"], "smoke", portraits, limit=2, progress=False)
    assert set(seen) == {(128, 77, 3)}, "the longer side of 160 x 96 cut down to the profile's 128"
    assert np.allclose(dim.errors["SAD"], dim.errors["SAD-T"]) and (shm.errors["SAD"] > shm.errors["SAD-T"]).all()


def test_a_real_root_is_tested_on_and_never_trained_on(home, portraits, monkeypatch):
    monkeypatch.setenv("P3M_ROOT", str(portraits))
    real = config.load().experiment(ROWS[0], "smoke")
    blurred, _ = transfer(ROWS, "smoke", paths.transfer_root(), progress=False)
    assert blurred.run != runs.folder(real).name
    record = runs.Run(paths.runs("smoke") / blurred.run).record
    assert record["training"]["data"].startswith("synth")


def test_the_table_without_portraits_has_the_anchor_and_dashes(home):
    table = transfer_table(ROWS, "smoke", progress=False)
    ours, anchor = [line.split(" | ") for line in table.markdown.splitlines()[-2:]]
    assert "P3M-Synth, B" in ours[0] and [cell.strip(" |") for cell in ours[1:]] == ["-"] * 6
    assert "DAViD-Large" in anchor[0] and "12.65" in anchor and "14.83" in anchor
    assert table.notes == ("no real portraits: name a P3M-10k folder in P3M_SAMPLE",)
    assert not list(home.rglob("model.safetensors")), "nothing was trained for it"


def test_a_profile_that_renders_nothing_to_train_on_says_so(home, portraits):
    blurred, _ = transfer(ROWS, "paper", portraits, progress=False)
    assert blurred.errors is None and "renders 1 training image" in blurred.note


def test_anchors_name_their_source():
    frame = anchors()
    assert set(frame["dataset"]) == {"P3M-500-P", "P3M-500-NP"} and frame["source"].str.len().min() > 20
    assert (frame["value"] > 0).all()


def test_real_portraits(home, real_sample):
    found = {r.dataset: r.errors for r in transfer(ROWS, "smoke", real_sample, progress=False)}
    assert {name: len(errors) for name, errors in found.items()} == {"P3M-500-P": 3, "P3M-500-NP": 4}
    assert found["P3M-500-P"]["megapixels"].min() > 1
