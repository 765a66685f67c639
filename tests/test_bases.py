"""Bases of the package: half precision, checked when loaded, written from finished runs, and where trainings go on from."""

import json

import pytest
import torch
from test_runs import experiment, scaled

from p3mlib.data.datasets import open_dataset
from p3mlib.experiments import config, runs
from p3mlib.experiments.evaluate import evaluate, with_regions
from p3mlib.experiments.ship import ship
from p3mlib.io import DamagedFile
from p3mlib.models import bases, build_model, predict, weights
from p3mlib.results import captions
from p3mlib.synthetic.dataset import write_all


def basic():
    return build_model("p3mnet_resnet34", width=0.0625, tfi=False, sbfi=False, dbfi=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two bases of one network, in a folder of their own that everything takes for the package's."""
    folder = tmp_path / "bases"
    for seed in range(2):
        torch.manual_seed(seed)
        bases.write(f"basic-s{seed}", basic(), {"data": "made up"}, folder)
    for function in (bases.cards, bases.find, bases.load, bases.write):
        monkeypatch.setattr(function, "__defaults__", (folder,))
    return folder


def test_a_base_is_half_as_large_and_comes_back_nearly_the_same(folder):
    torch.manual_seed(0)
    model, base = basic().eval(), bases.load("basic-s0")
    for (key, ours), theirs in zip(model.state_dict().items(), base.state_dict().values(), strict=True):
        assert ours.dtype == theirs.dtype and torch.allclose(ours.float(), theirs.float(), rtol=1e-3, atol=1e-6), key
    floats = sum(value.numel() for value in model.state_dict().values() if value.is_floating_point())
    assert (folder / "basic-s0.safetensors").stat().st_size < 3 * floats
    assert not base.training and bases.cards()["basic-s0"]["data"] == "made up"
    assert torch.equal(next(weights.load("basic-s0").parameters()), next(base.parameters()))
    again = bases.halved(model).state_dict()
    assert all(torch.equal(again[key], value) for key, value in base.state_dict().items())


def test_seeds_take_bases_in_turn_and_unknown_names_are_listed(folder):
    assert [bases.find("basic", seed) for seed in range(3)] == ["basic-s0", "basic-s1", "basic-s0"]
    with pytest.raises(ValueError, match="no base of 'gfm'; there are basic"):
        bases.find("gfm", 0)
    with pytest.raises(ValueError, match="no base 'basic-s7'; there are basic-s0, basic-s1"):
        bases.load("basic-s7")
    assert bases.cards(folder / "nowhere") == {}


def test_a_flipped_byte_and_a_missing_file_are_named(folder):
    path = folder / "basic-s1.safetensors"
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFile, match=r"basic-s1.safetensors: damaged, its SHA-256"):
        bases.load("basic-s1")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"basic-s1.safetensors: no such file, though cards.json describes it"):
        bases.load("basic-s1")


def test_a_training_goes_on_from_a_base_of_its_seed(home, folder):
    one, scratch = (experiment("basic", init=init, epochs=1, lr=1e-12) for init in ("base", "scratch"))
    assert one.start == "basic-s0" and scratch.start is None
    ids = {e.run_id("d") for e in (one, one.model_copy(update={"seed": 1}), scratch)}
    assert len(ids) == 3
    run = runs.get(one, [], progress=False)
    assert run.record["base"] == "basic-s0" and len(run.training_log()) == 1
    end, start = run.load(), bases.load("basic-s0")
    for key, value in start.named_parameters():
        torch.testing.assert_close(end.get_parameter(key), value, atol=1e-9, rtol=0)
    before = one.run_id("d")
    bases.write("basic-s0", basic(), {"loss": [3.0, 2.0]}, folder)
    assert one.run_id("d") != before and len(run.training_log()) == 1, "another base is another training"


