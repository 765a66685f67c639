"""Typical wrong answers to the exercises, each with words that the reason must contain.

`wrong_answers(notebook)` lists (number, answer, data given, words). Wrong options of multiple choice the test finds by itself.
"""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch

from p3mlib.anonymize import obfuscate
from p3mlib.copy_paste import Draw
from p3mlib.matte import make_trimap, regions
from p3mlib.metrics import mad, matting_errors, mse, sad
from p3mlib.models import build_model


def matte(side=40):
    """A made-up matte with a soft rim, its trimap and a prediction that is wrong in all three regions."""
    alpha = np.zeros((side, side))
    alpha[10:30, 10:30] = 1
    alpha[10:12, 10:30] = 0.25
    pred = np.clip(alpha + np.where(np.indices(alpha.shape).sum(0) % 3, 0.1, -0.3), 0, 1)
    return SimpleNamespace(alpha=alpha, trimap=make_trimap(alpha, 5), pred=pred)


M = matte()
SOFT = {"alpha": M.alpha, "trimap": M.trimap}
SCORED = {"pred": M.pred, **SOFT}
UNKNOWN = regions(M.trimap)["unknown"]
ERRORS = matting_errors(M.pred, M.alpha, M.trimap)


def zero_00():
    return [
        ("00.1", 0.25, {}, "exchanged"),
        ("00.1", 1, {}, "wall alone"),
        ("00.1", 0.5, {}, "weighs"),
        ("00.1", 75, {}, "percent"),
        ("00.1", "0.75", {}, "One number"),
        ("00.2", (M.alpha > 0).mean(), SOFT, "opaque person"),
        ("00.2", (M.alpha < 1).mean(), SOFT, "background as well"),
        ("00.2", (M.trimap == 0.5).mean(), SOFT, "trimap"),
        ("00.2", ((M.alpha > 0) & (M.alpha < 1)).sum(), SOFT, "number of pixels"),
        ("00.2", 100 * ((M.alpha > 0) & (M.alpha < 1)).mean(), SOFT, "percent"),
        ("00.3", lambda fg, bg, alpha: alpha[..., None] * bg + (1 - alpha[..., None]) * fg, {}, "exchanged"),
        ("00.3", lambda fg, bg, alpha: alpha[..., None] * fg + bg, {}, "light is added"),
        ("00.3", lambda fg, bg, alpha: alpha * fg + (1 - alpha) * bg, {}, "ValueError"),
        ("00.3", lambda fg, bg, alpha: None, {}, "return"),
        ("00.3", 0.5, {}, "function itself"),
        ("00.4", 3, {}, "one letter"),
    ]


def anonymize_01():
    found = {"strengths": (0.05, 0.1, 0.2, 0.3), "distances": [0.3, 0.5, 0.7, 0.9]}

    def in_place(image, facemask):
        image[facemask] = 0
        return image

    return [
        ("01.2", lambda image, mask: image * mask[..., None], {}, "wrong way round"),
        ("01.2", in_place, {}, "copy"),
        ("01.2", lambda image, mask: image, {}, "Nothing has changed"),
        ("01.2", lambda image, mask: np.zeros_like(image), {}, "outside"),
        ("01.2", lambda image, mask: np.where(mask[..., None], 1.0, image), {}, "white"),
        ("01.2", lambda image, mask: obfuscate(image, mask), {}, "differs from the library at"),
        ("01.4", 0.1, found, "still recognised"),
        ("01.4", 0.3, found, "weaker blur"),
        ("01.4", 0.6, found, "bound"),
        ("01.4", 0.7, found, "distance"),
        ("01.4", 0.05, found, "smallest"),
        ("01.4", 20, found, "percent"),
    ]


