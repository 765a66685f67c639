"""Every network by name: `build_model("p3mnet_resnet34", width=0.25)`, weights for it, inference and export.

Families in folders of their own (`p3mnet`, `trimap_free`, `trimap_based`) share `network`, `blocks`, `resnet` and `vgg`.
Imports `losses`, `io`. Used from outside: what stands here, `bases`, `weights`, `pretrained`, `official`, `inference`,
`export`, and `p3mnet` by exercises.
"""

from p3mlib.models.build import build_model, count_parameters, list_models
from p3mlib.models.inference import fast, predict
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
    "predict",
    "save_pretrained",
]
