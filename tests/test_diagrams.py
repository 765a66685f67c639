"""Diagrams: what is traced is what the model computes, and what is drawn is what was traced."""

import io
import warnings

import matplotlib.pyplot as plt
import pytest
import torch
from PIL import Image

from p3mlib.drawing import plots
from p3mlib.drawing.encoder import draw_encoder
from p3mlib.drawing.network import draw_network
from p3mlib.drawing.structure import NETWORKS, structures
from p3mlib.drawing.trace import ENCODER, groups, trace
from p3mlib.models import build_model, count_parameters

OFF = {"tfi": False, "sbfi": False, "dbfi": False}


def small(**options):
    return build_model("p3mnet_resnet34", **({"width": 0.125} | options))


@pytest.fixture(scope="module")
def full():
    return trace(small())


@pytest.fixture(scope="module")
def basic():
    return trace(small(**OFF))


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def sources(found, target):
    return {edge.argument: edge.source for edge in found.into(target)}


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("which", ["full", "basic"])
def test_blocks_and_their_convolutions(which, request):
    found = request.getfixturevalue(which)
    convolutions = {p.name: len(p.all("convolution")) for p in found.of("semantic", "matting", "final")}
    assert convolutions == {f"S{i}": 3 for i in range(5)} | {f"M{i}": 3 for i in range(1, 5)} | {"M0": 2, "final": 1}
    assert [part.blocks for part in found.of("encoder")] == [0, 0, 3, 4, 6, 3]
    assert [part.level for part in found.of("encoder")] == [0, 1, 2, 3, 4, 5]
    assert [part.params for part in found.of("encoder") if part.name == "E0/2"] == [0]
    on = which == "full"
    for kind, number in {"tfi": 4, "sbfi": 3, "dbfi": 3}.items():
        assert [part.active for part in found.of(kind)] == [on] * number


def test_parameters_and_channels_are_those_of_the_model(full):
    model = small()
    assert sum(part.params for part in full.parts.values()) == count_parameters(model, paper=False)
    features = [model.encoder.full_channels, *model.encoder.skip_channels, model.encoder.deep_channels]
    assert [full.parts[name].channels for name in ENCODER] == features
    assert full.parts["M4"].given == (model.encoder.deep_channels, 5)


def test_poolings_have_kernel_and_stride_of_the_computation(full):
    pools = [op for name in ENCODER for op in full.parts[name].all("max_pool2d")]
    assert [(op.kernel, op.stride, op.level) for op in pools] == [(3, 2, level) for level in range(1, 6)]
    inside = {p.name: [(op.kernel, op.stride) for op in p.all("max_pool2d")] for p in full.of("sbfi")}
    assert inside == {"sBFI0": [(2, 2)], "sBFI1": [(2, 4)], "sBFI2": [(2, 8)]}
    assert [p.all("upsample")[0].scale for p in full.of("dbfi")] == [4, 8, 16]


@pytest.mark.parametrize("i", range(4))
def test_tfi_takes_matting_semantic_and_encoder_features_of_its_level(full, i):
    assert sources(full, f"TFI{i}") == {"semantic": f"S{i + 1}", "matting": f"M{i + 1}", "encoder": ENCODER[i + 1]}
    ways = {edge.argument: [op.name for op in edge.via] for edge in full.into(f"TFI{i}")}
    assert ways == {"semantic": ["upsample_bilinear2d"], "matting": ["max_unpool2d"], "encoder": []}
    assert set(full.parts[f"TFI{i}"].inputs.values()) == {(full.parts[f"TFI{i}"].channels, i + 1)}


@pytest.mark.parametrize("i", range(3))
def test_bipartite_modules_take_e0_and_e4(full, i):
    assert sources(full, f"sBFI{i}") == {"matting": f"TFI{i}", "full": "E0"}
    assert sources(full, f"dBFI{i}") == {"semantic": f"S{i + 1}", "deep": "E4"}
    assert sources(full, f"M{i}") == {"input": f"sBFI{i}"} and sources(full, f"S{i}") == {"input": f"dBFI{i}"}
    assert sources(full, f"side{i}") == {"": f"dBFI{i}"}


def test_unpooling_takes_the_indices_of_the_pooling_of_its_scale(full):
    indices = {edge.source: (edge.target, edge.op("indices").level) for edge in full.edges if edge.op("indices")}
    targets = ["final", "TFI0", "TFI1", "TFI2", "TFI3"]
    assert indices == {name: (target, k + 1) for k, (name, target) in enumerate(zip(ENCODER[:5], targets, strict=True))}


def test_outputs(full):
    assert {edge.source for edge in full.into("alpha")} == {"S0", "final"}
    assert [(edge.source, edge.via[-1].name) for edge in full.into("detail")] == [("final", "sigmoid")]
    assert sources(full, "segmentation") == {"": "S0"}
    assert full.parts["segmentation"].channels == 3 and full.parts["detail"].level == 0


def test_basic_goes_past_its_pass_throughs(basic):
    assert not [edge for edge in basic.edges if edge.used and not basic.parts[edge.target].active]
    assert all(sources(basic, f"{lane}{i}") == {"input": f"{lane}{i + 1}"} for lane in "SM" for i in range(4))
    assert not [name for name in basic.parts if name.startswith("side")]


def test_without_dbfi_the_semantic_features_come_from_the_block_itself():
    found = trace(small(dbfi=False))
    assert sources(found, "TFI1")["semantic"] == "S2" and sources(found, "S1") == {"input": "S2"}