def metrics_02():
    return [
        ("02.1", 400, {}, "thousands"),
        ("02.1", 0.2, {}, "MAD"),
        ("02.1", 0.04, {}, "MSE"),
        ("02.1", 2, {}, "size of the image"),
        ("02.1", -0.4, {}, "sign"),
        ("02.2", lambda p, a, r: abs(p - a)[r].sum(), {}, "divide by 1000"),
        ("02.2", lambda p, a, r: abs(p - a)[r].mean(), {}, "mean"),
        ("02.2", lambda p, a, r: abs(p - a).sum() / 1000, {}, "region is not used"),
        ("02.2", lambda p, a, r: (p - a)[r].sum() / 1000, {}, "sign"),
        ("02.2", lambda p, a, r: abs(p - a)[~r].sum() / 1000, {}, "outside"),
        ("02.2", mse, {}, "it gives"),
        ("02.2", lambda p, a: 0, {}, "TypeError"),
        ("02.4", UNKNOWN.mean(), SCORED, "share of the pixels"),
        ("02.4", ERRORS["SAD-T"], SCORED, "divide it by SAD"),
        ("02.4", ERRORS["MAD-T"] / ERRORS["MAD"], SCORED, "means"),
        ("02.4", 1 - ERRORS["SAD-T"] / ERRORS["SAD"], SCORED, "known areas"),
        ("02.4", ERRORS["SAD-FG"] / ERRORS["SAD"], SCORED, "known foreground"),
    ]


def traditional_03():
    false, blind = np.where(M.trimap == 0, 1.0, 0.5), np.where(M.trimap == 0, 0.5, M.trimap)
    return [
        ("03.1", M.trimap, SOFT, "make it larger"),
        ("03.1", blind, SOFT, "No known background"),
        ("03.1", false, SOFT, "not: a method"),
        ("03.1", M.trimap[:5], SOFT, "shape"),
        ("03.1", M.alpha, SOFT, "a trimap has the values"),
        ("03.1", 25, SOFT, "trimap"),
        ("03.2", mad(M.pred, M.alpha), SCORED, "whole image"),
        ("03.2", sad(M.pred, M.alpha, UNKNOWN), SCORED, "sum"),
        ("03.2", mse(M.pred, M.alpha, UNKNOWN), SCORED, "squares"),
        ("03.2", mad(M.pred, M.alpha, ~UNKNOWN), SCORED, "turn the region"),
        ("03.2", 100 * mad(M.pred, M.alpha, UNKNOWN), SCORED, "percent"),
    ]


def deep_04():
    return [
        ("04.1", 64 * 4 * 9, {}, "whole layer"),
        ("04.1", 64 * 3 * 9, {}, "without the trimap"),
        ("04.1", 9, {}, "one kernel"),
        ("04.1", 64, {}, "height and width"),
        ("04.1", None, {}, "NoneType"),
        ("04.2", lambda p, t: p, {}, "not used"),
        ("04.2", lambda p, t: t, {}, "trimap itself"),
        ("04.2", lambda p, t: np.where(t == 0.5, p, 1 - t), {}, "exchanged"),
        ("04.2", lambda p, t: np.where(t == 1, 1, p), {}, "background is missing"),
        ("04.2", lambda p, t: np.where(t == 0.5, t, p), {}, "way round"),
        ("04.2", lambda p, t: p[:1], {}, "shape"),
    ]


def free_05():
    normal = np.array([5.0, 20, 9, 40, 13, 7])
    blurred = normal + [1, 3, 0.5, 2, 1.5, -1]
    lists, difference = {"normal": normal, "blurred": blurred}, blurred - normal
    return [
        ("05.1", lambda p, raw: p[:, 1:2] * raw, {}, "foreground is missing"),
        ("05.1", lambda p, raw: p[:, 2:] + raw, {}, "weighed"),
        ("05.1", lambda p, raw: p[:, 2:] * raw + p[:, 1:2], {}, "exchanged"),
        ("05.1", lambda p, raw: p[:, :1] + p[:, 1:2] * raw, {}, "first channel"),
        ("05.1", lambda p, raw: raw, {}, "first stage"),
        ("05.1", lambda p, raw: p, {}, "shape"),
        ("05.2", "LF", {}, "In the paper LF"),
        ("05.2", "gfm", {}, "In the paper GFM"),
        ("05.2", "DIM", {}, "one of these names"),
        ("05.3", (normal.var(ddof=1) / 6 + blurred.var(ddof=1) / 6) ** 0.5, lists, "same ones"),
        ("05.3", difference.std(ddof=1), lists, "root of n"),
        ("05.3", difference.mean(), lists, "how sure"),
        ("05.3", 1.96 * difference.std(ddof=1) / 6**0.5, lists, "95%"),
        ("05.3", difference, lists, "of shape (6,)"),
    ]


