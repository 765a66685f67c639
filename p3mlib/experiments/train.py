"""One training loop for every network, on any device, through Hugging Face accelerate."""

import contextlib
import math
import time
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from accelerate import Accelerator, DataLoaderConfiguration, DistributedDataParallelKwargs
from torch import nn
from torch.utils.data import DataLoader

from p3mlib import paths
from p3mlib.bars import tqdm
from p3mlib.copy_paste import Draw, SourceFaces, copy_paste, pasting
from p3mlib.experiments import processes, resume
from p3mlib.experiments.views import TrainingViews, loader_processes
from p3mlib.io import forbid
from p3mlib.models import backbones, build_model, load_imagenet, save_pretrained
from p3mlib.models.official import hub_name


def learning_rate(config, done):
    """Learning rate after the fraction `done` of the steps of a stage.

    constant; cosine: to zero, after 5% linear warm-up; step: a tenth after every quarter;
    poly: (1 - done)^0.9; triangle: between a third of the rate and the rate, up and down five times.
    """
    if config.schedule == "cosine":
        return config.lr * min(1.0, (done + 1e-3) / 0.05) * 0.5 * (1 + math.cos(math.pi * done))
    factor = {
        "constant": 1.0,
        "step": 0.1 ** int(4 * done),
        "poly": (1 - done) ** 0.9,
        "triangle": 1 / 3 + 2 / 3 * (1 - abs(1 - 10 * done % 2)),
    }
    return config.lr * factor[config.schedule]


def build(experiment):
    """The experiment's network with its seeded initial weights, its backbones from ImageNet if the profile says so."""
    torch.manual_seed(experiment.seed)
    config = experiment.train
    model = build_model(experiment.row.model, width=config.width, **experiment.row.options)
    if config.init == "imagenet":
        load_imagenet(model, {part: paths.imagenet(name) for part, name in backbones(model).items()})
    return model


def check_start(experiment):
    """OSError where the ImageNet weights that `build` asks for are neither in P3M_IMAGENET nor on the hub."""
    if experiment.train.init == "imagenet":
        for name in _backbone_files(experiment.row.model):
            if paths.imagenet(name) is None:
                hub_name(experiment.row.model, name)


@cache
def _backbone_files(model):
    with torch.device("cpu" if model == "gca" else "meta"):  # spectral norms take ten times as long on "meta"
        return tuple(backbones(build_model(model)).values())


def epochs_of(stages, epochs):
    """How many of `epochs` each stage gets: at least one, else what is nearest to its share."""
    shares = [epochs * stage.share / sum(stage.share for stage in stages) for stage in stages]
    counts = [max(1, int(share)) for share in shares]
    while sum(counts) < epochs:
        counts[max(range(len(counts)), key=lambda i: shares[i] - counts[i])] += 1
    while sum(counts) > max(epochs, len(counts)):
        counts[max((i for i in range(len(counts)) if counts[i] > 1), key=lambda i: counts[i] - shares[i])] -= 1
    return counts


class Objective(nn.Module):
    """A network and what a stage minimises, in one module, so that engines that wrap its forward see all of it.

    Args:
        network: MattingNetwork. stage: one of its stages. seed: of the critic's weights, where the stage has one.
        layer:   at which faces are pasted (see `copy_paste.pasting`), None: into the images.
    """

    def __init__(self, network, stage, seed, layer=None):
        super().__init__()
        self.network, self.stage, self.layer = network, stage, layer
        torch.manual_seed(seed)
        self.critic = stage.critic() if stage.critic else None
        learning = [network.get_submodule(name) for name in stage.learns] or [network]
        network.requires_grad_(False)
        for module in learning:
            module.requires_grad_(True)
        for name in ("mean", "std"):
            values = torch.tensor(getattr(network, name), dtype=torch.float32).view(1, 3, 1, 1)
            self.register_buffer(name, values, persistent=False)

    def train(self, mode=True):
        """Training mode, for the parts that learn."""
        super().train(mode)
        if self.stage.learns:
            self.network.eval()
            for name in self.stage.learns:
                self.network.get_submodule(name).train(mode)
        return self

    def forward(self, batch):
        """Batch -> dict of loss terms with `total`. Losses see the batch's image as it was, whatever the network sees."""
        image, into_features = batch["image"], contextlib.nullcontext()
        if paste := batch.get("paste"):
            masks, draw = (paste["source_mask"], paste["target_mask"]), Draw.of(paste)
            if self.layer is None:
                image = copy_paste(image, masks[1], paste["source"], masks[0], draw)
            else:
                into_features = pasting(self.network, self._normalised(paste["source"]), *masks, draw, self.layer)
        with into_features:
            return self.stage.loss(self.network, self._normalised(image), batch, *([self.critic] if self.critic else []))

    def _normalised(self, image):
        return ((image - self.mean) / self.std).contiguous(memory_format=torch.channels_last)


