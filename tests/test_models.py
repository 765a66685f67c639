"""P3M-Net: parameter counts of the paper, the official outputs with the same weights, the switches, checkpoints."""

import copy
import json
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from p3mlib.models import (
    build_model,
    count_parameters,
    from_pretrained,
    list_models,
    load_imagenet,
    load_official,
    save_pretrained,
)
from p3mlib.models.blocks import max_unpool, unpool
from p3mlib.models.network import fuse
from p3mlib.models.resnet import StrideFirst

NETWORK = Path(__file__).parent / "parity" / "network"
COUNTS = {
    (False, False, False): 37_666_860,
    (True, False, False): 38_929_452,
    (True, True, False): 39_171_628,
    (True, False, True): 39_235_884,
    (True, True, True): 39_478_060,
}


@pytest.mark.parametrize(("switches", "expected"), COUNTS.items())
def test_parameters_are_those_of_table_7(switches, expected):
    with torch.device("meta"):
        model = build_model("p3mnet_resnet34", **dict(zip(("tfi", "sbfi", "dbfi"), switches, strict=True)))
    assert count_parameters(model) == expected
    assert count_parameters(model, paper=False) == expected - 513_000


@pytest.mark.parametrize(
    ("name", "expected", "unused"),
    [("p3mnet_resnet34", 39_478_060, 513_000), ("p3mnet_swin_t", 45_128_206, 0), ("p3mnet_vitae_s", 27_463_052, 513_256)],
)
def test_parameters_are_those_of_table_11(name, expected, unused):
    with torch.device("meta"):
        model = build_model(name)
    assert count_parameters(model) == expected and count_parameters(model, paper=False) == expected - unused


def reference_tensor(key, shape):
    """The parity kit's weights: drawn from a generator seeded with the checksum of the key."""
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(("5:" + key).encode())))
    if key.endswith("running_var"):
        values = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("running_mean"):
        values = rng.normal(0, 0.05, shape)
    elif len(shape) == 1 and key.endswith("weight"):
        values = rng.uniform(0.8, 1.2, shape)
    elif len(shape) <= 1:
        values = rng.normal(0, 0.02, shape)
    else:
        values = rng.normal(0, (1.5 / np.prod(shape[1:])) ** 0.5 * (0.2 if key.endswith("kqv.weight") else 1), shape)
        values -= values.mean(axis=(1, 2, 3), keepdims=True) if len(shape) == 4 else 0
    return torch.from_numpy(np.asarray(values, np.float32))


def reference_input(seed, n, height, width):
    """The parity kit's input: four plane waves a channel, and noise."""
    rng = np.random.Generator(np.random.PCG64(seed))
    y, x = ((np.arange(height) + 0.5) / height)[:, None], ((np.arange(width) + 0.5) / width)[None]
    planes = np.zeros((n, 3, height, width))
    for plane in planes.reshape(-1, height, width):
        for _ in range(4):
            u, v = rng.uniform(-4, 4, 2)
            phase, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.3, 0.9)
            plane += size * np.sin(2 * np.pi * (u * x + v * y) + phase)
    return torch.from_numpy((planes + 0.25 * rng.standard_normal(planes.shape)).astype(np.float32))


# variant: its parity case, input seed, tolerance of logits and of alphas
PARITY = {
    "p3mnet_resnet34": ("r34_a_1x3x64x96", 101, 2e-3, 1e-4),
    "p3mnet_swin_t": ("swin_a_1x3x256x256", 201, 5e-5, 1e-5),
    "p3mnet_vitae_s": ("vitae_a_1x3x64x96", 301, 1e-4, 1e-5),
}


def official_state(name):
    """The parity kit's weights under the official names."""
    entries = json.loads((NETWORK / f"keys_{PARITY[name][0].split('_')[0]}.json").read_text())
    state = {}
    for key, shape, *source in entries:
        source = source[0] if source else key
        state[key] = reference_tensor(source, shape) if source else torch.zeros(shape)
    return state


@pytest.fixture(scope="module", params=PARITY)
def official(request):
    """Name, our network with the parity kit's weights, and those weights under the official names."""
    state = official_state(request.param)
    model = load_official(build_model(request.param), state).eval()
    if request.param == "p3mnet_vitae_s":  # in no checkpoint
        for i, cell in enumerate(model.encoder.stages[0]):
            rng = np.random.Generator(np.random.PCG64(zlib.crc32(f"5:encoder.layers.0.NC.{i}.attn.w".encode())))
            cell.attn.features.copy_(torch.from_numpy(rng.normal(0, 0.5**0.5, (32, 64)).astype(np.float32)))
    return request.param, model, state


