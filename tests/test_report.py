"""Numbers of tables: intervals, the schema, the paper's value beside ours."""

import numpy as np
import pandas as pd
import pytest

from p3mlib import paths
from p3mlib.experiments import config
from p3mlib.results import report


def errors(sad, kilopixels=20.0):
    sad = np.asarray(sad, float)
    frame = pd.DataFrame({"SAD": sad, "MSE": sad / 100, "MAD": sad / kilopixels, "megapixels": kilopixels / 1000})
    return frame.set_index(pd.Index([f"p_{i}" for i in range(len(sad))], name="name"))


def test_bootstrap_interval():
    rng = np.random.default_rng(1)
    values = rng.normal(5, 2, 400)
    low, high = report.bootstrap_interval(values)
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=0.02)
    assert report.bootstrap_interval(values) == (low, high), "the same numbers give the same interval"
    assert report.bootstrap_interval([*values, np.nan]) == (low, high), "an image without an error does not count"
    assert np.isnan(report.bootstrap_interval([1.0])).all()


def test_tidy_rows_stand_beside_the_papers_value():
    results = [
        report.Result("BASIC", "B:B", "P3M-500-P", errors([1, 3]), "ResNet-34", "none", 0, "run-a"),
        report.Result("BASIC", "B:N", "P3M-500-NP", None, "ResNet-34", "none", 0, note="never published"),
    ]
    frame = report.tidy(7, results, ["SAD", "MAD"])
    assert list(frame.columns) == report.COLUMNS
    first, missing = frame.iloc[0], frame.iloc[2]
    assert (first["value"], first["paper"], first["images"], first["unit"]) == (2, "15.13", 2, "1e3")
    assert first["at_paper_size"] == pytest.approx(frame.iloc[1]["value"] * 1720)
    assert np.isnan(missing["value"]) and missing["paper"] == "17.01" and missing["note"] == "never published"
    # A reference of ours has no paper value.
    assert report.tidy(7, [report.Result("Mean matte", "-:B", "P3M-500-P", errors([1]))], ["SAD"])["paper"].item() == ""


def test_parameter_rows_equal_the_papers():
    grid = config.load()
    frame = report.parameter_rows(7, [grid.rows[name] for name in grid.tables[7].rows])
    assert [f"{value:.2f}" for value in frame["value"]] == list(frame["paper"]) == ["37.67", "38.93", "39.17", "39.24", "39.48"]


def test_summary_averages_seeds_image_by_image():
    results = [report.Result("A", "B:B", "P3M-500-P", errors(values), seed=i) for i, values in enumerate(([1, 5], [3, 7]))]
    mean, low, high = report.summary(results, ["SAD"], scaled=False)["A", "P3M-500-P", "B:B", "SAD"]
    assert mean == 4 and (low, high) == (2, 6)
    scaled = report.summary(results, ["SAD"], scaled=True)["A", "P3M-500-P", "B:B", "SAD"][0]
    assert scaled == pytest.approx(4 / 20 * 1720)


def test_a_profile_that_trains_some_rows_has_those_in_its_tables(monkeypatch):
    asked = []
    monkeypatch.setattr(report.corpus, "available", lambda sets, scale: ([], dict.fromkeys(sets, "not here")))
    monkeypatch.setattr(report.runs, "get", lambda experiment, *_, **__: asked.append((experiment.name, experiment.seed)))
    found = report.table_results(9, "whole")
    rows = config.load().trained("whole")
    assert sorted(asked) == sorted((name, seed) for name in rows for seed in (0, 1, 2))
    assert {result.method for result in found} == {"P3M-Net (R34)"} and {result.note for result in found} == {"not here"}


def test_a_metric_that_was_not_measured_is_named():
    result = report.Result("BASIC", "B:B", "P3M-500-P", errors([1, 3]))
    with pytest.raises(ValueError, match="BASIC on P3M-500-P: no metric 'SADX'; there are SAD, MSE, MAD, megapixels"):
        report.tidy(7, [result], ["SADX"])
    with pytest.raises(ValueError, match="no metric 'Hole'"):
        report.summary([result], ["Hole"], scaled=True)


def test_paired_differences_know_noise_of_images_and_of_seeds():
    def result(setting, errors, seed):
        return report.Result("SHM", setting, "P3M-500-P", pd.DataFrame({"SAD": errors, "megapixels": 1.72}), seed=seed)

    rng = np.random.default_rng(0)
    hard = 10 * rng.random(50)  # the same images are hard for both
    both = [result("N:N", hard, 0), result("B:N", hard + 1 + 0.1 * rng.random(50), 0)]
    mean, low, high = report.paired_difference(both, ("SHM", "B:N"), ("SHM", "N:N"), scaled=True)
    assert 1 < low < mean < high < 1.1 and not report.within_noise((mean, low, high))
    both += [result("N:N", hard, 1), result("B:N", hard - 1, 1)]  # the other seed says the opposite
    assert report.within_noise(report.paired_difference(both, ("SHM", "B:N"), ("SHM", "N:N"), scaled=False))
    assert report.paired_difference(both, ("LF", "B:N"), ("SHM", "N:N"), scaled=False) is None


def test_images_without_the_metric_do_not_count_in_a_paired_difference():
    def result(setting, holes):
        return report.Result("SHM", setting, "P3M-500-P", pd.DataFrame({"Hole": holes, "megapixels": 1.0}), seed=0)

    unknown = float("nan")
    both = [result("B:N", [0.3, unknown, 0.5]), result("B:B", [0.1, unknown, 0.1])]
    mean, low, high = report.paired_difference(both, ("SHM", "B:N"), ("SHM", "B:B"), scaled=False, metric="Hole")
    assert mean == pytest.approx(0.3) and low == pytest.approx(0.2) and high == pytest.approx(0.4)
    faceless = [result("B:N", [unknown]), result("B:B", [unknown])]
    assert report.paired_difference(faceless, ("SHM", "B:N"), ("SHM", "B:B"), scaled=False, metric="Hole") is None


def test_real_data_goes_to_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("P3M_HOME", str(tmp_path))
    monkeypatch.setenv("P3M_ROOT", "elsewhere")
    assert paths.tables("laptop") == tmp_path / "tables" / "laptop-real"
    assert paths.real_root("P3M-10k") == tmp_path / "elsewhere"
