"""Copy and paste: Eq. 4-6 on images and features, the draw, the hook on encoders, training with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from p3mlib.copy_paste import Draw, SourceFaces, centre, copy_paste, describe, lit_like, pasting, resize_mask
from p3mlib.drawing.copy_paste import levels
from p3mlib.experiments import config, corpus, runs
from p3mlib.experiments.train import Objective
from p3mlib.experiments.views import TrainingViews
from p3mlib.models import build_model

WITH_LAYERS = ("p3mnet_resnet34", "p3mnet_swin_t", "p3mnet_vitae_s", "modnet")


def disc(size, x, y, radius, values=None):
    """(1, 1, size, size) mask of a disc."""
    rows, columns = np.mgrid[:size, :size]
    return torch.from_numpy((np.hypot(columns - x, rows - y) <= radius).astype(np.float32))[None, None]


def draw(n=1, scale=1.0, angle=0.0, apply=True):
    return Draw(torch.full((n,), scale), torch.full((n,), angle), torch.full((n,), apply))


def test_centre_and_resized_masks():
    mask = torch.zeros(2, 1, 8, 8)
    mask[0, 0, 2:4, 4:8] = 1
    place, area = centre(mask > 0)
    assert place.tolist() == [[5.5, 2.5], [0, 0]] and area.tolist() == [8, 0]
    assert resize_mask(mask, (4, 4))[0, 0].nonzero().tolist() == [[1, 2], [1, 3]]
    assert resize_mask(mask, (2, 2)).sum() == 1 and resize_mask(mask, (8, 8)).sum() == 8


@pytest.mark.parametrize("channels", [3, 16])
def test_identity_where_source_equals_target(channels):
    torch.manual_seed(0)
    data, mask = torch.rand(2, channels, 32, 32), torch.cat([disc(32, 14.5, 17, 8), disc(32, 9, 20, 6)])
    assert torch.allclose(copy_paste(data, mask, data, mask, draw(2)), data, atol=1e-5)


def test_nothing_outside_the_overlap_changes():
    torch.manual_seed(1)
    target, source = torch.rand(3, 3, 40, 40), torch.rand(3, 3, 24, 30) + 2
    mask_t = torch.cat([disc(40, 20, 20, 9), torch.zeros(1, 1, 40, 40), disc(40, 5, 5, 4)])
    mask_s = torch.cat([disc(30, 12, 10, 7)[..., :24, :]] * 3)
    for scale, angle in ((1.0, 0.0), (0.6, 0.5), (1.8, -2.0)):
        merged = copy_paste(target, mask_t, source, mask_s, draw(3, scale, angle))
        inside = (mask_t > 0).expand_as(target)
        assert torch.equal(merged[~inside], target[~inside])
        pasted = (merged != target).any(1)
        assert not pasted[1].any(), "a target without a face comes back as it is"
        share = pasted[0].sum() / mask_t[0].sum()
        assert share == pytest.approx(min(1, scale**2), abs=0.12), "equal areas at scale 1"
    left_out = copy_paste(target, mask_t, source, mask_s, draw(3, apply=False))
    assert torch.equal(left_out, target)
    assert torch.equal(copy_paste(target, mask_t, source, 0 * mask_s, draw(3)), target), "a source without a face"


def test_a_quarter_turn_is_a_quarter_turn():
    torch.manual_seed(2)
    source, mask = torch.rand(1, 3, 33, 33), disc(33, 16, 16, 12)
    turned = copy_paste(torch.zeros(1, 3, 33, 33), mask, source, mask, draw(angle=np.pi / 2), mode="nearest")
    expected = torch.rot90(source, 1, (2, 3)) * mask  # counter-clockwise as seen
    assert torch.allclose(turned, expected, atol=1e-5)


def test_one_source_for_all_and_several_faces():
    target, source = torch.zeros(2, 3, 40, 40), torch.ones(1, 3, 20, 20)
    masks = torch.cat([disc(40, 10, 10, 5) + 2 * disc(40, 30, 30, 8), disc(40, 20, 20, 6)])
    merged = copy_paste(target, masks, source, disc(20, 10, 10, 6), draw(2))
    covered = [(merged[i, 0] > 0.5)[masks[i, 0] == k].float().mean() for i, k in ((0, 1), (0, 2), (1, 1))]
    assert min(covered) > 0.85, "every face of every target is pasted into, at its own size"


@pytest.mark.parametrize(("kind", "off"), [(torch.float16, 1e-3), (torch.bfloat16, 8e-3), (torch.float64, 1e-6)])
def test_half_precision_is_sampled_in_single_and_comes_back(kind, off):
    torch.manual_seed(0)
    target, source, mask = torch.rand(2, 3, 24, 24), torch.rand(2, 3, 24, 24), torch.cat([disc(24, 12, 12, 7)] * 2)
    merged = copy_paste(target.to(kind), mask, source.to(kind), mask, draw(2, 1.1, 0.3))
    assert merged.dtype == kind and (merged.float() - copy_paste(target, mask, source, mask, draw(2, 1.1, 0.3))).abs().max() < off


def test_masks_of_other_codes_mean_the_same_or_are_refused():
    target, source, mask = torch.rand(1, 3, 24, 24), torch.rand(1, 3, 12, 12), disc(24, 12, 12, 7)
    expected = copy_paste(target, mask, source, mask, draw())
    for other in (mask.bool(), 255 * mask, (255 * mask).byte(), mask.long()):
        assert torch.equal(copy_paste(target, other, source, other, draw()), expected)
    two = mask + 4 * disc(24, 2, 2, 2)
    assert (copy_paste(target, two, source, mask, draw()) != target).any(1)[0, :4, :4].any(), "numbers of faces may have gaps"
    with pytest.raises(ValueError, match="target_mask holds 0 to 0.3, expected 0 and the numbers of faces"):
        copy_paste(target, 0.3 * mask, source, mask, draw())
    with pytest.raises(ValueError, match="source_mask spans 0 to 7, expected 0 and 1, bool, or 0 and 255"):
        copy_paste(target, mask, source, 7 * mask, draw())


def test_gradients_reach_the_target_and_never_the_source():
    target, source = torch.rand(1, 3, 24, 24, requires_grad=True), torch.rand(1, 3, 24, 24, requires_grad=True)
    mask = disc(24, 12, 12, 6)
    copy_paste(target, mask, source, mask, draw()).sum().backward()
    assert source.grad is None
    assert torch.equal(target.grad, (1 - mask).expand_as(target)), "none through what was pasted over"


def test_shapes_that_do_not_belong_together():
    image, mask = torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8)
    for wrong, message in (
        ((image, mask[:1], image, mask, draw(2)), "target_mask"),
        ((image, mask, image[:, :2], mask, draw(2)), "source of 2 channels, target of 3"),
        ((image, mask, image[:1], mask, draw(2)), "source_mask"),
        ((image, mask, image, mask, draw(3)), "a draw for"),
    ):
        with pytest.raises(ValueError, match=message):
            copy_paste(*wrong)


@pytest.mark.parametrize("name", WITH_LAYERS)
def test_every_layer_of_an_encoder_takes_a_face(name):
    torch.manual_seed(0)
    model = build_model(name, width=0.0625).eval()
    images, source, mask = torch.randn(2, 3, 64, 64), torch.randn(1, 3, 64, 64), torch.cat([disc(64, 31, 31, 30)] * 2)
    with torch.no_grad():
        before = model(images)
        for layer in range(len(model.encoder.paste_at)):
            with pasting(model, source, mask[:1], mask, draw(2), layer):
                after = model(images)
            assert after.alpha.shape == before.alpha.shape and not torch.equal(after.detail, before.detail)
            with pasting(model, source, mask[:1], mask, draw(2, apply=False), layer):
                assert torch.allclose(model(images).detail, before.detail, atol=1e-5), "the source's row changes nothing else"
        assert torch.equal(model(images).detail, before.detail), "hooks are gone"
    with pytest.raises(ValueError, match="has no layer 9"), pasting(model, source, mask[:1], mask, draw(2), 9):
        pass
    with (
        pytest.raises(ValueError, match="SHM has no layer 0"),
        pasting(build_model("shm", width=0.0625), source, mask, mask, draw()),
    ):
        pass


def test_features_of_the_source_train_nothing():
    torch.manual_seed(0)
    model = build_model("p3mnet_vitae_s", width=0.0625).eval()
    images, source, mask = torch.randn(1, 3, 64, 64), torch.randn(1, 3, 64, 64, requires_grad=True), disc(64, 30, 30, 22)
    with pasting(model, source, mask, mask, draw(), 1):
        model(images).detail.sum().backward()
    assert source.grad is None or not source.grad.any()


def faces(home):
    return corpus.open_set("CelebA", "N", config.load().profile("smoke"))


@pytest.mark.parametrize(("kind", "count"), [("icp", 8), ("fcp", 1), ("matched", 8)])
def test_batches_bring_their_sources(kind, count, home):
    train = config.load().profile("smoke").train.model_copy(update={"batch_size": 8})
    portraits = corpus.open_set("train", "B", config.load().profile("smoke"))
    views = TrainingViews(portraits, train, 0, SourceFaces(faces(home), kind, train.size))
    batches = []
    for views.epoch in range(8):
        batches += [views.collate([views[i] for i in range(j, j + 8)]) for j in (0, 8)]
    pasted = [batch["paste"] for batch in batches if "paste" in batch]
    applied = np.mean([b["paste"]["apply"].float().mean() if "paste" in b else 0 for b in batches])
    assert 0.25 < applied < 0.75 and "facemask" not in batches[0] and "index" not in batches[0]
    square = (train.size, train.size)
    for paste in pasted:
        assert paste["source"].shape == (count, 3, *square) and paste["source_mask"].shape == (count, 1, *square)
        assert 0 <= paste["source"].min() and paste["source"].max() <= 1 and paste["source_mask"].sum() > 0
        assert kind != "fcp" or paste["apply"].all()
        assert (paste["scale"] >= 0.8).all() and (paste["scale"] <= 1.25).all()
    views.epoch = 0
    again = [views.collate([views[i] for i in range(j, j + 8)]) for j in (0, 8)]
    for one, other in zip(batches[:2], again, strict=True):
        assert ("paste" in one) == ("paste" in other)
        assert torch.equal(one["image"], other["image"]) and torch.equal(one["alpha"], other["alpha"])
    with pytest.raises(ValueError, match="at least one source face"):
        SourceFaces([], kind, 64)


def test_a_look_knows_size_turn_and_light():
    rows, columns = np.mgrid[:64, :64]
    upright = torch.from_numpy(((columns - 30) ** 2 / 100 + (rows - 32) ** 2 / 256 < 1).astype(np.float32))[None]
    ramp = torch.from_numpy(np.float32(columns / 64))[None].expand(3, -1, -1)
    plain = describe(0.5 * torch.ones(3, 64, 64), upright)
    assert plain.angle == pytest.approx(0, abs=0.02) and plain.pose[1] == pytest.approx(np.log(1.6), abs=0.05)
    assert plain.slope == pytest.approx((0, 0), abs=1e-5) and describe(ramp, upright).slope[0] > 0.05
    leaning = torch.from_numpy(((columns - rows / 2 - 14) ** 2 / 100 + (rows - 32) ** 2 / 256 < 1).astype(np.float32))[None]
    assert describe(ramp, leaning).angle > 0.2, "its long axis goes down and to the right"
    assert plain.distance(plain) == 0 < plain.distance(describe(ramp, upright)) < plain.distance(describe(0 * ramp, leaning))
    assert describe(ramp, 0 * upright) is None
    lit = lit_like(0.25 * torch.ones(3, 64, 64), describe(0.25 * torch.ones(3, 64, 64), upright), plain)
    assert lit.mean() == pytest.approx(0.48, abs=0.02)


@pytest.mark.parametrize("kind", ["icp", "fcp", "matched"])
def test_rows_with_copy_and_paste_train(kind, home):
    profile = config.load().profile("smoke")
    plain = config.load().experiment("p3mnet_r34", "smoke")
    row = plain.row.model_copy(update={"copy_paste": kind, "layer": 0})
    experiment = plain.model_copy(update={"name": f"p3mnet_r34_{kind}", "row": row, "profile": profile})
    run = runs.get(experiment, [], progress=False)
    assert run.record["training"]["copy_paste"] == kind and "+" in run.record["training"]["data"]
    assert "copy_paste" not in plain.training("data"), "names of other runs stay"
    assert np.isfinite(run.training_log()["total"]).all()


def test_losses_see_the_image_as_it_was(monkeypatch):
    seen = {}

    def loss(network, image, batch):
        seen["network"], seen["loss"] = image, batch["image"]
        return {"total": image.sum()}

    model = build_model("modnet", width=0.0625)
    stage = replace(model.stages()[0], loss=loss)
    image, mask = torch.zeros(1, 3, 32, 32), disc(32, 16, 16, 8)
    paste = {"source": torch.ones(1, 3, 32, 32), "source_mask": mask, "target_mask": mask, **draw()._asdict()}
    Objective(model, stage, 0)({"image": image, "paste": paste})
    assert not seen["loss"].any() and (seen["network"] > 0).any()
    Objective(model, stage, 0, layer=0)({"image": image, "paste": paste})
    assert (seen["network"] < 0).all(), "features are pasted inside the network"


def test_features_of_source_and_target_are_drawn_on_one_scale():
    """Figure 9: a dark source, far from the mean image, is no white square."""
    torch.manual_seed(0)
    model = build_model("p3mnet_resnet34", width=0.125).eval()
    target, mask = torch.rand(1, 3, 64, 64) * 0.2 + 0.4, disc(64, 32, 32, 12)
    _, found = levels(model, target, mask, torch.rand(1, 3, 64, 64) * 0.1, mask, draw())
    shown = {name: found[f"{name}_data"] for name in ("source", "target")}
    assert all((picture > 1).mean() <= 0.011 and picture.min() >= 0 for picture in shown.values())
    assert shown["source"].mean() > 1.2 * shown["target"].mean(), "what differs still does"
