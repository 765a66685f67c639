"""The claims hold on the paper's own numbers, say what is missing, and know what is within the noise."""

import shutil

import numpy as np
import pandas as pd
import pytest

from p3mlib import paths
from p3mlib.__main__ import main
from p3mlib.drawing import plots
from p3mlib.experiments import shipped
from p3mlib.results import claims, report
from p3mlib.results.claims import Numbers, methods
from p3mlib.results.claims.numbers import EARLIER, VARIANTS


def test_every_predicate_holds_on_the_papers_numbers():
    found = claims.evaluate(claims.from_paper(), draws=0)
    assert list(found["verdict"]) == ["PASS"] * len(claims.PREDICATES), found[found["verdict"] != "PASS"]


def test_every_predicate_fails_when_better_and_worse_are_exchanged():
    paper = claims.from_paper()
    turned = Numbers({key: 100 / value for key, value in paper.values.items()})
    found = claims.evaluate(turned, draws=0).set_index("claim")["verdict"]
    both_ways = {
        "C1A",
        "C1B",
        "C2A",
        "C2B",
        "C4A",
        "C4B",
        "C7B",
        "C9C",
        "C12B",
        "C26A",
        "C14A",
        "C33A",
        "C36A",
        "C38A",
        "C24A",
        "C24B",
    }  # of sizes or ranks alone
    assert all(found[name] == "FAIL" for name in found.index if name not in both_ways), found


def numbers_of(shm, rest, seeds=2, images=30, spread=0.1):
    rng = np.random.default_rng(0)
    values = {}
    for method in (*EARLIER, "BASIC", *VARIANTS):
        for setting, mean in (("N:N", 10.0), ("B:N", shm if method == "SHM" else rest)):
            values["4", method, setting, "P3M-500-P", "SAD"] = mean + spread * rng.standard_normal((seeds, images))
    return Numbers(values)


def test_noise_is_told_from_an_effect():
    sure = claims.evaluate(numbers_of(14, 10.2)).set_index("claim")
    assert sure.loc["C6A", "verdict"] == "PASS" and sure.loc["C6A", "agreement"] == 1 and "SHM 4.0" in sure.loc["C6A", "numbers"]
    assert claims.evaluate(numbers_of(9, 10.2)).set_index("claim").loc["C6A", "verdict"] == "FAIL"
    close = claims.evaluate(numbers_of(12.0, 10.2, spread=2)).set_index("claim")
    assert close.loc["C6B", "verdict"] == "undecided" and close.loc["C6B", "agreement"] < 0.95


def test_what_was_not_run_is_named():
    found = claims.evaluate(numbers_of(14, 10.2), draws=3).set_index("claim")
    assert found.loc["C9A", "verdict"] == "not run" and found.loc["C9A", "numbers"] == "Table 4: SHM B:B P3M-500-P SAD"
    with pytest.raises(claims.NotRun, match="Table 3: DIM B:N"):
        methods.c4a(numbers_of(14, 10.2))


def test_an_error_of_zero_decides_nothing():
    numbers = numbers_of(14, 10.2)
    numbers.values["4", "SHM", "N:N", "P3M-500-P", "SAD"][:] = 0
    found = claims.evaluate(numbers, draws=3).set_index("claim")
    assert found.loc["C6B", "verdict"] == "undecided" and found.loc["C6A", "verdict"] == "PASS"


@pytest.fixture
def written(home):
    """Numbers of Table 4 in the folder of profile smoke, one run per image in the cache, one seed as a mean alone."""
    rng, rows = np.random.default_rng(0), []
    for method, mean in (("SHM", 3.0), ("LF", 2.0)):
        for setting in ("N:N", "B:N"):
            for seed in (0, 1):
                errors = pd.DataFrame({"SAD": mean + 0.1 * rng.standard_normal(8)})
                run = f"{method}-{setting[0]}-{seed}".lower()
                folder = home / "runs" / "smoke" / run / "per_image"
                folder.mkdir(parents=True, exist_ok=True)
                errors.to_csv(folder / f"P3M-500-P.{setting[-1]}.csv")
                value = errors["SAD"].mean()
                cell = {"table": 4, "method": method, "setting": setting, "dataset": "P3M-500-P", "metric": "SAD", "value": value}
                rows.append({**cell, "cp": "", "at_paper_size": 100 * value, "seed": seed, "run": run})
    path = home / "tables" / "smoke" / "table_4.csv"
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False, float_format="%.6g")
    return path


def test_tables_are_read_with_the_errors_per_image_behind_them(written):
    numbers, per_image = claims.from_tables("smoke")
    assert per_image == 1 and numbers.values["4", "SHM", "B:N", "P3M-500-P", "SAD"].shape == (2, 8)
    frame = pd.read_csv(written)
    printed = frame[(frame["method"] == "SHM") & (frame["setting"] == "B:N")]["at_paper_size"].mean()
    assert numbers(4, "SHM", "B:N") == pytest.approx(printed, rel=1e-4), "SAD as the table prints it"


def test_a_cache_that_is_not_the_tables_does_not_count(written, home):
    frame = pd.read_csv(written)
    frame["value"] *= 2  # the table of another day
    frame.to_csv(written, index=False)
    numbers, per_image = claims.from_tables("smoke")
    assert per_image == 0 and numbers.values["4", "SHM", "B:N", "P3M-500-P", "SAD"].shape == (2, 1)