def ablation_06():
    alpha, build = {"alpha": M.alpha}, lambda **options: build_model("p3mnet_resnet34", width=0.0625, **options)
    return [
        ("06.1", 3 * 64 * 32, {}, "there already"),
        ("06.1", 64 * 32, {}, "two more"),
        ("06.1", 2 * 64 * 64, {}, "C/2"),
        ("06.1", 2 * 9 * 64 * 32, {}, "1 × 1"),
        ("06.3", build(), {}, "TFI and sBFI"),
        ("06.3", build(tfi=False, sbfi=False, dbfi=False), {}, "BASIC"),
        ("06.3", build(tfi=False, dbfi=False), {}, "not dBFI"),
        ("06.3", build_model("modnet", width=0.0625), {}, "not a P3M-Net"),
        ("06.3", "dBFI", {}, "A network"),
        ("06.4", M.alpha.sum(), alpha, "thousands"),
        ("06.4", M.alpha.mean(), alpha, "MAD"),
        ("06.4", (M.alpha > 0).sum() / 1000, alpha, "partly transparent"),
        ("06.4", (1 - M.alpha).sum() / 1000, alpha, "foreground"),
    ]


def variants_07():
    def split(reduce):
        return lambda p, a, t: [reduce(abs(p - a)[regions(t)[name]]) for name in ("unknown", "fg", "bg")]

    def parts(p, a, t):
        return np.array(split(np.sum)(p, a, t)) / 1000

    return [
        ("07.2", "SAD", {}, "SAD is 0.32"),
        ("07.2", "mse", {}, "MSE is 0.04"),
        ("07.2", "Conn", {}, "does notice"),
        ("07.2", "MAD", {}, "one of these names"),
        ("07.3", split(np.mean), {}, "means"),
        ("07.3", split(np.sum), {}, "divide by 1000"),
        ("07.3", lambda *given: parts(*given)[[0, 2, 1]], {}, "exchanged"),
        ("07.3", lambda *given: parts(*given)[[1, 0, 2]], {}, "order"),
        ("07.3", lambda *given: parts(*given).sum(), {}, "shape"),
        ("07.3", lambda *given: parts(*given) / parts(*given).sum(), {}, "shares"),
    ]


def obfuscations_08():
    masks = [np.arange(100).reshape(10, 10) < count for count in (10, 30, 5)]
    faces = {"facemasks": masks}
    return [
        ("08.1", 15, faces, "number of pixels"),
        ("08.1", 0.45, faces, "adds the shares"),
        ("08.1", 0.1, faces, "first image"),
        ("08.1", 0.3, faces, "largest face"),
        ("08.1", 0.85, faces, "stays as it was"),
        ("08.2", lambda image, cell: image[::cell, ::cell].repeat(cell, 0).repeat(cell, 1), {}, "mean of the cell"),
        ("08.2", lambda image, cell: image, {}, "Nothing has changed"),
        ("08.2", lambda image, cell: np.full_like(image, image.mean((0, 1))), {}, "`cell` is not used"),
        ("08.2", lambda image, cell: image[:cell], {}, "shape"),
        ("08.3", "mosaic", {}, "In the paper a mosaic"),
        ("08.3", "blur", {}, "one of these names"),
    ]


def real_09():
    size = {"kilopixels": {"RWP": 1300, "P3M-500-P": 1720, "P3M-500-NP": 1720}}
    return [
        ("09.1", 26 / 1720, size, "P3M-500"),
        ("09.1", 26 / 1300 / 1000, size, "already"),
        ("09.1", 0.026, size, "unit of SAD"),
        ("09.1", 1300 / 26, size, "way round"),
        ("09.1", 2, size, "percent"),
        ("09.1", 26 * 1720 / 1300, size, "mean over pixels"),
        ("09.3", 1, {}, "same for both"),
        ("09.3", 0.1, {}, "way round"),
        ("09.3", 100, {}, "fewer"),
        ("09.4", np.corrcoef([5, 6, 7], [12, 40, 15])[0, 1], {}, "Pearson"),
        ("09.4", 1, {}, "same order"),
        ("09.4", 0, {}, "no relation"),
        ("09.4", 1 / 3, {}, "Kendall"),
        ("09.4", -0.5, {}, "sign"),
    ]


