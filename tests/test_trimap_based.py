"""DIM, AlphaGAN, GCA, IndexNet and FBA: sizes, released names, what they do with the trimap, losses, prediction."""

import numpy as np
import pytest
import torch
from official import assert_every_tensor_arrived, official_state
from test_trimap_free import batch_of

from p3mlib.experiments.evaluate import with_regions
from p3mlib.experiments.train import Objective
from p3mlib.models import build_model, count_parameters, fast, load_imagenet, load_official
from p3mlib.models.inference import predict
from p3mlib.models.network import with_trimap
from p3mlib.models.trimap_based.dim import alpha_and_composition, unknown_mean
from p3mlib.models.trimap_based.fba import click_maps, fuse_colours
from p3mlib.models.trimap_based.gca import GuidedAttention
from p3mlib.models.trimap_based.indexnet import IndexBlock

SIZES = {"dim": 130_545_345, "alphagan": 40_302_336, "gca": 25_164_529, "indexnet": 5_953_515, "fba": 34_693_031}


@pytest.mark.parametrize("name", SIZES)
def test_parameters_are_the_published_ones(name):
    assert count_parameters(build_model(name)) == SIZES[name]


@pytest.mark.parametrize("name", ["dim", "gca", "indexnet", "fba"])
def test_every_tensor_of_the_released_checkpoint_arrives(name):
    state = official_state(name)
    model = load_official(build_model(name), {"state_dict": {f"module.{key}": value for key, value in state.items()}})
    assert_every_tensor_arrived(model, state, name)
    lost = next(key for key in state if key.endswith(("conv1.weight", "conv11.weight", "weight_bar", "layer0.0.weight")))
    with pytest.raises(ValueError, match=f"not an official {name} checkpoint: missing"):
        load_official(model, {key: value for key, value in state.items() if key != lost})


def test_alphagan_has_no_release():
    with pytest.raises(ValueError, match="no weights of alphagan were released"):
        load_official(build_model("alphagan", width=0.0625), {})


def test_mobilenet_weights_fit_the_encoder_of_indexnet():
    import timm

    weights = timm.create_model("mobilenetv2_100").state_dict()
    model = build_model("indexnet")
    left = load_imagenet(model, weights)
    assert set(left) == {"0.0.weight"}, "only the stem, which also sees the trimap"
    assert torch.equal(model.layers[7][0][6].weight, weights["blocks.6.0.conv_pwl.weight"])


@pytest.mark.parametrize("name", SIZES)
@pytest.mark.parametrize("size", [(64, 64), (96, 160)])
def test_shapes_and_known_pixels(name, size):
    torch.manual_seed(0)
    model = build_model(name, width=0.0625).eval()
    x = torch.randn(2, 4, *size)
    x[:, 3] = torch.randint(0, 3, (2, *size)) / 2
    with torch.inference_mode():
        output, alone = model(x), model(x[:1])
    assert output.alpha.shape == output.detail.shape == (2, 1, *size)
    assert 0 <= output.alpha.min() and output.alpha.max() <= 1
    for value in (0, 1):
        assert (output.alpha[x[:, 3:] == value] == value).all()
    assert torch.allclose(output.alpha[:1], alone.alpha, atol=1e-4), "an image of a batch gets what it gets alone"
    assert torch.allclose(fast(model)(x).alpha, output.alpha, atol=1e-3)
    with pytest.raises(ValueError, match="takes 4 channels; the trimap is the fourth"):
        model(x[:, :3])
    with pytest.raises(ValueError, match=f"multiples of {model.multiple}"):
        model(x[..., :-1])


@pytest.mark.parametrize("name", SIZES)
def test_the_loss_falls_and_all_weights_learn(name):
    torch.manual_seed(0)
    model, batch = build_model(name, width=0.0625), batch_of()
    (stage,) = model.stages()
    objective = Objective(model, stage, seed=0).train()
    before = {key: value.clone() for key, value in model.named_parameters()}
    optimiser, losses = torch.optim.Adam(objective.parameters(), 2e-3), []
    for _ in range(25):
        terms = objective(batch)
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
        losses.append(terms["total"].item() - terms.get("critic", torch.zeros(())).item())
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])
    assert not [key for key, value in model.named_parameters() if torch.equal(value, before[key])]


