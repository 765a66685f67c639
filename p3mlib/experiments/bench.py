"""Times and peak memory of networks, measured side by side in one run: only their ratio means anything."""

import copy
import multiprocessing
import statistics
import threading
import time
from functools import partial

import numpy as np
import psutil
import torch
from accelerate.utils import send_to_device

from p3mlib.bars import tqdm
from p3mlib.copy_paste import SourceFaces
from p3mlib.experiments.train import Objective
from p3mlib.models import build_model, count_parameters, fast, list_models, weights
from p3mlib.models.inference import has_bfloat16

ROUNDS = 7
_FRESH = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
_FRESH.set_forkserver_preload([__name__])  # a new process then need not import PyTorch


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
    """How a network can be run on a device: name -> function of the model that gives a function of the image. Without
    bfloat16 where a processor would emulate it: `fast` takes full precision there."""
    types = {"fp32": None} | ({"bf16": torch.bfloat16} if device != "cpu" or has_bfloat16() else {})
    found = {"plain": plain} | {name: partial(fast, dtype=dtype) for name, dtype in types.items()}
    if device == "cuda":
        found["fp16"] = partial(fast, dtype=torch.float16)
    return found | {f"{name}+compile": partial(fast, dtype=dtype, compiled=True) for name, dtype in types.items()}


def bench(models, size=512, rounds=ROUNDS, device=None, compiled=False, memory=True, progress=True):
    """Time every path of every network, interleaved, on one random image.

    Args:
        models: names of `build_model`, with seeded random weights, or of `weights.load`. size: side of the image in pixels, a
            multiple of 32.
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


def copy_paste_cost(name="p3mnet_resnet34", size=128, rounds=ROUNDS, width=1.0, batch=8, device=None):
    """Time of a training step with each kind of copy and paste, interleaved; drawing the sources counts, reading them does not.

    Args:
        name: of a network that takes faces into features. size: side of the images. rounds: timed steps of each kind.
    Returns:
        list of dicts: model, kind, ms (median), ratio (median over rounds of ms / ms without, in a step that pastes), average
        (the same over steps of which half paste, as in training), device, size, batch, threads.
    """
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    rng, kinds = np.random.default_rng(0), {"none": None, "icp": None, "fcp": 0, "matched": None}
    mask = np.hypot(*(np.mgrid[:size, :size] - size / 2)) < size / 5
    faces = [{"image": rng.random((size, size, 3), np.float32), "facemask": mask} for _ in range(16)]
    whole = {key: torch.rand(batch, channels, size, size) for key, channels in (("image", 3), ("fg", 3), ("bg", 3), ("alpha", 1))}
    whole["trimap"] = (3 * torch.rand(batch, 1, size, size)).floor() / 2
    masks, steps = torch.from_numpy(mask.astype(np.float32)).expand(batch, 1, -1, -1), {}
    for kind, layer in kinds.items():
        torch.manual_seed(0)
        network = build_model(name, width=width).to(device, memory_format=torch.channels_last)
        objective = Objective(network, network.stages()[0], 0, layer).to(device).train()
        optimiser = torch.optim.Adam(objective.parameters(), 1e-4, fused=True)
        sources = SourceFaces(faces, kind, size, probability=1.0) if kind != "none" else None
        steps[kind] = partial(_training_step, objective, optimiser, sources, whole, masks, rng)
    times = {kind: [] for kind in steps}
    for round_ in range(rounds + 1):  # the first is not timed
        for kind, step in steps.items():
            taken = _timed(step, device, device)
            times[kind] += [taken] if round_ else []
    rows = []
    for kind in steps:
        ratio = statistics.median(t / p for t, p in zip(times[kind], times["none"], strict=True))
        row = {
            "model": name,
            "kind": kind,
            "ms": statistics.median(times[kind]) * 1e3,
            "ratio": ratio,
            "average": (1 + ratio) / 2,
        }
        row["device"] = torch.cuda.get_device_name() if device == "cuda" else "cpu"
        rows.append({**row, "size": size, "batch": batch, "threads": torch.get_num_threads()})
    return rows


def _training_step(objective, optimiser, sources, whole, masks, rng, device):
    paste = {"paste": sources.draw(whole["image"], masks, rng)} if sources else {}
    objective(send_to_device({**whole, **paste}, device))["total"].backward()
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)


def _subject(name, size, device):
    torch.manual_seed(0)
    model = (build_model(name).eval() if name in list_models() else weights.load(name)).to(device)
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
    with _FRESH.Pool(1) as pool:
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
