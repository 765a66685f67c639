"""Rows with released weights: tested as their authors test, kept like runs, read by claims, and absent without P3M_WEIGHTS."""

import numpy as np
import pandas as pd
import pytest
import torch
from test_models import official_state

from p3mlib import paths
from p3mlib.__main__ import main
from p3mlib.experiments import config, corpus, scoring
from p3mlib.metrics import matting_errors
from p3mlib.models import weights
from p3mlib.models.inference import predict
from p3mlib.results import claims, printed, released, report, table, tables
from p3mlib.results.claims.numbers import from_tables

NAMES = {
    "p3mnet_resnet34": "p3mnet_pretrained_on_p3m10k.pth",
    "p3mnet_vitae_s": "P3M-Net_ViTAE-S_trained_on_P3M-10k.pth",
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """Made-up checkpoints of the two P3M-Nets that were released, under their names."""
    folder = tmp_path_factory.mktemp("released")
    for model, name in NAMES.items():
        torch.save(official_state(model), folder / name)
    return folder


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Folder of runs that the tests share: what one has scored, the next finds."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def named(home, checkpoints, kept, monkeypatch):
    """A home with P3M_WEIGHTS; the networks of the grid itself are not trained."""
    monkeypatch.setenv("P3M_WEIGHTS", str(checkpoints))
    monkeypatch.setenv("P3M_RUNS", str(kept))
    monkeypatch.setattr(report, "table_results", lambda *_: [])
    torch.set_num_threads(1)
    return home


def test_they_are_recognised_and_tested_as_their_authors_test(named, checkpoints):
    assert released.files() == {model: checkpoints / name for model, name in NAMES.items()}
    scale = config.load().profile("smoke")
    for model, strategy, cut in (("p3mnet_resnet34", "resize", False), ("p3mnet_vitae_s", "hybrid", True)):
        scored = released.score(model, "P3M-500-NP", "N", scale, progress=False)
        sample = corpus.open_set("P3M-500-NP", "N", scale)[1]
        alpha = predict(weights.load(checkpoints / NAMES[model]), sample["image"], strategy, 0.5)
        alpha = np.floor(alpha * 255) / np.float32(255) if cut else alpha
        expected = matting_errors(alpha, sample["alpha"], sample["trimap"])
        found = scored.errors.loc[sample["name"], list(expected)].to_dict()
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_rows_stand_below_ours_and_what_was_not_released_has_none(named):
    found = released.results(7, "smoke", progress=False)
    notes = {result.method: result.note for result in found}
    assert notes == {
        f"{method}{report.RELEASED}": "not released" for method in ("BASIC", "BASIC+TFI", "BASIC+TFI+sBFI", "BASIC+TFI+dBFI")
    } | {f"P3M-Net (R34){report.RELEASED}": ""}
    assert released.results(9, "smoke") == released.results(2, "smoke") == []
    text = tables.table_5("smoke", progress=False).markdown
    lines = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith(("| P3M", "| paper"))]
    assert lines[0][0] == "| P3M-Net (R34)<br><small>released weights</small><br><small>P3M-500-P</small>"
    assert lines[1] == ["| paper", "8.73"]
    assert "p3mnet_pretrained_on_p3m10k.pth with RESIZE, ratio 0.5, predictions not rounded" in text
    assert "P3M-Net_ViTAE-S_trained_on_P3M-10k.pth with HYBRID, ratio 0.5, predictions truncated to 8 bits" in text
    assert "(P3M-Net (Swin-T), released weights: no released weights of p3mnet_swin_t in P3M_WEIGHTS)" in text
    frame = pd.read_csv(paths.tables("smoke") / "table_5.csv", keep_default_na=False)
    ours = frame[frame["method"] == f"P3M-Net (ViTAE-S){report.RELEASED}"].set_index(["dataset", "metric"])
    assert ours.loc[("P3M-500-NP", "SAD"), "paper"] == "7.59" and len(ours) == 20
    assert paths.tables("smoke").name == "smoke-released"


