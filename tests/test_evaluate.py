"""Prediction at any size, both strategies, and what scoring does with a prediction."""

import numpy as np
import pytest
import torch

from p3mlib.experiments.evaluate import evaluate, mean_matte, shrink, transition_only
from p3mlib.models.inference import network_size, predict, resize
from p3mlib.models.network import MattingNetwork, MattingOutput


class Painter(MattingNetwork):
    """A stand-in network: the red channel is the detail, green above one half foreground, blue above one half background."""

    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __init__(self):
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.sizes = []

    def forward(self, image):
        self.sizes.append(tuple(image.shape[2:]))
        red, green, blue = image.split(1, dim=1)
        logits = torch.cat([blue - 0.5, torch.full_like(red, 0.1), green - 0.5], dim=1)
        label = logits.argmax(1, keepdim=True)
        return MattingOutput(logits, red, torch.where(label == 1, red, (label == 2).float()), ())


def scene(height, width):
    """Background left, detail of 0.3 in the middle, foreground right."""
    image = np.zeros((height, width, 3), np.float32)
    image[:, : width // 3, 2] = 1
    image[:, 2 * width // 3 :, 1] = 1
    image[..., 0] = 0.3
    return image


@pytest.mark.parametrize(
    ("side", "ratio", "expected"), [(1080, 0.5, 512), (1081, 1, 1056), (4000, 1, 1600), (20, 1, 32), (63, 0.5, 32), (128, 1, 128)]
)
def test_size_rule(side, ratio, expected):
    assert network_size(side, ratio) == expected


@pytest.mark.parametrize("strategy", ["resize", "hybrid"])
@pytest.mark.parametrize("shape", [(96, 96), (97, 131), (40, 200), (20, 25)])
def test_any_size(strategy, shape):
    alpha = predict(Painter(), scene(*shape), strategy, ratio=1.0)
    assert alpha.shape == shape and alpha.dtype == np.float32
    assert 0 <= alpha.min() and alpha.max() <= 1


def test_an_image_below_the_smallest_side_is_enlarged_and_goes_through_once():
    model = Painter()
    alpha = predict(model, scene(200, 300), "hybrid", ratio=0.5, smallest=512)
    assert model.sizes == [(512, 768)] and alpha.shape == (200, 300)
    predict(model, scene(512, 600), "resize", ratio=0.5, smallest=512)
    assert model.sizes[1:] == [(256, 288)], "large enough: the strategy as asked for"


def test_a_network_with_a_size_rule_follows_it_in_one_pass(monkeypatch):
    model = Painter()
    monkeypatch.setattr(model, "input_size", lambda height, width, side: (side, side // 2), raising=False)
    alpha = predict(model, scene(200, 300), "hybrid", side=64)
    assert model.sizes == [(64, 32)] and alpha.shape == (200, 300)


def test_area_resizing_takes_means():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert np.allclose(resize(array, (2, 3), "area"), array.reshape(2, 2, 3, 2).mean((1, 3)))
    assert resize(np.dstack([array] * 3), (2, 3), "area").shape == (2, 3, 3)


def test_hybrid_keeps_what_is_certain_and_takes_detail_at_twice_the_ratio():
    model = Painter()
    alpha = predict(model, scene(192, 192), "hybrid", ratio=0.5)
    assert model.sizes == [(96, 96), (192, 192)]
    assert (alpha[:, :55] == 0).all() and (alpha[8:-8, 140:-2] == 1).all()
    assert alpha[8:-8, 90:100] == pytest.approx(0.3, abs=1e-5)


def test_resize_strategy_takes_the_final_alpha():
    model = Painter()
    alpha = predict(model, scene(192, 192), "resize", ratio=0.5)
    assert model.sizes == [(96, 96)]
    assert alpha[96, 20] == 0 and alpha[96, 180] == 1 and alpha[96, 96] == pytest.approx(0.3, abs=1e-5)


def test_legacy_resizing_darkens_the_border_and_modern_does_not():
    ones = np.ones((32, 32), np.float32)
    ones[16, 16] = 0  # skimage keeps results within the range of the input
    assert resize(ones, (64, 64), "legacy")[0, 0] < 1
    assert resize(ones, (64, 64), "modern")[0, 0] == pytest.approx(1)
    assert resize(ones, (32, 32)) is ones


def test_messages():
    with pytest.raises(ValueError, match="no test strategy 'tiles'; there are resize, hybrid"):
        predict(Painter(), scene(32, 32), "tiles")
    with pytest.raises(ValueError, match=r"image must be \(H, W, 3\), got \(32, 32\)"):
        predict(Painter(), np.zeros((32, 32)))


def sample(name="a", shape=(40, 40)):
    alpha = np.zeros(shape, np.float32)
    alpha[10:, 10:30] = 1
    alpha[10:, 9] = 0.5
    return {"name": name, "image": scene(*shape), "alpha": alpha}


def test_evaluate_scores_every_image_and_hands_predictions_on():
    seen = []
    frame = evaluate(lambda s: s["alpha"], [sample("a"), sample("b")], progress=False, keep=lambda name, _: seen.append(name))
    assert list(frame.index) == ["a", "b"] == seen
    assert (frame["SAD"] == 0).all() and (frame["megapixels"] == 0.0016).all()


def test_neighbours_of_one_size_pass_together_if_they_are_small_and_keep_their_order():
    class Together:
        def __init__(self):
            self.batches = []

        def many(self, samples):
            self.batches.append([s["name"] for s in samples])
            return [s["alpha"] for s in samples]

    big = (256, 400)
    sizes = {"a": (40, 40), "b": (40, 40), "c": (32, 40), "d": big, "e": big, "f": (40, 40)}
    predictor, seen = Together(), []
    frame = evaluate(predictor, [sample(*s) for s in sizes.items()], progress=False, keep=lambda name, _: seen.append(name))
    assert predictor.batches == [["a", "b"], ["c"], ["d"], ["e"], ["f"]]
    assert list(frame.index) == list(sizes) == seen and (frame["SAD"] == 0).all()


def test_eight_bit_scoring_truncates():
    def predictor(s):
        return np.full_like(s["alpha"], 0.999)

    exact = evaluate(predictor, [sample()], progress=False)["MAD"].item()
    truncated = evaluate(predictor, [sample()], eight_bit=True, progress=False)["MAD"].item()
    expected = np.abs(254 / 255 - sample()["alpha"]).mean()
    assert truncated == pytest.approx(expected, rel=1e-5) and exact != pytest.approx(expected, rel=1e-5)


def test_transition_only_leaves_known_and_blurred_pixels_out():
    trimap = np.zeros((40, 40), np.float32)
    trimap[:, 5:15], trimap[:, 15:] = 0.5, 1
    facemask = np.zeros((40, 40), bool)
    facemask[:, 5:10] = True
    pred = np.zeros((40, 40), np.float32)
    case = {"alpha": np.ones((40, 40), np.float32), "trimap": trimap, "facemask": facemask}
    assert transition_only(pred, case) == pytest.approx({"SAD": 0.2, "MSE": 1, "MAD": 1})
    facemask[:] = True
    assert np.isnan(list(transition_only(pred, case).values())).all()


def test_shrink_keeps_masks_and_trimaps_exact():
    case = sample(shape=(80, 40)) | {"trimap": np.full((80, 40), 0.5, np.float32), "facemask": np.ones((80, 40), bool)}
    small = shrink(case, 20)
    assert small["image"].shape == (20, 10, 3) and small["alpha"].shape == (20, 10)
    assert set(np.unique(small["trimap"])) == {0.5} and small["facemask"].dtype == bool and small["facemask"].all()
    assert shrink(case, 0) is case and shrink(case, 200) is case


def test_mean_matte(tmp_path):
    from p3mlib import io

    class Set(list):
        def paths(self, i):
            return {"alpha": self[i]}

    for i, value in enumerate((0.0, 1.0)):
        io.write_image(tmp_path / f"{i}.png", np.full((8, 8), value))
    assert mean_matte(Set(sorted(tmp_path.glob("*.png"))), (4, 4)) == pytest.approx(0.5)
