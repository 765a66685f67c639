"""P3M-Net (R34): parameter counts of the paper, the official outputs with the same weights, the switches."""

import json
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from p3mlib.models import build_model, count_parameters, list_models, load_official
from p3mlib.models.p3mnet import fuse, unpool

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
        values = rng.normal(0, (1.5 / np.prod(shape[1:])) ** 0.5, shape)
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


@pytest.fixture(scope="module")
def official():
    """Our network with the parity kit's weights, handed over under the official names."""
    entries = json.loads((NETWORK / "keys_r34.json").read_text())
    state = {}
    for key, shape, source in entries:
        state[key] = reference_tensor(source, shape) if source else torch.zeros(shape, dtype=torch.int64)
    return load_official(build_model("p3mnet_resnet34"), state).eval(), state


@torch.inference_mode()
def test_same_weights_same_output_as_the_official_network(official):
    expected = np.load(NETWORK / "r34_a_1x3x64x96.npz")
    output = official[0](reference_input(101, 1, 64, 96))
    ours = dict(zip(("global", "local", "fusion", "side2", "side1", "side0"), (*output[:3], *output.sides), strict=True))
    for name, values in ours.items():
        outside = np.abs(values.numpy() - expected[name]) > (1e-4 if name in ("local", "fusion") else 2e-3)
        assert outside.mean() <= (2e-3 if name in ("local", "fusion") else 0), name


def test_load_official_lists_what_does_not_fit(official):
    model, state = official
    short = {k: v for k, v in state.items() if not k.startswith("tfi_3.transform")}
    with pytest.raises(KeyError, match=r"missing \['tfi.3.project.weight'\], surplus \['novel.weight'\]"):
        load_official(model, {**short, "novel.weight": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="size mismatch"):
        load_official(build_model("p3mnet_resnet34", width=0.125), state)


@pytest.mark.parametrize("switches", COUNTS)
def test_outputs(switches):
    tfi, sbfi, dbfi = switches
    torch.manual_seed(0)
    model = build_model("p3mnet_resnet34", width=0.0625, tfi=tfi, sbfi=sbfi, dbfi=dbfi).eval()
    output = model(torch.randn(2, 3, 64, 96))
    assert output.segmentation.shape == (2, 3, 64, 96)
    assert output.detail.shape == output.alpha.shape == (2, 1, 64, 96)
    assert [side.shape for side in output.sides] == [(2, 3, 64, 96)] * (3 if dbfi else 0)
    assert 0 <= output.alpha.min() and output.alpha.max() <= 1


def test_every_parameter_gets_a_gradient():
    model = build_model("p3mnet_resnet34", width=0.0625)
    output = model(torch.randn(2, 3, 64, 64))  # two images: batch norm at 2x2 has eight values to norm
    (output.segmentation.mean() + output.detail.mean() + sum(s.mean() for s in output.sides)).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


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
    pooled, indices = torch.nn.functional.max_pool2d(
        torch.randn(1, 3, 64, 80, generator=generator), 3, 2, 1, return_indices=True
    )
    values = torch.randn(pooled.shape, generator=generator)
    expected = torch.zeros(3, 64 * 80)
    for plane, channel in enumerate(expected):
        for position, value in zip(indices[0, plane].flatten().tolist(), values[0, plane].flatten(), strict=True):
            channel[position] = value
    assert indices[0, 0].unique().numel() < 0.9 * indices[0, 0].numel(), "many windows share a position"
    torch.set_num_threads(threads)
    x = values.to(memory_format=layout).requires_grad_()
    result = unpool(x, indices.to(memory_format=layout))
    assert torch.equal(result.flatten(2)[0], expected)
    result.backward(torch.arange(result.numel()).view(result.shape).float())
    assert torch.equal(x.grad, indices + torch.arange(3).view(3, 1, 1) * 64 * 80.0), "each window, the gradient of its position"


def test_messages():
    assert list_models() == ["p3mnet_resnet34"]
    with pytest.raises(ValueError, match="no model 'p3m'; there are p3mnet_resnet34"):
        build_model("p3m")
    with pytest.raises(ValueError, match=r"no option \['depth'\]; it has width, tfi, sbfi, dbfi"):
        build_model("p3mnet_resnet34", depth=3)
    with pytest.raises(ValueError, match="multiples of 32"):
        build_model("p3mnet_resnet34", width=0.0625)(torch.zeros(1, 3, 64, 50))
