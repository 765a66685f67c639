"""The fast path gives what the plain network gives; the bench reports both."""

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from p3mlib.__main__ import main
from p3mlib.experiments.bench import bench, plain
from p3mlib.matte import make_trimap
from p3mlib.models import bases, build_model, fast, list_models, predict, winograd
from p3mlib.models.blocks import PyramidMerge, upsample
from p3mlib.models.inference import has_bfloat16, predict_batch
from p3mlib.models.p3mnet import fused
from p3mlib.models.trimap_based.fba import StandardisedConv2d
from p3mlib.models.trimap_based.indexnet import IndexBlock
from p3mlib.synthetic.portrait import render_portrait

VARIANTS = ("p3mnet_resnet34", "p3mnet_swin_t", "p3mnet_vitae_s")
OTHERS = {"gfm": {}, "hatt": {"layers": (1, 2, 2, 1)}, "lf": {"blocks": (2, 2, 2, 2)}, "modnet": {}, "shm": {}}


def warmed(name):
    """A narrow network whose batch norms do something."""
    torch.manual_seed(0)
    model = build_model(name, width=0.125)
    for _ in range(3):
        model.train()(2 * torch.randn(2, 3, 64, 64) + 1)
    return model.eval()


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("size", [(64, 96), (224, 224)])
def test_the_fast_path_gives_the_same(name, size):
    model, image = warmed(name), torch.randn(2, 3, *size)
    names = list(model.state_dict())
    with torch.inference_mode():
        expected = model(image)
    quick = fast(model)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in quick.modules())
    output = quick(image)
    assert output.sides == () and output.alpha.dtype == torch.float32
    for one, other in zip(expected[:2], output[:2], strict=True):
        assert torch.allclose(one, other, atol=1e-3)
    assert list(model.state_dict()) == names and len(model(image).sides) == 3, "the model itself is not changed"


@torch.inference_mode()
@pytest.mark.parametrize(("name", "options"), OTHERS.items())
def test_the_fast_path_of_other_networks_gives_the_same(name, options):
    torch.manual_seed(0)
    model, image = build_model(name, width=0.125, **options), torch.randn(2, 3, 64, 96)
    for _ in range(3):
        model.train()(2 * image + 1)
    expected, output = model.eval()(image), fast(model)(image)
    assert torch.allclose(expected.detail, output.detail, atol=1e-3)
    assert torch.allclose(expected.segmentation, output.segmentation, atol=1e-3)


@torch.inference_mode()
@pytest.mark.parametrize("name", [*VARIANTS, "dim", "gca", "shm"])
def test_networks_give_the_same_with_all_their_3x3_convolutions_in_fewer_multiplications(name, monkeypatch):
    torch.manual_seed(0)
    model = build_model(name, width=0.125).eval()
    image = torch.rand(2, model.channels, 64, 96)
    monkeypatch.setattr(winograd, "_least", lambda: 1000)
    expected = fast(model)(image)
    monkeypatch.setattr(winograd, "_least", lambda: 0)
    monkeypatch.setattr(winograd, "_TILES", 0)
    quick = fast(model)
    assert sum(isinstance(module, winograd.Winograd) for module in quick.call.modules()) > 5
    assert not any(isinstance(module, winograd.Winograd) for module in (*model.modules(), *quick.network.modules()))
    assert torch.allclose(expected.detail, quick(image).detail, atol=1e-4)


