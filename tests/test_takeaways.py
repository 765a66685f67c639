"""Sentences follow the numbers: what is within the noise is called so, and nothing is claimed of networks without learning."""

from types import SimpleNamespace

import pandas as pd
import pytest

from p3mlib.experiments import untrained
from p3mlib.results import takeaways

R34, SWIN = "P3M-Net (R34)", "P3M-Net (Swin-T)"


@pytest.fixture(autouse=True)
def reference(monkeypatch):
    """A mean matte with a MAD of 0.2."""
    monkeypatch.setattr(takeaways, "_mean_matte_mad", lambda profile: 0.2)


def printed(cells, mad=0.05):
    """Something with a summary, in which every label has that MAD on P3M-500-P."""
    labels = {key[0] for key in cells} - {*untrained.REFERENCES}
    return SimpleNamespace(summary={**cells, **{(m, "P3M-500-P", "B:B", "MAD"): (mad, mad, mad) for m in labels}})


def protocols(gap):
    """Table 4 of two networks on sharp faces, of which R34 loses `gap`."""
    return {
        (R34, "P3M-500-P", "B:N", "SAD"): (100.0, 90, 110),
        (R34, "P3M-500-P", "B:N", "SAD - N:N"): gap,
        (SWIN, "P3M-500-P", "B:N", "SAD"): (120.0, 100, 140),
        (SWIN, "P3M-500-P", "B:N", "SAD - N:N"): (-2.0, -5, 1),
    }


def test_a_cost_beyond_the_noise_is_named_and_one_within_it_is_not():
    text = takeaways.blurred_training(printed(protocols((20.0, 10, 30))), "smoke")
    assert "1 of 2 methods err more" in text and f"Beyond the noise of images and seeds: {R34} +20.0 [10.0, 30.0]." in text
    assert f"{R34}, +25% of its SAD" in text and f"least first: {R34} 100.0, {SWIN} 120.0." in text
    text = takeaways.blurred_training(printed(protocols((20.0, -1, 30))), "smoke")
    assert "Beyond the noise of images and seeds: none." in text


def test_networks_that_have_learned_nothing_are_called_so():
    assert takeaways.UNTAUGHT not in takeaways.blurred_training(printed(protocols((1.0, -1, 2))), "smoke")
    assert takeaways.UNTAUGHT in takeaways.blurred_training(printed(protocols((1.0, -1, 2)), mad=0.3), "smoke")
    assert takeaways.modules(SimpleNamespace(summary={}), "smoke") == takeaways.NOTHING


def test_the_order_follows_the_numbers_and_stands_beside_the_papers():
    cells = {(R34, "P3M-500-NP", "B:N", "SAD"): (9.0, 8, 10), (SWIN, "P3M-500-NP", "B:N", "SAD"): (7.0, 6, 8)}
    text = takeaways.order_of(printed(cells), "smoke")
    assert text == f"SAD on P3M-500-NP, least first: {SWIN} 7.0, {R34} 9.0. The paper: {SWIN} 8.9, {R34} 11.2."
    assert f"{R34} 9.0" not in takeaways.order_of(printed(cells), "smoke", [SWIN])


def test_modules_are_counted_from_basic():
    sad = {"BASIC": 200.0, "BASIC+TFI": 150.0, R34: 160.0}
    text = takeaways.modules(printed({(m, "P3M-500-P", "B:B", "SAD"): (v, v, v) for m, v in sad.items()}), "smoke")
    assert "BASIC+TFI -25% (-25%)" in text and f"{R34} -20% (-42%)" in text
    assert f"Least on P3M-500-P: BASIC+TFI; in the paper: {R34}." in text and "P3M-500-NP" not in text


def test_obfuscations_are_changes_of_blurring():
    cells = {(R34, "P3M-500-P", "B:B", "SAD"): (100.0, 90, 110)}
    cells |= {
        (R34, "P3M-500-P", "B:Mosaic", "SAD - blurring"): (1.0, -2, 3),
        (R34, "P3M-500-P", "B:Mask", "SAD - blurring"): (25.0, 9, 40),
    }
    text = takeaways.obfuscations(printed(cells), "smoke")
    assert f"Mosaics instead of blur change SAD by: {R34} +1% (the paper -2%), within the noise." in text
    assert f"Zero masks instead of blur change SAD by: {R34} +25% (the paper +3%)." in text


def pasting(normal, pasted):
    """Table 9 of one network: what normal training and FCP change in SAD-FG on P3M-500-NP."""
    return printed({
        (R34, "P3M-500-NP", "B:N", "SAD-FG"): (40.0, 30, 50),
        (R34, "P3M-500-NP", "N:N", "SAD-FG - none"): normal,
        (f"{R34}+FCP", "P3M-500-NP", "B:N", "SAD-FG - none"): pasted,
    })  # fmt: skip


def test_copy_and_paste_wins_back_only_what_was_lost():
    text = takeaways.copy_and_paste(pasting((-10.0, -16, -4), (-9.0, -15, -3)), "smoke")
    assert text == f"SAD-FG of {R34} on P3M-500-NP: +10.0 [4.0, 16.0] by blurred training (+33%); won back by FCP 90%."
    assert "FCP 90% (within the noise)" in takeaways.copy_and_paste(pasting((-10.0, -16, -4), (-9.0, -15, 3)), "smoke")
    text = takeaways.copy_and_paste(pasting((-10.0, -16, 4), (-9.0, -15, -3)), "smoke")
    assert "no cost of blurred training beyond the noise (+10.0 [-4.0, 16.0])" in text and "won back" not in text
    assert "no cost" in takeaways.copy_and_paste(pasting((10.0, 4, 16), (9.0, 3, 15)), "smoke"), "normal training may be worse"


def test_generalisation_counts_and_names_the_extremes():
    table = SimpleNamespace(summary={(m, "RWP", "B:N", "MAD"): (v, v, v) for m, v in ((R34, 0.12), (SWIN, 0.04))})
    other = printed({(m, "P3M-500-NP", "B:N", "MAD"): (0.06, 0.05, 0.07) for m in (R34, SWIN)})
    text = takeaways.generalisation(table, other, "smoke")
    assert "for 1 of 2 methods" in text and f"From 0.7 times the error ({SWIN}) to 2.0 times ({R34})." in text


def test_verdicts_are_counted():
    board = pd.DataFrame({"claim": ["C1A", "C2A", "C3A", "C4A"], "verdict": ["PASS", "FAIL", "undecided", "PASS"]})
    text = takeaways.verdicts(board)
    assert "Of 4 predicates 2 pass, 1 fail, 1 are undecided." in text and "Of those decided 67% pass." in text
    assert "PASS: C1A, C4A." in text and "FAIL: C2A." in text


def test_a_notebook_shows_a_list():
    assert takeaways.Takeaway("one\ntwo")._repr_markdown_() == "- one\n- two"
