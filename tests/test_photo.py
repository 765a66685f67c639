"""Profile `photo`: P3M-Net on a frozen ImageNet encoder, and training views in front of any place."""

from importlib import resources

import cv2
import numpy as np
import pytest
import skimage.data
import timm
import torch

from p3mlib.data.photo import INGREDIENTS, photo_view
from p3mlib.data.places import SKIMAGE, Places, texture
from p3mlib.experiments import config
from p3mlib.experiments.train import Objective
from p3mlib.models import bases, build_model
from p3mlib.models.inference import predict
from p3mlib.models.p3mnet.lite0_mp import _imagenet

KERNEL = (15, 30)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("places")
    cv2.imwrite(str(folder / "red.png"), np.full((90, 160, 3), (0, 0, 255), np.uint8))
    return Places(folder)


@pytest.fixture
def sample():
    """A green figure that the lower edge cuts, in front of black."""
    alpha = np.zeros((80, 64), np.float32)
    alpha[30:, 20:44] = 1
    fg, bg = np.zeros((2, 80, 64, 3), np.float32)
    fg[..., 1] = 1
    return {"name": "figure", "alpha": alpha, "fg": fg, "bg": bg, "image": fg * alpha[..., None], "facemask": alpha > 2}


def views(sample, places, ingredients, count=40):
    rng = np.random.default_rng(0)
    return [photo_view(sample, 64, places, ingredients, KERNEL, rng) for _ in range(count)]


def test_a_view_has_the_shapes_and_ranges_of_a_training_view(sample, places):
    for view in views(sample, places, tuple(INGREDIENTS), 8):
        assert {key: value.shape for key, value in view.items()} == {
            **dict.fromkeys(("image", "fg", "bg"), (3, 64, 64)), **dict.fromkeys(("alpha", "trimap", "facemask"), (1, 64, 64))
        }  # fmt: skip
        assert all(value.dtype == np.float32 and value.flags.c_contiguous for value in view.values())
        assert all(0 <= view[key].min() and view[key].max() <= 1 for key in ("image", "fg", "bg", "alpha"))


def test_without_ingredients_the_picture_is_the_rendered_one(sample, places):
    for view in views(sample, places, (), 5):
        assert np.allclose(view["image"][1], view["alpha"][0], atol=1e-6) and not view["image"][[0, 2]].any()


@pytest.mark.parametrize("ingredient", INGREDIENTS)
def test_every_ingredient_changes_pictures(sample, places, ingredient):
    assert any(
        not np.array_equal(with_it["image"], plain["image"])
        for with_it, plain in zip(views(sample, places, (ingredient,)), views(sample, places, ()), strict=True)
    )


def test_a_figure_that_an_edge_cuts_stays_cut_by_the_edge(sample, places):
    sizes = []
    for view in views(sample, places, ("framing",), 200):
        alpha = view["alpha"][0]
        sizes.append(alpha.mean())
        assert alpha[-1].max() == alpha.max(), "the figure floats above the lower edge"
    assert min(sizes) < 0.09 and max(sizes) > 0.35


def test_places_stand_behind_the_person_and_never_over_it(sample, places):
    for view in views(sample, places, ("places", "clutter")):
        person = view["alpha"][0] == 1
        assert np.allclose(view["image"][1][person], 1, atol=1e-6)


def test_the_same_draw_gives_the_same_view(sample, places):
    first, second = (views(sample, places, tuple(INGREDIENTS), 3) for _ in range(2))
    assert all(np.array_equal(a[key], b[key]) for a, b in zip(first, second, strict=True) for key in a)


def test_the_pictures_that_come_along_show_nobody():
    assert len(Places()) == len(SKIMAGE)
    assert not {"astronaut", "camera", "lfw_subset"} & set(SKIMAGE)