def fit(experiment, portraits, folder, progress=True, faces=None, start=None, forecast=None):
    """Train one experiment; go on from where the checkpoint in `folder` was written, if there is one, to the same weights.

    Writes `checkpoint.pt` and `train.csv` (mean of every loss term per epoch) after each epoch, one process alone
    also within an epoch every `resume.EVERY` seconds, `model.safetensors` at the end, all atomically. The checkpoint stays
    until the run's record says that it has finished (`runs.writing`).

    Several processes share every batch: the same images a step as one alone, each process some of them, and one draw of copy and
    paste for all. Gradients and printed losses are means over processes; batch norm and losses that divide by an area see the
    whole batch. What is drawn inside a network (dropout, stochastic depth) is drawn by each process, and with P3M-FCP the one
    source passes the encoder in each of them, so there curves differ from those of one process by more than rounding.

    Args:
        experiment: config.Experiment. portraits: training samples. folder: of the run.
        progress:   show a bar.
        faces:      celeba.Faces, for rows with copy and paste.
        start:      the network of `experiment.start`, whose weights go on, in the last stage alone; None: from the seed.
        forecast:   forecast.Forecast of what the training needs, or None.
    Returns:
        the trained network, on its device, in eval mode.
    Raises:
        ValueError: fewer images than one batch. RuntimeError: the loss is not finite.
        io.PrivateFile: a row that trains on blurred images (PPT) would read a picture in an `original_image` folder.
    """
    private = experiment.row.domain == "B"
    with forbid("original_image") if private else contextlib.nullcontext():
        return _fit(experiment, portraits, folder, progress, faces, start, forecast)


def _fit(experiment, portraits, folder, progress, faces, start, forecast):
    config, accelerator = experiment.train, _accelerator(experiment.train, len(portraits))
    network = build(experiment).to(memory_format=torch.channels_last)  # a quarter faster, on CPUs too
    row = experiment.row
    sources = SourceFaces(faces, row.copy_paste, config.size, config.in_memory) if row.copy_paste != "none" else None
    views = TrainingViews(portraits, config, experiment.seed, sources)
    loader = DataLoader(views, config.batch_size, drop_last=True, num_workers=loader_processes(views), collate_fn=views.collate)
    loader = accelerator.prepare(loader)
    stages, state = network.stages(), resume.read(folder, network)
    if start is not None:
        network.load_state_dict(start.state_dict())
        stages = stages[-1:]
    epochs = epochs_of(stages, config.epochs)
    history, within = state.get("history", []), state.get("within")
    network.load_state_dict(state.get("network", network.state_dict()))
    bar = tqdm(
        total=sum(epochs) * len(loader),
        initial=len(history) * len(loader) + (within["step"] if within else 0),
        leave=False,
        desc=f"{experiment.name} seed {experiment.seed}",
        unit="step",
        disable=not (progress and accelerator.is_main_process),
    )
    if forecast:
        forecast.start(f"{experiment.name} seed {experiment.seed}", bar.total, config.batch_size, accelerator.device)
    with bar:
        for i, (stage, count) in enumerate(zip(stages, epochs, strict=True)):
            begin = sum(epochs[:i])
            if len(history) >= begin + count:
                continue
            objective = Objective(network, stage, experiment.seed + 1, row.layer if row.copy_paste == "fcp" else None)
            if accelerator.num_processes > 1:
                objective = processes.share_batch_norm(objective.to(accelerator.device))
            optimiser = _optimiser(config, objective)
            objective, optimiser = accelerator.prepare(objective, optimiser)
            own = accelerator.unwrap_model(objective)
            if len(history) > begin or within:
                own.load_state_dict(state["objective"])
                optimiser.load_state_dict(state["optimiser"])
            for epoch in range(len(history), begin + count):
                views.epoch = epoch
                torch.manual_seed(experiment.seed * 1_000_003 + epoch)
                rates = [learning_rate(config, (epoch - begin + t / len(loader)) / count) * stage.lr for t in range(len(loader))]
                save = partial(resume.write, folder, own, optimiser, history)
                now = _Epoch(f"{stage.name}, epoch {epoch}", rates, bar, forecast, save, within)
                terms, within = _epoch(accelerator, objective, optimiser, loader, config, now), None
                history.append({"epoch": epoch, "stage": stage.name, **terms})
                if accelerator.is_main_process:
                    save()
    accelerator.wait_for_everyone()
    network = network.requires_grad_(True).eval()
    if accelerator.is_main_process:
        save_pretrained(network, folder)
    return network


