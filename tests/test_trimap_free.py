"""SHM, LF and HATT: the paper's sizes, stages that train what they say, losses in closed form."""

import numpy as np
import pytest
import torch
from official import assert_every_tensor_arrived, official_state
from skimage.metrics import structural_similarity

from p3mlib.experiments.train import Objective, epochs_of
from p3mlib.models import build_model, count_parameters, load_imagenet, load_official
from p3mlib.models.blocks import Critic
from p3mlib.models.trimap_free.hatt import hatt_loss, ssim
from p3mlib.models.trimap_free.shm import prediction_loss

SMALL = {
    "shm": {"width": 0.0625},
    "lf": {"width": 0.0625, "blocks": (2, 2, 2, 2)},
    "hatt": {"width": 0.0625, "layers": (1, 1, 1, 1)},
    "modnet": {"width": 0.0625},
}


def batch_of(size=64):
    """Two portraits without a person in them: an oval with a soft border."""
    rng = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    alpha = torch.stack([((0.8 - (x / a) ** 2 - y**2) * 4 + 0.5).clamp(0, 1) for a in (0.6, 0.9)])[:, None]
    fg, bg = torch.rand(2, 2, 3, size, size, generator=rng)
    fg, bg = 0.2 * fg + 0.7, 0.2 * bg
    trimap = torch.where((alpha > 0) & (alpha < 1), 0.5, alpha)
    return {"alpha": alpha, "trimap": trimap, "fg": fg, "bg": bg, "image": alpha * fg + (1 - alpha) * bg}


@pytest.mark.parametrize(("name", "expected"), [("shm", 79_266_506), ("lf", 37_910_153), ("hatt", 106_953_777)])
def test_parameters_are_those_of_table_11(name, expected):
    with torch.device("meta"):
        model = build_model(name)
    assert count_parameters(model) == expected
    unused = {"shm": 263_171, "lf": 242_240, "hatt": 0}[name]
    assert count_parameters(model, paper=False) == expected - unused


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_shapes(name, size):
    model = build_model(name, **SMALL[name]).eval()
    image = (torch.rand(2, 3, *size) - torch.tensor(model.mean).view(3, 1, 1)) / torch.tensor(model.std).view(3, 1, 1)
    with torch.inference_mode():
        output, alone = model(image), model(image[:1])
    assert output.alpha.shape == output.detail.shape == (2, 1, *size)
    assert all(0 <= x.min() and x.max() <= 1 for x in (output.alpha, output.detail))
    apart = (output.alpha[:1] - alone.alpha).abs() > 1e-3
    assert apart.float().mean() < 0.01, "an image of a batch gets what it gets alone"
    with pytest.raises(ValueError, match=f"height and width must be multiples of {model.multiple}"):
        model(torch.rand(1, 3, 64, 72))


@pytest.mark.parametrize("name", SMALL)
def test_every_stage_trains_what_it_says_and_its_loss_falls(name):
    torch.manual_seed(0)
    model, batch, learned = build_model(name, **SMALL[name]), batch_of(), set()
    for stage in model.stages():
        objective = Objective(model, stage, seed=0).train()
        before = {key: value.clone() for key, value in model.state_dict().items()}
        optimiser = torch.optim.Adam([p for p in objective.parameters() if p.requires_grad], 2e-3)
        losses = []
        for _ in range(15):
            terms = objective(batch)
            optimiser.zero_grad()
            terms["total"].backward()
            optimiser.step()
            losses.append(terms["total"].item())
        assert np.mean(losses[-3:]) < 0.95 * np.mean(losses[:3]), stage.name
        changed = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
        assert all(not stage.learns or key.startswith(stage.learns) for key in changed), "frozen parts stay, norms too"
        learned |= changed
    assert {key for key, _ in model.named_parameters()} <= learned


def test_epochs_are_shared_out():
    shm, hatt = (build_model(name, **SMALL[name]).stages() for name in ("shm", "hatt"))
    assert epochs_of(shm, 4) == [1, 1, 2] and epochs_of(shm, 150) == [38, 37, 75] and epochs_of(shm, 2) == [1, 1, 1]
    assert epochs_of(hatt, 20) == [1, 19] and epochs_of(hatt, 3) == [1, 2] and epochs_of(hatt, 1) == [1, 1]


def test_the_layout_of_shm_loads():
    state = official_state("shm")
    model = load_official(build_model("shm"), state)
    assert_every_tensor_arrived(model, state, "shm")


def test_networks_without_a_release_say_so():
    with pytest.raises(ValueError, match="no weights of hatt were released"):
        load_official(build_model("hatt", **SMALL["hatt"]), {})


def test_imagenet_weights_need_one_file_for_each_backbone():
    import timm

    weights = {"t_net.encoder": timm.create_model("resnet50").state_dict(), "m_net": timm.create_model("vgg16_bn").state_dict()}
    model = build_model("shm")
    left = load_imagenet(model, weights)
    assert torch.equal(model.m_net.groups[4][6].weight, weights["m_net"]["features.40.weight"])
    assert torch.equal(model.t_net.encoder.layer4[2].conv3.weight, weights["t_net.encoder"]["layer4.2.conv3.weight"])
    assert "groups.0.0.weight" in left and not any("encoder" in name for name in left)
    with pytest.raises(ValueError, match=r"not ImageNet weights of resnet50 for shm: surplus: blocks\.0"):
        load_imagenet(model, {**weights, "t_net.encoder": timm.create_model("mobilenetv2_100").state_dict()})


def test_shm_fuses_probabilities():
    model, image = build_model("shm", **SMALL["shm"]).eval(), torch.rand(1, 3, 64, 64)
    logits, raw, alpha = model.predict(image)
    _, unknown, foreground = logits.softmax(1).split(1, dim=1)
    assert torch.allclose(alpha, foreground + unknown * raw)
    half, ones = torch.full((1, 1, 4, 4), 0.5), torch.ones(1, 3, 4, 4)
    terms = prediction_loss(half, 0 * half, 0 * ones, ones, 0 * ones)
    assert terms["alpha"].item() == pytest.approx(0.5, abs=1e-5) and terms["comp"].item() == pytest.approx(0.5, abs=1e-5)


def test_ssim_is_that_of_scikit_image():
    rng = np.random.default_rng(0)
    pred, alpha = rng.random((2, 40, 52)).astype(np.float32)
    pred = 0.5 * pred + 0.5 * alpha
    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1, "full": True}
    expected = structural_similarity(pred, alpha, **options)[1][5:-5, 5:-5].mean()
    ours = ssim(*(torch.from_numpy(m)[None, None] for m in (pred, alpha)))
    assert ours.item() == pytest.approx(expected, rel=1e-4)


def test_generator_and_critic_do_not_reach_each_others_weights():
    torch.manual_seed(0)
    model, critic, batch = build_model("hatt", **SMALL["hatt"]), Critic(0.125), batch_of()
    only = {"adversarial": 1.0, "mse": 0.0, "ssim": 0.0}
    gradients = []
    for weights in (only, dict.fromkeys(only, 0.0)):
        model.zero_grad(), critic.zero_grad()
        hatt_loss(model, batch["image"], batch, critic, weights)["total"].backward()
        gradients.append(critic[0].weight.grad.clone())
        reached = max(p.grad.abs().max() for p in model.parameters())
        assert (reached > 0) == (weights is only)
    assert torch.allclose(*gradients, atol=1e-7), "what the generator wants does not move the critic"
