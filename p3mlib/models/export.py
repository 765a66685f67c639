"""P3M-Net as ONNX, for runtimes without PyTorch."""

import contextlib
import io
import logging
import warnings

import torch
from torch import nn
from torch.export import Dim

from p3mlib.io import atomic_path
from p3mlib.models.blocks import last_writers
from p3mlib.models.inference import fast

OUTPUTS = ("segmentation", "detail", "alpha")


class _Exportable(nn.Module):
    """Outputs as a plain tuple, un-pooling in operators that ONNX has."""

    def __init__(self, model):
        super().__init__()
        self.network = fast(model).network.to(memory_format=torch.contiguous_format)
        self.network.unpool = _scatter

    def forward(self, image):
        """(N, 3, H, W) -> segmentation, detail, alpha."""
        output = self.network(image)
        return tuple(getattr(output, name) for name in OUTPUTS)


def _scatter(x, indices):
    """`unpool` by a scatter whose order does not matter."""
    n, c, h, w = x.shape
    plane = x.new_zeros(n, c, 4 * h * w)
    values = last_writers(x, indices).flatten(2)
    return plane.scatter(2, indices.flatten(2), values).view(n, c, 2 * h, 2 * w)


def export(model, path):
    """Write a network as ONNX, for any height and width that are multiples of 32 from 64 to 2048.

    Input `image` (1, 3, H, W) float32, normalised with the network's `mean` and `std`; outputs `segmentation` (1, 3, H, W)
    logits, `detail` and `alpha` (1, 1, H, W) in [0, 1]. Un-pooling lets the last window win, as everywhere else.

    Args:
        model: P3M-Net. path: of the `.onnx` file.
    """
    sides = {2: 32 * Dim("rows", min=2, max=64), 3: 32 * Dim("columns", min=2, max=64)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            _Exportable(model).eval(),
            (torch.zeros(1, 3, 256, 320),),
            input_names=["image"],
            output_names=list(OUTPUTS),
            dynamic_shapes={"image": sides},
            dynamo=True,
        )
    with atomic_path(path) as partial:
        program.save(partial)
