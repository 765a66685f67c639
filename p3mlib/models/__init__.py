"""Every network by name: `build_model("p3mnet_resnet34", width=0.25)`, and weights for it."""

from p3mlib.models.build import build_model, count_parameters, list_models
from p3mlib.models.inference import fast
from p3mlib.models.network import MattingOutput
from p3mlib.models.official import backbones, load_imagenet, load_official
from p3mlib.models.pretrained import from_pretrained, save_pretrained

__all__ = [
    "MattingOutput",
    "backbones",
    "build_model",
    "count_parameters",
    "fast",
    "from_pretrained",
    "list_models",
    "load_imagenet",
    "load_official",
    "save_pretrained",
]