def test_a_folder_without_pictures_is_an_error_and_a_damaged_picture_is_left_out(tmp_path, caplog):
    with pytest.raises(FileNotFoundError, match="no pictures of places"):
        Places(tmp_path)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    cv2.imwrite(str(tmp_path / "wall.jpg"), np.zeros((20, 30, 3), np.uint8))
    assert "wall.jpg" in Places(tmp_path).names and "broken.jpg" in caplog.text


def test_textures_are_of_every_kind_and_in_range():
    rng = np.random.default_rng(0)
    made = [texture(24, 32, rng) for _ in range(20)]
    assert all(t.shape == (24, 32, 3) and 0 <= t.min() and t.max() <= 1 for t in made)
    assert min(t.std() for t in made) > 0


def test_the_encoder_knows_a_cat():
    lite0 = timm.create_model("tf_efficientnet_lite0").eval()
    lite0.load_state_dict(_imagenet(tuple(lite0.state_dict())))
    cat = cv2.resize(skimage.data.chelsea(), (336, 224))[:, 56:280].astype(np.float32) / 255
    with torch.no_grad():
        best = lite0(torch.from_numpy((2 * cat - 1).transpose(2, 0, 1))[None]).argmax().item()
    assert best in range(281, 286)  # ImageNet's five kinds of house cats


def test_training_leaves_the_encoder_as_it_is(sample, places):
    model = build_model("p3mnet_lite0", width=0.25)
    objective = Objective(model, *model.stages(), seed=0)
    objective.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], 1e-2)
    batch = [photo_view(sample, 64, places, (), KERNEL, np.random.default_rng(i)) for i in range(2)]
    terms = objective({key: torch.from_numpy(np.stack([view[key] for view in batch])) for key in batch[0]})
    terms["total"].backward()
    optimiser.step()
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    frozen = ("encoder.stem", "encoder.level")
    assert moved and not [name for name in moved if name.startswith(frozen)]
    assert {name.split(".")[1] for name in moved if name.startswith("encoder.")} == {"full", "adapters"}


@pytest.mark.parametrize(("name", "sees"), [("p3mnet_lite0", True), ("p3mnet_resnet34", False)])
def test_the_semantic_decoder_sees_more_than_the_deepest_map_in_our_network_alone(name, sees):
    torch.manual_seed(0)
    model = build_model(name, width=0.25).eval()
    with torch.no_grad():
        one, other = (model.encoder(torch.rand(1, 3, 64, 64)) for _ in range(2))
        alike = model._segment(one)[0] - model._segment(other._replace(deep=one.deep))[0]
    assert bool(alike.abs().max() > 0) == sees


def test_the_weights_of_the_package_find_a_head_and_leave_a_wall():
    picture = skimage.data.astronaut().astype(np.float32) / 255
    alpha = predict(bases.load(bases.PHOTO), picture, ratio=1.0)
    assert alpha[80:180, 190:270].mean() > 0.9 > 0.1 > alpha[:200, 320:].mean()


def test_a_photograph_and_its_mirror_image_have_mirrored_mattes():
    model, picture = bases.load(bases.PHOTO), skimage.data.astronaut()[:, 40:472].astype(np.float32) / 255
    one, other = (predict(model, np.ascontiguousarray(side), ratio=1.0) for side in (picture, picture[:, ::-1]))
    assert one.shape == picture.shape[:2] and np.abs(one - other[:, ::-1]).mean() < 1e-3


def test_a_photograph_is_seen_as_a_whole():
    model = build_model("p3mnet_lite0", width=0.25)
    assert model.input_size(3000, 4000, 512) == (192, 256)
    assert model.input_size(160, 128, 128) == (160, 128)


def test_an_unknown_ingredient_is_named():
    grid = resources.files("p3mlib.experiments").joinpath("experiments.yaml").read_text()
    with pytest.raises(ValueError, match=r"profiles\.photo\.train\.ingredients.*magic"):
        config.parse(grid.replace("ingredients: [places,", "ingredients: [magic,"))
