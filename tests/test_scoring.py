"""`evaluate`: numbers, protocols that are kept apart, and tables that survive whatever ends the process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from test_datasets import write_set

from p3mlib import io
from p3mlib.__main__ import main
from p3mlib.data.datasets import MissingData
from p3mlib.data.pictures import open_pictures
from p3mlib.experiments import scoring
from p3mlib.experiments.evaluate import silhouette
from p3mlib.experiments.rows import Rows
from p3mlib.metrics import METRICS, matting_errors
from p3mlib.models import build_model, from_pretrained, predict, save_pretrained
from p3mlib.results.scores import paired, scores_text

NPR = Path(os.environ.get("P3M_NPR", Path(__file__).parents[2] / "shared" / "npr"))
NAMES = ["p_1", "p_2", "p_3", "p_4"]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Folders of two untrained networks that follow RESIZE and HYBRID."""
    folder = tmp_path_factory.mktemp("weights")
    for seed, name in enumerate(("one", "two")):
        torch.manual_seed(seed)
        save_pretrained(build_model("p3mnet_resnet34", width=0.0625, tfi=False, sbfi=False, dbfi=False), folder / name)
    return [folder / "one", folder / "two"]


@pytest.fixture
def root(tmp_path):
    write_set(tmp_path / "P3M-10k/validation/P3M-500-P", NAMES, "blurred_image mask trimap")
    return tmp_path / "P3M-10k"


def score(weights, root, output, **options):
    how = {key: options.pop(key) for key in options.keys() & {"limit"}}
    return scoring.score_weights(weights, scoring.open_images("P3M-500-P", None, root, **how), output, progress=False, **options)


def table(folder):
    (path,) = folder.glob("*.csv")
    return path.read_bytes()


@pytest.fixture
def scored(monkeypatch):
    """Indices of the images that were scored, in order."""
    done, real = [], scoring._Scorer.__call__
    monkeypatch.setattr(scoring._Scorer, "__call__", lambda self, i: done.append(i) or real(self, i))
    return done


def test_numbers_are_those_of_the_network_and_the_metrics(weights, root, tmp_path):
    result = score(weights[0], root, tmp_path / "out", strategy="hybrid", ratio=1.0)
    sample = scoring.open_images("P3M-500-P", "B", root)[2]
    alpha = predict(from_pretrained(weights[0]), sample["image"], "hybrid", 1.0)
    expected = matting_errors(alpha, sample["alpha"], sample["trimap"])
    assert result.errors.loc["p_3", list(METRICS)].to_dict() == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert list(result.errors.index) == NAMES and not result.failed and result.label == "one"
    on_disk = pd.read_csv(result.path, index_col="name")
    assert np.array_equal(on_disk[list(METRICS)], result.errors[list(METRICS)])


def test_what_is_scored_is_not_scored_again_until_its_files_change(weights, root, tmp_path, scored):
    assert len(score(weights[0], root, tmp_path / "out", limit=2).errors) == 2 and scored == [0, 1]
    assert len(score(weights[0], root, tmp_path / "out").errors) == 4 and scored == [0, 1, 2, 3]
    assert len(score(weights[0], root, tmp_path / "out", limit=1).errors) == 1 and scored == [0, 1, 2, 3]
    image = root / "validation/P3M-500-P/blurred_image/p_2.jpg"
    size = image.stat().st_size
    Image.new("RGB", (40, 48), "red").save(image)
    assert image.stat().st_size <= size
    os.truncate(image, size)  # as many bytes as before, and other ones
    score(weights[0], root, tmp_path / "out")
    assert scored[4:] == [1] and table(tmp_path / "out").count(b"\n") == 5
    score(weights[0], root, tmp_path / "whole")
    assert table(tmp_path / "whole") == table(tmp_path / "out")


@pytest.mark.parametrize("other", [{"ratio": 0.5}, {"strategy": "hybrid"}, {"eight_bit": True}, {"weights": 1}])
def test_rows_of_other_weights_and_protocols_stay_apart(weights, root, tmp_path, scored, other):
    first = score(weights[0], root, tmp_path / "out", limit=1)
    before = first.path.read_bytes()
    second = score(weights[other.pop("weights", 0)], root, tmp_path / "out", limit=1, **other)
    assert scored == [0, 0] and second.path != first.path and first.path.read_bytes() == before
    shutil.copy(first.path, second.path)
    score(weights[0], root, tmp_path / "out", limit=1)
    assert scored == [0, 0]
    assert json.loads(first.path.with_suffix(".json").read_text())["strategy"] == "resize"
    assert Rows(second.path, ("SAD",), "other key").rows == {}, "nor does a file that was renamed"


