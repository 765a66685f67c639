"""Losses: every term, the total and its gradients equal the official training step; closed forms; messages."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from p3mlib.losses import (
    WEIGHTS,
    _blur,
    _blur_factors,
    alpha_loss,
    composition_loss,
    laplacian_loss,
    matting_loss,
    segmentation_loss,
    transition_mask,
)
from p3mlib.models import MattingOutput

FOLDER = Path(__file__).parent / "parity" / "losses"
EXPECTED = json.loads((FOLDER / "expected.json").read_text())
MEAN, STD = (torch.tensor(v).view(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


def official_batch(case):
    """The reference batch in our units. Its trimap is in 0..255 with interpolated values; the official class labels
    are cut to integers after 255 has become 2, so that a value of exactly 2 counts as foreground too."""
    raw = {key: torch.from_numpy(value) for key, value in np.load(FOLDER / "batch.npz").items()}
    trimap = raw["trimap"]
    if case == "no_unknown":
        trimap = torch.where(trimap == 128, 127, trimap)
    trimap = torch.where(trimap == 2, 255, trimap)
    trimap = torch.where(trimap == 128, 0.5, trimap / 255)
    batch = {name: raw[key] * STD + MEAN for name, key in (("image", "ori"), ("fg", "fg"), ("bg", "bg"))}
    batch |= {"alpha": raw["mask"] / 255, "trimap": trimap}
    names = ("global", "local", "fusion", "side2", "side1", "side0")
    preds = {name: raw[f"pred_{name}"].requires_grad_() for name in names}
    sides = tuple(preds[f"side{i}"] for i in (2, 1, 0))
    return MattingOutput(preds["global"], preds["local"], preds["fusion"], sides), batch, preds


@pytest.mark.parametrize("case", ["main", "no_unknown"])
def test_equals_the_official_training_step(case):
    output, batch, preds = official_batch(case)
    terms = matting_loss(output, batch)
    expected = EXPECTED[case]
    assert set(terms) == {*WEIGHTS, "total"}
    for name, value in expected["terms"].items():
        assert terms[name].item() == pytest.approx(value, rel=1e-5, abs=1e-7), name
    assert terms["total"].item() == pytest.approx(expected["total"], rel=1e-5)
    terms["total"].backward()
    for name, gradient in expected["grad_of_total"].items():
        ours = preds[name.removeprefix("pred_")].grad.double()
        assert ours.abs().sum().item() == pytest.approx(gradient["l1"], rel=1e-5, abs=1e-9), name
        assert ours.sum().item() == pytest.approx(gradient["sum"], rel=1e-5, abs=1e-8), name


def test_blur_kernel_is_the_official_one():
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    expected = F.pad(torch.tensor(EXPECTED["gauss_kernel_5x5"]), (2, 2, 2, 2))
    assert torch.allclose(_blur(point)[0, 0], expected, atol=1e-6)


@pytest.mark.parametrize("size", [(64, 64), (33, 70), (32, 40)])
def test_laplacian_equals_two_pyramids_of_convolutions(size):
    """The definition, one pyramid a matte, with its gradient."""
    taps = torch.exp(-(torch.arange(-2, 3.0, dtype=torch.float64) ** 2))
    kernel = taps[:, None] + taps
    kernel = (kernel / kernel.sum()).view(1, 1, 5, 5)

    def pyramid(matte):
        for _ in range(5):
            blurred = F.conv2d(F.pad(matte, (2, 2, 2, 2), mode="replicate"), kernel)
            yield matte - blurred
            matte = F.avg_pool2d(blurred, 2)
        yield matte

    generator = torch.Generator().manual_seed(0)
    pred, alpha, mask = torch.rand(3, 2, 1, *size, dtype=torch.float64, generator=generator)
    pred.requires_grad_()
    expected = sum((p - a).abs().mean() for p, a in zip(pyramid(pred * mask), pyramid(alpha * mask), strict=True))
    ours = laplacian_loss(pred, alpha, mask=mask)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-12)
    assert torch.allclose(*(torch.autograd.grad(loss, pred)[0] for loss in (ours, expected)), rtol=1e-9, atol=1e-14)


def test_a_loss_first_taken_in_inference_mode_can_still_be_learned_from():
    _blur_factors.cache_clear()
    with torch.inference_mode():
        laplacian_loss(torch.rand(1, 1, 8, 8), torch.rand(1, 1, 8, 8))
    pred = torch.rand(1, 1, 8, 8, requires_grad=True)
    laplacian_loss(pred, torch.rand(1, 1, 8, 8)).backward()
    assert pred.grad.abs().sum() > 0


def test_half_precision_and_autocast_change_nothing_but_the_rounding_of_inputs():
    output, batch, _ = official_batch("main")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = matting_loss(output, batch)
    outside = matting_loss(output, batch)
    assert all(torch.equal(inside[name], outside[name]) for name in outside)
    half = output._replace(detail=output.detail.bfloat16(), alpha=output.alpha.half())
    terms = matting_loss(half, batch)
    assert all(term.dtype == torch.float32 for term in terms.values())
    assert terms["total"].item() == pytest.approx(outside["total"].item(), rel=1e-2)


def test_inputs_stay_as_they_are():
    output, batch, preds = official_batch("main")
    before = {name: value.detach().clone() for name, value in (batch | preds).items()}
    matting_loss(output, batch)["total"].backward()
    assert all(torch.equal(value, before[name]) for name, value in (batch | preds).items())


def test_an_empty_transition_area_costs_next_to_nothing():
    detail, alpha = torch.rand(2, 1, 1, 40, 40)
    empty = torch.zeros(1, 1, 40, 40)
    assert alpha_loss(detail, alpha, empty).item() == pytest.approx(1600e-6, rel=1e-4)
    assert laplacian_loss(detail, alpha, empty).item() == 0


def test_unknown_is_one_half_or_128_of_255():
    trimap = torch.tensor([0, 127 / 255, 0.5, 128 / 255, 129 / 255, 1])
    assert transition_mask(trimap).tolist() == [0, 0, 1, 1, 0, 0]
    assert torch.equal(transition_mask(torch.tensor([128.0]) / 255), torch.ones(1))


def test_closed_forms():
    zeros, ones = torch.zeros(2, 1, 64, 64), torch.ones(2, 1, 64, 64)
    assert alpha_loss(ones, zeros).item() == pytest.approx(1)
    assert alpha_loss(ones, zeros, ones).item() == pytest.approx(8192 / 8193)
    assert laplacian_loss(ones, zeros).item() == pytest.approx(1, rel=1e-5), "a constant is in the residual alone"
    assert laplacian_loss(ones, ones).item() == 0
    assert segmentation_loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4)).item() == pytest.approx(np.log(3))
    image = torch.rand(1, 3, 8, 8)
    assert composition_loss(torch.rand(1, 1, 8, 8), image, image, image).item() == pytest.approx(3e-6, rel=0.5)
    expected = (0.5 / STD).sum().item()
    assert composition_loss(ones[:1, :, :8, :8], image * 0, image * 0 + 0.5, image * 0).item() == pytest.approx(
        expected, rel=1e-5
    )


def test_segmentation_labels():
    trimap = torch.tensor([0, 0.5, 1, 0.3]).view(1, 1, 2, 2)
    sure = 20 * torch.eye(3)[torch.tensor([0, 1, 2, 1])].T.reshape(1, 3, 2, 2)
    assert segmentation_loss(sure, trimap).item() < 1e-6


@pytest.mark.parametrize("size", [1, 5, 32, 50])
def test_small_images(size):
    loss = laplacian_loss(torch.rand(1, 1, size, size + 3), torch.rand(1, 1, size, size + 3))
    assert torch.isfinite(loss) and loss > 0


def test_without_side_outputs_the_global_term_has_their_weight():
    output, batch, _ = official_batch("main")
    terms = matting_loss(output._replace(sides=()), batch)
    full = matting_loss(output, batch)
    assert set(full) - set(terms) == {"ce_side2", "ce_side1", "ce_side0"}
    others = full["total"] - (full["ce_side2"] + full["ce_side1"] + full["ce_side0"] + 3 * full["ce_global"]) / 6
    assert terms["total"].item() == pytest.approx((others + full["ce_global"]).item(), rel=1e-6)


def test_missing_layers_are_named_or_left_out():
    output, batch, _ = official_batch("main")
    del batch["fg"]
    with pytest.raises(ValueError, match="batch lacks fg for comp_fusion"):
        matting_loss(output, batch)
    assert "comp_fusion" not in matting_loss(output, batch, {"comp_fusion": 0})
    with pytest.raises(ValueError, match="no loss term lap; there are ce_global"):
        matting_loss(output, batch, {"lap": 1})
    del batch["trimap"]
    with pytest.raises(ValueError, match="batch lacks trimap$"):
        matting_loss(output, batch, {"comp_fusion": 0})


def test_weights():
    output, batch, _ = official_batch("main")
    only = matting_loss(output, batch, dict.fromkeys(WEIGHTS, 0) | {"alpha_fusion": 7})
    assert list(only) == ["alpha_fusion", "total"]
    assert only["total"].item() == pytest.approx(7 * EXPECTED["main"]["terms"]["alpha_fusion"], rel=1e-6)
    with pytest.raises(ValueError, match="every loss term has weight 0"):
        matting_loss(output, batch, dict.fromkeys(WEIGHTS, 0))
    with pytest.raises(ValueError, match="ce_side1, but the network has no side outputs"):
        matting_loss(output._replace(sides=()), batch, {"ce_side1": 1})
    with pytest.raises(ValueError, match="three side outputs .* or none, got 1"):
        matting_loss(output._replace(sides=output.sides[:1]), batch)


def test_messages():
    square, logits = torch.zeros(1, 1, 4, 4), torch.zeros(1, 3, 4, 4)
    with pytest.raises(ValueError, match=r"pred \(1, 1, 4, 4\), alpha \(1, 4, 4\)"):
        alpha_loss(square, square[0])
    with pytest.raises(ValueError, match=r"mask \(1, 1, 1, 4\)"):
        laplacian_loss(square, square, mask=square[:, :, :1])
    with pytest.raises(ValueError, match="trimap reaches 255: looks like 0-255"):
        segmentation_loss(logits, square + 255)
    with pytest.raises(ValueError, match=r"trimap must be \(N, 1, H, W\), got \(1, 4, 4\)"):
        segmentation_loss(logits, square[0])
    with pytest.raises(ValueError, match=r"logits \(1, 3, 2, 4\) do not fit the trimap, expected \(1, 3, 4, 4\)"):
        segmentation_loss(logits[:, :, :2], square)
    with pytest.raises(ValueError, match=r"bg \(1, 3, 2, 4\)"):
        composition_loss(square, logits, logits, logits[:, :, :2])
