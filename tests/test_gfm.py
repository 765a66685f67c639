"""GFM: the paper's size, the released checkpoints' names, its three representations and its loss."""

import pytest
import torch
from official import assert_every_tensor_arrived, official_state

from p3mlib.models import build_model, count_parameters, load_imagenet, load_official
from p3mlib.models.trimap_free.gfm import composition_difference, gfm_loss, glance_labels


def batch_of(size=64):
    torch.manual_seed(0)
    alpha = torch.zeros(2, 1, size, size)
    alpha[..., 16:48, 20:44] = 1
    alpha = torch.nn.functional.avg_pool2d(alpha, 9, 1, 4)
    trimap = torch.where((alpha > 0) & (alpha < 1), 0.5, alpha)
    fg, bg = torch.rand(2, 2, 3, size, size)
    return {"alpha": alpha, "trimap": trimap, "fg": fg, "bg": bg, "image": alpha * fg + (1 - alpha) * bg}


def test_parameters_are_those_of_table_11():
    with torch.device("meta"):
        model = build_model("gfm")
    assert count_parameters(model) == 55_286_316 and count_parameters(model, paper=False) == 55_286_316 - 513_000


@pytest.mark.parametrize(("rosta", "keys"), [("TT", "gfm_tt"), ("FT", "gfm_ft"), ("BT", "gfm_ft")])
def test_every_tensor_of_the_released_checkpoints_arrives(rosta, keys):
    state = official_state(keys)
    model = load_official(build_model("gfm", rosta=rosta), state)
    assert_every_tensor_arrived(model, state, rosta)
    if rosta == "FT":
        with pytest.raises(
            ValueError, match=r"not an official gfm checkpoint: of another shape: glance\.0\.6\.bias \(2,\) for \(3,\)"
        ):
            load_official(build_model("gfm"), state)


def test_imagenet_weights_of_timm_fit_the_encoder():
    import timm

    torch.manual_seed(0)
    weights = timm.create_model("resnet34").state_dict()
    model = build_model("gfm")
    assert load_imagenet(model, weights) == []
    assert torch.equal(model.encoder.layer3[1].conv2.weight, weights["layer3.1.conv2.weight"])


@pytest.mark.parametrize("rosta", ["TT", "FT", "BT"])
def test_shapes_and_what_the_parts_say(rosta):
    model = build_model("gfm", width=0.0625, rosta=rosta).eval()
    for size in ((64, 64), (96, 160)):
        segmentation, detail, alpha, sides = model(255 * torch.rand(2, 3, *size))
        assert segmentation.shape == (2, 3, *size) and detail.shape == alpha.shape == (2, 1, *size) and sides == ()
        transition = segmentation.argmax(1, keepdim=True) == 1
        assert torch.allclose(alpha[transition], detail[transition], atol=1e-6)
        assert set(alpha[~transition].tolist()) <= {0.0, 1.0} and 0 <= alpha.min() and alpha.max() <= 1
    with pytest.raises(ValueError, match="multiples of 32"):
        model(torch.rand(1, 3, 64, 65))
    with pytest.raises(ValueError, match="no representation 'RIM'; there are TT, FT, BT"):
        build_model("gfm", rosta="RIM")


def test_two_class_labels_are_eroded_and_dilated():
    alpha = torch.zeros(1, 1, 256, 256)
    alpha[..., 100:] = 1
    alpha[..., 99] = 0.5
    eroded, dilated = (glance_labels(alpha, alpha, rosta)[0, 5] for rosta in ("FT", "BT"))
    reach = 12  # half of 50 pixels at 512
    assert eroded.tolist() == [0] * (100 + reach) + [1] * (156 - reach)
    assert dilated.tolist() == [0] * (99 - reach) + [1] * (157 + reach)


def test_composition_in_closed_form():
    alpha = torch.full((1, 1, 4, 4), 0.5)
    one, nothing = torch.ones(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    assert composition_difference(alpha, nothing, one, nothing).item() == pytest.approx(1.5)


@pytest.mark.parametrize("rosta", ["TT", "FT", "BT"])
def test_the_loss_reaches_every_weight_and_falls(rosta):
    torch.manual_seed(0)
    model, batch = build_model("gfm", width=0.0625, rosta=rosta), batch_of()
    image = 255 * batch["image"]
    optimiser, losses = torch.optim.Adam(model.parameters(), 3e-3), []
    for _ in range(12):
        terms = gfm_loss(model, image, batch)
        assert terms["total"].item() == pytest.approx(sum(v.item() for k, v in terms.items() if k != "total") / 4, rel=1e-5)
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
        losses.append(terms["total"].item())
    assert all(p.grad is not None for p in model.parameters())
    assert losses[-1] < 0.9 * losses[0]
