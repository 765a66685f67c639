"""Several processes of one training, as torchrun and accelerate start them: the first decides and writes, the others follow.

A process that was started alone is the first of one, and nothing here waits.
"""

from contextlib import contextmanager
from datetime import timedelta

import torch
import torch.distributed.nn.functional as shared
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env
from filelock import FileLock
from timm.layers import BatchNormAct2d, convert_sync_batchnorm
from torch import nn

PATIENCE = timedelta(days=7)  # the others wait for the first to score; where a process dies, the launcher ends all


def state():
    """accelerate's state of this process: `is_main_process`, `num_processes`, `wait_for_everyone`, ..."""
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=cpu, timeout=PATIENCE)


def agreed(value):
    """What the first process says of `value`, the same in all."""
    return broadcast_object_list([value])[0] if state().num_processes > 1 else value


@contextmanager
def locked(path):
    """A block that no other command enters while the first process holds the lock file; the others enter with the first."""
    if state().is_main_process:
        with FileLock(path):
            state().wait_for_everyone()
            try:
                yield
            finally:
                path.unlink(missing_ok=True)  # while it is held: who waits for it sees that, and makes a new one
    else:
        state().wait_for_everyone()
        yield


def share_batch_norm(module):
    """The module with batch norms that see the whole batch: PyTorch's own on GPUs, ours on CPUs, where it has none."""
    if next(module.parameters()).device.type != "cpu":
        return convert_sync_batchnorm(module)
    shared_kinds = {nn.BatchNorm2d: _SharedBatchNorm, BatchNormAct2d: _SharedBatchNormAct}
    for part in module.modules():
        part.__class__ = shared_kinds.get(type(part), type(part))
    return module


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over equal parts of a batch in all processes."""

    def forward(self, image):
        """(N, C, H, W) -> the same, normalised by mean and variance over all processes' N, H and W."""
        return _normalised(self, image) if self.training else super().forward(image)


class _SharedBatchNormAct(BatchNormAct2d):
    """timm's batch norm with an activation, over equal parts of a batch in all processes."""

    def forward(self, image):
        """(N, C, H, W) -> the same, normalised as by `_SharedBatchNorm`, and activated."""
        return self.act(self.drop(_normalised(self, image))) if self.training else super().forward(image)


def _normalised(norm, image):
    number, channels, coded = state().num_processes, (1, -1, 1, 1), image.dtype
    image = image.float()  # as PyTorch's own does in mixed precision
    mean = shared.all_reduce(image.mean((0, 2, 3))) / number
    apart = image - mean.view(channels)
    variance = shared.all_reduce(apart.square().mean((0, 2, 3))) / number
    with torch.no_grad():
        count = image.numel() // image.shape[1] * number
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(variance * count / (count - 1), norm.momentum)
    whole = apart * (norm.weight * (variance + norm.eps).rsqrt()).view(channels) + norm.bias.view(channels)
    return whole.to(coded)
