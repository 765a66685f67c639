"""How much faster `grad` is than the official code's scipy filters, in one run. By hand, from the repository's root:

python tests/benchmarks/bench_grad.py [HEIGHT WIDTH]
"""

import sys
from pathlib import Path

from bench_conn import hair_like, seconds

from p3mlib.metrics import grad

sys.path.insert(0, str(Path(__file__).parents[1]))
from test_metrics import plain_grad


def main(height=1440, width=1080):
    pred, alpha = hair_like(height, width, 500, 0.05)
    ours, value = seconds(grad, pred, alpha)
    plain, reference = seconds(plain_grad, pred, alpha)
    print(f"{height} x {width} float32: scipy {plain * 1e3:.0f} ms, p3mlib {ours * 1e3:.1f} ms: {plain / ours:.1f} times faster")
    print(f"  {reference:.6f} and {value:.6f}, {abs(value / reference - 1):.1e} apart")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