def test_a_base_that_went_on_from_a_base_tells_of_both(home, folder):
    bases.write("basic-s0", basic(), {"loss": [3.0, 2.0], "epochs": 2, "images": 7}, folder)
    first, more = bases.cards()["basic-s0"], experiment("basic", init="base", epochs=1)
    run = runs.get(more, [("P3M-500-P", "B")], progress=False)
    assert ship([more], folder) == (["basic-s0"], {})
    card = bases.cards()["basic-s0"]
    assert card["before"] == {"loss": [3.0, 2.0], "epochs": 2, "images": 7, "sha256": first["sha256"]}
    assert card["epochs"] == len(card["loss"]) == 1 and [lap["epochs"] for lap in bases.laps(card)] == [2, 1]
    assert run.training_log()["total"].round(4).tolist() == [3, 2, *card["loss"]], "its own base, not what replaced it"
    assert run.training_log()["epoch"].tolist() == [0, 1, 2]
    assert bases.laps(card, "of another") == []
    assert captions.training_sentence(["basic"], "smoke").count("2 on 7, 1 on 16 other blurred images") == 1


def test_finished_runs_become_bases_and_others_are_named(home, tmp_path, monkeypatch):
    done, begun = experiment("gfm", epochs=1), experiment("dim", epochs=1)
    pasted = scaled(config.load().experiment("p3mnet_r34_icp", "smoke"), {})
    runs.get(done, [("P3M-500-P", "B")], progress=False)
    written, left = ship([done, begun, pasted], tmp_path / "new")
    assert written == ["gfm-s0"] and left.keys() == {"dim-s0", "p3mnet_r34_icp-s0"}
    assert "not finished and scored; python -m p3mlib train dim" in left["dim-s0"] and "is no base" in left["p3mnet_r34_icp-s0"]
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("P3M_ROOT", str(tmp_path / "nowhere"))
        assert "nowhere" in ship([done], tmp_path / "none")[1]["gfm-s0"]
    card = json.loads((tmp_path / "new" / "cards.json").read_text())["gfm-s0"]
    assert len(card["loss"]) == card["epochs"] == 1
    assert card["steps"] == 2 and card["seconds"] > 0 and set(card["SAD"]) == {"P3M-500-P.B"}
    first = card["SAD of first images"]["P3M-500-P.B"]
    assert len(first) == 4 and sum(first) / 4 == pytest.approx(card["SAD"]["P3M-500-P.B"], abs=1e-3), "smoke has four test images"
    assert card["half precision"] < 0.002 and card["model"] == "gfm" and "real portrait" in card["not for"]
    assert len(list((tmp_path / "new").iterdir())) == 2


@pytest.fixture(scope="module")
def first_images(tmp_path_factory):
    """The first test images of profile `bases`, none of which is in a table: dict key as in cards -> samples."""
    spec = config.load().profile("bases").data
    root = write_all(tmp_path_factory.mktemp("first"), {"P3M-500-P": 4, "P3M-500-NP": 4}, spec.size, spec.seed, progress=False)
    sets = [("P3M-500-P", "B"), ("P3M-500-NP", "N")]
    return {f"{name}.{domain}": open_dataset(name, root / "P3M-10k", domain) for name, domain in sets}


@pytest.mark.parametrize(
    "name", [name for name, card in bases.cards().items() if card["profile"] != "photo" and card["seed"] == 0]
)
def test_a_base_errs_on_its_first_test_images_as_its_card_says(name, first_images):
    """What notices a network that is broken: all of these have learned something."""
    row, _, seed = name.rpartition("-s")
    card, model = bases.cards()[name], bases.load(name)
    profile = config.load().experiment(row, card["profile"], int(seed)).profile
    how = profile.test.strategy, profile.test.ratio, profile.test.resizing, 0, profile.train.size

    def plain(sample):  # its fast twin is another's concern
        return predict(model, sample["image"], *how, trimap=sample.get("trimap"))

    for key, portraits in first_images.items():  # a card may have more sets
        scored = evaluate(plain, portraits, with_regions, progress=False)["SAD"]
        assert scored.tolist() == pytest.approx(card["SAD of first images"][key], rel=0.01, abs=0.002)


def test_the_bases_of_the_package_are_as_their_cards_say():
    grid = config.load()
    for name in bases.cards():
        row, _, seed = name.rpartition("-s")
        base, wanted = bases.load(name), grid.experiment(row, bases.cards()[name]["profile"], int(seed))
        assert base.config["options"] == {"width": wanted.train.width, **wanted.row.options}
    sizes = {True: 0, False: 0}  # of the weights for photographs, of the others
    for name, card in bases.cards().items():
        sizes[card["profile"] == "photo"] += (bases.FOLDER / f"{name}.safetensors").stat().st_size
    assert sizes[True] < 15e6 and sizes[False] < 40e6