@torch.inference_mode()
@pytest.mark.parametrize("fused", [True, False])
def test_same_weights_same_output_as_the_official_network(official, fused):
    """Double precision: in single, rounding decides which of two nearly equal values a pooling takes, on each processor anew."""
    name, model, _ = official
    model = copy.deepcopy(model).double()
    case, seed, logit, alpha = PARITY[name]
    for module in model.modules():
        if hasattr(type(module), "fused"):
            module.fused = fused
    expected = np.load(NETWORK / f"{case}.npz")
    height, width = map(int, case.split("x")[2:])
    output = model(reference_input(seed, 1, height, width).double())
    step = -(-height // expected["global"].shape[-2])
    ours = dict(zip(("global", "local", "fusion", "side2", "side1", "side0"), (*output[:3], *output.sides), strict=True))
    for key, values in ours.items():
        off = np.abs(values.numpy()[..., ::step, ::step] - expected[key])
        assert off.max() <= (alpha if key in ("local", "fusion") else logit), key


@torch.inference_mode()
def test_an_image_of_a_batch_gets_what_it_gets_alone(official):
    _, model, _ = official
    images = reference_input(7, 2, 96, 64)
    both = model(images)
    for i in range(2):
        for whole, part in zip((*both[:3], *both.sides), (*(alone := model(images[i : i + 1]))[:3], *alone.sides), strict=True):
            assert torch.allclose(whole[i], part[0], atol=2e-4)


def test_load_official_lists_what_does_not_fit(official):
    name, model, state = official
    prefix = "" if name == "p3mnet_resnet34" else "decoder."
    short = {k: v for k, v in state.items() if not k.startswith(f"{prefix}tfi_3.transform")}
    short[f"{prefix}sbfi_1.conv1.weight"] = torch.zeros(2, 3)
    with pytest.raises(ValueError) as caught:
        load_official(model, {**short, "novel.weight": torch.zeros(1)})
    message = str(caught.value)
    assert f"not an official {name} checkpoint: missing: tfi.3.project.weight; surplus: novel.weight; of another shape" in message
    assert "sbfi.1.merge.0.weight (2, 3) for (" in message


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": s}, lambda s: {f"module.{k}": v for k, v in s.items()}])
@pytest.mark.parametrize("suffix", ["memory", ".pth", ".safetensors"])
def test_load_official_takes_files_and_wrappers(tmp_path, wrap, suffix):
    state = official_state("p3mnet_vitae_s")
    given = wrap(state)
    if suffix == ".pth":
        torch.save(given, tmp_path / "official.pth")
    elif suffix == ".safetensors" and "state_dict" not in given:
        save_file(given, tmp_path / "official.safetensors")
    elif suffix == ".safetensors":
        pytest.skip("safetensors hold no wrapper")
    model = build_model("p3mnet_vitae_s")
    load_official(model, given if suffix == "memory" else tmp_path / f"official{suffix}")
    assert torch.equal(model.detail.weight, state["decoder.decoder_final_l.weight"])
    assert torch.equal(model.encoder.stages[2][11].pcm[6].bias, state["encoder.layers.2.NC.11.PCM.6.bias"])


def test_checkpoints_that_are_refused(tmp_path):
    model = build_model("p3mnet_resnet34", width=0.125)
    with pytest.raises(FileNotFoundError, match="absent.pth: no such file"):
        load_official(model, tmp_path / "absent.pth")
    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"weight": Evil()}))
    with pytest.raises(ValueError, match="evil.pth: refused, loading it would run code"):
        load_official(model, tmp_path / "evil.pth")
    assert not Evil.ran
    with pytest.raises(ValueError, match="state dict: NaN or infinity in a.weight"):
        load_official(model, {"a.weight": torch.tensor([1.0, float("nan")])})
    with pytest.raises(ValueError, match="not a state dict"):
        load_official(model, {"epoch": 3})
    with pytest.raises(ValueError, match=r"not an official p3mnet_resnet34 checkpoint: missing: .* more; surplus: .* more"):
        load_official(build_model("p3mnet_resnet34"), official_state("p3mnet_vitae_s"))
    with pytest.raises(ValueError, match="of another shape: .*for"):
        load_official(model, official_state("p3mnet_resnet34"))


class Evil:
    """Would leave a trace if it were unpickled."""

    ran = []

    def __reduce__(self):
        return (Evil.ran.append, (1,))