def test_killed_in_the_middle_of_a_row_it_ends_as_if_it_was_not(weights, root, tmp_path):
    script = f"""
import os, signal, sys
from p3mlib.__main__ import main
from p3mlib.experiments import rows
real = rows._line
def cut(fields):
    if fields[0] != "p_3" or sys._getframe(1).f_code.co_name != "append":
        return real(fields)
    rows.os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
    return real(fields)[:40]
rows._line = cut
main(["evaluate", {str(weights[0])!r}, "--set", "P3M-500-P", "--root", {str(root)!r}, "-o", {str(tmp_path / "out")!r}])
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = table(tmp_path / "out")
    assert left.count(b"\n") == 3 and not left.endswith(b"\n")
    for folder in ("out", "whole"):
        score(weights[0], root, tmp_path / folder)
    assert table(tmp_path / "out") == table(tmp_path / "whole") and left[:-40] == table(tmp_path / "whole")[: len(left) - 40]
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [".csv", ".json"]


def test_a_table_cut_anywhere_keeps_its_whole_rows(tmp_path):
    path = tmp_path / "a.csv"
    rows = Rows(path, ("SAD", "IoU"), "key1")
    for name, sad in (("a", 1.5), ('b, "c"', 0.1 + 0.2), ("d", float("nan"))):
        rows.append(name, "state", {"SAD": sad, "IoU": 1})
    whole = path.read_bytes()
    ends = [i + 1 for i in range(len(whole)) if whole[i : i + 1] == b"\n"]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        kept = Rows(path, ("SAD", "IoU"), "key1")
        assert len(kept.rows) == max(0, sum(end <= cut for end in ends) - 1)
        assert whole.startswith(path.read_bytes()) or not cut
    kept.append("A", "state", {"SAD": 2, "IoU": 0})
    kept.sort()
    assert list(Rows(path, ("SAD", "IoU"), "key1").rows) == ["A", "a", 'b, "c"', "d"]
    assert list(kept.frame(['b, "c"'])["SAD"]) == [0.1 + 0.2]


def test_rows_with_bits_that_flipped_are_scored_anew(tmp_path, caplog):
    rows = Rows(tmp_path / "a.csv", ("SAD",), "key1")
    for name in "abc":
        rows.append(name, "state", {"SAD": 1.25})
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_bytes(text.replace("b,state,1.25", "b,state,1\0?5").encode() + b"\xff\n")
    assert list(Rows(tmp_path / "a.csv", ("SAD",), "key1").rows) == ["a", "c"]
    assert "a.csv: some of it is damaged" in caplog.text


def test_one_that_fails_is_named_and_the_others_go_on(weights, root, tmp_path, capsys):
    path = root / "validation/P3M-500-P/mask/p_2.png"
    content = path.read_bytes()
    path.write_bytes(content[:60])
    command = ["evaluate", str(weights[0]), "--set", "P3M-500-P", "--root", str(root), "-o", str(tmp_path / "out")]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert f"not done: {root}/validation/P3M-500-P/blurred_image/p_2.jpg: " in captured.err and "p_2.png" in captured.err
    assert "1 not done" in captured.err and table(tmp_path / "out").count(b"\n") == 4
    path.write_bytes(content)
    assert main(command) == 0
    score(weights[0], root, tmp_path / "whole")
    assert table(tmp_path / "out") == table(tmp_path / "whole")


def test_several_processes_write_the_same_table(weights, root, tmp_path):
    for folder, jobs in (("one", 1), ("two", 2)):
        score(weights[0], root, tmp_path / folder, jobs=jobs, limit=2)
    first, second = (pd.read_csv(next((tmp_path / folder).glob("*.csv")), index_col="name") for folder in ("one", "two"))
    assert list(first.index) == list(second.index) == NAMES[:2] and list(first["key"]) == list(second["key"])
    assert np.allclose(first[list(METRICS)], second[list(METRICS)], rtol=1e-3, atol=1e-5)


def test_shards_are_gathered_without_scoring_again(weights, root, tmp_path, scored, capsys):
    command = ["evaluate", str(weights[0]), "--set", "P3M-500-P", "--root", str(root), "-o", str(tmp_path / "out")]
    assert main([*command, "--shard", "2/3"]) == 0 and scored == [0]
    assert "\n  " in capsys.readouterr().out and [path.name[-9:] for path in (tmp_path / "out").glob("*.csv")] == [".2of3.csv"]
    assert main([*command, "--shard", "1/3"]) == 0 and len(scored) == 3
    assert main(command) == 0 and len(scored) == 4
    score(weights[0], root, tmp_path / "whole")
    (gathered,) = (path for path in (tmp_path / "out").glob("*.csv") if "of3" not in path.name)
    assert gathered.read_bytes() == table(tmp_path / "whole")
    assert main([*command, "--shard", "4/3"]) == 2 and "'4/3' is no part of a set" in capsys.readouterr().err


def test_two_sets_of_weights_are_compared_image_by_image(weights, root, tmp_path, capsys):
    command = ["evaluate", *map(str, weights), "--set", "P3M-500-P", "--root", str(root), "-o", str(tmp_path / "out")]
    assert main([*command, "--eight-bit", "--strategy", "hybrid", "--ratio", "0.5"]) == 0
    text = capsys.readouterr().out
    assert (
        "one: P3M-500-P B, 4 images: HYBRID, ratio 0.5, legacy resizing, predictions truncated to 8 bits, trimaps stored" in text
    )
    assert "one - two, 4 images" in text and all(f"\n{metric}" in text for metric in METRICS)
    assert len(list((tmp_path / "out").glob("*.csv"))) == 2


def test_the_difference_is_over_the_images_that_both_have():
    frames = [pd.DataFrame({"SAD": values}, index=list(names)) for names, values in (("abc", [1.0, 2, 3]), ("bcd", [1.0, 1, 9]))]
    both = [scoring.Scored(label, None, None, frame, {}) for label, frame in zip("xy", frames, strict=True)]
    assert paired(both)["SAD"].to_dict() == {"b": 1.0, "c": 2.0}
    assert "x - y, 2 images" in scores_text(both) and "x - y" not in scores_text(both[:1])
    twins = [replace(one, label="best") for one in both]  # of two folders
    assert scores_text(twins).splitlines()[0].split() == "best (1) best (2) best (1) - best (2), 2 images".split()


def test_silhouettes_are_scored_away_from_the_contour():
    mask = np.zeros((60, 50), np.float32)
    mask[10:50, 10:40] = 1
    half = np.where(np.arange(50) < 25, mask, 0).astype(np.float32)
    assert silhouette(mask, {"alpha": mask}) == {"IoU": 1.0, "Recall": 1.0, "SAD-Out": 0.0}
    found = silhouette(half, {"alpha": mask})
    assert found["IoU"] == found["Recall"] == 0.5 and 0.4 < found["SAD-Out"] < 0.6
    seam = np.pad(mask, 1)[1:-1, :-2]  # moved by a pixel: inside the band
    assert silhouette(seam, {"alpha": mask})["SAD-Out"] == 0
    assert silhouette(0 * mask, {"alpha": 0 * mask})["IoU"] == 1.0


@pytest.fixture
def photos(tmp_path):
    """Images, mattes, and masks as 0 and 1, in folders of their own."""
    write_set(tmp_path, ["a", "b"], "image alpha")
    (tmp_path / "mask").mkdir()
    for name in "ab":
        Image.fromarray((io.read_matte(tmp_path / f"alpha/{name}.png") > 0.5).astype(np.uint8)).save(
            tmp_path / f"mask/{name}.png"
        )
    return tmp_path


def test_images_of_ones_own(weights, photos, capsys):
    command = ["evaluate", str(weights[0]), "--images", str(photos / "image"), "-o", str(photos / "out"), "--mattes"]
    assert main([*command, str(photos / "alpha")]) == 0
    assert "trimaps made from the matte" in capsys.readouterr().out
    assert main([*command, str(photos / "mask"), "--binary"]) == 0
    text = capsys.readouterr().out
    assert "IoU and Recall at 0.5, higher is better" in text and "\nSAD-Out (1e3)" in text and "Conn" not in text
    masks = open_pictures(photos / "image", photos / "mask", binary=True)
    assert set(np.unique(masks[0]["alpha"])) == {0, 1} and masks[:1].names == ["a"]


def test_images_without_mattes_are_named(photos):
    (photos / "alpha/b.png").unlink()
    with pytest.raises(MissingData, match=r"alpha: no matte for 1 of 2 images \(b\); a matte has the name of its image"):
        open_pictures(photos / "image", photos / "alpha")
    with pytest.raises(MissingData, match="nowhere: there is no such folder"):
        open_pictures(photos / "image", photos / "nowhere")
    with pytest.raises(MissingData, match="no image in it"):
        open_pictures(photos, photos / "alpha")


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ([], 2, "score on what? Pass --set NAME --root DIR, or --images DIR --mattes DIR"),
        (["--set", "P3M-500-P"], 2, "--set P3M-500-P: --root DIR is missing"),
        (["--set", "P3M-500-P", "--root", "d", "--binary"], 2, "--images, --mattes and --binary are for images of your own"),
        (["--images", "d"], 2, "--images d: --mattes DIR is missing"),
        (["--images", "d", "--mattes", "e", "--root", "f"], 2, "--root and --domain are for --set"),
        (["--set", "P3M", "--root", "d"], 1, "no set 'P3M'; there are train, P3M-500-P, P3M-500-NP, RWP"),
        (["--set", "P3M-500-NP", "--root", "d", "--domain", "B"], 1, "P3M-500-NP exists only un-blurred"),
        (["--set", "RWP", "--root", "nowhere"], 1, "nowhere: no RealWorldPortrait-636 data (there is no such folder)"),
    ],
)
def test_arguments_that_name_no_images(arguments, status, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "weights", "-o", "out", *arguments]) == status
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_json_resizing_and_the_folder_of_the_environment(weights, home, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("P3M_ROOT", str(home / "data" / "smoke" / "P3M-10k"))
    command = ["evaluate", str(weights[0]), str(weights[1]), "--set", "P3M-500-P", "--limit", "2", "-o", str(tmp_path), "--json"]
    assert main([*command, "--resizing", "modern"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["protocol"]["resizing"] for one in record["weights"]] == ["modern", "modern"]
    mean, low, high = record["weights"][0]["metrics"]["SAD"]
    assert record["weights"][0]["images"] == 2 and low <= mean <= high
    apart = mean - record["weights"][1]["metrics"]["SAD"][0]
    assert (
        record["difference"]["metrics"]["SAD"][0] == pytest.approx(apart) and "megapixels" not in record["weights"][0]["metrics"]
    )


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("runs/laptop/p3mnet_r34-s0-1a2b", "p3mnet_r34-s0-1a2b"),
        ("runs/laptop/p3mnet_r34-s0-1a2b/model.safetensors", "p3mnet_r34-s0-1a2b"),
        ("p3mnet_swin_t:some where/official.pth", "p3mnet_swin_t-official"),
        ("owner/name", "name"),
        ("weights v2.pth.tar", "weights-v2.pth"),
    ],
)
def test_labels(name, label):
    assert scoring.label_of(name) == label


def test_portraits_with_masks_drawn_by_hand(weights, tmp_path, capsys):
    if not NPR.is_dir():
        pytest.skip("no portraits with hand-drawn masks here; name their folder in P3M_NPR")
    command = ["evaluate", str(weights[0]), "--images", str(NPR / "image"), "--mattes", str(NPR / "person"), "--binary"]
    assert main([*command, "--limit", "3", "-o", str(tmp_path)]) == 0
    assert "image, 3 images: RESIZE, 512 px on the longer side" in capsys.readouterr().out


def test_real_portraits(weights, real_sample, tmp_path, capsys):
    command = [
        "evaluate",
        str(weights[0]),
        "--set",
        "P3M-500-NP",
        "--root",
        str(real_sample),
        "--limit",
        "1",
        "-o",
        str(tmp_path),
    ]
    assert main(command) == 0
    assert "P3M-500-NP N, 1 image:" in capsys.readouterr().out
