"""Networks as ONNX, for runtimes without PyTorch."""

import contextlib
import io
import logging
import warnings

import onnxruntime
import torch
from torch import nn
from torch.export import Dim

from p3mlib.io import atomic_path
from p3mlib.models.blocks import last_writers
from p3mlib.models.inference import fast

OUTPUTS = ("segmentation", "detail", "alpha")
CHECKED = ((128, 224), (320, 192))  # height, width


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

    The file is compared with the network at sizes that the export did not see before it is given its name.

    Args:
        model: a network that sees the image alone. path: of the `.onnx` file.
    Raises:
        ValueError: a network that is given a trimap, one that cannot be written, or whose file gives something else.
    """
    name = getattr(model, "config", {}).get("model", type(model).__name__)
    if model.channels != 3:
        raise ValueError(f"{name} is given a trimap and is not exported; networks that see the image alone are")
    sides = {2: 32 * Dim("rows", min=2, max=64), 3: 32 * Dim("columns", min=2, max=64)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            program = torch.onnx.export(
                _Exportable(model).eval(),
                (torch.zeros(1, 3, 256, 320),),
                input_names=["image"],
                output_names=list(OUTPUTS),
                dynamic_shapes={"image": sides},
                dynamo=True,
            )
        except Exception as error:  # whatever an exporter ends in
            raise ValueError(f"{name} cannot be written as ONNX: {str(error).strip().splitlines()[0]}") from error
    with atomic_path(path) as partial:
        program.save(partial)
        _check(model, name, partial)


def _check(model, name, path):
    """Raise ValueError where the file gives other outputs than the network."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for size in CHECKED:
        image = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            ours = model.eval()(image)
        try:
            theirs = session.run(list(OUTPUTS), {"image": image.numpy()})
        except Exception as error:  # whatever the runtime ends in
            raise ValueError(f"{name}: its ONNX file fails at {size[0]} x {size[1]}, so it is not written") from error
        for output, found in zip(OUTPUTS, theirs, strict=True):
            wanted = getattr(ours, output).numpy()
            same = wanted.shape == found.shape
            off = (abs(wanted - found) > 1e-3 * max(1.0, abs(wanted).max())).mean() if same else 1.0  # an argmax may be tied
            if off > 2e-3:
                raise ValueError(f"{name}: `{output}` of its ONNX file differs at {size[0]} x {size[1]}, so it is not written")
