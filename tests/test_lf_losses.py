"""LF's losses in closed form."""

import math

import pytest
import torch
from torch import nn

from p3mlib.models import build_model
from p3mlib.models.trimap_free.lf_losses import branch_loss, fusion_loss, gradient_loss, regulariser

BLOCKS = (3, 2, 1, 2)
TINY = math.sqrt(1e-7)


def test_branch_loss_in_closed_form():
    def constant(probability, alpha):
        terms = branch_loss(torch.full((2, 1, 4, 6), probability), torch.full((2, 1, 4, 6), alpha))
        return [terms[name].item() for name in ("cross_entropy", "distance", "side_gradient")]

    assert constant(0.3, 1.0) == pytest.approx([-math.log(0.3), 0.49, 2 * TINY], rel=1e-5)
    assert constant(0.3, 0.0) == pytest.approx([-math.log(0.7), 0.09, 2 * TINY], rel=1e-5)
    assert constant(0.3, 0.04) == pytest.approx([-math.log(0.7), 0.26**2, 2 * TINY], rel=1e-5)
    assert constant(0.3, 0.96) == pytest.approx([-math.log(0.3), 0.66**2, 2 * TINY], rel=1e-5)
    assert constant(0.3, 0.06) == pytest.approx([-0.5 * math.log(0.3), 0.24, 2 * TINY], rel=1e-5)
    assert constant(0.0, 1.0)[0] == pytest.approx(7 * math.log(10), rel=1e-5), "finite where a branch is sure and wrong"


def test_side_outputs_are_enlarged_bilinearly():
    generator = torch.Generator().manual_seed(2)
    coarse, alpha = torch.rand(2, 1, 2, 2, generator=generator), torch.rand(2, 1, 4, 4, generator=generator)
    matrix = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    expected, terms = branch_loss(matrix @ coarse @ matrix.T, alpha), branch_loss(coarse, alpha)
    assert all(terms[name].item() == pytest.approx(expected[name].item(), rel=1e-5) for name in terms)


def test_gradient_and_fusion_loss_in_closed_form():
    ramp = torch.arange(5.0) * 0.1
    pred = ramp.expand(1, 1, 4, 5).clone()
    one = 0.8 * math.sqrt(0.01 + 1e-7) + 0.2 * TINY
    assert gradient_loss(pred, 0 * pred).item() == pytest.approx(one + TINY, rel=1e-5)
    assert gradient_loss(pred.mT, 0 * pred.mT).item() == pytest.approx(one + TINY, rel=1e-5)
    assert gradient_loss(pred + 0.3, pred).item() == pytest.approx(2 * TINY, rel=1e-2), "offsets do not count"
    alpha = torch.tensor([0, 0.02, 1, 0.5, 0.94]).view(1, 1, 1, 5)
    far = torch.tensor([0.2, 0.2, 0.2, 0.1, 0.5])
    terms = fusion_loss(alpha + far.view(alpha.shape) * torch.tensor([1, 1, -1, 1, -1.0]), alpha)
    assert terms["alpha"].item() == pytest.approx((0.1 * 0.6 + 0.6) / 2.3, rel=1e-4)
    terms = fusion_loss(torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 1, 3), torch.zeros(1, 1, 1, 3))
    certain = 1e-5**0.9 + (1 + 1e-5) ** 0.9
    assert terms["sparsity"].item() == pytest.approx((2 * certain + 2 * 0.50001**0.9) / 3, rel=1e-5)


def test_gradients_of_the_losses_are_finite_for_certain_and_half_precise_outputs():
    alpha = torch.tensor([0, 1, 0.5, 0, 1, 0.5]).view(1, 1, 2, 3)
    pred = torch.tensor([0, 1, 0, 1, 0, 1.0]).view(1, 1, 2, 3).requires_grad_()
    for values in (pred, pred.bfloat16()):
        terms = {**branch_loss(values, alpha), **fusion_loss(values, alpha)}
        assert all(term.dtype == torch.float32 for term in terms.values())
        (gradient,) = torch.autograd.grad(sum(terms.values()), pred)
        assert gradient.isfinite().all() and gradient.abs().sum() > 0


@torch.no_grad()
def test_regulariser_counts_every_kernel_once():
    network = build_model("lf", width=0.0625, blocks=BLOCKS)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.fill_(-0.5)
    kernels = {"encoder": 2 * sum(BLOCKS) + 3, "foreground": 5 + 1 + 2 + 4 + 4, "background": 16, "fusion": 7}
    for part, count in kernels.items():
        stem = 0.5 if part == "encoder" else 0.0
        assert regulariser(network, (part,)).item() == pytest.approx(0.25 * count + stem, rel=1e-6), part
    assert regulariser(network, tuple(kernels)).item() == pytest.approx(0.25 * sum(kernels.values()) + 0.5, rel=1e-6)


def test_messages():
    with pytest.raises(ValueError, match="shapes differ: probability"):
        branch_loss(torch.rand(1, 1, 4, 4), torch.rand(2, 1, 4, 4))
    with pytest.raises(ValueError, match="shapes differ: pred"):
        fusion_loss(torch.rand(1, 1, 4, 4), torch.rand(1, 1, 4, 8))
