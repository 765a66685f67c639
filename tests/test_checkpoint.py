"""Checkpoints: what a file is, what is harmless in it, and what is refused; weights of ours that are damaged."""

import argparse
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save, save_file

from p3mlib.io import DamagedFile
from p3mlib.models import build_model, from_pretrained, load_imagenet, load_official, save_pretrained
from p3mlib.models.checkpoint import kind_of, read_checkpoint

STATE = {"a.weight": torch.arange(6.0).view(2, 3), "a.bias": torch.ones(2)}


def torch_bytes(content, **options):
    file = io.BytesIO()
    torch.save(content, file, **options)
    return file.getvalue()


def picture(kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, kind)
    return file.getvalue()


def archive(kind):
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as made:
            made.writestr("weights/model.pth", b"x")
    else:
        with tarfile.open(fileobj=file, mode="w") as made:
            made.addfile(tarfile.TarInfo("model.pth"))
    return file.getvalue()


def script():
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.ReLU(), torch.ones(1)), file)
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>quota</title>", r"is a web page \(HTML\)"),
        (b"<html>" + b"x" * 9000, r"is a web page \(HTML\)"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "is a Git LFS pointer.*git lfs pull"),
        (b"Entry not found", "is text that begins with 'Entry not found'"),
        ('{"error": "zu groß"}'.encode(), "is text that begins with"),
        (picture(), r"is a picture \(PNG\)"),
        (picture("JPEG"), r"is a picture \(JPEG\)"),
        (b"Rar!\x1a\x07\0" + bytes(50), "is a RAR.* unpack it"),
        (b"\x1f\x8b\x08" + bytes(50), "is a RAR, 7z or TAR archive, or a compressed file: unpack it"),
        (archive("zip"), "is a ZIP archive of weights/model.pth, not weights: unpack it"),
        (archive("tar"), "is a TAR archive: unpack it"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "is HDF5, as Keras writes"),
        (script(), "is TorchScript"),
        (b"\x01\x02\x03\x04" * 8, "is no file of PyTorch or safetensors; it begins with 01 02 03 04"),
        (b"", "is empty; the download or copy was cut short"),
        (bytes(5000), "holds nothing but zeros"),
        (torch_bytes(STATE)[:-200], "damaged, a ZIP file, as PyTorch writes, without its end"),
        (torch_bytes(STATE, _use_new_zipfile_serialization=False)[:200], "damaged, or not a checkpoint"),
        (save(STATE)[:-4], "damaged, or not a checkpoint"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else len(value),
)
def test_a_file_that_is_no_checkpoint_is_called_what_it_is(tmp_path, content, words, suffix):
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"weights\{suffix}: {words}") as caught:
        load_official(build_model("p3mnet_resnet34", width=0.0625), path)
    assert "run code" not in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_a_folder_and_nothing_are_not_files(tmp_path):
    with pytest.raises(ValueError, match="is a folder; name the file"):
        read_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_checkpoint(tmp_path / "absent.pth")


def test_what_a_file_is_does_not_depend_on_its_suffix(tmp_path):
    (tmp_path / "a.pth").write_bytes(save(STATE))
    (tmp_path / "b.safetensors").write_bytes(torch_bytes(STATE))
    (tmp_path / "c.bin").write_bytes(torch_bytes(STATE, _use_new_zipfile_serialization=False))
    assert [kind_of(path) for path in sorted(tmp_path.iterdir())] == ["safetensors", "torch", "torch"]
    for path in tmp_path.iterdir():
        assert all(torch.equal(value, STATE[name]) for name, value in read_checkpoint(path).items())


def test_every_flipped_byte_of_a_tensor_is_noticed(tmp_path):
    whole = torch_bytes(STATE)
    begin = whole.index(STATE["a.weight"].numpy().tobytes())
    for position in range(begin, begin + 24):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        (tmp_path / "a.pth").write_bytes(damaged)
        with pytest.raises(DamagedFile, match="a.pth: damaged, .* does not fit its checksum"):
            read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    "beside",
    [
        {"best": np.float64(0.5), "losses": [np.float32(1), np.int64(2)], "done": np.bool_(True)},
        {"history": np.arange(3.0), "names": np.array(["a", "b"]), "args": argparse.Namespace(lr=np.float64(1e-3))},
        {"epoch": 3, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": []}, "note": None},
    ],
)
@pytest.mark.parametrize("wrapper", ["state_dict", "model", "model_state_dict", "net", "anything"])
def test_values_beside_the_tensors_are_harmless(tmp_path, beside, wrapper):
    torch.save({wrapper: STATE, **beside}, tmp_path / "a.pth")
    found = read_checkpoint(tmp_path / "a.pth")
    assert found.keys() == STATE.keys() and torch.equal(found["a.weight"], STATE["a.weight"])


