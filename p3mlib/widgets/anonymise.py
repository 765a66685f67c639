"""Anonymise: obfuscation, strength and area, on a given portrait or on a photograph of one's own that stays in memory."""

import ipywidgets
import numpy as np

from p3mlib import io
from p3mlib.anonymize import METHODS, anonymize
from p3mlib.models.inference import resize
from p3mlib.privacy.exposure import detail, rim
from p3mlib.privacy.faces import SAME_PERSON, detect, embedding, identity_distance
from p3mlib.widgets.frame import WIDE, Explorer, Still, choice, pictures, slider

LARGEST = 640  # pixels of the longer side of an uploaded photograph: looking for faces takes seconds on more


def anonymisation_explorer(image, face, alpha):
    """Choose the obfuscation, its strength and area; see the result beside the original, with what the audit says of it.

    A photograph of one's own can be uploaded. It is kept in the kernel's memory and shown among the controls, which a notebook is
    saved without (unless JupyterLab is told to save the state of widgets); it is written nowhere.

    Args:
        image: (H, W, 3) float in [0, 1]. face: faces.Face in it. alpha: (H, W) float in [0, 1], or None.
    Returns:
        Explorer.
    """
    method, region = choice("method", METHODS), choice("region", ["paper", "hull"])
    strength, margin = slider("strength", 0.2, 0.02, 0.5, 0.02), slider("margin", 0.0, 0.0, 0.3, 0.02)
    upload = ipywidgets.FileUpload(accept="image/*", multiple=False, description="own photograph", layout=WIDE)
    given, own = (image, face, alpha, embedding(image, face)), {}

    def subject():
        if not upload.value:
            return given
        file = upload.value[0]
        key = (file["name"], file["size"], file["last_modified"])
        if key not in own:
            own.clear()
            own[key] = _read(file)
        return own[key]

    def draw():
        picture, found, matte, identity = subject()
        given_strength = None if method.value == "mask" else strength.value
        how = {"method": method.value, "strength": given_strength, "region": region.value, "margin": margin.value}
        steps = anonymize(picture, found.landmarks, matte, **how)
        left = detail(steps.image, picture, steps.facemask) if steps.facemask.any() else 1.0
        open_rim = rim(steps.private, steps.facemask)[0]
        hidden = steps.facemask, f"hidden: {max(0, left):.0%} of its detail is left; {open_rim:.0f}% open rim"

        def still(told):
            panels = [(picture, "original"), (steps.image, f"{method.value}: {told}"), hidden]
            return Still(pictures(panels, height=260).html, private=bool(upload.value))

        yield still("dlib looks at it ...")  # for a tenth of a second
        away = identity_distance(identity, embedding(steps.image, found))
        verdict = "recognised" if away < SAME_PERSON else "not recognised"
        yield still(f"distance {away:.2f}, {verdict} (the same person is below {SAME_PERSON})")

    advice = (
        "Lower the strength until dlib recognises the person again. Then compare the paper's polygon with the hull of all "
        "landmarks. An own photograph stays in this kernel's memory: it is not written, not even into the saved notebook."
    )
    controls = {"method": method, "strength": strength, "margin": margin, "region": region, "upload": upload}
    return Explorer("How strong must a blur be, and does the area cover the face?", advice, controls, draw)


def _read(file):
    """(image, face, None, embedding) of an uploaded file, at most `LARGEST` px. ValueError says what is wrong with it."""
    name = io.printable(file["name"])
    try:
        picture = io.decode_photograph(bytes(file["content"]), name)
    except (OSError, ValueError) as error:
        raise ValueError(f"{io.reason(error)}. Choose a photograph: JPEG, PNG, WebP or TIFF.") from error
    height, width = picture.shape[:2]
    factor = min(1.0, LARGEST / max(height, width))
    picture = np.clip(resize(picture, (round(height * factor), round(width * factor)), "area"), 0, 1)
    found = detect(picture)
    if not found:
        raise ValueError(f"{name}: no face was found in it. Choose a photograph of a person who looks towards the camera.")
    return picture, found[0], None, embedding(picture, found[0])