def _accelerator(config, images):
    """accelerate's Accelerator for this process; ValueError where so many images make no batch, or processes cannot share one."""
    if images < config.batch_size:
        raise ValueError(f"{images} training images are fewer than one batch of {config.batch_size}")
    processes.state()  # before accelerate settles it without them
    handlers = [DistributedDataParallelKwargs(find_unused_parameters=True)]  # a stage need not use all that learns
    accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(split_batches=True), kwargs_handlers=handlers)
    if config.batch_size % accelerator.num_processes:
        raise ValueError(f"a batch of {config.batch_size} cannot be shared evenly by {accelerator.num_processes} processes")
    return accelerator


def _optimiser(config, objective):
    """Optimiser of what learns; `scale` of a group multiplies its learning rate."""
    parameters = [{"params": [p for p in objective.network.parameters() if p.requires_grad], "scale": 1.0}]
    if objective.critic:
        parameters.append({"params": list(objective.critic.parameters()), "scale": objective.stage.critic_lr})
    if config.optimiser == "sgd":
        return torch.optim.SGD(parameters, config.lr, momentum=0.9, weight_decay=config.weight_decay, fused=True)
    return torch.optim.Adam(parameters, config.lr, weight_decay=config.weight_decay, fused=True)


class _Epoch(NamedTuple):
    """What `_epoch` is told: how messages call it, the rate of every step, bar, Forecast, what writes checkpoints (of
    `resume.write`, but for its `within`), and the `within` of a checkpoint that it goes on from."""

    where: str
    rates: list
    bar: tqdm
    forecast: object
    save: Callable
    within: dict | None


def _epoch(accelerator, objective, optimiser, loader, config, now):
    """One pass over the views, or what is left of it; returns the mean of every loss term."""
    objective.train()
    first, sums = (now.within["step"], dict(now.within["sums"])) if now.within else (0, {})
    loader = accelerator.skip_first_batches(loader, first) if first else loader
    saved = time.monotonic()
    for step, batch in enumerate(loader, first):
        if now.within and step == first:  # after the loader's own draw
            resume.set_random_state(now.within["random_state"], accelerator.device)
        if now.forecast:
            now.forecast.begin()
        for group in optimiser.param_groups:
            group["lr"] = now.rates[step] * group["scale"]
        terms = objective(batch)
        if not torch.isfinite(terms["total"]):
            raise RuntimeError(f"{now.where}, step {step}: the loss is {terms['total'].item()}; lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        accelerator.backward(terms["total"])
        if config.max_grad_norm:
            accelerator.clip_grad_norm_(objective.parameters(), config.max_grad_norm)
        optimiser.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        now.bar.set_postfix(loss=f"{terms['total'].item():.3f}", refresh=False)
        now.bar.update()
        if now.forecast:
            now.forecast.end()
        done = step + 1
        if accelerator.num_processes == 1 and done < len(now.rates) and time.monotonic() - saved >= resume.EVERY:
            now.save({"step": done, "sums": sums, "random_state": resume.random_state(accelerator.device)})
            saved = time.monotonic()
    means = torch.tensor([value / len(now.rates) for value in sums.values()], dtype=torch.float64)
    means = accelerator.reduce(means.to(accelerator.device), "mean") if accelerator.num_processes > 1 else means
    return dict(zip(sums, means.tolist(), strict=True))
