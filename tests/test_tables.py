"""The paper's tables: what is code of their own (1 and 11), and that every other declaration names what is there."""

import re

import pytest

from p3mlib.experiments import config
from p3mlib.results import report, tables


def test_table_1_counts_what_is_on_disk(home):
    printed = tables.table_1("smoke")
    assert printed.frame.set_index("dataset").loc["P3M-Synth", "counted"] == "16 + 4 + 4"
    assert printed.frame.set_index("dataset").loc["P3M-10k", "images"] == "9,921"
    assert "| P3M-Synth | this project | yes | - |" in printed.markdown


@pytest.mark.parametrize("number", range(2, 11))
def test_every_declaration_names_what_is_there(number, monkeypatch):
    declared = []
    monkeypatch.setattr(tables, "make", lambda table, profile, progress: declared.append(table))
    getattr(tables, f"table_{number}")("smoke")
    assert declared[0].number == number
    declared[0].check(config.load())


def test_table_11_has_the_papers_order_and_the_fast_path_first(home, monkeypatch):
    def bench(models, size, rounds, memory, progress):
        line = {"device": "cpu", "threads": 1, "ratio": 1.0}
        return [{**line, "model": model, "path": path, "ms": 250} for model in models for path in ("plain", "fp32")]

    monkeypatch.setattr(report, "bench", bench)
    printed = tables.table_11("smoke", progress=False)
    lines = [line for line in printed.markdown.splitlines() if line.startswith("|")]
    assert lines[0] == "| Method | Params (M) | Time (s) | Time (s)<br><small>(plain)</small> |"
    assert lines[2:4] == ["| P3M-Net (R34) | 39.48 | 0.2500 | 0.2500 |", "| paper | 39.48 | 0.0127 | - |"]
    assert re.search(r"median of \d+ on cpu", printed.markdown)
    assert printed.summary["SHM", "", "", "Inference time"][0] == 0.25