def test_imagenet_weights_of_timm_and_of_the_authors():
    import timm

    for name, source in (("p3mnet_resnet34", "resnet34"), ("p3mnet_swin_t", "swin_tiny_patch4_window7_224")):
        weights = timm.create_model(source).state_dict()
        model = build_model(name)
        left = load_imagenet(model, weights)
        ours = model.encoder.state_dict()
        taken = [key for key in ours if key not in left and "num_batches" not in key]
        assert sum(ours[key].numel() for key in taken) > 20e6
        assert {key.split(".")[0] for key in left} == (set() if name == "p3mnet_resnet34" else {"stem", "merges"})
        same = [key for key in taken if any(torch.equal(ours[key], w) for w in weights.values() if w.shape == ours[key].shape)]
        assert same == taken
    encoder = {k.removeprefix("encoder."): v for k, v in official_state("p3mnet_vitae_s").items() if k.startswith("encoder.")}
    model = build_model("p3mnet_vitae_s")
    assert load_imagenet(model, encoder) == [f"stages.0.{i}.attn.features" for i in range(2)]
    assert torch.equal(model.encoder.merges[2].linear.weight, encoder["layers.3.RC.linear.weight"])
    with pytest.raises(ValueError, match="not ImageNet weights of p3mnet_resnet34's encoder"):
        load_imagenet(build_model("p3mnet_resnet34"), encoder)


def test_imagenet_weights_without_network_say_what_to_fetch(monkeypatch):
    def offline(*args, **kwargs):
        raise ConnectionError("no route")

    monkeypatch.setattr("timm.create_model", offline)
    with pytest.raises(
        OSError, match=r"Fetch model.safetensors from https://huggingface.co/timm/resnet34\S+ and name its folder"
    ):
        load_imagenet(build_model("p3mnet_resnet34"))
    with pytest.raises(OSError, match="nobody publishes ImageNet weights for p3mnet_vitae_s"):
        load_imagenet(build_model("p3mnet_vitae_s"))


def test_our_weights_come_back_with_their_configuration(tmp_path):
    torch.manual_seed(3)
    model = build_model("p3mnet_vitae_s", width=0.125, dbfi=False).eval()
    save_pretrained(model, tmp_path / "mine")
    again = from_pretrained(tmp_path / "mine")
    assert again.config == {"model": "p3mnet_vitae_s", "options": {"width": 0.125, "dbfi": False}} and not again.training
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.equal(model(image).alpha, again(image).alpha)
    assert sorted(p.name for p in (tmp_path / "mine").iterdir()) == ["config.json", "model.safetensors"]


def test_from_pretrained_messages(tmp_path, monkeypatch):
    with pytest.raises(
        FileNotFoundError, match="model.safetensors: no such file; weights are a model.safetensors with config.json beside"
    ):
        from_pretrained(tmp_path)
    save_pretrained(build_model("p3mnet_resnet34", width=0.0625), tmp_path)
    (tmp_path / "config.json").write_text('{"model": "p3mnet_resnet34", "options": {"width": 0.125}}')
    with pytest.raises(ValueError, match="not the weights that config.json describes: of another shape"):
        from_pretrained(tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"model": "resnet", "options": {}}')
    with pytest.raises(ValueError, match="config.json: names no network of ours"):
        from_pretrained(tmp_path)
    monkeypatch.setattr("p3mlib.models.pretrained.snapshot_download", lambda *a, **k: 1 / 0)
    with pytest.raises(OSError, match="some/model: no such folder, and the hub gives none"):
        from_pretrained("some/model")


@pytest.mark.parametrize("name", PARITY)
@pytest.mark.parametrize("switches", COUNTS)
def test_outputs(name, switches):
    tfi, sbfi, dbfi = switches
    torch.manual_seed(0)
    model = build_model(name, width=0.0625, tfi=tfi, sbfi=sbfi, dbfi=dbfi).eval()
    output = model(torch.randn(2, 3, 64, 96))
    assert output.segmentation.shape == (2, 3, 64, 96)
    assert output.detail.shape == output.alpha.shape == (2, 1, 64, 96)
    assert [side.shape for side in output.sides] == [(2, 3, 64, 96)] * (3 if dbfi else 0)
    assert 0 <= output.alpha.min() and output.alpha.max() <= 1


@torch.inference_mode()
@pytest.mark.parametrize("name", PARITY)
@pytest.mark.parametrize("size", [(64, 64), (224, 224), (128, 448), (512, 512)])
def test_sizes(name, size):
    output = build_model(name, width=0.0625).eval()(torch.randn(1, 3, *size))
    assert output.alpha.shape[2:] == size and output.segmentation.isfinite().all()


@pytest.mark.parametrize("name", PARITY)
def test_every_switch_changes_the_state_dict(name):
    full = build_model(name, width=0.0625).state_dict().keys()
    for switch in ("tfi", "sbfi", "dbfi"):
        gone = full - build_model(name, width=0.0625, **{switch: False}).state_dict().keys()
        assert gone and {key.split(".")[0] for key in gone} == {switch}


