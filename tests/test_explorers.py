"""Every explorer: any control changes what is shown, stills are whole without a kernel, wrong uploads say what is wrong."""

import asyncio
import datetime
import io
import re
from functools import cache

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image
from skimage.data import astronaut

from p3mlib import widgets
from p3mlib.experiments import config
from p3mlib.matte import make_trimap
from p3mlib.metrics import METRICS, matting_errors
from p3mlib.models import build_model
from p3mlib.privacy import faces
from p3mlib.results.claims import Numbers, methods
from p3mlib.results.claims.numbers import EARLIER, VARIANTS
from p3mlib.synthetic.portrait import render_portrait
from p3mlib.widgets import features, frame, metrics
from p3mlib.widgets.brush import Brush, painted

TEST = config.load().profile("smoke").test


@cache
def portrait(seed=3, size=(64, 64)):
    return render_portrait(seed, size, "P3M")


def sample(seed):
    made = portrait(seed)
    return {"name": f"p{seed}", "image": made.image, "alpha": made.alpha, "facemask": made.parts["skin"]}


def network(seed=0):
    """P3M-Net with random weights whose matte is neither empty nor full."""
    torch.manual_seed(seed)
    return build_model("p3mnet_resnet34", width=0.0625).eval()


def some_numbers():
    rng = np.random.default_rng(0)
    values = {}
    for method in (*EARLIER, "BASIC", *VARIANTS):
        for setting, mean in (("N:N", 10.0), ("B:N", 10.4 + len(method) / 10)):
            values["4", method, setting, "P3M-500-P", "SAD"] = mean + rng.standard_normal((2, 30))
            values["4", method, setting, "P3M-500-P", "MAD"] = mean / 100 + rng.standard_normal((2, 30)) / 100
            values["4", method, setting, "P3M-500-NP", "SAD"] = mean + rng.standard_normal((2, 30))
    return Numbers(values)


def matting_equation():
    made = portrait()
    return widgets.matting_equation_explorer(made.fg, made.bg, made.alpha)


def metrics_of_a_matte():
    alpha = portrait().alpha
    return widgets.metrics_explorer(alpha, make_trimap(alpha, 5))


def trimap():
    made = portrait()
    return widgets.trimap_explorer(made.image, made.alpha)


def dab(x, y, radius, tone):
    """A stroke of one point, as a click of the brush gives it."""
    return {"points": [[x, y]], "radius": radius, "tone": tone}


def ppt():
    explorer = widgets.ppt_explorer({"B": network(), "N": network(1)}, [sample(3), sample(4)], TEST)
    explorer.controls["face"].value = "blur"  # so that its strength can be seen
    return explorer


def copy_paste():
    images = torch.stack([torch.from_numpy(sample(seed)["image"].transpose(2, 0, 1)) for seed in (3, 4, 5)])
    masks = torch.stack([torch.from_numpy(sample(seed)["facemask"][None].astype(np.float32)) for seed in (3, 4, 5)])
    return widgets.copy_paste_explorer(images[:1], masks[:1], images[1:], masks[1:], network())


@pytest.fixture(scope="module")
def photograph():
    photo = (astronaut()[:320, 60:420] / 255).astype(np.float32)
    return photo, faces.detect(photo)[0]


def size():
    made = portrait()
    return widgets.size_explorer({"R34": network(), "another": network(1)}, made.image, made.alpha)


def who_sees_what():
    return widgets.features_explorer(network(), [sample(3), sample(4)])


def the_claims():
    return widgets.claims_explorer(some_numbers(), methods.PREDICATES, draws=40)


def leaderboard():
    return widgets.leaderboard_explorer(some_numbers())


ALL = (matting_equation, metrics_of_a_matte, trimap, ppt, copy_paste, size, who_sees_what, the_claims, leaderboard)


def other_values(control):
    """Values of a control that are not the one it has."""
    if isinstance(control, Brush):
        return [[dab(0.5, 0.4, 0.1, 0.5)], [dab(0.1, 0.1, 0.1, 1.0)]]
    if hasattr(control, "options"):
        return [option for option in control.options if option != control.value]
    if hasattr(control, "min"):
        values = {control.min, control.max, (control.min + control.max) / 2}
        return [value for value in values if value != control.value]
    return ["#00ff00"] if str(control.value).startswith("#") else ["P3M-Net"]


def without_times(still):
    return re.sub(r"[\d.]+ m?s\b", "", still.html)


def check_every_control_is_seen(explorer, names):
    for name in names:
        control = explorer.controls[name]
        start = control.value
        before, seen = without_times(explorer.still), set()
        for value in other_values(control):
            control.value = value
            seen.add(without_times(explorer.still))
            assert "<strong>" not in explorer.still.html, (name, value, explorer.still.html[:300])
        assert seen - {before}, f"{name} changes nothing"
        control.value = start
        assert without_times(explorer.still) == before, f"{name}: back where it was, another picture"


