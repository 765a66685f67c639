"""Weights of the authors' releases and of ImageNet: from their state-dict names to ours."""

import re
from functools import partial

import timm

from p3mlib.models.checkpoint import load_strictly, misfits, read_checkpoint, translated

# What follows is (pattern, replacement), matched at the start of a name, the first that fits. None: nothing of ours.
_R34_ENCODER = [
    (r"conv1\.", "stem.0."),
    (r"bn1\.", "stem.1."),
    (r"fc\.", None),  # the ImageNet classifier
]
_SWIN_ENCODER = [
    (r"patch_embed\.proj(\d)\.", r"stem.conv\1."),
    (r"patch_embed\.norm\.", "stem.norm."),
    (r"layers\.\d\.blocks\.\d\.(attn_mask|attn\.relative_position_index)$", None),  # follow from the size
    (r"layers\.(\d)\.blocks\.", r"stages.\1."),
    (r"layers\.(\d)\.downsample\.", r"merges.\1."),
    (r"head\.", None),
]
_VITAE_ENCODER = [
    (r"layers\.0\.RC\.proj(\d)\.", r"stem.conv\1."),
    (r"layers\.0\.RC\.norm\.", "stem.norm."),
    *((rf"layers\.{i}\.RC\.", f"merges.{i - 1}.") for i in (1, 2, 3)),
    (r"layers\.0\.NC\.\d\.attn\.norm1\.", None),  # made, never called
    (r"layers\.(\d)\.NC\.(\d+)\.PCM\.", r"stages.\1.\2.pcm."),
    (r"layers\.(\d)\.NC\.", r"stages.\1."),
    (r"head\.", None),
]
_DECODER = [
    (r"tfi_(\d)\.transform\.", r"tfi.\1.project."),
    (r"sbfi_(\d)\.transform1\.", r"sbfi.\1.project_matting."),
    (r"sbfi_(\d)\.transform2\.", r"sbfi.\1.project_full."),
    (r"dbfi_(\d)\.transform1\.", r"dbfi.\1.project_semantic."),
    (r"dbfi_(\d)\.transform2\.", r"dbfi.\1.project_deep."),
    (r"dbfi_(\d)\.conv2\.", r"dbfi.\1.side."),
    (r"(tfi|sbfi|dbfi)_(\d)\.conv1\.", r"\1.\2.merge.0."),
    (r"(tfi|sbfi|dbfi)_(\d)\.bn1\.", r"\1.\2.merge.1."),
    (r"decoder(\d)_g\.", r"semantic.\1."),
    (r"decoder(\d)_l\.", r"matting.\1."),
    (r"decoder_final_g\.", "head."),
    (r"decoder_final_l\.", "detail."),
]
# Encoder tensors of the R34 release are stored a second time under these names.
_R34_ALIASES = [
    (r"encoder0\.0\.", "resnet.conv1."),
    (r"encoder0\.1\.", "resnet.bn1."),
    (r"encoder1\.0\.", "resnet.layer1."),
    (r"encoder([234])\.", r"resnet.layer\1."),
]
# timm's resnet34 has the names of the release; of its swin_tiny only blocks and the last norm fit (no 4x4 patches here).
_TIMM_SWIN = [
    (r"patch_embed\.", None),
    (r"layers\.\d\.downsample\.", None),
    (r"layers\.\d\.blocks\.\d\.(attn_mask|attn\.relative_position_index)$", None),
    (r"layers\.(\d)\.blocks\.", r"stages.\1."),
    (r"head\.", None),
]
_ENCODERS = {"p3mnet_resnet34": _R34_ENCODER, "p3mnet_swin_t": _SWIN_ENCODER, "p3mnet_vitae_s": _VITAE_ENCODER}
_UNSAVED = r"encoder\.stages\..*\.features"  # the random features of ViTAE-S
# How the authors test what they released: the network's input side over the image's, the strategy on data sets, on photographs,
# and whether what they score is truncated to 8 bits. ResNet-34 is the release of MM 2021, the others are of IJCV 2023.
_TESTS = {
    "p3mnet_resnet34": {"ratio": 0.5, "sets": "resize", "samples": "hybrid", "eight_bit": False},
    "p3mnet": {"ratio": 0.5, "sets": "hybrid", "samples": "resize", "eight_bit": True},
    "others": {"ratio": 0.5, "sets": "resize", "samples": "resize", "eight_bit": False},
}
_TIMM = {"p3mnet_resnet34": "resnet34", "p3mnet_swin_t": "swin_tiny_patch4_window7_224"}


