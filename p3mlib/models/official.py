"""From the state-dict names of the authors' releases to ours."""

import re

_LEVELS = r"(\d)"
P3MNET_R34 = [
    (r"resnet\.conv1\.", r"encoder.stem.0."),
    (r"resnet\.bn1\.", r"encoder.stem.1."),
    (r"resnet\.(layer\d)\.", r"encoder.\1."),
    (rf"tfi_{_LEVELS}\.transform\.", r"tfi.\1.project."),
    (rf"tfi_{_LEVELS}\.conv1\.", r"tfi.\1.merge.0."),
    (rf"tfi_{_LEVELS}\.bn1\.", r"tfi.\1.merge.1."),
    (rf"sbfi_{_LEVELS}\.transform1\.", r"sbfi.\1.project_matting."),
    (rf"sbfi_{_LEVELS}\.transform2\.", r"sbfi.\1.project_full."),
    (rf"sbfi_{_LEVELS}\.conv1\.", r"sbfi.\1.merge.0."),
    (rf"sbfi_{_LEVELS}\.bn1\.", r"sbfi.\1.merge.1."),
    (rf"dbfi_{_LEVELS}\.transform1\.", r"dbfi.\1.project_semantic."),
    (rf"dbfi_{_LEVELS}\.transform2\.", r"dbfi.\1.project_deep."),
    (rf"dbfi_{_LEVELS}\.conv1\.", r"dbfi.\1.merge.0."),
    (rf"dbfi_{_LEVELS}\.bn1\.", r"dbfi.\1.merge.1."),
    (rf"dbfi_{_LEVELS}\.conv2\.", r"dbfi.\1.side."),
    (rf"decoder{_LEVELS}_g\.", r"semantic.\1."),
    (rf"decoder{_LEVELS}_l\.", r"matting.\1."),
    (r"decoder_final_l\.", r"detail."),
]
# Encoder tensors are stored a second time under these names.
_ALIASES = [
    (r"encoder0\.0\.", r"resnet.conv1."),
    (r"encoder0\.1\.", r"resnet.bn1."),
    (r"encoder1\.0\.", r"resnet.layer1."),
    (r"encoder([234])\.", r"resnet.layer\1."),
]


def load_official(model, state_dict):
    """Load an official P3M-Net (ResNet-34) state dict, of the ACM MM 2021 or IJCV 2023 release, into our network.

    Where an encoder tensor is stored under two names, the later one counts, as when the official module loads it.

    Args:
        model:      `build_model("p3mnet_resnet34")` at width 1.
        state_dict: official name -> tensor.
    Raises:
        KeyError: names are missing or surplus (they are listed). RuntimeError: a tensor has another shape.
    """
    renamed = {}
    for key, tensor in state_dict.items():
        key = _rename(key, _ALIASES)
        if not key.startswith("resnet.fc."):  # the classifier that nothing uses
            renamed[_rename(key, P3MNET_R34)] = tensor
    expected = model.state_dict().keys()
    missing, surplus = sorted(expected - renamed.keys()), sorted(renamed.keys() - expected)
    if missing or surplus:
        raise KeyError(f"not an official P3M-Net (R34) state dict: missing {missing[:8]}, surplus {surplus[:8]}")
    model.load_state_dict(renamed)
    return model


def _rename(key, rules):
    for pattern, replacement in rules:
        renamed, hits = re.subn("^" + pattern, replacement, key)
        if hits:
            return renamed
    return key
