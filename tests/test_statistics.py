"""Statistics of mattes and images on pictures whose statistics are known."""

import numpy as np
import pytest

from p3mlib import paths
from p3mlib.results import statistics
from p3mlib.results.statistics import ROWS, image_statistics, set_statistics, statistics_table


def half(soft=0):
    """A picture 80 px wide whose right half is opaque, with `soft` columns of alpha 0.5 between."""
    alpha = np.zeros((80, 80), np.float32)
    alpha[:, 40:] = 1
    alpha[:, 40 - soft // 2 : 40 - soft // 2 + soft] = 0.5
    return {"image": np.zeros((80, 80, 3), np.float32), "alpha": alpha}


def test_shares_are_those_of_the_picture():
    found = image_statistics(half(soft=8))
    assert list(found) == list(ROWS)
    assert found["soft"] == pytest.approx(10) and found["foreground"] == pytest.approx(50)
    assert [found[f"alpha {i}"] for i in range(5)] == pytest.approx([0, 0, 100, 0, 0])
    assert 10 < found["transition"] < 15, "the eight columns and a pixel on either side"
    assert np.isnan(found["face"])


def test_gradients_are_told_apart_by_region():
    sample = half(soft=8)
    sample["image"][:, 60:] = np.linspace(0, 1, 20, dtype=np.float32)[:, None]
    found = image_statistics(sample)
    assert found["edges background"] == 0 and found["edges transition"] == 0
    slope = 255 / 19
    assert found["edges foreground"] == pytest.approx(slope * 20 / 36, rel=0.12)


def test_a_face_mask_counts_and_an_empty_region_is_nan():
    sample = {**half(), "facemask": np.zeros((80, 80), bool)}
    sample["facemask"][:8] = True
    assert image_statistics(sample)["face"] == pytest.approx(10)
    nothing = image_statistics({"image": sample["image"], "alpha": np.zeros((80, 80), np.float32)})
    assert nothing["foreground"] == 0 and np.isnan(nothing["edges foreground"]) and np.isnan(nothing["alpha 0"])


def test_a_set_is_brought_to_one_size_and_limited():
    large = {key: np.kron(value, np.ones((2, 2) + (1,) * (value.ndim - 2), np.float32)) for key, value in half(8).items()}
    frame = set_statistics([large, large, large], side=80, limit=2)
    assert len(frame) == 2 and frame["foreground"].tolist() == pytest.approx([50, 50], abs=0.5)
    assert frame["transition"][0] == pytest.approx(image_statistics(half(8))["transition"], abs=3)


def test_the_table_prints_a_dash_where_there_are_no_photographs(home):
    table = statistics_table("smoke")
    lines = [line.split("|")[1:-1] for line in table.markdown.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 1 + len(ROWS) and all(cell.strip() == "-" for line in lines[2:] for cell in line[-2:])
    assert set(table.frame["set"]) == {"P3M-Synth train", "P3M-Synth P3M-500-P", "P3M-Synth P3M-500-NP", "P3M-Synth RWP"}
    assert all((paths.tables("smoke") / f"statistics.{kind}").exists() for kind in ("csv", "md", "tex"))


def test_p3m_synth_is_near_photographs(home, real_sample, monkeypatch):
    """Transition area and gradients within a factor of two of the real portraits at hand."""
    monkeypatch.setenv("P3M_SAMPLE", str(real_sample))
    frame = statistics_table("smoke").frame.pivot(index="statistic", columns="set", values="value")
    for key in ("transition", "soft"):
        ratio = frame.loc[key, "P3M-Synth train"] / frame.loc[key, "Photographs P3M-500-P"]
        assert 0.5 < ratio < 2, f"{key}: {ratio:.2f} of that of photographs"


def test_real_portraits_are_found_by_either_variable(home, monkeypatch):
    assert statistics.paths.transfer_root() is None
    monkeypatch.setenv("P3M_ROOT", str(home / "real"))
    assert paths.transfer_root() == home / "real" and paths.real_root("P3M-10k") == home / "real"
    with paths.synthetic_only():
        assert paths.real_root("P3M-10k") is None and not paths.is_real()
    assert paths.is_real()
    monkeypatch.setenv("P3M_SAMPLE", str(home / "few"))
    assert paths.transfer_root() == home / "few"
