"""Numbers that profile smoke must give again; after a deliberate change: make paper PROFILE=smoke, python tests/reference.py."""

import platform
from pathlib import Path

import pandas as pd
import torch

FILE = Path(__file__).parent / "smoke_tables.csv"
KEYS = ["table", "method", "cp", "setting", "dataset", "metric", "obfuscation", "modules", "seed"]
TABLES = range(2, 11)  # 1 counts images, 11 measures time


def processor():
    """What decides the last bits of a sum on a CPU; kernels differ by maker too, where Linux names one."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    maker = next((line.split(":")[1].strip() for line in lines if line.startswith("vendor_id")), "")
    kind = " ".join(filter(None, (platform.machine(), maker, torch.backends.cpu.get_cpu_capability())))
    return f"{kind}, torch {torch.__version__.split('+')[0]}"


def collect(folder):
    """All values of the tables in a folder: Series over `KEYS`; cells that were not run are left out."""
    frames = [pd.read_csv(folder / f"table_{n}.csv", dtype=dict.fromkeys(KEYS, str), keep_default_na=False) for n in TABLES]
    whole = pd.concat(frames, ignore_index=True)
    whole["value"] = pd.to_numeric(whole["value"])
    return whole.dropna(subset="value").set_index(KEYS)["value"].sort_index()


def committed():
    """(processor type, Series) of the committed numbers."""
    with FILE.open() as file:
        kind = file.readline().removeprefix("# ").strip()
        frame = pd.read_csv(file, dtype=dict.fromkeys(KEYS, str), keep_default_na=False)
    return kind, frame.set_index(KEYS)["value"]


if __name__ == "__main__":
    values = collect(Path(__file__).parent.parent / "tables" / "smoke")
    FILE.write_text(f"# {processor()}\n{values.to_csv(float_format='%.6g')}")