def test_what_is_scored_is_not_scored_again(named, monkeypatch):
    first = released.results(8, "smoke", progress=False)
    monkeypatch.setattr(scoring._Scorer, "__call__", lambda *_: pytest.fail("it was scored already"))
    again = released.results(8, "smoke", progress=False)
    for one, other in zip(first, again, strict=True):
        assert (one.errors is None) == (other.errors is None) == ("Swin" in one.method)
        assert one.errors is None or one.errors.equals(other.errors)
    assert {result.setting for result in first} == {"B:B", "B:Mosaic", "B:Mask"}


def test_claims_are_judged_on_them_where_their_rows_are_all_there(named):
    tables.table_8("smoke", progress=False)
    numbers, per_image = from_tables("smoke", released=True)
    assert per_image == 1 and not from_tables("smoke")[0].values
    assert numbers.values["8", "P3M-Net (R34)", "B:Mosaic", "P3M-500-P", "SAD"].shape == (1, 4)
    board, caption = claims.of_profile("smoke", draws=2)
    assert set(board["released"]) == {"not run"}, "claims of Table 8 ask for Swin-T too"
    found = released.results(8, "smoke", progress=False)
    lacking = [r for r in found if "Swin" in r.method]
    assert lacking and "Of released weights alone 0 PASS" in caption
    for name in ("5", "6"):
        values = {key: value for key, value in claims.from_paper().values.items() if key[0] == name}
        frame = pd.DataFrame([{"table": t, "method": m + report.RELEASED, "setting": s, "dataset": d, "metric": e, "value": v}
                              for (t, m, s, d, e), v in values.items()])  # fmt: skip
        frame.reindex(columns=report.COLUMNS).to_csv(paths.tables("smoke") / f"table_{name}.csv", index=False)
    board, _ = claims.of_profile("smoke", draws=2)
    assert "PASS" in set(board["released"]) and set(board["verdict"]) == {"not run"}
    assert "Released weights" in claims.save(board, "smoke", "text")


def test_table_11_counts_and_times_them(named, monkeypatch):
    def bench(models, size, rounds, memory, progress):
        line = {"device": "cpu", "threads": 1, "ratio": 1.0}
        return [{**line, "model": model, "path": path, "ms": 250} for model in models for path in ("plain", "fp32")]

    monkeypatch.setattr(report, "bench", bench)
    lines = tables.table_11("smoke", progress=False).markdown.splitlines()
    assert "| P3M-Net (R34)<br><small>released weights</small> | 39.48 | 0.2500 | 0.2500 |" in lines
    assert not [line for line in lines if "Swin" in line and "released" in line]


def test_without_the_folder_nothing_changes(home, monkeypatch):
    monkeypatch.setattr(report, "table_results", lambda *_: [])
    monkeypatch.setattr(table, "write", lambda *arguments: printed.Printed(arguments[2], arguments[5]))
    assert released.results(5, "smoke") == [] and released.files() == {}
    assert "eleased" not in tables.table_5("smoke", progress=False).markdown and paths.tables("smoke").name == "smoke"


def test_a_folder_without_them_is_refused_before_anything_runs(home, tmp_path, checkpoints, monkeypatch, capsys):
    monkeypatch.setenv("P3M_WEIGHTS", str(tmp_path / "absent"))
    assert main(["notebooks", "06_p3mnet_ablation", "--profile", "smoke"]) == 1
    assert "absent: no such folder of released checkpoints" in capsys.readouterr().err
    (tmp_path / "other").mkdir()
    torch.save({"a": torch.zeros(2)}, tmp_path / "other" / "a.pth")
    with pytest.raises(FileNotFoundError, match=r"no released checkpoint of a P3M-Net \(.*\) in it: a.pth"):
        weights.of_p3m(tmp_path / "other")
    for name in ("one.pth", "two.pth"):
        (tmp_path / "other" / name).symlink_to(checkpoints / NAMES["p3mnet_vitae_s"])
    with pytest.raises(ValueError, match="one.pth and two.pth are both of p3mnet_vitae_s; leave one of them there"):
        weights.of_p3m(tmp_path / "other")