@pytest.mark.parametrize("make", ALL, ids=lambda make: make.__name__)
def test_every_control_changes_the_picture_and_is_named(make):
    explorer = make()
    check_every_control_is_seen(explorer, explorer.controls)
    assert explorer.question.endswith("?") and explorer.advice.endswith((".", "?"))
    assert all(control.description for control in explorer.controls.values())
    assert all(re.findall(r'<img alt="([^"]+)"', explorer.still.html)) and '<img alt=""' not in explorer.still.html


def test_anonymisation_by_every_control(photograph):
    explorer = widgets.anonymisation_explorer(*photograph, None)
    check_every_control_is_seen(explorer, ("method", "strength", "margin", "region"))


def upload_of(name, content):
    return (
        {
            "name": name,
            "type": "",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.datetime.now(datetime.UTC),
        },
    )


def png(picture):
    file = io.BytesIO()
    Image.fromarray((picture * 255).astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def test_a_photograph_of_ones_own_is_shown_and_not_saved(photograph, tmp_path, monkeypatch):
    explorer = widgets.anonymisation_explorer(*photograph, None)
    monkeypatch.chdir(tmp_path)
    before, upload = explorer.still.html, explorer.controls["upload"]
    upload.value = upload_of("me.png", png(photograph[0][:, ::-1]))
    assert explorer.still.private and explorer.still.html != before and "<img" in explorer.still.html
    shown = displayed(explorer)
    assert "not saved" in shown[-1] and "<img" not in "".join(shown), "the notebook keeps no picture of it"
    upload.value = ()
    assert explorer.still.html == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("notes.txt", b"no picture at all", "notes.txt: damaged or not an image"),
        ("cut.png", png(np.zeros((50, 50, 3)))[:60], "cut.png: damaged or not an image"),
        ("wall.png", png(np.full((64, 64, 3), 0.5)), "wall.png: no face was found"),
    ],
    ids=["text", "cut off", "no face"],
)
def test_a_wrong_upload_says_what_is_wrong(photograph, name, content, words):
    explorer = widgets.anonymisation_explorer(*photograph, None)
    explorer.controls["upload"].value = upload_of(name, content)
    assert words in explorer.still.html and "<img" not in explorer.still.html


def displayed(explorer):
    """HTML that a notebook gets of an explorer, in order."""
    shell, got = InteractiveShell.instance(), []
    publish = shell.display_pub.publish
    shell.display_pub.publish = lambda data, *args, **kwargs: got.append(data.get("text/html", ""))
    try:
        explorer._ipython_display_()
    finally:
        shell.display_pub.publish = publish
    return got


def test_a_notebook_keeps_question_and_still_as_html():
    explorer = matting_equation()
    question, _, still = displayed(explorer)
    assert "why is a mask not enough?" in question and "night" in question
    assert still == explorer.still.html and still.count("data:image/jpeg;base64,") == 5


def test_only_the_last_of_many_changes_is_drawn():
    explorer, drawn = matting_equation(), []
    draw = explorer._draw
    explorer._draw = lambda: drawn.append(explorer.controls["alpha"].value) or draw()

    async def drag():
        for value in (0.3, 0.5, 0.7, 0.9):
            explorer.controls["alpha"].value = value
        await asyncio.sleep(5 * frame.WAIT)

    asyncio.run(drag())
    assert drawn == [0.9]


def test_what_takes_long_follows_unless_something_changes_meanwhile():
    seen, number = [], frame.slider("number", 0, 0, 9)

    def draw():
        for kind in ("quick", "good"):
            seen.append(f"{kind} {number.value}")
            yield frame.Still(seen[-1])

    explorer = frame.Explorer("?", "", {"number": number}, draw)
    assert seen == ["quick 0", "good 0"] and explorer.still.html == "good 0"

    async def move():
        for value in (1, 2):
            number.value = value
            while seen[-1] != f"quick {value}":
                await asyncio.sleep(0)
        await asyncio.sleep(5 * frame.WAIT)

    asyncio.run(move())
    assert seen[2:] == ["quick 1", "quick 2", "good 2"] and explorer.still.html == "good 2"


@pytest.mark.parametrize(
    "goal, moves",
    [
        ("SAD falls, Grad rises", {"offset": 0, "strokes": [dab(0.5, 0.4, 0.05, 0.0)]}),
        ("MAD falls, MSE rises", {"offset": 0, "right": 3}),
        ("SAD falls, Conn rises", {"offset": 0, "right": 3}),
        ("no error in -T, some in -FG", {"offset": 0, "strokes": [dab(0.5, 0.9, 0.02, 0.0)]}),
    ],
)
def test_every_goal_can_be_reached_and_is_not_reached_at_first(goal, moves):
    alpha = portrait(3, (128, 128)).alpha
    explorer = widgets.metrics_explorer(alpha, make_trimap(alpha, 5))
    explorer.controls["goal"].value = goal
    assert f"{goal}: not yet" in explorer.still.html
    for name, value in moves.items():
        explorer.controls[name].value = value
    assert f"{goal}: reached" in explorer.still.html


