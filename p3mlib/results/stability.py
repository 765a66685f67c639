"""How far the numbers of a profile move: with other kernels, with other threads, or from tables made on another machine."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import torch

from p3mlib import paths

# What another machine does to PyTorch, as environment variables of a run of everything. Other kernels: of a processor without
# AVX-512 where this one has it, else of one without AVX2.
_LESS = ("avx2", "AVX2") if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else ("default", "SSE41")
VARIANTS = {
    "other kernels": {"ATEN_CPU_CAPABILITY": _LESS[0], "ONEDNN_MAX_CPU_ISA": _LESS[1]},
    "two threads": {"P3M_THREADS": "2"},
}
_KEY = ["table", "method", "cp", "modules", "setting", "dataset", "metric"]
_TIMES = "Inference time"  # Table 11: a time is never twice the same


def run_again(profile, variant):
    """Regenerate all tables of a profile in a folder of their own; what is finished there is not done again.

    Args:
        profile: name. variant: key of `VARIANTS`.
    Returns:
        Path of the folder of tables.
    Raises:
        RuntimeError: the notebooks failed; their output stands above.
    """
    home = paths.build() / "stability" / variant.replace(" ", "_")
    home.mkdir(parents=True, exist_ok=True)
    images = paths.data(profile).parent
    images.mkdir(parents=True, exist_ok=True)
    if not (home / "data").exists():
        (home / "data").symlink_to(images)
    own = {**paths.named(), "P3M_HOME": os.fspath(home), "P3M_RUNS": "", **VARIANTS[variant]}
    done = subprocess.run([sys.executable, "-m", "p3mlib", "notebooks", "--profile", profile], env={**os.environ, **own})
    if done.returncode:
        raise RuntimeError(f"{variant}: the notebooks ended with {done.returncode}; the same command goes on from here")
    return home / paths.tables(profile).relative_to(paths.home())


def compare(ours, others):
    """How far numbers are apart in two folders of tables.

    Args:
        ours, others: folders with `table_*.csv`, and `claims.csv` where verdicts are compared.
    Returns:
        DataFrame, a row for every table, one for all SAD and one for all: numbers (how many, means over seeds), median, p95 and
        largest (changes in percent of ours), outside (how many of theirs lie outside our 95% interval, the mean of those of the
        seeds), intervals (how many have one); and a Series of the changed verdicts: claim -> "PASS -> FAIL".
    Raises:
        FileNotFoundError: a folder has no tables. ValueError: they have no number in common.
    """
    both = _numbers(ours).join(_numbers(others).add_suffix("_theirs"), how="inner").dropna(subset=["value", "value_theirs"])
    if both.empty:
        raise ValueError(f"{ours} and {others} have no number in common; are they of one profile?")
    scale = both["value"].abs().where(both["value"] != 0)
    both["moved"] = 100 * (both["value_theirs"] - both["value"]).abs() / scale
    both["outside"] = (both["value_theirs"] < both["low"]) | (both["value_theirs"] > both["high"])
    groups = [(f"Table {number}", part) for number, part in both.groupby("table")]
    groups += [("all SAD", both[both.index.get_level_values("metric") == "SAD"]), ("all", both)]
    return pd.DataFrame([_line(name, part) for name, part in groups]).set_index("numbers of"), _verdicts(ours, others)


def _line(name, part):
    spread = part["moved"].quantile([0.5, 0.95, 1]).set_axis(["median", "p95", "largest"])
    counts = {"outside": part["outside"].sum(), "intervals": part["low"].count()}
    return {"numbers of": name, "numbers": len(part), **spread, **counts}


def _numbers(folder):
    """Means over seeds of all tables of a folder, with the means of their intervals, by what they are."""
    files = sorted(Path(folder).glob("table_*.csv"))
    if not files:
        raise FileNotFoundError(f"{folder}: no table_*.csv in it; `python -m p3mlib notebooks` writes them")
    frame = pd.concat([pd.read_csv(file, dtype=dict.fromkeys(_KEY[1:], str)) for file in files], ignore_index=True)
    missing = [name for name in (*_KEY, "value", "low", "high") if name not in frame]
    if missing:
        raise ValueError(f"{folder}: its tables lack the column {', '.join(missing)}")
    frame = frame[~frame["metric"].str.startswith(_TIMES, na=False)]
    return frame.fillna(dict.fromkeys(_KEY, "")).groupby(_KEY)[["value", "low", "high"]].mean()


def _verdicts(*folders):
    files = [Path(folder) / "claims.csv" for folder in folders]
    if not all(file.is_file() for file in files):
        return pd.Series(dtype=str)
    before, after = (pd.read_csv(file, index_col="claim")["verdict"] for file in files)
    both = pd.concat([before, after], axis=1, keys=["before", "after"]).dropna()
    changed = both[both["before"] != both["after"]]
    return changed["before"] + " -> " + changed["after"]


def as_text(name, table, verdicts):
    """The comparison as a person reads it."""
    told = f"{len(verdicts)} verdicts changed" + "".join(f"\n  {claim}: {change}" for claim, change in verdicts.items())
    return f"{name}: changes in percent\n{table.round(2).to_string()}\n{told}"
