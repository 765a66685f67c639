"""All trainings of a profile at once on one GPU: `python examples/one_gpu.py --scratch /dev/shm --seconds 570`.

A training of so narrow a network fills a fraction of a card. Here each is a process of its own, and all share the card, side by
side where NVIDIA's MPS runs (`nvidia-cuda-mps-control -d`). A step is captured once as a CUDA graph and replayed, weights lie in
NCHW, and networks that see the same views share them. On an H200 with 16 cores the 38 networks of profile `bases` saw 6,270
images a second together.

What it trains is what `python -m p3mlib train` would have trained, but for rounding: the same seeds, views, losses, rates and run
folders (P3M_RUNS). A second call goes on where `--seconds` ended the first; `--pack FOLDER` writes finished runs into archives,
with weights rounded to half precision. Unpacked into the run cache elsewhere (`runs/<profile>/`), `python -m p3mlib train` scores
them, and `python -m p3mlib ship` puts them into the package. It is for rows of blurred images without copy and paste that start
from scratch.
"""

import argparse
import multiprocessing
import os
import sys
import tarfile
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from p3mlib.experiments import config, corpus, runs
from p3mlib.experiments.run import record
from p3mlib.experiments.train import Objective, build, epochs_of, learning_rate
from p3mlib.experiments.views import TrainingViews
from p3mlib.io import atomic_path, write_text
from p3mlib.models import bases, save_pretrained
from p3mlib.models.trimap_based import fba

LAYERS = {"image": 3, "fg": 3, "bg": 3, "alpha": 1}  # channels of a portrait in 8 bits; a view has the trimap behind them
PART = 50  # steps whose views lie in one file
AHEAD = 28  # parts that are made before the slowest network needs them
EVERY = 120  # seconds between two checkpoints
STATE, ENDED = "captured.pt", 2**30
RUNS = 5  # in an archive
fork = multiprocessing.get_context("fork")
click_maps = fba.click_maps


class Store:
    """Portraits in 8 bits, as samples that `TrainingViews` takes."""

    def __init__(self, array):
        self.array = array

    def __len__(self):
        return len(self.array)

    def __getitem__(self, index):
        values, sample, first = np.true_divide(self.array[index], np.float32(255), dtype=np.float32), {}, 0
        for name, count in LAYERS.items():
            layer, first = values[..., first : first + count], first + count
            sample[name] = layer[..., 0] if count == 1 else layer
        return sample


def decode(profile, folder):
    """The training set in 8 bits, (N, H, W, 10), as a file; all cores read."""
    portraits, path = corpus.open_set("train", "B", profile, False), folder / "portraits.npy"
    shape = (len(portraits), *profile.data.size, sum(LAYERS.values()))
    np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape).flush()
    with fork.Pool() as pool:
        pool.map(partial(_decoded, portraits, path), range(len(portraits)), chunksize=50)
    return np.load(path, mmap_mode="r")


def _decoded(portraits, path, index):
    sample = portraits[index]
    layers = [sample[name].reshape(*sample["alpha"].shape, count) for name, count in LAYERS.items()]
    np.load(path, mmap_mode="r+")[index] = np.round(255 * np.concatenate(layers, axis=-1))


