"""Weights by one name: runs, released checkpoints with and without their network's name, and what is neither."""

import json

import pytest
import torch
from official import FOLDER, official_state
from PIL import Image
from safetensors.torch import save_file

from p3mlib.__main__ import main
from p3mlib.experiments.bench import bench
from p3mlib.models import build_model, from_pretrained, save_pretrained
from p3mlib.models.weights import candidates, fingerprint, load, ratio_for, strategy_and_ratio

NETWORKS = {
    "r34": ["p3mnet_resnet34"], "swin": ["p3mnet_swin_t"], "vitae": ["p3mnet_vitae_s"], "gfm_tt": ["gfm"],
    "gfm_ft": ["gfm_ft", "gfm_bt"], "lf": [],
    **{name: [name] for name in ("dim", "fba", "gca", "indexnet", "modnet", "shm")},
}  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A released checkpoint of MODNet, the smallest."""
    path = tmp_path_factory.mktemp("released") / "official.pth"
    torch.save({"state_dict": official_state("modnet")}, path)
    return path


def test_every_released_network_is_recognised_by_its_tensors():
    rows = {keys: json.loads((FOLDER / f"keys_{keys}.json").read_text()) for keys in NETWORKS}
    states = {keys: {row[0]: torch.empty(row[1], device="meta") for row in found} for keys, found in rows.items()}
    assert {keys: candidates(state) for keys, state in states.items()} == NETWORKS
    assert candidates({f"module.{name}": value for name, value in states["swin"].items()}) == ["p3mnet_swin_t"]
    del states["swin"]["decoder.decoder_final_l.weight"]
    assert candidates(states["swin"]) == []


@pytest.mark.parametrize("name", ["{}", "modnet:{}"])
def test_a_released_checkpoint_with_and_without_its_name(checkpoint, name):
    model = load(name.format(checkpoint))
    assert model.config["model"] == "modnet" and not model.training
    assert fingerprint(model) == fingerprint(load(checkpoint)) != fingerprint(build_model("modnet"))


def test_ours_by_folder_and_by_file(tmp_path):
    save_pretrained(build_model("modnet", width=0.0625), tmp_path)
    assert fingerprint(load(tmp_path)) == fingerprint(load(f"{tmp_path}/model.safetensors")) == fingerprint(load(str(tmp_path)))
    assert strategy_and_ratio(load(tmp_path)) == ("resize", None)


def test_released_weights_bring_the_rules_of_their_release_and_keep_them(checkpoint, tmp_path, monkeypatch):
    save_pretrained(load(checkpoint), tmp_path)
    assert strategy_and_ratio(from_pretrained(tmp_path)) == strategy_and_ratio(load(checkpoint)) == ("resize", 0.5)
    monkeypatch.setattr("p3mlib.models.official.load_strictly", lambda *_, **__: [])
    from p3mlib.models import load_official

    model = load_official(build_model("p3mnet_swin_t", width=0.0625), {"a.weight": torch.ones(1)})
    assert strategy_and_ratio(model) == ("hybrid", 0.5) and strategy_and_ratio(model, samples=True) == ("resize", 0.5)
    assert strategy_and_ratio(model, "resize", 1.0) == ("resize", 1.0)
    with torch.device("meta"):
        assert build_model("p3mnet_swin_t").smallest_side == 512


def test_the_default_ratio_aims_at_512_and_never_enlarges():
    assert ratio_for((1024, 300, 3)) == 0.5 and ratio_for((100, 200)) == 1 and ratio_for((1024, 1024), 0.25) == 0.25


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nonsense:{0}", "no model 'nonsense'; there are alphagan, "),
        ("lf:{0}", "no weights of lf were released"),
        ("p3mnet_resnet34:{0}", "not an official p3mnet_resnet34 checkpoint: missing: .* more; surplus: "),
        ("modnet:", "modnet: names no file; write modnet:CHECKPOINT"),
        ("modnet:absent.pth", "absent.pth: no such file"),
        ("modnet", "modnet has no weights of its own: name a folder of weights, or its released weights as modnet:CHECKPOINT"),
        ("{1}/other.pth", r"other.pth: a checkpoint of no network that was released \(its tensors: a.weight\); NAME:.*other.pth"),
        ("{1}/other.safetensors", "config.json: no such file; weights are a model.safetensors with config.json beside it"),
        ("{1}/begun.pt", "the state of a training that has not finished; the same command goes on"),
        ("{1}/picture.pth", r"picture.pth: is a picture \(PNG\), not weights"),
        ("{1}/nowhere", "model.safetensors: no such file"),
    ],
)
def test_what_is_none_of_them_is_told_with_the_way_out(checkpoint, tmp_path, name, message):
    state = {"a.weight": torch.ones(1)}
    torch.save(state, tmp_path / "other.pth")
    save_file(state, tmp_path / "other.safetensors")
    torch.save({"objective": state, "network": state, "history": []}, tmp_path / "begun.pt")
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.pth", "PNG")
    with pytest.raises((ValueError, OSError), match=message) as caught:
        load(name.format(checkpoint, tmp_path))
    assert len(str(caught.value).splitlines()) == 1


def test_several_networks_are_listed(checkpoint, monkeypatch):
    monkeypatch.setattr("p3mlib.models.weights.candidates", lambda state: ["gfm_ft", "gfm_bt"])
    with pytest.raises(ValueError, match=r"fits several networks; write NAME:.*official.pth with NAME one of gfm_ft, gfm_bt"):
        load(checkpoint)


def test_commands_take_released_weights(checkpoint, tmp_path):
    Image.new("RGB", (64, 64), "red").save(tmp_path / "a.png")
    name = f"modnet:{checkpoint}"
    assert main(["predict", str(tmp_path / "a.png"), "--weights", name, "-o", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out/a_alpha.png").is_file()
    assert bench([name], size=64, rounds=1, memory=False, progress=False)[0]["parameters"] > 6e6