@torch.inference_mode()
@pytest.mark.parametrize(("inputs", "outputs"), [(128, 128), (200, 96), (96, 200)])
@pytest.mark.parametrize("size", [(1, 64, 64), (2, 13, 22), (3, 4, 1), (1, 2, 3)])
@pytest.mark.parametrize(("bias", "dilation"), [(True, 1), (False, 1), (True, 2), (False, 4)])
def test_a_convolution_in_fewer_multiplications_is_the_convolution(inputs, outputs, size, bias, dilation, monkeypatch):
    torch.manual_seed(0)
    convolution = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation, bias=bias)
    x = torch.randn(size[0], inputs, *size[1:])
    exact = F.conv2d(x.double(), convolution.weight.double(), convolution.bias.double() if bias else None, 1, dilation, dilation)
    if torch.backends.cpu.get_cpu_capability() != "AVX512":
        assert winograd.pays(convolution)
    monkeypatch.setattr(winograd, "_TILES", 0)
    monkeypatch.setattr(winograd, "_WASTE", 1000)
    whole = winograd.Winograd(convolution)(x)
    assert not torch.equal(whole, convolution(x))
    assert (whole - exact).norm() < 5e-6 * exact.norm()
    monkeypatch.setattr(winograd, "_BLOCK", 1)  # one row of tiles after the other
    assert torch.allclose(winograd.Winograd(convolution)(x.contiguous(memory_format=torch.channels_last)), whole, atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize(("size", "dilation"), [((8, 8), 1), ((30, 17), 1), ((16, 16), 6), ((16, 64), 16)])
def test_small_maps_and_those_that_tiles_do_not_fit_take_the_convolution_itself(size, dilation):
    convolution = nn.Conv2d(128, 128, 3, padding=dilation, dilation=dilation)
    x = torch.randn(1, 128, *size)
    assert torch.equal(winograd.Winograd(convolution)(x), convolution(x)) == (size != (30, 17))


def test_only_a_plain_3x3_convolution_of_many_channels_on_a_cpu_is_taken(monkeypatch):
    monkeypatch.setattr(winograd, "_least", lambda: 128)
    plain = {"in_channels": 128, "out_channels": 128, "kernel_size": 3, "padding": 1}
    assert winograd.pays(nn.Conv2d(**plain))
    assert winograd.pays(nn.Conv2d(**{**plain, "padding": 2, "dilation": 2}))
    others = [{"stride": 2}, {"dilation": 2}, {"groups": 2}, {"kernel_size": 5}, {"padding": 0}, {"out_channels": 64}]
    others += [{"padding_mode": "reflect"}, {"dtype": torch.bfloat16}, {"device": "meta"}]
    for other in others:
        assert not winograd.pays(nn.Conv2d(**{**plain, **other})), other
    assert not winograd.pays(nn.Linear(128, 128))


@torch.inference_mode()
@pytest.mark.parametrize(("pooled", "channels"), [(4, 400), (3, 504), (3, 16)])
def test_pooled_maps_are_convolved_before_they_are_upsampled(pooled, channels):
    torch.manual_seed(0)
    merge, x = PyramidMerge(channels, pooled, 8).eval(), torch.randn(2, channels, 12, 20)
    maps = [F.adaptive_avg_pool2d(x, n) for n in (1, 2, 3, 6)[:pooled]]
    grown = [F.interpolate(y, x.shape[2:], mode="bilinear", align_corners=True) for y in maps]
    expected = F.conv2d(torch.cat([*grown, x], 1), merge.weight, merge.bias)
    assert torch.allclose(merge(maps, x), expected, atol=1e-5)


@torch.inference_mode()
def test_index_blocks_give_the_same_in_either_order():
    torch.manual_seed(0)
    block, x = IndexBlock(24).eval(), torch.randn(2, 24, 12, 20)
    quick, block.fused = block(x), False
    for one, other in zip(block(x), quick, strict=True):
        assert torch.allclose(one, other, atol=1e-6) and other.is_contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def test_standardised_filters_are_settled():
    torch.manual_seed(0)
    model, image = build_model("fba", width=0.0625).eval(), torch.rand(1, 4, 32, 32)
    quick = fast(model)
    assert not any(isinstance(module, StandardisedConv2d) for module in quick.modules())
    assert any(isinstance(module, StandardisedConv2d) for module in model.modules()), "the model itself is not changed"
    assert torch.allclose(model(image).alpha, quick(image).alpha, atol=1e-4)


@pytest.mark.parametrize("name", ["p3mnet_r34", "modnet", "dim", "fba"])
@pytest.mark.parametrize("strategy", ["resize", "hybrid"])
def test_a_batch_gives_each_image_what_it_gets_alone(name, strategy):
    model = fast(bases.load(f"{name}-s0"))
    portraits = [render_portrait(seed, (160, 128)) for seed in (1, 2, 3)]
    images, trimaps = [p.image for p in portraits], [make_trimap(p.alpha) for p in portraits]
    together = predict_batch(model, images, strategy, 0.7, trimaps=trimaps)
    alone = [predict(model, image, strategy, 0.7, trimap=trimap) for image, trimap in zip(images, trimaps, strict=True)]
    assert np.abs(np.subtract(together, alone)).max() < 1e-3 and np.ptp(alone[0]) > 0.5
    with pytest.raises(ValueError, match="not all of one size"):
        predict_batch(model, [images[0], images[1][:64]], strategy, trimaps=trimaps)


SMALL = {"hatt": {"layers": (1, 2, 2, 1)}, "lf": {"blocks": (2, 2, 2, 2)}}


def photograph():
    rng = np.random.default_rng(0)
    return rng.random((70, 50, 3), np.float32), np.repeat([0.0, 0.5, 1.0], (20, 30, 20))[:, None].repeat(50, 1)


def same(found, expected):
    """Up to rounding; a class may tip where two are equal."""
    return found.shape == expected.shape and (np.abs(found - expected) > 1e-3).mean() < 2e-3


@pytest.mark.parametrize("name", list_models())
def test_predict_takes_fast_networks(name):
    torch.manual_seed(0)
    model = build_model(name, width=0.0625, **SMALL.get(name, {})).eval()
    image, trimap = photograph()
    for strategy in ("resize", "hybrid"):
        expected = predict(model, image, strategy, side=64, trimap=trimap)
        assert same(predict(fast(model), image, strategy, side=64, trimap=trimap), expected)


def test_predict_takes_wrapped_networks():
    torch.manual_seed(0)
    model, (image, trimap) = build_model("dim", width=0.0625).eval(), photograph()
    expected = predict(model, image, trimap=trimap)
    wrapped = nn.DataParallel(model)
    for form in (wrapped, torch.compile(model, backend="eager"), fast(wrapped), nn.DataParallel(fast(model))):
        assert same(predict(form, image, trimap=trimap), expected)


@pytest.mark.parametrize("name", list_models())
def test_a_fast_network_has_the_attributes_of_its_network(name):
    model = build_model(name, width=0.0625, **SMALL.get(name, {})).eval()
    quick = fast(model)
    for attribute in ("channels", "mean", "std", "multiple", "resizing", "smallest_side", "config"):
        assert getattr(quick, attribute) == getattr(model, attribute), attribute
    assert quick.input_size(100, 300, 64) == model.input_size(100, 300, 64)
    assert [stage.name for stage in quick.stages()] == [stage.name for stage in model.stages()]
    with pytest.raises(AttributeError, match="colour"):
        quick.colour  # noqa: B018


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_predict_follows_the_precision_of_the_network(dtype):
    model = warmed("p3mnet_resnet34")
    image, _ = photograph()
    expected = predict(model, image)
    found = predict(model.to(dtype), image)
    assert found.dtype == np.float32 and np.abs(found - expected).mean() < 0.05
    assert np.abs(predict(fast(warmed("p3mnet_resnet34"), dtype=torch.bfloat16), image) - expected).mean() < 0.05


@pytest.mark.parametrize("name", VARIANTS)
def test_one_fast_network_takes_sizes_in_any_order(name):
    model = warmed(name)
    quick = fast(model)
    for shape in ((1, 32, 32), (2, 96, 64), (1, 64, 160), (2, 32, 32), (1, 96, 64)):
        image = torch.randn(shape[0], 3, *shape[1:])
        expected, output = plain(model)(image), quick(image)
        assert torch.allclose(expected.detail, output.detail, atol=1e-3)
        assert (expected.alpha - output.alpha).abs().gt(1e-3).float().mean() < 1e-3, "a class may tip where two logits are equal"


@torch.inference_mode()
def test_fused_convolutions_equal_the_plain_ones():
    torch.manual_seed(0)
    x = torch.randn(2, 12, 9, 14)
    last, head, wide = nn.Conv2d(12, 5, 3, padding=1), nn.Conv2d(5, 3, 3, padding=1), nn.Conv2d(12, 2, 3, padding=1)
    assert torch.allclose(fused.OutputConvolution(wide)(x), wide(x), atol=1e-5)
    first, second = fused.folded_head(last, head)
    assert torch.allclose(second(upsample(first(x), 2)), head(upsample(last(x), 2)), atol=1e-5)
    grouped = nn.Conv2d(64, 16, 3, padding=1, groups=4)
    merged = fused.merged_groups(grouped)
    y = torch.randn(1, 64, 7, 5)
    assert merged.groups == 1 and torch.allclose(merged(y), grouped(y), atol=1e-5)
    assert fused.merged_groups(last) is last


def test_spread_is_upsampling_and_three_shifts():
    maps = torch.randn(7, 3)
    fine = (fused.spread(7, 4) @ maps.flatten()).float()
    grown = nn.functional.interpolate(maps.T[None], scale_factor=4, mode="linear")[0]
    expected = sum(nn.functional.pad(grown[t], (1, 1))[t : t + 28] for t in range(3))
    assert torch.allclose(fine, expected, atol=1e-6)


@pytest.mark.parametrize("name", VARIANTS)
def test_half_precision_is_close_and_comes_back_as_float32(name):
    model, image = warmed(name), torch.randn(1, 3, 64, 64)
    half = fast(model, dtype=torch.bfloat16)(image)
    assert half.detail.dtype == torch.float32
    assert (half.detail - plain(model)(image).detail).abs().mean() < 0.02


def test_bench_measures_every_path(monkeypatch, capsys):
    monkeypatch.setattr("p3mlib.experiments.bench.build_model", lambda name: build_model(name, width=0.0625))
    rows = bench(["p3mnet_resnet34"], size=64, rounds=2, memory=False, progress=False)
    assert [row["path"] for row in rows] == ["plain", "fp32", *["bf16"] * has_bfloat16()]
    assert rows[0]["ratio"] == 1 and all(row["ms"] > 0 and math.isnan(row["peak_mib"]) for row in rows)
    monkeypatch.setattr("p3mlib.experiments.bench._peak_memory", lambda *arguments: 1.0)
    assert main(["bench", "p3mnet_resnet34", "--size", "64", "--rounds", "1", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {row["model"] for row in shown} == {"p3mnet_resnet34"} and shown[1]["size"] == 64
    assert main(["bench", "--size", "100"]) == 2
    assert "100 is not a positive multiple of 32" in capsys.readouterr().err


def test_peak_memory_is_that_of_one_pass():
    from p3mlib.experiments.bench import _peak_memory

    assert 1 < _peak_memory("p3mnet_resnet34", "plain", 128, "cpu") < 1000


def test_the_cost_of_copy_and_paste_is_measured(capsys):
    assert main(["bench", "p3mnet_resnet34", "--copy-paste", "--size", "32", "--rounds", "1", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["kind"] for row in rows] == ["none", "icp", "fcp", "matched"] and rows[0]["ratio"] == 1
    assert all(row["average"] == pytest.approx((1 + row["ratio"]) / 2) and row["ms"] > 0 for row in rows)
