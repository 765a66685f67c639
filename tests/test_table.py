"""One path from a declaration to a table: what is checked, how rows and columns come about, what a summary holds."""

import numpy as np
import pandas as pd
import pytest

from p3mlib import paths
from p3mlib.experiments import config, untrained
from p3mlib.results import report
from p3mlib.results.table import Difference, Table, make


def cells(printed):
    """The Markdown of a table as rows of cells."""
    rows = [line.split("|")[1:-1] for line in printed.markdown.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[:1] + rows[2:]]


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """Results of every table without training: each row's errors are the same, on small images; references too."""
    monkeypatch.setenv("P3M_HOME", str(tmp_path))
    grid = config.load()

    def result(method, setting, dataset, level, **about):
        errors = pd.DataFrame({metric: level + np.arange(4.0) for metric in (*grid.tables[5].metrics, "Hole")})
        return report.Result(method, setting, dataset, errors.assign(megapixels=0.02), seed=0, **about)

    def results(number, profile, progress):
        found = []
        for level, row in enumerate(grid.rows[name] for name in grid.tables[number].rows):
            about = {"backbone": row.backbone, "cp": config.COPY_PASTE[row.copy_paste]}
            found += [result(row.method, f"{row.domain}:{d}", s, 10.0 * level, **about) for s, d in grid.tables[number].sets]
        return found

    def references(number, profile, progress):
        sets = grid.tables[number].sets
        return [result(method, f"-:{domain}", name, 500.0) for name, domain in sets for method in untrained.REFERENCES]

    monkeypatch.setattr(report, "table_results", results)
    monkeypatch.setattr(report, "reference_results", references)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (Table(12, ""), r"table 12: no such table in experiments.yaml \[12\]; there are 2, 3, 4"),
        (Table(8, "", {"B:Blur": "blur"}), r"table 8: no setting \['B:Blur'\]; there are B:B, B:Mosaic, B:Mask"),
        (Table(8, "", {}, Difference("x", "x", {"B:Mask": "N:B"})), r"table 8: no setting \['N:B'\]; there are B:B"),
        (Table(2, "", {"B:B": "blurred"}), r"table 2: no setting \['B:B'\]; there are -:B, -:N"),
        (
            Table(9, "", difference=Difference("x", "x", {"B:B": "B:B"}, ("SADX",))),
            r"table 9: no metric \['SADX'\]; there are SAD, MSE",
        ),
        (Table(7, "", {"B:B": ""}, switches={"TFI": "tfy"}), r"table 7: no option \['tfy'\]; there are .*tfi"),
    ],
)
def test_what_a_declaration_names_must_be_there(table, message):
    with pytest.raises(ValueError, match=message):
        make(table, "smoke")


def test_a_metric_without_results_is_named(made_up):
    with pytest.raises(ValueError, match=r"P3M-Net \(R34\) on P3M-500-P: no metric 'Holes'; there are SAD, MSE"):
        make(Table(8, "", {"B:B": ""}, also=("Holes",)), "smoke")
    assert not paths.tables("smoke").exists(), "nothing is written"


def test_settings_stand_side_by_side_with_their_difference_last(made_up):
    change = Difference("blurring", "blurring", {"B:Mosaic": "B:B"})
    table = make(Table(8, "Obfuscations", {"B:B": "blur", "B:Mosaic": "mosaic"}, change, remarks=("Last.", str.upper)), "smoke")
    header, *lines = cells(table)
    first, second = header[1:4], header[4:]
    assert first == [f"blur<br><small>{metric}</small>" for metric in ("SAD†", "MSE", "MAD")]
    assert second == [f"mosaic<br><small>{metric}</small>" for metric in ("SAD†", "MSE", "MAD", "SAD† - blurring")]
    assert [line[0] for line in lines] == ["P3M-Net (R34)", "paper", "P3M-Net (Swin-T)", "paper", "P3M-Net (ViTAE-S)", "paper"]
    assert lines[1][1:4] == ["8.73", "0.0026", "0.0051"] and lines[1][-1] == "-"
    assert lines[0][2].startswith("1.5000<br><small>[") and lines[0][-1] == "0.00 ≈<br><small>[0.00, 0.00]</small>"
    assert table.summary["P3M-Net (R34)", "P3M-500-P", "B:Mosaic", "SAD - blurring"] == (0, 0, 0)
    assert table.summary["P3M-Net (R34)", "P3M-500-P", "B:B", "SAD"][0] == pytest.approx(1.5 / 20 * 1720), "small images"
    caption = table.markdown.splitlines()[0]
    assert caption.startswith("Table 8. Obfuscations; mean over seeds [95% interval over images]. After a minus: ")
    assert "† SAD at the paper's mean image size (per-image SAD / pixels x 1.72 Mpx)" in caption and caption.endswith(
        "Last. SMOKE"
    )


def test_references_stand_in_every_setting_with_the_same_images(made_up):
    settings = ("N:N", "B:N", "B:B", "N:B")
    table = make(Table(4, "Methods", {s: s for s in settings}, references=True), "smoke")
    assert [line[0] for line in cells(table)[1:4]] == ["All background", "Mean matte", "SHM"]
    found = {s: table.summary["Mean matte", "P3M-500-P", s, "SAD"] for s in (*settings, "-:B", "-:N")}
    assert len(set(found.values())) == 1
    assert set(table.frame.loc[table.frame["method"] == "Mean matte", "setting"]) == {"-:B", "-:N"}, "once each in the CSV"
    printed = [line[0] for line in cells(table)[1:] if line[0] != "paper"]
    assert printed.index("MODNet") < printed.index("GFM"), "the paper's order"


def test_test_sets_stand_below_each_other(made_up):
    """Without copy and paste on the same images, in blurred training, is what all others of a network are compared with."""
    same = {"B:B": "B:B", "N:B": "B:B", "B:N": "B:N", "N:N": "B:N"}
    table = make(Table(10, "Pasting", difference=Difference("none", "none", same, ("SAD", "SAD-FG")), also=("Hole",)), "smoke")
    header, *lines = cells(table)
    assert header[0] == "Method<br><small>test set</small>" and header[-3:] == ["Hole", "SAD - none", "SAD-FG - none"]
    assert "†" not in "".join(header), "it marks networks here"
    ours = {line[0]: line for line in lines if line[0] != "paper"}
    assert len(ours) == 15 and list(ours)[5] == "P3M-Net (ViTAE-S)<br><small>P3M-500-P, un-blurred</small>"
    plain, pasted, normal = (ours[f"P3M-Net (ViTAE-S){kind}<br><small>P3M-500-P</small>"] for kind in ("", "+ICP", "†"))
    assert plain[-2:] == ["-", "-"] and pasted[-1].startswith("860.00<br>") and normal[-1].startswith("3440.00<br>")
    assert ("P3M-Net (ViTAE-S)", "P3M-500-P", "B:B", "SAD - none") not in table.summary
    assert table.summary["P3M-Net (ViTAE-S)", "P3M-500-NP", "N:N", "SAD - none"] == pytest.approx((3440,) * 3)
