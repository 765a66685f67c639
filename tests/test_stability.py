"""How far numbers move: between folders of tables, and what is asked of another run."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from p3mlib.__main__ import main
from p3mlib.experiments import runs
from p3mlib.results import stability

TABLES = Path(__file__).parent.parent / "tables" / "laptop"


@pytest.fixture
def moved(tmp_path):
    """The committed tables with one network's SAD in Table 4 a half larger, and one verdict turned."""
    folder = shutil.copytree(TABLES, tmp_path / "moved")
    frame = pd.read_csv(folder / "table_4.csv")
    frame.loc[(frame["method"] == "GFM") & (frame["metric"] == "SAD"), "value"] *= 1.5
    frame.to_csv(folder / "table_4.csv", index=False)
    board = pd.read_csv(folder / "claims.csv")
    board.loc[board["claim"] == "C5A", "verdict"] = "turned"
    board.to_csv(folder / "claims.csv", index=False)
    return folder


def test_what_moved_is_counted(moved):
    table, verdicts = stability.compare(TABLES, moved)
    assert table.loc["Table 4", "largest"] == pytest.approx(50) and table.loc["Table 4", "outside"] == 4
    assert table.loc["Table 5", "largest"] == 0 == table.loc["Table 5", "outside"] and table.loc["all", "median"] == 0
    assert table.loc["all SAD", "outside"] == table.loc["all", "outside"] == 4
    before = pd.read_csv(TABLES / "claims.csv").set_index("claim")["verdict"]
    assert verdicts.to_dict() == {"C5A": f"{before['C5A']} -> turned"}
    same, unchanged = stability.compare(TABLES, TABLES)
    assert same["largest"].max() == 0 == same["outside"].sum() and unchanged.empty


def test_times_are_not_compared_and_other_folders_are_named(tmp_path):
    counts = (pd.read_csv(TABLES / "table_11.csv")["metric"] == "Params").sum()
    assert stability.compare(TABLES, TABLES)[0].loc["Table 11", "numbers"] == counts, "parameter counts alone"
    with pytest.raises(FileNotFoundError, match=r"nowhere: no table_\*.csv in it"):
        stability.compare(TABLES, tmp_path / "nowhere")
    frame = pd.read_csv(TABLES / "table_4.csv").assign(method="nobody")
    (tmp_path / "strange").mkdir()
    frame.to_csv(tmp_path / "strange" / "table_4.csv", index=False)
    with pytest.raises(ValueError, match="have no number in common"):
        stability.compare(TABLES, tmp_path / "strange")
    frame.drop(columns="low").to_csv(tmp_path / "strange" / "table_4.csv", index=False)
    with pytest.raises(ValueError, match="its tables lack the column low"):
        stability.compare(TABLES, tmp_path / "strange")


def test_another_run_has_its_own_folders_and_kernels(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("P3M_HOME", str(tmp_path))
    shutil.copytree(TABLES, tmp_path / "tables" / "smoke")
    asked = []
    monkeypatch.setenv("P3M_SAMPLE", "portraits")

    def run(command, env):
        asked.append((command[2:], {key: env[key] for key in env if env.get(key) != os.environ.get(key)}))
        home = Path(env["P3M_HOME"])
        assert (home / "data").resolve() == tmp_path / "data"
        shutil.copytree(TABLES, home / "tables" / "smoke")
        return SimpleNamespace(returncode=len(asked) - 1)

    monkeypatch.setattr(stability.subprocess, "run", run)
    assert main(["stability", "--profile", "smoke"]) == 1
    out, err = capsys.readouterr()
    assert "other kernels: changes in percent" in out and "0 verdicts changed" in out
    assert "two threads: the notebooks ended with 1; the same command goes on from here" in err
    (command, kernels), (_, threads) = asked
    assert command == ["p3mlib", "notebooks", "--profile", "smoke"]
    less = ("avx2", "AVX2") if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else ("default", "SSE41")
    assert (kernels["ATEN_CPU_CAPABILITY"], kernels["ONEDNN_MAX_CPU_ISA"]) == less, "not those of this processor"
    assert kernels["P3M_SAMPLE"] == str(tmp_path / "portraits"), "counted from this home, not from its own"
    assert threads["P3M_THREADS"] == "2" and threads["P3M_HOME"] != kernels["P3M_HOME"]


def test_threads_of_a_run_can_be_overridden(monkeypatch):
    before = torch.get_num_threads()
    with runs._threads(1):
        assert torch.get_num_threads() == 1
    monkeypatch.setenv("P3M_THREADS", "2")
    with runs._threads(1):
        assert torch.get_num_threads() == 2
    assert torch.get_num_threads() == before
