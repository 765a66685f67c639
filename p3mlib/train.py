"""One training loop for every network, on any device, through Hugging Face accelerate."""

import math

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator, DataLoaderConfiguration
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from p3mlib import paths
from p3mlib.augment import random_view
from p3mlib.io import atomic_path, write_text
from p3mlib.losses import matting_loss
from p3mlib.models import build_model, load_imagenet, save_pretrained


class TrainingViews(Dataset):
    """Random views of a training set. Every draw depends on (seed, epoch, index) alone, so an interrupted training sees
    the same views as one that ran through.

    Args:
        portraits: sequence of samples (see `datasets.Portraits`).
        config:    TrainConfig. seed: of the experiment.
    """

    def __init__(self, portraits, config, seed):
        self.portraits, self.config, self.seed, self.epoch = portraits, config, seed, 0
        self.cache = [_needed(portraits[i]) for i in range(len(portraits))] if config.in_memory else None

    def __len__(self):
        return len(self.portraits)

    def __getitem__(self, index):
        order = np.random.default_rng([self.seed, self.epoch]).permutation(len(self))
        item = int(order[index])
        sample = self.cache[item] if self.cache else _needed(self.portraits[item])
        rng = np.random.default_rng([self.seed, self.epoch, index])
        return random_view(sample, self.config.crop_sides, self.config.size, self.config.trimap_kernel, rng)


def _needed(sample):
    return {key: sample[key] for key in ("image", "alpha", "fg", "bg") if key in sample}


def learning_rate(config, done):
    """Learning rate after the fraction `done` of all steps: constant, or 5% linear warm-up and a cosine to zero."""
    if config.schedule == "constant":
        return config.lr
    return config.lr * min(1.0, (done + 1e-3) / 0.05) * 0.5 * (1 + math.cos(math.pi * done))


def build(experiment):
    """The experiment's network with its seeded initial weights, its encoder from ImageNet if the profile says so."""
    torch.manual_seed(experiment.seed)
    config = experiment.train
    model = build_model(experiment.row.model, width=config.width, **experiment.row.options)
    if config.init == "imagenet":
        load_imagenet(model, paths.imagenet(experiment.row.model))
    return model


def fit(experiment, portraits, folder, progress=True, position=0):
    """Train one experiment; go on from the last finished epoch if `folder` holds a checkpoint.

    Writes `checkpoint.pt` and `train.csv` (mean of every loss term per epoch) after each epoch, `model.safetensors` at
    the end, all atomically.

    Args:
        experiment: config.Experiment. portraits: training samples. folder: of the run.
        progress:   show a bar; `position` is its line where several trainings run side by side.
    Returns:
        the trained network, on its device, in eval mode.
    Raises:
        ValueError: fewer images than one batch. RuntimeError: the loss is not finite.
    """
    config = experiment.train
    if len(portraits) < config.batch_size:
        raise ValueError(f"{len(portraits)} training images are fewer than one batch of {config.batch_size}")
    accelerator = Accelerator(dataloader_config=DataLoaderConfiguration(split_batches=True))
    model = build(experiment).to(memory_format=torch.channels_last)  # a quarter faster, on CPUs too
    views = TrainingViews(portraits, config, experiment.seed)
    loader = DataLoader(views, config.batch_size, drop_last=True, num_workers=config.workers)
    optimiser = torch.optim.Adam(model.parameters(), config.lr, fused=True)
    model, optimiser, loader = accelerator.prepare(model, optimiser, loader)
    history = _resume(folder, accelerator.unwrap_model(model), optimiser)
    bar = tqdm(
        total=config.epochs * len(loader),
        initial=len(history) * len(loader),
        position=position,
        leave=False,
        desc=f"{experiment.name} seed {experiment.seed}",
        unit="step",
        disable=not (progress and accelerator.is_main_process),
    )
    with bar:
        for epoch in range(len(history), config.epochs):
            views.epoch = epoch
            torch.manual_seed(experiment.seed * 1_000_003 + epoch)
            history.append({"epoch": epoch, **_epoch(accelerator, model, optimiser, loader, config, epoch, bar)})
            if accelerator.is_main_process:
                _checkpoint(folder, accelerator.unwrap_model(model), optimiser, history)
    accelerator.wait_for_everyone()
    model = accelerator.unwrap_model(model).eval()
    if accelerator.is_main_process:
        save_pretrained(model, folder)
        (folder / "checkpoint.pt").unlink(missing_ok=True)
    return model


def _epoch(accelerator, model, optimiser, loader, config, epoch, bar):
    """One pass over the views; returns the mean of every loss term."""
    model.train()
    network = accelerator.unwrap_model(model)
    mean, std = (torch.tensor(v, device=accelerator.device).view(1, 3, 1, 1) for v in (network.mean, network.std))
    sums, steps = {}, len(loader)
    for step, batch in enumerate(loader):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(config, (epoch * steps + step) / (config.epochs * steps))
        with accelerator.autocast():
            image = (batch["image"] - mean) / std
            output = model(image.contiguous(memory_format=torch.channels_last))
        terms = matting_loss(output, batch)
        if not torch.isfinite(terms["total"]):
            raise RuntimeError(f"epoch {epoch}, step {step}: the loss is {terms['total'].item()}; lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        accelerator.backward(terms["total"])
        optimiser.step()
        for name, value in terms.items():
            sums[name] = sums.get(name, 0.0) + value.item()
        bar.set_postfix(loss=f"{terms['total'].item():.3f}", refresh=False)
        bar.update()
    return {name: value / steps for name, value in sums.items()}


def _checkpoint(folder, model, optimiser, history):
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "history": history}
    with atomic_path(folder / "checkpoint.pt") as partial:
        torch.save(state, partial)
    write_text(folder / "train.csv", pd.DataFrame(history).to_csv(index=False))


def _resume(folder, model, optimiser):
    """Load the checkpoint, if there is one; returns the log of the finished epochs."""
    path = folder / "checkpoint.pt"
    if not path.exists():
        return []
    state = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return state["history"]
