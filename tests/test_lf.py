"""LF: parameter count of the paper, layers of the authors' release, outputs computed a second way, the stages."""

import json
import re
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from timm.models.densenet import DenseNet
from torch import nn

from p3mlib.experiments.train import Objective
from p3mlib.models import build_model, count_parameters, fast, load_imagenet, load_official
from p3mlib.models.trimap_free.lf_losses import branch_loss, fusion_loss, regulariser

LAYERS = json.loads((Path(__file__).parent / "parity" / "network" / "keys_lf.json").read_text())
SHALLOW = (3, 2, 1, 2)
DENSE = {"0_bn": "norm1", "1_conv": "conv1", "1_bn": "norm2", "2_conv": "conv2"}
SIDE = {"1": "lateral", "2": "merge", "3": "head"}
BRANCH = {"FG": "foreground", "BG": "background"}


@pytest.fixture(autouse=True)
def _one_thread(_threads):
    torch.set_num_threads(1)


def ours(layer):
    """Our module for a layer of the release."""
    fixed = {"conv1/conv": "conv0", "conv1/bn": "norm0", "bn": "norm5"}
    if layer in fixed:
        return f"encoder.{fixed[layer]}"
    if found := re.fullmatch(r"conv(\d)_block(\d+)_(\d_\w+)", layer):
        return f"encoder.denseblock{int(found[1]) - 1}.denselayer{found[2]}.{DENSE[found[3]]}"
    if found := re.fullmatch(r"pool(\d)_(bn|conv)", layer):
        return f"encoder.transition{int(found[1]) - 1}.{'norm' if found[2] == 'bn' else 'conv'}"
    if found := re.fullmatch(r"de(..)_deconv(\d)_(bn|conv)", layer):
        return f"{BRANCH[found[1]]}.trunk.{5 - int(found[2])}.{int(found[3] == 'bn')}"
    if found := re.fullmatch(r"de(..)_side_(\d)_conv(\d)", layer):
        return f"{BRANCH[found[1]]}.{SIDE[found[3]]}.{3 - int(found[2])}"
    if found := re.fullmatch(r"de(..)_up4_conv", layer):
        return f"{BRANCH[found[1]]}.top"
    found = re.fullmatch(r"fusion_(conv|bn)(rgb|\d|_output)", layer)
    part = {"rgb": "colour", "_output": "blend.5"}.get(found[2], f"blend.{found[2]}")
    return f"fusion.{part}" + ("" if found[2] == "_output" else f".{int(found[1] == 'bn')}")


@pytest.fixture(scope="module")
def full():
    """The authors' network without values."""
    with torch.device("meta"):
        return build_model("lf")


@pytest.fixture
def small():
    """A narrow and shallow network in eval mode; its batch norms do something."""
    torch.manual_seed(0)
    model = build_model("lf", width=0.0625, blocks=SHALLOW)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values, low, high in ((module.weight, 0.8, 1.2), (module.bias, -0.2, 0.2)):
                nn.init.uniform_(values, low, high)
            module.running_mean.uniform_(-0.3, 0.3)
            module.running_var.uniform_(0.5, 1.5)
    return model.eval()


