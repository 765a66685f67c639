"""Every network by name: `build_model("p3mnet_resnet34", width=0.25)`, and weights for it."""

from p3mlib.models.build import build_model, count_parameters, list_models
from p3mlib.models.inference import fast
from p3mlib.models.official import load_imagenet, load_official
from p3mlib.models.p3mnet import MattingOutput
from p3mlib.models.pretrained import from_pretrained, save_pretrained

__all__ = [
    "MattingOutput",
    "build_model",
    "count_parameters",
    "fast",
    "from_pretrained",
    "list_models",
    "load_imagenet",
    "load_official",
    "save_pretrained",
]
