"""How much faster `conn` is than a plain implementation, on a matte with hair. By hand, from the repository's root:

python tests/benchmarks/bench_conn.py [HEIGHT WIDTH]
"""

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from p3mlib.metrics import conn

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_metrics import plain_conn


def hair_like(height, width, strands, noise, seed=0):
    """A head with soft strands, and a prediction of it with noise in the soft area; float32 of 8-bit values."""
    rng = np.random.default_rng(seed)
    alpha = np.zeros((height, width), np.float32)
    centre, radius = np.array([width / 2, height * 0.55]), 0.3 * width
    cv2.ellipse(alpha, (int(centre[0]), int(centre[1])), (int(radius), int(1.2 * radius)), 0, 0, 360, 1, -1)
    for angle in rng.uniform(0, 2 * np.pi, strands):
        bend = angle + np.linspace(0, rng.normal(0, 0.2), 12)
        reach = np.linspace(0.9, rng.uniform(1.1, 1.6), 12) * radius
        strand = centre + np.stack([np.cos(bend), 1.2 * np.sin(bend)], 1) * reach[:, None]
        cv2.polylines(alpha, [strand.astype(np.int32)], False, float(rng.uniform(0.2, 1)), 1, cv2.LINE_8)
    alpha = np.clip(cv2.GaussianBlur(alpha, (0, 0), 0.8), 0, 1)
    soft = (alpha > 0.01) & (alpha < 0.99)
    error = rng.normal(0, noise, alpha.shape).astype(np.float32)
    pred = np.clip(alpha + error * soft, 0, 1)
    return tuple(np.round(matte * 255).astype(np.float32) / np.float32(255) for matte in (pred, alpha))


def seconds(function, *arguments, repeats=5):
    """Median time of a call after a first one (which may compile), and its result."""
    function(*arguments)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        result = function(*arguments)
        times.append(time.perf_counter() - begin)
    return float(np.median(times)), result


def main(height=1620, width=1080):
    for title, strands, noise in (("hair", 500, 0.05), ("nothing but hair and noise", 3000, 0.15)):
        pred, alpha = hair_like(height, width, strands, noise)
        ours, value = seconds(conn, pred, alpha)
        plain, reference = seconds(plain_conn, pred, alpha)
        soft = np.mean((alpha > 0) & (alpha < 1))
        print(f"{title}: {height} x {width} float32, {soft:.0%} of alpha is soft; equal: {value == reference} ({value:.4f})")
        print(f"  plain {plain * 1e3:.0f} ms, p3mlib {ours * 1e3:.1f} ms: {plain / ours:.1f} times faster")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