def test_losses_count_unknown_pixels_only():
    batch = batch_of()
    wrong = torch.where(batch["trimap"] == 0.5, batch["alpha"], 1 - batch["alpha"])
    assert all(term.item() < 1e-5 for term in alpha_and_composition(wrong, batch).values())
    error = torch.ones(2, 1, 4, 4)
    mask = torch.zeros(2, 1, 4, 4)
    mask[0, 0, 0, 0] = 1
    assert unknown_mean(error, mask).item() == pytest.approx(0.5), "a sample without unknown pixels counts as 0"


def test_predict_needs_the_trimap_and_keeps_what_it_knows():
    model, rng = build_model("dim", width=0.0625).eval(), np.random.default_rng(0)
    image = rng.random((70, 50, 3), np.float32)
    trimap = np.full((70, 50), 127 / 255, np.float32)
    trimap[:20], trimap[50:] = 0, 1
    alpha = predict(model, image, trimap=trimap)
    assert alpha.shape == (70, 50) and alpha.dtype == np.float32
    assert (alpha[:20] == 0).all() and (alpha[50:] == 1).all()
    for given, text in ((None, "got none"), (trimap[:5], r"got \(5, 50\)")):
        with pytest.raises(ValueError, match=rf"needs a trimap of \(70, 50\), {text}"):
            predict(model, image, trimap=given)


def test_the_transition_is_scored_without_the_face():
    alpha, trimap = np.zeros((4, 4), np.float32), np.full((4, 4), 0.5, np.float32)
    face = np.zeros((4, 4), bool)
    face[:2] = True
    pred = np.where(face, 1, 0.25).astype(np.float32)
    errors = with_regions(pred, {"alpha": alpha, "trimap": trimap, "facemask": face})
    assert errors["MAD-U"] == pytest.approx(0.25) and errors["MAD"] == pytest.approx(0.625)
    assert errors["SAD-U"] == pytest.approx(8 * 0.25 / 1000)


def test_click_maps_fall_with_the_distance():
    trimap = torch.full((1, 1, 8, 40), 0.5)
    trimap[..., 0] = 0
    maps = click_maps(trimap)
    assert maps.shape == (1, 6, 8, 40) and (maps[:, 3:] == 0).all(), "no foreground is known"
    assert maps[0, 0, 3, 0] == 1 and maps[0, 0, 3, 10].item() == pytest.approx(np.exp(-(10**2) / (2 * 6.4**2)), rel=1e-4)


def test_fused_colours_of_a_perfect_guess_stay():
    alpha, fg, bg = torch.rand(1, 1, 4, 4), torch.rand(1, 3, 4, 4) * 0.3 + 0.7, torch.rand(1, 3, 4, 4) * 0.3
    image = alpha * fg + (1 - alpha) * bg
    fused, f, b = fuse_colours(alpha, image, fg, bg)
    for after, before in ((fused, alpha), (f, fg), (b, bg)):
        assert torch.allclose(after, before, atol=2e-3)


def test_index_weights_of_a_window_sum_to_one():
    pool, unpool = IndexBlock(6).eval()(torch.randn(2, 6, 8, 12))
    assert pool.shape == unpool.shape == (2, 6, 8, 12)
    assert torch.allclose(4 * torch.nn.functional.avg_pool2d(pool, 2), torch.ones(2, 6, 4, 6), atol=1e-6)


def test_attention_copies_between_like_patches():
    """Two halves of the picture look different; alpha features of an unknown spot become those of its own half."""
    torch.manual_seed(0)
    attention = GuidedAttention(8).eval()
    torch.nn.init.dirac_(attention.W[0].weight)
    attention.W[1].weight.data.fill_(1.0)
    guidance = torch.zeros(1, 8, 16, 16)
    guidance[:, :4, :, :8], guidance[:, 4:, :, 8:] = 30, 30
    features = torch.zeros(1, 8, 16, 16)
    features[..., :8], features[..., 8:] = 1, -1
    unknown = torch.zeros(1, 1, 16, 16)
    unknown[..., 6:10, 2:4] = 1
    added = attention(guidance, features, unknown) - features
    assert added[0, :, 7, 2].mean() > 0.8 and added[0, :, 7, 13].mean() < -0.8


def test_trimap_is_the_fourth_channel():
    batch = batch_of()
    joined = with_trimap(batch["image"], batch)
    assert joined.shape == (2, 4, 64, 64) and torch.equal(joined[:, 3:], batch["trimap"])
