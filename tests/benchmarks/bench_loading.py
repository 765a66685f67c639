"""Training views a second on one core, beside the least that the official loader does: decode four full-size files a sample.

By hand, from the repository's root, with the folder of a P3M-10k that has fg and bg:

python tests/benchmarks/bench_loading.py P3M-10k [COUNT]
"""

import statistics
import sys
import time

import cv2

from p3mlib.data.datasets import open_dataset
from p3mlib.experiments import config
from p3mlib.experiments.views import TrainingViews


def decoded(files):
    """The official loader's reading, by OpenCV."""
    for part in ("image", "alpha", "fg", "bg"):
        assert cv2.imread(str(files[part]), cv2.IMREAD_UNCHANGED) is not None, files[part]


def main(root, count=20):
    """Processor time, so that other work beside it counts less; medians, the two in turn."""
    cv2.setNumThreads(1)
    portraits = open_dataset("train", root, "B", int(count))
    views = TrainingViews(portraits, config.load().profile("paper").train, 0)
    works = {"decode four files": lambda i: decoded(portraits.paths(i)), "whole training view": views.__getitem__}
    spent = {name: [] for name in works}
    for i in range(len(portraits)):
        for name, work in works.items():
            begin = time.process_time()
            work(i)
            spent[name].append(time.process_time() - begin)
    size = "x".join(map(str, portraits[0]["alpha"].shape[::-1]))
    for name, times in spent.items():
        seconds = statistics.median(times)
        print(f"{name}, {size} px: {1e3 * seconds:.0f} ms, {1 / seconds:.1f} images a second on a core")
    print(f"ratio {statistics.median(b / a for a, b in zip(*spent.values(), strict=True)):.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