def test_committed_tables_are_read_with_the_errors_that_come_with_the_project(home):
    committed = paths.shipped("laptop").parent / "table_7.csv"
    shipped.folder.cache_clear()
    paths.tables("laptop").mkdir(parents=True)
    shutil.copy(committed, paths.tables("laptop"))
    _, per_image = claims.from_tables("laptop")
    assert per_image == 1
    shipped.folder.cache_clear()


def test_no_tables_says_what_to_run(home):
    with pytest.raises(FileNotFoundError, match="make paper PROFILE=laptop"):
        claims.from_tables("laptop")


def test_chance_is_what_exchanged_rows_give():
    values = {("4", method, "B:B", "P3M-500-P", "SAD"): float(i) for i, method in enumerate((*EARLIER, "BASIC"))}
    board = claims.scoreboard(Numbers(values), draws=600, predicates=claims.named(9)[1:2])
    assert board["chance"][0] == pytest.approx(1 / 6, abs=0.05), "LF is the largest of six"
    assert board["chance_within"][0] == float(board["verdict"][0] == "PASS"), "one setting has nothing to exchange"


def test_rows_exchange_all_their_numbers_together():
    values = {("5", m, "B:B", "P3M-500-P", e): i + 10.0 * (e == "MSE") for i, m in enumerate("ABCD") for e in ("SAD", "MSE")}
    drawn = Numbers(values).shuffled(np.random.default_rng(0), within=False)
    assert sorted(drawn.values.values()) == sorted(values.values()) and drawn.values != values
    assert all(drawn.values["5", m, "B:B", "P3M-500-P", "MSE"] - drawn(5, m, "B:B") == 10 for m in "ABCD")
    one = Numbers({("9", m, "B:B", "P3M-500-P", "SAD"): v for m, v in (("R", 1.0), ("R+ICP", 2.0), ("S", 3.0))})
    assert one.shuffled(np.random.default_rng(0), within=True)(9, "S", "B:B") == 3


def test_what_is_drawn_does_not_depend_on_which_tables_are_there():
    rng = np.random.default_rng(0)
    keys = [(t, m, "B:N", d, "SAD") for t, d in (("4", "P3M-500-P"), ("9", "P3M-500-NP")) for m in ("SHM", "LF")]
    whole = Numbers({key: rng.random((3, 16)) for key in keys})
    part = Numbers({key: whole.values[key] for key in keys[2:]})
    drawn, again, other = whole.resampled(5), part.resampled(5), whole.resampled(6)
    assert all(again.values[key] == drawn.values[key] != other.values[key] for key in keys[2:])


def test_images_without_a_face_have_no_hole():
    frame = pd.DataFrame({"SAD": [1.0, 2.0, 3.0], "Hole": [0.5, np.nan, 0.1], "SAD-FG": [np.nan] * 3})
    result = report.Result("SHM", "B:N", "P3M-500-NP", frame, seed=0)
    numbers = claims.from_results({9: [result, report.Result("SHM", "B:N", "P3M-500-NP", frame * 2, seed=1)]})
    assert numbers.values["9", "SHM", "B:N", "P3M-500-NP", "Hole"].shape == (2, 2)
    assert numbers(9, "SHM", "B:N", "Hole", "P3M-500-NP") == pytest.approx(0.45)
    with pytest.raises(claims.NotRun):
        numbers(9, "SHM", "B:N", "SAD-FG", "P3M-500-NP")


def test_counts_have_no_noise(home):
    numbers = Numbers({("7", m, "", "", "Params"): np.array([[v]]) for m, v in (("BASIC", 10.0), ("P3M-Net (R34)", 11.5))})
    found = claims.evaluate(numbers, predicates=claims.named(24)[:1])
    assert found["verdict"][0] == "FAIL" and np.isnan(found["agreement"][0]) and "+15.0%" in found["numbers"][0]


def test_claims_by_number():
    assert [p.__name__ for p in claims.named(3)] == ["c3a", "c3b"]
    assert {int(p.__name__[1:-1]) for p in claims.PREDICATES} == set(range(1, 41))
    with pytest.raises(ValueError, match="no claim 41; there are 1 to 40"):
        claims.named(41)


def test_command_and_scoreboard(written, capsys):
    assert main(["claims", "--profile", "smoke"]) == 0
    printed = capsys.readouterr().out
    assert "C9C" in printed and "paper: " in printed and not written.with_name("claims.csv").exists()
    assert main(["claims", "--profile", "smoke", "--save", "--json"]) == 0
    board = pd.read_csv(written.with_name("claims.csv"))
    assert len(board) == 74 and set(board["verdict"]) <= set(claims.VERDICTS)
    assert (
        board.set_index("claim").loc["C9C", "verdict"] != "not run" and (board["verdict"] == "not run").sum() == 72
    )  # C6B needs SHM alone
    text = written.with_name("claims.md").read_text()
    assert "[4](table_4.md)" in text and "74" not in text.splitlines()[0].split(" PASS")[0]
    assert written.with_name("claims.tex").read_text().count(r"\\") == 2 * 75, "header and claims, two lines each"
    plots.plt.close(plots.scoreboard(board))
    assert main(["claims", "--profile", "nowhere"]) == 1