def copy_paste_10():
    sad_fg = {"sad_fg": {"B:N": 40.0, "B:N + FCP": 34.0, "N:N": 30.0}}
    ones, none = torch.ones(4), torch.zeros(4)

    def draw(*apply):
        return Draw(ones, none, torch.tensor(apply))

    return [
        ("10.1", 4, {}, "areas"),
        ("10.1", 0.5, {}, "way round"),
        ("10.1", 1, {}, "as large as the target"),
        ("10.2", draw(True, True, True, True), {}, "1, 2, 3, 4"),
        ("10.2", draw(False, False, True, True), {}, "3, 4"),
        ("10.2", draw(False, False, False, False), {}, "No target"),
        ("10.2", draw(1.0, 1.0, 0.0, 0.0), {}, "True and False"),
        ("10.2", Draw(ones[:2], none[:2], torch.tensor([True, True])), {}, "four targets"),
        ("10.2", [True, True, False, False], {}, "`Draw`"),
        ("10.4", 6 / 40, sad_fg, "whole error"),
        ("10.4", 4 / 10, sad_fg, "still lost"),
        ("10.4", 6, sad_fg, "difference in SAD"),
        ("10.4", 60, sad_fg, "percent"),
        ("10.4", 10 / 6, sad_fg, "way round"),
    ]


def complexity_11():
    def scaled(factor):
        return lambda w, g, v, e: w * factor(g, v, e)[:, None, None, None]

    return [
        ("11.1", 64 * 64 * 9 + 128, {}, "before folding"),
        ("11.1", 64 * 64 * 9, {}, "bias"),
        ("11.1", 64 * 9 + 64, {}, "every input channel"),
        ("11.2", scaled(lambda g, v, e: g), {}, "alone"),
        ("11.2", scaled(lambda g, v, e: g / (v + e)), {}, "root"),
        ("11.2", scaled(lambda g, v, e: g / v.sqrt()), {}, "missing under the root"),
        ("11.2", scaled(lambda g, v, e: 1 / (v + e).sqrt()), {}, "own scale"),
        ("11.2", scaled(lambda g, v, e: g * (v + e).sqrt()), {}, "multiply"),
        ("11.2", lambda w, g, v, e: w * g, {}, "raises"),
        ("11.2", lambda w, g, v, e: w.mul_(2), {}, "changes its arguments"),
    ]


def claims_12():
    board = pd.DataFrame({"chance": [0.6, 0.1, 0.5, 0.35, 0.0, 0.9], "chance_within": [0.5, 0.4, 0.2, 0.8, 0.0, 0.1]})
    given = {"board": board}
    return [
        ("12.1", lambda b, n: bool(((b / n - 1) <= 0.05).all()), {}, "absolute"),
        ("12.1", lambda b, n: bool((abs(b / n - 1) <= 0.05).any()), {}, "all of them"),
        ("12.1", lambda b, n: bool(abs((b / n - 1).mean()) <= 0.05), {}, "cancel"),
        ("12.1", lambda b, n: bool((abs(b - n) <= 0.05).all()), {}, "unit"),
        ("12.1", lambda b, n: bool((abs(b / n - 1) <= 5).all()), {}, "5%"),
        ("12.2", ["PASS", "FAIL", "PASS"], {}, "fewer than"),
        ("12.2", ["PASS", "PASS", "undecided"], {}, "how sure"),
        ("12.2", ["undecided", "FAIL", "undecided"], {}, "decided"),
        ("12.2", "PASS", {}, "list of 3"),
        ("12.2", ["yes", "no", "undecided"], {}, "no verdict"),
        ("12.3", 5, given, "smaller of the two"),
        ("12.3", 4, given, "first column"),
        ("12.3", 3, given, "second column"),
        ("12.3", 6, given, "all predicates"),
    ]


_ALL = (
    zero_00, anonymize_01, metrics_02, traditional_03, deep_04, free_05, ablation_06, variants_07, obfuscations_08, real_09,
    copy_paste_10, complexity_11, claims_12,
)  # fmt: skip


def wrong_answers(notebook):
    """Typical wrong answers to one notebook's exercises that are no multiple choice."""
    return _ALL[int(notebook)]()
