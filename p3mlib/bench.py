"""Times and peak memory of networks, measured side by side in one run: only their ratio means anything."""

import copy
import multiprocessing
import statistics
import threading
import time
from functools import partial

import psutil
import torch
from tqdm.auto import tqdm

from p3mlib.models import build_model, count_parameters, fast

ROUNDS = 7


def plain(model):
    """The network run as the official code runs it: eager, contiguous, side outputs, batch norms, attention step by step."""
    network = copy.deepcopy(model).eval()
    for module in network.modules():
        if hasattr(type(module), "fused"):
            module.fused = False

    def call(image):
        with torch.inference_mode():
            return network(image)

    return call


def paths(device):
    """How a network can be run on a device: name -> function of the model that gives a function of the image."""
    found = {"plain": plain, "fp32": fast, "bf16": partial(fast, dtype=torch.bfloat16)}
    if device == "cuda":
        found["fp16"] = partial(fast, dtype=torch.float16)
    found["fp32+compile"] = partial(fast, compiled=True)
    found["bf16+compile"] = partial(fast, dtype=torch.bfloat16, compiled=True)
    return found


def bench(models, size=512, rounds=ROUNDS, device=None, compiled=False, memory=True, progress=True):
    """Time every path of every network, interleaved, on one random image.

    Args:
        models: names of `build_model`; seeded random weights. size: side of the image in pixels, a multiple of 32.
        rounds: timed passes of each path, after one that is not timed. device: "cpu", "cuda"; None takes what there is.
        compiled: time torch.compile too, which takes minutes to compile. memory: measure peak memory too.
    Returns:
        list of dicts: model, parameters, path, ms (median), ratio (median over rounds of ms / ms of plain in the same
        round), peak_mib (of memory that the pass needs beside the weights), device, size, threads.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    ways = {path: way for path, way in paths(device).items() if compiled or "compile" not in path}
    rows = []
    for name in tqdm(models, desc="bench", unit="model", disable=not progress):
        model, image = _subject(name, size, device)
        calls = {path: way(model) for path, way in ways.items()}
        times = {path: [] for path in calls}
        for call in calls.values():
            call(image)
        for _ in range(rounds):
            for path, call in calls.items():
                times[path].append(_timed(call, image, device))
        for path in calls:
            ratios = [t / p for t, p in zip(times[path], times["plain"], strict=True)]
            rows.append(
                {
                    "model": name,
                    "parameters": count_parameters(model),
                    "path": path,
                    "ms": statistics.median(times[path]) * 1e3,
                    "ratio": statistics.median(ratios),
                    "peak_mib": _peak_memory(name, path, size, device) if memory else float("nan"),
                    "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
                    "size": size,
                    "threads": torch.get_num_threads(),
                }
            )
    return rows


def _subject(name, size, device):
    torch.manual_seed(0)
    model = build_model(name).eval().to(device)
    image = torch.randn(1, model.channels, size, size, device=device)
    if model.channels == 4:
        image[:, 3] = (image[:, 3] * 2).round().clamp(0, 2) / 2
    return model, image


def _timed(call, image, device):
    begin = time.perf_counter()
    call(image)
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begin


def _peak_memory(name, path, size, device):
    """Mebibytes that one pass takes at most beside weights and image; on a CPU measured in a process of its own."""
    if device == "cuda":
        return _pass_memory(name, path, size, device)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_pass_memory, (name, path, size, device))


def _pass_memory(name, path, size, device):
    model, image = _subject(name, size, device)
    call = paths(device)[path](model)
    if device == "cuda":
        call(image)  # compile, choose kernels
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call(image)
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    call(image[..., :64, :64])  # load libraries
    with _Sampler() as sampler:
        call(image)
    return sampler.peak / 2**20


class _Sampler(threading.Thread):
    """Largest growth of this process's resident memory, in bytes, while the block runs; looks every two milliseconds."""

    def __init__(self):
        super().__init__(daemon=True)
        self.process, self.done, self.peak = psutil.Process(), threading.Event(), 0

    def run(self):
        while not self.done.wait(0.002):
            self.peak = max(self.peak, self.process.memory_info().rss - self.before)

    def __enter__(self):
        self.before = self.process.memory_info().rss
        self.start()
        return self

    def __exit__(self, *error):
        self.done.set()
        self.join()