def test_trace_leaves_the_model_alone():
    model = small().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    trace(model)
    assert model.training and not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_labels_follow_the_model():
    narrow, wide = texts(draw_network(small())), texts(draw_network(small(width=0.25)))
    assert "3 conv · 64→32 · H/32" in narrow and "3 conv · 128→64 · H/32" in wide
    assert "3 conv · 64→32 · H/32" not in wide
    assert narrow.count("max-pool 3×3/2") == narrow.count("max-unpool ×2") == narrow.count("bilinear ×2") == 5
    assert {"side0", "side1", "side2", "4 blocks, 8 conv 3×3"} <= set(narrow) and "off" not in narrow
    assert texts(draw_network(small(sbfi=False))).count("off") == 3
    basic = texts(draw_network(small(**OFF)))
    assert basic.count("off") == 10 and "side0" not in basic and "switched off: TFI, sBFI, dBFI" in basic


def test_a_changed_block_is_drawn_changed():
    model = small()
    model.matting[2] = torch.nn.Sequential(*model.matting[2][:3], *model.matting[2][6:])
    assert "2 conv · 16→8 · H/8" in texts(draw_network(model))


def test_network_can_be_drawn_into_given_axes():
    figure, ax = plt.subplots(figsize=(7, 6.2))
    assert draw_network(small(), ax=ax) is figure and len(figure.axes) == 1


def test_encoder_panel_lists_the_layers_of_the_block():
    drawn = texts(draw_encoder({"ResNet-34": small()}))
    start = drawn.index("input")
    assert drawn[start : start + 8] == ["input", "conv 3×3", "BN", "ReLU", "conv 3×3", "BN", "+", "ReLU"]
    assert {"N1–N4: 3, 4, 6, 3", "E1–E4: 8, 16, 32, 64", "C1–C4: 32, 16, 8, 8"} <= set(drawn)
    assert {"conv 7×7, BN, ReLU", "P3M BB × N3, N3 = 6", "stride of all 36 convolutions: 1"} <= set(drawn)
    assert sum(text.startswith("not built yet") for text in drawn) == 2
    model = small()
    del model.encoder.layer3[3:]
    assert "N1–N4: 3, 4, 3, 3" in texts(draw_encoder({"Swin-T": model}))


def overlaps(figure):
    figure.canvas.draw()
    boxes = [(t.get_text(), t.get_window_extent()) for t in figure.axes[0].texts]
    page = figure.bbox
    outside = [s for s, b in boxes if b.x0 < page.x0 or b.x1 > page.x1 or b.y0 < page.y0 or b.y1 > page.y1]
    pairs = [(s, t) for i, (s, a) in enumerate(boxes) for t, b in boxes[:i] if a.shrunk(0.98, 0.8).overlaps(b)]
    return outside + pairs


@pytest.mark.parametrize("options", [{"width": 1.0}, OFF, {"dbfi": False}, {"sbfi": False, "dbfi": False}])
def test_text_is_legible_and_collides_with_none(options):
    for figure in (draw_network(small(**options)), draw_encoder({"ResNet-34": small(**options)})):
        assert overlaps(figure) == []
        assert min(text.get_fontsize() for text in figure.axes[0].texts) >= 6


def test_figures_are_small_and_cause_no_warning():
    model = small()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in (draw_network(model), draw_encoder({"ResNet-34": model})):
            full, png, pdf = io.BytesIO(), io.BytesIO(), io.BytesIO()
            figure.savefig(full, format="png", dpi=200, bbox_inches="tight", pad_inches=0.03)
            Image.open(full).convert("RGB").quantize(256).save(png, format="PNG", optimize=True)  # as plots.save does
            figure.savefig(pdf, format="pdf", bbox_inches="tight")
            assert figure.get_figwidth() == 7 and png.tell() <= 200_000 and pdf.tell() <= 200_000


def test_groups_follow_what_each_network_computes():
    for method, (model, options, parts) in NETWORKS.items():
        members = {name: paths for name, (_, paths) in parts.items()}
        edges = set(groups(build_model(model, width=0.0625, **options), members))
        first = next(iter(parts))
        assert ("image", first) in edges
        if method == "SHM":
            assert ("T-Net", "M-Net") in edges and ("image", "M-Net") in edges
        else:
            fed = {target for source, target in edges if source == first}
            assert len(fed) == 2 and ("segmentation decoder", "matting decoder") not in edges
        assert {target for source, target in edges} >= {"alpha", "segmentation"}


def test_figure_5_names_all_kinds():
    figure = structures()
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert {"SHM\ntwo-stage", "HATT\nsingle-task"} < set(texts) and sum("multi-task" in text for text in texts) == 4
    assert "53.32 M" in texts and "2.22 M" in texts


def test_bars_have_a_panel_for_every_set_that_has_the_metric():
    cell = (1.0, 0.5, 1.5)
    summary = {("A", "P3M-500-P", "B:B", "SAD"): cell, ("A", "", "", "Params"): cell, ("C", "P3M-500-NP", "B:N", "SAD"): cell}
    figure = plots.error_bars(summary, {("A", "P3M-500-P"): 2.0}, ["A", "B"])
    assert [ax.get_title() for ax in figure.axes] == ["P3M-500-P (B:B)"]
    plots.plt.close(figure)