def test_the_metrics_beside_a_spoiled_matte_are_the_librarys():
    alpha = portrait().alpha
    explorer = widgets.metrics_explorer(alpha, make_trimap(alpha, 5))
    explorer.controls["right"].value = 4
    errors = matting_errors(metrics.spoiled(alpha, right=4, offset=0.1), alpha, make_trimap(alpha, 5))
    assert all(f"<td>{errors[name]:.4g}</td>" in explorer.still.html for name in METRICS)


def test_an_unspoiled_matte_has_no_error_and_a_shift_is_a_shift():
    alpha = portrait().alpha
    assert np.array_equal(metrics.spoiled(alpha), alpha)
    assert np.allclose(metrics.spoiled(alpha, right=3, down=-2)[:-2, 3:], alpha[2:, :-3], atol=1e-6)


def test_a_stroke_is_painted_where_the_browser_shows_it_and_nowhere_else():
    plain = np.zeros((100, 80), np.float32)
    drawn = painted(plain, [{"points": [[0.25, 0.5], [0.75, 0.5]], "radius": 0.05, "tone": 0.5}, dab(0.5, 0.5, 0.02, 1.0)])
    assert (
        not plain.any() and drawn[50, 40] == 1 and drawn[50, 22] == 0.5 == drawn[46, 58] and set(np.unique(drawn)) == {0, 0.5, 1}
    )
    assert not drawn[:43].any() and not drawn[57:].any() and not drawn[:, :13].any() and not drawn[:, 67:].any()


def test_switching_off_is_undone_and_equals_the_network_without():
    model, image = network(), portrait().image
    maps, alpha = features.look_inside(model, image)
    kinds = [type(module).__name__ for module in model.dbfi]
    assert {"E0, full size", "E4, 1/32", "TFI at 1/16", "sBFI at 1/8", "dBFI at 1/2"} <= maps.keys()
    bare = build_model("p3mnet_resnet34", width=0.0625, dbfi=False).eval()
    bare.load_state_dict({name: value for name, value in model.state_dict().items() if name in bare.state_dict()})
    without = features.look_inside(model, image, "dBFI")
    assert np.array_equal(without[1], features.look_inside(bare, image)[1]) and not any("dBFI" in name for name in without[0])
    assert [type(module).__name__ for module in model.dbfi] == kinds
    assert np.array_equal(features.look_inside(model, image)[1], alpha)


def test_the_leaderboard_sorts_filters_and_pairs():
    numbers = some_numbers()
    explorer = widgets.leaderboard_explorer(numbers)
    assert f"SAD on P3M-500-P: {2 * (len(EARLIER) + 1 + len(VARIANTS))} rows" in explorer.still.html
    shown = explorer.controls
    shown["set"].value, shown["setting"].value, shown["rows"].value = "P3M-500-P", "B:N", 60
    first = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>(.*?)</tr>", explorer.still.html)[1:]]
    ours = [float(row[3].split()[0]) for row in first]
    assert ours == sorted(ours) and len(first) == len(EARLIER) + 1 + len(VARIANTS)
    shown["reference"].value = "SHM"
    gaps = {
        row[0]: row[5] for row in (re.findall("<td>(.*?)</td>", r) for r in re.findall("<tr>(.*?)</tr>", explorer.still.html)[1:])
    }
    key = ("4", "GFM", "B:N", "P3M-500-P", "SAD")
    expected = (numbers.values[key] - numbers.values[("4", "SHM", *key[2:])]).mean()
    assert gaps["GFM"].startswith(f"{expected:+.4g}") and gaps["SHM"] == ""
    shown["filter"].value = "swin"
    assert explorer.still.html.count("<tr>") == 2


def test_explorers_without_data_say_so():
    with pytest.raises(ValueError, match="make paper"):
        widgets.leaderboard_explorer(Numbers({}))
    with pytest.raises(ValueError, match="no predicate was run"):
        widgets.claims_explorer(Numbers({}), draws=2)
    with pytest.raises(ValueError, match="0 portraits with a face"):
        widgets.ppt_explorer({"B": network()}, [{"name": "x", "image": 0, "alpha": 0}], TEST)
    with pytest.raises(ValueError, match="2 sources and 1 masks"):
        widgets.copy_paste_explorer(
            torch.zeros(1, 3, 32, 32), torch.zeros(1, 1, 32, 32), torch.zeros(2, 3, 32, 32), torch.zeros(1, 1, 32, 32)
        )
    with pytest.raises(ValueError, match="no network"):
        widgets.size_explorer({}, portrait().image, portrait().alpha)