class Views:
    """The views that some networks share, made ahead of them: of every `PART` steps a file of (views, 11, side, side) bytes."""

    def __init__(self, portraits, experiment, folder):
        self.views, self.train, self.folder = (
            TrainingViews(portraits, experiment.train, experiment.seed),
            experiment.train,
            folder,
        )
        self.steps, self.users = len(portraits) // self.train.batch_size, []
        self.parts = -(-self.steps // PART)
        folder.mkdir()

    def make(self, places, share, of):
        """Write every `of`-th part; `places` tells where each network is."""
        for number in range(share, self.train.epochs * self.parts, of):
            while number > (slowest := min(places[user] for user in self.users)) + AHEAD:
                time.sleep(0.05)
            if number >= slowest:
                self._write(number)
            for old in self.folder.glob("[0-9]*.npy"):
                if int(old.stem) < slowest:
                    old.unlink(missing_ok=True)

    def _write(self, number):
        self.views.epoch, part = divmod(number, self.parts)
        steps, size, side = min(PART, self.steps - part * PART), self.train.batch_size, self.train.size
        made = np.empty((steps * size, sum(LAYERS.values()) + 1, side, side), np.uint8)
        for index, place in enumerate(made, part * PART * size):
            view = self.views[index]
            place[:-1] = np.round(255 * np.concatenate([view[name] for name in LAYERS]))
            place[-1:] = np.round(2 * view["trimap"])
        with atomic_path(self.folder / f"{number}.npy") as partial_path, open(partial_path, "wb") as file:
            np.save(file, made)

    def part(self, number, until):
        """That part, once it is there; None where time is up before."""
        path = self.folder / f"{number}.npy"
        while not path.exists():
            if time.time() > until:
                return None
            time.sleep(0.02)
        return np.load(path, mmap_mode="r")


class Captured:
    """A training step of an objective: a CUDA graph on a GPU, plain on a CPU."""

    def __init__(self, objective, train, batch, device):
        self.objective, self.clip, self.batch = objective, train.max_grad_norm, torch.from_numpy(batch).to(device)
        groups = [{"params": [p for p in objective.network.parameters() if p.requires_grad], "scale": 1.0}]
        if objective.critic:
            groups.append({"params": list(objective.critic.parameters()), "scale": objective.stage.critic_lr})
        rates = ({"lr": torch.tensor(train.lr, device=device)} for _ in groups)
        self.optimiser = torch.optim.Adam(
            [group | rate for group, rate in zip(groups, rates, strict=True)],
            weight_decay=train.weight_decay, fused=True, capturable=device == "cuda",
        )  # fmt: skip
        self.parameters = [p for group in groups for p in group["params"]]
        self.maps = None
        if isinstance(objective.network, fba.FBA):  # which OpenCV makes, on the CPU
            self.maps = click_maps(self.batch[:, -1:].cpu() / 2).to(device)
            fba.click_maps = lambda trimap: self.maps
        self.sums, self.graph, self.done = 0.0, None, None
        if device == "cuda":
            self._capture()

    def _capture(self):
        """Three steps to warm up, a fourth into the graph; then weights, moments and sums are as before."""
        before = {name: value.clone() for name, value in self.objective.state_dict().items()}
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        self.optimiser.zero_grad(set_to_none=True)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
            self._step()
        with torch.no_grad():
            for name, value in self.objective.state_dict().items():
                value.copy_(before[name])
            for value in (v for state in self.optimiser.state.values() for v in state.values()):
                value.zero_()
            self.sums.zero_()
        self.done = torch.cuda.Event()

    def _step(self):
        x, first, batch = self.batch[:, :-1].float() / 255, 0, {"trimap": self.batch[:, -1:].float() / 2}
        for name, count in LAYERS.items():
            batch[name], first = x[:, first : first + count].contiguous(), first + count
        terms = self.objective(batch)
        self.optimiser.zero_grad(set_to_none=True)
        terms["total"].backward()
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimiser.step()
        self.names, now = list(terms), torch.stack([term.detach() for term in terms.values()])
        self.sums = self.sums + now if isinstance(self.sums, float) else self.sums.add_(now)

    def __call__(self, batch, rate):
        """One step on a batch (N, 11, side, side) of bytes."""
        maps = click_maps(torch.from_numpy(batch[:, -1:]) / 2) if self.maps is not None else None
        self.wait()
        self.batch.copy_(torch.from_numpy(batch))
        if maps is not None:
            self.maps.copy_(maps)
        for group in self.optimiser.param_groups:
            group["lr"].fill_(rate * group["scale"])
        if self.graph is None:
            return self._step()
        self.graph.replay()
        self.done.record()

    def wait(self):
        """Until the last step has ended, without keeping a core busy as CUDA's own waiting does."""
        while self.done and not self.done.query():
            time.sleep(0.001)

    def means(self, steps):
        """Mean of every loss term, and begin to count anew."""
        self.wait()
        means = dict(zip(self.names, (self.sums / steps).tolist(), strict=True))
        self.sums.zero_()
        return means

    def state(self):
        """What goes on elsewhere: objective, moments, sums."""
        self.wait()
        moments = [dict(self.optimiser.state[p]) for p in self.parameters]
        return {"objective": self.objective.state_dict(), "moments": moments, "sums": self.sums}

    @torch.no_grad()
    def restore(self, state):
        """Go on from a `state`."""
        self.objective.load_state_dict(state["objective"])
        for p, moments in zip(self.parameters, state["moments"], strict=True):
            for name, value in moments.items():
                own = self.optimiser.state[p].setdefault(name, torch.zeros_like(value))
                own.copy_(value)
        sums = state["sums"]
        self.sums = self.sums.copy_(sums) if isinstance(self.sums, torch.Tensor) else sums


def train(experiment, shared, tell, until, device):
    """Train one experiment until it is done or time is up; a process of its own."""
    if device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.channels_last = torch.contiguous_format  # what the package asks for is slower here
    torch.set_num_threads(1)
    end = _train(experiment, shared, tell, until, device)
    print(f"{experiment.name} seed {experiment.seed}: {end}", flush=True)


def _train(experiment, shared, tell, until, device):
    config, run, begun = experiment.train, runs.Run(runs.needed_folder(experiment)), time.time()
    run.folder.mkdir(parents=True, exist_ok=True)
    network, state = build(experiment), {}
    if (run.folder / STATE).exists():
        state = torch.load(run.folder / STATE, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
    network, stages = network.to(device, memory_format=torch.channels_last), network.stages()
    history, first, before, saved = state.get("history", []), state.get("step", 0), state.get("seconds", 0.0), begun

    def save(number, **step):
        state = {"history": history, "step": number, "network": network.state_dict(), "seconds": before + time.time() - begun}
        with atomic_path(run.folder / STATE) as partial_path:
            torch.save(state | step, partial_path)

    for i, (stage, count) in enumerate(zip(stages, counts := epochs_of(stages, config.epochs), strict=True)):
        begin, part = sum(counts[:i]), None
        if len(history) >= begin + count:
            continue
        objective = Objective(network, stage, experiment.seed + 1).to(device).train()
        step = None
        for epoch in range(len(history), begin + count):
            torch.manual_seed(experiment.seed * 1_000_003 + epoch)
            for number in range(first, shared.steps):
                if part is None or number % PART == 0:
                    tell(place := epoch * shared.parts + number // PART)
                    part = shared.part(place, until)
                up = part is None or time.time() > until
                if step and (up or time.time() - saved > EVERY):
                    saved = time.time()
                    save(number, **step.state())
                if up:
                    return f"time is up in epoch {epoch} of {config.epochs}, step {number} of {shared.steps}"
                at = number % PART * config.batch_size
                batch = np.array(part[at : at + config.batch_size])
                if step is None:
                    step = Captured(objective, config, batch, device)
                    if first or epoch > begin:
                        step.restore(state)
                step(batch, stage.lr * learning_rate(config, (epoch - begin + number / shared.steps) / count))
            history.append({"epoch": epoch, "stage": stage.name, **step.means(shared.steps)})
            if not np.isfinite(history[-1]["total"]):
                raise RuntimeError(f"{run.folder}, epoch {epoch}: the loss is {history[-1]['total']}; lower the learning rate")
            first = 0
        save(0)  # the next stage begins with an objective of its own
    write_text(run.folder / "train.csv", pd.DataFrame(history).to_csv(index=False))
    save_pretrained(network.requires_grad_(True).eval(), run.folder)
    portraits = corpus.open_set("train", "B", experiment.profile, False)
    seconds = round(before + time.time() - begun, 2)
    run.update(seconds={"training": seconds}, **record(experiment, len(portraits), portraits.folders()))
    (run.folder / STATE).unlink(missing_ok=True)
    return f"done, loss {history[-1]['total']:.3f}, {seconds:.0f} s"


def pack(done, folder):
    """Write archives of finished runs, weights rounded to half precision; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for first in range(0, len(done), RUNS):
        written.append(folder / f"runs{first // RUNS}.tar.xz")
        with atomic_path(written[-1]) as partial_path, tarfile.open(partial_path, "w:xz") as archive:
            for run in done[first : first + RUNS]:
                with tempfile.TemporaryDirectory() as made:
                    save_pretrained(bases.halved(run.load()), made)  # zeros, which pack well
                    for path in (*Path(made).iterdir(), run.folder / "run.json", run.folder / "train.csv"):
                        archive.add(path, f"{run.id}/{path.name}")
    return written


def train_all(todo, seconds, scratch):
    """Train experiments side by side, for at most so many seconds."""
    profile, until, device = todo[0].profile, time.time() + seconds, "cuda" if torch.cuda.is_available() else "cpu"
    corpus.render(profile, True, {"train": profile.data.counts["train"]})
    with tempfile.TemporaryDirectory(dir=scratch) as made:
        portraits, groups, places = Store(decode(profile, Path(made))), {}, fork.Array("i", len(todo), lock=False)
        for user, e in enumerate(todo):
            key = (e.seed, e.train.crop_sides, e.train.size, e.train.trimap_kernel, e.train.batch_size, e.train.epochs)
            if key not in groups:
                groups[key] = Views(portraits, e, Path(made) / str(len(groups)))
            groups[key].users.append(user)
        of = {user: group for group in groups.values() for user in group.users}
        tell = {user: partial(places.__setitem__, user) for user in of}
        makers = [fork.Process(target=g.make, args=(places, share, 2), daemon=True) for g in groups.values() for share in (0, 1)]
        trainings = [
            fork.Process(target=train, args=(e, of[user], tell[user], until, device), daemon=True) for user, e in enumerate(todo)
        ]
        for process in (*makers, *trainings):
            process.start()
        while any(training.is_alive() for training in trainings) and not any(maker.exitcode for maker in makers):
            for user, training in enumerate(trainings):
                if not training.is_alive():
                    tell[user](ENDED)  # the others wait no more for one that died
            time.sleep(0.1)
        for process in (*makers, *trainings):
            process.kill()
            process.join()


def main(arguments=None):
    """The command line; exit status 0 if all is trained, 1 if not yet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("rows", nargs="*", help="default: those of the profile")
    parser.add_argument("--profile", default="bases")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="then what goes on later is written, and it ends")
    parser.add_argument("--scratch", type=Path, help="folder for views, some 20 GB, at best in memory")
    parser.add_argument("--pack", type=Path, help="train nothing, write archives of finished runs into this folder")
    options, grid = parser.parse_args(arguments), config.load()
    experiments = grid.experiments(options.rows or grid.trained(options.profile), options.profile)
    for e in experiments:
        if e.row.domain != "B" or e.row.copy_paste != "none" or e.train.ingredients or e.train.init != "scratch":
            parser.error(f"{e.name} of profile {e.profile.name} is not for this script: python -m p3mlib train does it")
    found = [runs.Run(runs.needed_folder(e)) for e in experiments]
    if options.pack:
        print(*pack([run for run in found if run.record.get("finished")], options.pack), sep="\n")
        return 0
    if todo := [e for e, run in zip(experiments, found, strict=True) if not run.record.get("finished")]:
        train_all(todo, options.seconds, options.scratch)
    left = [run.id for run in found if not run.record.get("finished")]
    print(f"{len(found) - len(left)} of {len(found)} trained" + ("; the same command goes on" if left else ""))
    return int(bool(left))


if __name__ == "__main__":
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # or asking for a GPU begins to use it, and children cannot
    sys.exit(main())