def portrait(n=2, side=64):
    """A batch: discs with a soft edge, brighter than what is behind them; and the normalised image."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    radius = side * torch.linspace(0.2, 0.35, n).view(n, 1, 1, 1)
    alpha = ((radius - (x - side / 2).hypot(y - side / 2)) / 6 + 0.5).clamp(0, 1)
    noise = 0.2 * torch.rand(n, 3, side, side, generator=torch.Generator().manual_seed(5))
    batch = {"alpha": alpha, "image": 0.6 * alpha + noise}
    model = build_model("lf", width=0.0625, blocks=(1, 1, 1, 1))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (model.mean, model.std))
    return (batch["image"] - mean) / std, batch


def test_parameters_are_those_of_table_11(full):
    assert count_parameters(full) == 37_910_153
    assert count_parameters(full, paper=False) == 37_667_913


def test_layers_are_those_of_the_release(full):
    names = {}
    for layer, shape, extra in LAYERS:
        names[layer] = ours(layer)
        module = full.get_submodule(names[layer])
        assert list(module.weight.shape) == shape, layer
        if isinstance(module, nn.BatchNorm2d):
            assert module.eps == pytest.approx(extra, rel=1e-9), layer
        else:
            assert (module.bias is not None) == bool(extra), layer
    weighted = {name for name, module in full.named_modules() if isinstance(module, (nn.Conv2d, nn.BatchNorm2d))}
    assert set(names.values()) == weighted and len(names) == len(weighted)


def reference(model, image):
    """F and B at four scales, and alpha, in float64 and by the names of the release."""

    def conv(x, name, stride=1):
        module = model.get_submodule(ours(name))
        bias = None if module.bias is None else module.bias.double()
        return F.conv2d(x, module.weight.double(), bias, stride, padding=module.weight.shape[-1] // 2)

    def bn(x, name, eps=1.001e-5):
        module = model.get_submodule(ours(name))
        mean, var, weight, bias = (
            getattr(module, n).double().view(1, -1, 1, 1) for n in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + eps).sqrt() * weight + bias

    def up(x):
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)

    def dense(x, stage, layers):
        for name in (f"conv{stage}_block{i + 1}" for i in range(layers)):
            new = conv(bn(x, f"{name}_0_bn").relu(), f"{name}_1_conv")
            x = torch.cat([x, conv(bn(new, f"{name}_1_bn").relu(), f"{name}_2_conv")], 1)
        return x

    def decode(name):
        x, maps = deep, {}
        for k, skip in zip((5, 4, 3, 2, 1), (r[3], r[2], r[1], r[0], None), strict=True):
            x = up(x) if skip is None else torch.cat([up(x), skip], 1)
            x = maps[k] = bn(conv(x, f"{name}_deconv{k}_conv"), f"{name}_deconv{k}_bn").relu()
        p, outputs = up(conv(maps[5], f"{name}_up4_conv").relu()), []
        for level in (3, 2, 1, 0):
            lateral = maps[level + 1] if level < 2 else conv(maps[level + 1], f"{name}_side_{level}_conv1")
            f = conv(lateral + p, f"{name}_side_{level}_conv2")
            outputs.append(conv(f, f"{name}_side_{level}_conv3").sigmoid())
            p = up(f)
        return outputs, f

    image = image.double()
    x = bn(conv(image, "conv1/conv", 2), "conv1/bn").relu()
    r = [x]
    x = F.max_pool2d(x, 3, 2, 1)
    for stage, layers in zip((2, 3, 4), SHALLOW[:3], strict=True):
        r.append(dense(x, stage, layers))
        x = F.avg_pool2d(conv(bn(r[-1], f"pool{stage}_bn").relu(), f"pool{stage}_conv"), 2)
    deep = bn(dense(x, 5, SHALLOW[3]), "bn")
    (fg, fg_map), (bg, bg_map) = decode("deFG"), decode("deBG")
    x = torch.cat([fg_map, bg_map, bn(conv(image, "fusion_convrgb"), "fusion_bnrgb", 1e-3)], 1)
    for i in range(5):
        x = bn(conv(x, f"fusion_conv{i}"), f"fusion_bn{i}", 1e-3).relu()
    weight = conv(x, "fusion_conv_output").sigmoid()
    return fg + bg, weight, weight * fg[-1] + (1 - weight) * (1 - bg[-1])


@torch.inference_mode()
def test_outputs_are_those_of_the_published_graph(small):
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    sides, weight, alpha = reference(small, image)
    output = small(image)
    for one, other in zip((*output.sides, output.detail, output.alpha), (*sides, weight, alpha), strict=True):
        assert one.dtype == torch.float32 and one.shape == other.shape
        assert torch.allclose(one.double(), other, atol=2e-5) and other.std() > 1e-3
    f, b = sides[3], sides[7]
    expected = torch.cat([b * (1 - f), f * b + (1 - f) * (1 - b), f * (1 - b)], 1)
    assert torch.allclose(output.segmentation.softmax(1).double(), expected, atol=2e-5)
    layout = small(image.to(memory_format=torch.channels_last))
    assert torch.allclose(layout.alpha, output.alpha, atol=1e-5)
    assert torch.allclose(small(image[1:]).alpha, output.alpha[1:], atol=1e-5)
    assert torch.allclose(fast(small)(image).alpha, output.alpha, atol=1e-4), "folding batch norms leaves the encoder's ReLUs"


@torch.inference_mode()
@pytest.mark.parametrize(("width", "size"), [(0.0625, (64, 64)), (0.0625, (32, 160)), (0.1, (64, 96)), (0.25, (64, 32))])
def test_sizes_and_widths(width, size):
    torch.manual_seed(0)
    output = build_model("lf", width=width).eval()(60 * torch.randn(1, 3, *size))
    assert output.segmentation.shape == (1, 3, *size) and output.detail.shape == output.alpha.shape == (1, 1, *size)
    assert [side.shape[2:] for side in output.sides] == [(size[0] // s, size[1] // s) for s in (8, 4, 2, 1)] * 2
    for values in (output.detail, output.alpha, *output.sides):
        assert 0 <= values.min() and values.max() <= 1


def test_every_parameter_gets_a_gradient_over_the_stages_on_one_image():
    torch.manual_seed(0)
    image, batch = portrait(1)
    model, got = build_model("lf", width=0.0625), {}
    for stage in model.stages():
        objective = Objective(model, stage, 0).train()
        objective.zero_grad()
        stage.loss(model, image, batch)["total"].backward()
        got[stage.name] = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    names = {name for name, _ in model.named_parameters()}
    fusion = {name for name in names if name.startswith("fusion.")}
    # A batch norm takes off the bias before it, and may pass only rounding errors to it.
    silent = {name for name in fusion if re.fullmatch(r"fusion\.(colour|blend\.\d)\.0\.bias", name)}
    assert got["joint"] >= names - silent
    assert got["segmentation"] == names - fusion and fusion - silent <= got["fusion"] <= fusion
    assert [p.grad is None for p in model.parameters()].count(True) == 0


def test_each_stage_learns_its_part():
    torch.manual_seed(0)
    _, batch = portrait()
    model = build_model("lf", width=0.0625, blocks=(1, 1, 1, 1))
    assert [(s.name, s.share, s.lr) for s in model.stages()] == [
        ("segmentation", 3, 1),
        ("fusion", 1, 1 / 3),
        ("joint", 1, 1 / 3),
    ]
    for stage in model.stages():
        before = {name: values.clone() for name, values in model.state_dict().items()}
        objective = Objective(model, stage, 0).train()
        optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 5e-3)
        losses = []
        for _ in range(12):
            terms = objective(batch)
            optimiser.zero_grad()
            terms["total"].backward()
            optimiser.step()
            losses.append(terms["total"].item())
        assert losses[-1] < 0.95 * losses[0], (stage.name, losses)
        changed = {name.split(".")[0] for name, values in model.state_dict().items() if not torch.equal(values, before[name])}
        assert changed == set(stage.learns or ("encoder", "foreground", "background", "fusion"))


def test_stages_weigh_their_terms(small):
    image, batch = portrait()
    alpha, output = batch["alpha"], small(image)
    sides = [branch_loss(s, alpha if i < 4 else 1 - alpha) for i, s in enumerate(output.sides)]
    sides = {name: sum(terms[name] for terms in sides) for name in sides[0]}
    last = fusion_loss(output.alpha, alpha)
    matte = last["alpha"] + 0.01 * last["sparsity"] + last["gradient"]
    parts = ("encoder", "foreground", "background", "fusion")
    expected = {
        "segmentation": sum(sides.values()) + 0.01 * regulariser(small, parts[:3]),
        "fusion": matte + 0.01 * regulariser(small, parts[3:]),
        "joint": matte + 0.5 * (sides["cross_entropy"] + sides["distance"]) + 0.01 * regulariser(small, parts),
    }
    for stage in small.stages():
        terms = stage.loss(small, image, batch)
        assert terms["total"].item() == pytest.approx(expected[stage.name].item(), rel=1e-5), stage.name
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = stage.loss(small, image, batch)
        assert all(term.dtype == torch.float32 and term.ndim == 0 for term in half.values())
        assert half["total"].item() == pytest.approx(terms["total"].item(), rel=0.05)


def test_input_is_published():
    model = build_model("lf", width=0.0625, blocks=(1, 1, 1, 1))
    image = torch.tensor([0, 128 / 255, 1.0])
    normalised = (image - torch.tensor(model.mean)) / torch.tensor(model.std)
    assert normalised.tolist() == pytest.approx([-127.156207, 128 - 115.917443, 255 - 106.031127], abs=1e-4)
    assert model.resizing == "modern" and model.multiple == 32
    assert model.input_size(1080, 1920, 512) == (512, 512) == model.input_size(300, 200, 512)
    assert [model.input_size(64, 64, side) for side in (64, 100, 120, 10)] == [(64, 64), (96, 96), (128, 128), (32, 32)]


def test_imagenet_weights_of_timm(full):
    torch.manual_seed(0)
    model = build_model("lf", width=0.0625, blocks=SHALLOW)
    weights = DenseNet(2, SHALLOW, num_classes=10).state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): values for name, values in weights.items()}
    assert old.keys() != weights.keys()
    for state in (weights, old):
        model = build_model("lf", width=0.0625, blocks=SHALLOW)
        assert load_imagenet(model, state) == []
        loaded = model.encoder.state_dict()
        assert all(torch.equal(values, weights[f"features.{name}"]) for name, values in loaded.items())
    with torch.device("meta"):
        timm = DenseNet(32, (6, 12, 48, 32)).state_dict()
    shapes = {name.removeprefix("features."): v.shape for name, v in timm.items() if not name.startswith("classifier")}
    assert {name: values.shape for name, values in full.encoder.state_dict().items()} == shapes
    with pytest.raises(ValueError, match="not ImageNet weights of densenet201 for lf: .*of another shape"):
        load_imagenet(build_model("lf", width=0.125, blocks=SHALLOW), weights)


def test_messages(small):
    with pytest.raises(ValueError, match=r"image of \(1, 3, 64, 50\): height and width must be multiples of 32"):
        small(torch.zeros(1, 3, 64, 50))
    for blocks in ((6, 12, 48), (6, 0, 48, 32)):
        with pytest.raises(ValueError, match=r"expected four positive numbers of layers, such as \(6, 12, 48, 32\)"):
            build_model("lf", blocks=blocks)
    with pytest.raises(ValueError, match=r"lf has no option \['depth'\]; it has width, blocks"):
        build_model("lf", depth=3)
    with pytest.raises(ValueError, match="no weights of lf were released"):
        load_official(small, {})