@pytest.mark.parametrize("name", PARITY)
def test_every_parameter_gets_a_gradient(name):
    model = build_model(name, width=0.0625)
    output = model(torch.randn(2, 3, 64, 64))  # two images: batch norm at 2x2 has eight values to norm
    (output.segmentation.mean() + output.detail.mean() + sum(s.mean() for s in output.sides)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


def test_padded_tokens_and_foreign_regions_are_never_attended():
    from p3mlib.models.p3mnet.swin_mp import _labels

    # Cuts of the official masks on the rolled grid, for a padding of 0, below, at and above 4.
    for length, padding, cuts in ((14, 0, [7, 11]), (21, 2, [14, 16, 18]), (21, 4, [14, 18]), (21, 6, [12, 14, 18])):
        label = _labels(length, padding, 3, "cpu")
        assert (label[1:] != label[:-1]).nonzero().flatten().add(1).tolist() == cuts
    assert _labels(14, 5, 0, "cpu").tolist() == [0] * 9 + [1] * 5
    tiny = _labels(7, 5, 3, "cpu").tolist()  # two real tokens, at 4 and 5 when rolled
    assert tiny[4] == tiny[5] and tiny.count(tiny[4]) == 2


def test_fusion_takes_detail_in_the_transition_only_and_gives_the_segmentation_no_gradient():
    logits = torch.eye(3).view(1, 3, 1, 3).requires_grad_()
    detail = torch.full((1, 1, 1, 3), 0.3, requires_grad=True)
    alpha = fuse(logits, detail)
    assert alpha.flatten().tolist() == pytest.approx([0, 0.3, 1])
    alpha.sum().backward()
    assert logits.grad is None and detail.grad.flatten().tolist() == [0, 1, 0]


def test_fusion_is_an_argmax_whose_first_maximum_wins():
    logits = torch.randint(0, 3, (2, 3, 40, 40)).float()  # many ties
    detail = torch.rand(2, 1, 40, 40)
    label = logits.argmax(1, keepdim=True)
    assert torch.equal(fuse(logits, detail), torch.where(label == 1, detail, (label == 2).float()))


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_unpool_lets_the_last_window_win_on_any_number_of_threads(threads, layout):
    generator = torch.Generator().manual_seed(0)
    pooled, indices = torch.nn.functional.max_pool2d(torch.randn(1, 3, 64, 80, generator=generator), 3, 2, 1, return_indices=True)
    values = torch.randn(pooled.shape, generator=generator)
    expected = torch.zeros(3, 64 * 80)
    for plane, channel in enumerate(expected):
        for position, value in zip(indices[0, plane].flatten().tolist(), values[0, plane].flatten(), strict=True):
            channel[position] = value
    assert indices[0, 0].unique().numel() < 0.9 * indices[0, 0].numel(), "many windows share a position"
    torch.set_num_threads(threads)
    x = values.to(memory_format=layout).requires_grad_()
    result = unpool(x, indices.to(memory_format=layout))
    assert torch.equal(max_unpool(x.detach(), indices.to(memory_format=layout)), result)
    assert torch.equal(result.flatten(2)[0], expected)
    result.backward(torch.arange(result.numel()).view(result.shape).float())
    assert torch.equal(x.grad, indices + torch.arange(3).view(3, 1, 1) * 64 * 80.0), "each window, the gradient of its position"


@pytest.mark.parametrize("side", [9, 32])
def test_a_stride_taken_first_changes_nothing(side):
    plain, first = (kind(8, 16, 1, stride=2, bias=False).double() for kind in (torch.nn.Conv2d, StrideFirst))
    first.load_state_dict(plain.state_dict())
    x = torch.randn(2, 8, side, side, dtype=torch.double)
    results = []
    for layer in (plain, first):
        own = x.clone().requires_grad_()
        output = layer(own)
        output.square().sum().backward()
        results.append((output.detach(), own.grad, layer.weight.grad))
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize("width", [0.0625, 0.125])
def test_no_narrow_projection_strides_by_itself(name, width):
    # oneDNN writes past its workspace there: GFM crashed at 256 px.
    convolutions = [m for m in build_model(name, width=width).modules() if isinstance(m, torch.nn.Conv2d)]
    strided = [m for m in convolutions if m.kernel_size == (1, 1) and max(m.stride) > 1 and m.in_channels < 16]
    assert all(isinstance(m, StrideFirst) for m in strided)


def test_messages():
    assert list_models() == sorted(list_models()) and set(PARITY) < set(list_models())
    with pytest.raises(ValueError, match="no model 'p3m'; there are alphagan, dim, fba, gca, gfm, hatt"):
        build_model("p3m")
    with pytest.raises(ValueError, match=r"no option \['depth'\]; it has width, tfi, sbfi, dbfi"):
        build_model("p3mnet_resnet34", depth=3)
    with pytest.raises(ValueError, match="multiples of 32"):
        build_model("p3mnet_resnet34", width=0.0625)(torch.zeros(1, 3, 64, 50))
