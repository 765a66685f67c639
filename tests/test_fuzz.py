"""A few made-up files through all commands (`make fuzz` tries a thousand), and that the judge sees faults."""

import json
import shutil

import fuzz
import pandas as pd


def test_made_up_files_are_done_or_named_and_faults_are_seen(tmp_path):
    work = tmp_path / "work"
    assert fuzz.attempt(work, 12, 12, 1) == []
    before = fuzz.state(work / "in")
    assert len(before) == 12 and list(fuzz.judge(work, before)) == []

    def faults(damage):
        copy = tmp_path / damage.__name__
        shutil.copytree(work, copy, symlinks=True)
        damage(copy)
        return "\n".join(fuzz.judge(copy, before))

    def traceback(folder):
        text = {"status": 1, "out": "", "err": "Traceback (most recent call last):"}
        (folder / "predict.json").write_text(json.dumps(text))

    def crash(folder):
        (folder / "audit.json").unlink()

    def changed(folder):
        next(path for path in sorted((folder / "in").rglob("*")) if path.is_file()).write_bytes(b"other")

    def forgotten(folder):
        report = pd.read_csv(folder / "out" / "report.csv", dtype=str, keep_default_na=False)
        assert "done" in set(report["status"])
        report[report["status"] != "done"].to_csv(folder / "out" / "report.csv", index=False)

    def lost(folder):
        shutil.rmtree(folder / "predicted")
        answer = json.loads((folder / "predict.json").read_text())
        (folder / "predict.json").write_text(json.dumps(answer | {"err": ""}))

    def silent(folder):
        training = json.loads((folder / "training.json").read_text())
        (folder / "training.json").write_text(json.dumps(training | {"nobody": "has no colours"}))

    assert "predict: status 1: Traceback" in faults(traceback)
    assert faults(crash) == "audit: the process died"
    assert "the photographs were changed" in faults(changed)
    assert "is neither in the report nor named" in faults(forgotten)
    assert "is neither done nor named" in faults(lost)
    assert "verify: says nothing of 'nobody'" in faults(silent)
