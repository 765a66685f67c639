"""MODNet: the paper's size, the released checkpoint's names, its objectives."""

import pytest
import torch
from official import assert_every_tensor_arrived, official_state
from scipy.ndimage import gaussian_filter

from p3mlib.models import build_model, count_parameters, load_official
from p3mlib.models.trimap_free.modnet import IBNorm, coarse_matte, objectives


def test_parameters_are_those_of_table_11():
    with torch.device("meta"):
        assert count_parameters(build_model("modnet")) == 6_487_075


def test_every_tensor_of_the_released_checkpoint_arrives():
    state = official_state("modnet")
    model = load_official(build_model("modnet"), {f"module.{key}": value for key, value in state.items()})
    assert_every_tensor_arrived(model, state, "modnet")
    del state["f_branch.conv_f.0.layers.0.weight"]
    with pytest.raises(ValueError, match=r"not an official modnet checkpoint: missing: fusion\.last\.0\.weight"):
        load_official(model, state)


@pytest.mark.parametrize(("width", "size"), [(0.0625, (64, 64)), (0.125, (96, 160)), (0.5, (32, 32))])
def test_shapes(width, size):
    output = build_model("modnet", width=width).eval()(torch.randn(2, 3, *size))
    assert output.segmentation.shape == (2, 1, size[0] // 16, size[1] // 16)
    assert output.detail.shape == output.alpha.shape == (2, 1, *size)
    assert all(0 <= x.min() and x.max() <= 1 for x in output[:3])


def test_half_of_a_norm_is_of_the_batch_and_half_of_the_image():
    norm, x = IBNorm(6), torch.randn(3, 6, 8, 8) * 4 + torch.arange(3.0).view(3, 1, 1, 1)
    y = norm(x)
    assert torch.allclose(y[:, :3].mean((0, 2, 3)), torch.zeros(3), atol=1e-5) and y[0, :3].mean().abs() > 0.05
    assert torch.allclose(y[:, 3:].mean((2, 3)), torch.zeros(3, 3), atol=1e-5)


def test_the_coarse_matte_is_blurred_with_mirrored_borders():
    alpha = torch.rand(1, 1, 96, 128)
    small = torch.nn.functional.interpolate(alpha, scale_factor=1 / 16, mode="bilinear")
    expected = gaussian_filter(small[0, 0].numpy(), 0.8, radius=1, mode="mirror")
    assert torch.allclose(coarse_matte(alpha)[0, 0], torch.from_numpy(expected), atol=1e-5)


def test_objectives_in_closed_form():
    alpha = torch.zeros(1, 1, 64, 64)
    alpha[..., 32:] = 1
    trimap = alpha.clone()
    trimap[..., 24:40] = 0.5
    image = torch.full((1, 3, 64, 64), -0.5)
    terms = objectives(coarse_matte(alpha), alpha, alpha, image, alpha, trimap)
    assert terms["total"] == 0
    wrong = torch.full_like(alpha, 0.5)  # 0.5 off everywhere; in the transition that is a quarter of the pixels
    terms = objectives(coarse_matte(alpha) + 0.1, wrong, wrong, image, alpha, trimap)
    assert terms["semantic"].item() == pytest.approx(0.01, rel=1e-4)
    assert terms["detail"].item() == pytest.approx(0.125)
    assert terms["matte"].item() == pytest.approx(0.5 * 1.5 + 4 * 0.125 * 1.5)
    assert terms["total"].item() == pytest.approx(0.1 + 1.25 + 1.5, rel=1e-4)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((400, 300), (672, 512)),
        ((1024, 2000), (512, 992)),
        ((600, 400), (576, 384)),
        ((512, 512), (512, 512)),
        ((10, 4000), (32, 4000)),
    ],
)
def test_size_rule(size, expected):
    assert build_model("modnet", width=0.0625).input_size(*size, 512) == expected


def test_colours_are_centred():
    model = build_model("modnet", width=0.0625)
    assert [(x - model.mean[0]) / model.std[0] for x in (0, 0.5, 1)] == [-1, 0, 1] and model.resizing == "area"