def load_official(model, checkpoint):
    """Load a released checkpoint into ours: P3M-Net (MM 2021: ResNet-34; IJCV 2023: ResNet-34, Swin-T, ViTAE-S) and every
    network that has a table of `official` names.

    Where a tensor is stored under two names, the later one counts, as when the official module loads it. The random features
    of ViTAE-S are in no checkpoint: ours stay (see `vitae.PerformerAttention`). How the authors test goes into `model.config`
    under `test` (see `weights.strategy_and_ratio`), and with it into what `save_pretrained` writes.

    Args:
        model:      `build_model` of the same network at width 1.
        checkpoint: see `checkpoint.read_checkpoint`; a prefix before all names (`module.`, `model.`) is taken off.
    Returns:
        the model.
    Raises:
        ValueError: another variant: missing, surplus and mis-shaped tensors are listed; and as `read_checkpoint`.
    """
    variant = model.config["model"]
    if not released(model):
        raise ValueError(f"no weights of {variant} were released")
    renamed = _in_our_names(model, read_checkpoint(checkpoint))
    load_strictly(model, renamed, f"not an official {variant} checkpoint", optional=_UNSAVED)
    model.config["test"] = how_tested(variant)
    return model


def how_tested(variant):
    """How the authors of a network test it: dict ratio, sets (strategy on data sets), samples (on photographs), eight_bit."""
    return dict(_TESTS.get(variant) or _TESTS["p3mnet" if variant in _ENCODERS else "others"])


def released(model):
    """True for a network of which there are released weights that `load_official` reads."""
    return model.config["model"] in _ENCODERS or bool(model.official)


def fits(model, state):
    """True where `load_official` would take a state dict for this network, which may be on the device "meta"."""
    return not misfits(model, _in_our_names(model, state), _UNSAVED)[1]


def _in_our_names(model, state):
    variant = model.config["model"]

    def rename(name):
        return _p3mnet_name(name, variant) if variant in _ENCODERS else _rename(name, model.official)

    return translated(state, rename, model.state_dict().keys())


def _p3mnet_name(name, variant):
    name = _rename(name, _R34_ALIASES) if variant == "p3mnet_resnet34" else name
    found = re.match(r"(?:resnet|encoder)\.", name)
    if not found:
        return _rename(name.removeprefix("decoder."), _DECODER)
    ours = _rename(name[found.end() :], _ENCODERS[variant])
    return None if ours is None else "encoder." + ours


def backbones(model):
    """Submodules that can start from ImageNet: name -> what the file with their weights is called in P3M_IMAGENET."""
    variant = model.config["model"]
    return {"encoder": variant} if variant in _ENCODERS else {part: name for part, (name, _) in model.backbones.items()}


def load_imagenet(model, weights=None):
    """Start the backbones of a network from ImageNet.

    Args:
        model:   `build_model` at width 1.
        weights: timm's weights of the backbone, or an encoder that the P3M authors trained: a file or a state dict; for a
            network of several backbones a dict with one for each name of `backbones`. None asks timm, which asks the hub.
    Returns:
        names of the backbones' tensors that the weights do not have (timm's Swin has neither our stem nor our merging).
    Raises:
        OSError: None, and the hub cannot be reached: says what to fetch. ValueError: weights of something else.
    """
    variant, parts, left = model.config["model"], backbones(model), []
    sources = weights if isinstance(weights, dict) and weights.keys() == parts.keys() else dict.fromkeys(parts, weights)
    for part, name in parts.items():
        state = _ask_hub(name, hub_name(variant, name)) if sources[part] is None else read_checkpoint(sources[part])
        if variant in _ENCODERS:
            left += _load_encoder(model.encoder, variant, state)
        else:
            module, rules = model.get_submodule(part), model.backbones[part][1]
            renamed = translated(state, partial(_rename, rules=rules), module.state_dict().keys())
            left += load_strictly(module, renamed, f"not ImageNet weights of {name} for {variant}", ".*")
    return left


def _load_encoder(encoder, variant, state):
    timm_swin = variant == "p3mnet_swin_t" and any(name.endswith("patch_embed.proj.weight") for name in state)
    rules = _TIMM_SWIN if timm_swin else _ENCODERS[variant]
    renamed = translated(state, partial(_rename, rules=rules), encoder.state_dict().keys())
    optional = r"stem\..*|merges\..*" if timm_swin else r"stages\..*\.features"
    return load_strictly(encoder, renamed, f"not ImageNet weights of {variant}'s encoder", optional)


def hub_name(variant, name):
    """What timm calls the ImageNet weights of a network's backbone (a value of `backbones`); OSError where there are none."""
    hub = _TIMM.get(name) if variant in _ENCODERS else name
    if hub is None:
        raise OSError(
            f"nobody publishes ImageNet weights for {name} on a hub; pass the authors' encoder as `weights`, or as {name}.pth in "
            "the folder of P3M_IMAGENET"
        )
    return hub


def _ask_hub(file, name):
    try:
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever the hub client raises where there is no network
        url = f"https://huggingface.co/timm/{timm.get_pretrained_cfg(name).hf_hub_id.removeprefix('timm/')}"
        raise OSError(
            f"no ImageNet weights for {file}: the hub cannot be reached ({type(error).__name__}). Fetch model.safetensors "
            f"from {url} and name its folder in P3M_IMAGENET (as {file}.safetensors), or set init: scratch"
        ) from error


def _rename(name, rules):
    for pattern, replacement in rules:
        found = re.match(pattern, name)
        if found:
            return None if replacement is None else found.expand(replacement) + name[found.end() :]
    return name