def test_arrays_of_numpy_are_tensors_too():
    found = read_checkpoint({name: value.numpy() for name, value in STATE.items()} | {"epoch": 3})
    assert torch.equal(found["a.weight"], STATE["a.weight"]) and found.keys() == STATE.keys()


def test_several_state_dicts_are_named():
    with pytest.raises(ValueError, match="it holds critic, generator: save one of them alone"):
        read_checkpoint({"generator": STATE, "critic": STATE})
    with pytest.raises(ValueError, match="holds a list, not a state dict"):
        read_checkpoint_of([STATE])


def read_checkpoint_of(content):
    from p3mlib.models.checkpoint import _unwrapped

    return _unwrapped(content, "state dict")


def renamed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


PREFIXES = ["module.", "_orig_mod.", "module._orig_mod.", "model.", "net.", "student.ema."]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_that_all_names_share_is_taken_off(tmp_path, prefix):
    torch.manual_seed(0)
    source, target = (build_model("gfm", width=0.0625) for _ in range(2))
    state = {name: value for name, value in source.state_dict().items() if not name.endswith("num_batches_tracked")}
    state = {name.replace("encoder.", "encoder._orig_mod."): value for name, value in state.items()}
    load_official(target, renamed(state, prefix) | {f"{prefix}glance.0.0.total_ops": torch.ones(1)})
    assert all(torch.equal(value, source.state_dict()[name]) for name, value in target.state_dict().items())
    save_pretrained(source, tmp_path)
    save_file(renamed(source.state_dict(), prefix), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(source.config))
    assert torch.equal(from_pretrained(tmp_path).bottleneck.weight, source.bottleneck.weight)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prefixes_of_imagenet_weights_too(prefix):
    import timm

    torch.manual_seed(0)
    weights = {name: value for name, value in timm.create_model("resnet34").state_dict().items() if not name.startswith("fc.")}
    for name in ("gfm", "p3mnet_resnet34"):
        model = build_model(name)
        assert load_imagenet(model, renamed(weights, prefix)) == []
        assert torch.equal(model.encoder.layer1[0].conv1.weight, weights["layer1.0.conv1.weight"])


def test_one_name_without_the_prefix_is_listed():
    model = build_model("gfm", width=0.0625)
    first, *others = model.state_dict()
    state = model.state_dict()
    with pytest.raises(ValueError, match="surplus: module."):
        load_official(model, {first: state[first], **{f"module.{name}": state[name] for name in others}})


@pytest.mark.parametrize("name", ["official.pth", "weights.pt", "x.ckpt"])
def test_a_checkpoint_as_weights_is_answered_with_the_way_to_use_it(tmp_path, name):
    torch.save(STATE, tmp_path / name)
    with pytest.raises(
        ValueError, match=rf"{name}: a checkpoint .* save_pretrained\(load_official\(build_model\(NAME\), '.*{name}'\)"
    ):
        from_pretrained(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="absent.pth"):
        from_pretrained(tmp_path / "absent.pth")


def test_an_unfinished_training_as_weights(tmp_path):
    torch.save({"objective": STATE, "network": STATE, "optimiser": {}, "history": [1]}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="training that has not finished; the same command goes on"):
        from_pretrained(tmp_path / "checkpoint.pt")
    with pytest.raises(FileNotFoundError, match="its training has not finished, the same command goes on"):
        from_pretrained(tmp_path)


def test_other_files_as_weights(tmp_path):
    (tmp_path / "a.jpg").write_bytes(picture())
    with pytest.raises(ValueError, match=r"a.jpg: is a picture \(PNG\), not weights"):
        from_pretrained(tmp_path / "a.jpg")


def test_damaged_weights_and_configurations_of_ours_are_named(tmp_path):
    save_pretrained(build_model("gfm", width=0.0625), tmp_path)
    assert from_pretrained(tmp_path / "config.json").config["model"] == "gfm"
    whole = (tmp_path / "model.safetensors").read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 4
    for content in (flipped, whole[:-1], b""):
        (tmp_path / "model.safetensors").write_bytes(content)
        with pytest.raises(DamagedFile, match="model.safetensors: .*damaged|model.safetensors: is empty"):
            from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(whole)
    for content in ("", '{"model": "gf', "\x00"):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(DamagedFile, match="config.json: damaged, not JSON"):
            from_pretrained(tmp_path)
    for content in ("[1]", '{"model": "gfm", "options": {"width": "wide"}}', '{"model": "gfm", "options": {"width": -1e3}}'):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match="config.json: names no network of ours|not the weights"):
            from_pretrained(tmp_path)
