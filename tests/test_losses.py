"""Losses: every term, the total and its gradients equal the official training step; closed forms; messages."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from p3mlib.losses import WEIGHTS, _blur, alpha_loss, composition_loss, laplacian_loss, matting_loss, segmentation_loss
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
        assert ours.abs().sum().item() == pytest.approx(gradient["l1"], rel=1e-4, abs=1e-9), name
        assert ours.sum().item() == pytest.approx(gradient["sum"], rel=1e-3, abs=1e-6), name


def test_blur_kernel_is_the_official_one():
    point = torch.zeros(1, 1, 9, 9)
    point[..., 4, 4] = 1
    expected = torch.nn.functional.pad(torch.tensor(EXPECTED["gauss_kernel_5x5"]), (2, 2, 2, 2))
    assert torch.allclose(_blur(point)[0, 0], expected, atol=1e-6)


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
    assert composition_loss(ones[:1, :, :8, :8], image * 0, image * 0 + 0.5, image * 0).item() == pytest.approx(expected, rel=1e-5)


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
