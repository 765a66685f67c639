"""The paper's question on real people: what networks do with faces as they are, and with the same faces blurred.

It takes portraits with hand-drawn masks of person and skin, as NPRportrait has them; nothing is trained on any of them.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from p3mlib import io
from p3mlib.bars import tqdm
from p3mlib.experiments.evaluate import face_hole, silhouette
from p3mlib.models.inference import predict
from p3mlib.models.weights import load, strategy_and_ratio
from p3mlib.privacy import faces, photograph
from p3mlib.results.printed import cell_text, write
from p3mlib.results.report import bootstrap_interval

MEASURES = {"IoU": "person found (IoU)", "skin": "skin found", "hole": "face-hole rate"}


def people(weights, folder, prefix="", progress=True):
    """Measure sets of weights on portraits, sharp and with their faces blurred by our own anonymiser.

    Args:
        weights:  dict printed name -> what `weights.load` takes, or a network.
        folder:   with `image/*.jpg`, `person/<name>.png` and `skin/<name>.png`, areas of hand-drawn binary regions.
        prefix:   only portraits whose names begin so.
    Returns:
        DataFrame, a row for each set of weights, portrait and kind of faces: weights, name, faces ("sharp" or "blurred"), IoU of
        the person, skin, the share of the skin that is found (`evaluate.silhouette`), hole, the face-hole rate
        (`evaluate.face_hole`), all in [0, 1]. Portraits whose face no detector sees, or cannot be hidden, have sharp rows only,
        without `hole`.
    Raises:
        FileNotFoundError: no portraits there. ImportError: dlib is missing.
    """
    folder = Path(folder)
    names = sorted(path.stem for path in (folder / "image").glob(f"{prefix}*.jpg"))
    if not names:
        raise FileNotFoundError(f"{folder}: no image/{prefix}*.jpg in it; name a folder with image/, person/ and skin/")
    networks = {label: load(name) if isinstance(name, str | Path) else name for label, name in weights.items()}
    rows = []
    with ThreadPoolExecutor(1) as ahead:  # faces of the next portrait are looked for while the networks see this one
        portraits = ahead.map(lambda name: _portrait(folder, name), names)
        for name, portrait in zip(tqdm(names, desc="people", unit="portrait", disable=not progress), portraits, strict=True):
            rows += [
                {"weights": label, "name": name, "faces": kind, **_measured(_alpha(network, image), *portrait[1:])}
                for label, network in networks.items()
                for kind, image in portrait[0].items()
            ]
    return pd.DataFrame(rows)


def _portrait(folder, name):
    """(dict kind -> picture, person, skin, face area or None)."""
    image = io.read_photograph(folder / "image" / f"{name}.jpg")
    person, skin = (io.read_mask(folder / kind / f"{name}.png") for kind in ("person", "skin"))
    found = faces.detect(image)
    try:
        hidden = photograph.hide(image, found, photograph.Settings().checked()) if found else None
    except photograph.LeftOpen:
        hidden = None
    if hidden is None:
        return {"sharp": image}, person, skin, None
    return {"sharp": image, "blurred": hidden.image}, person, skin, hidden.mask & person


def _alpha(network, image):
    strategy, ratio = strategy_and_ratio(network, samples=True)
    return predict(network, image, strategy, ratio or 1.0)


def _measured(alpha, person, skin, face):
    known = {} if face is None else {"facemask": face}
    found = silhouette(alpha, {"alpha": person})["IoU"], silhouette(alpha, {"alpha": skin})["Recall"]
    return dict(zip(MEASURES, (*found, face_hole(alpha, {"alpha": person, **known})), strict=True))


def people_table(table, profile):
    """`people.csv`, `.md` and `.tex` of a profile, of the result of `people`: means and 95% intervals over portraits, and what
    blurring changes, paired."""
    header, lines, summary = ["Weights", "Faces", *MEASURES.values()], [], {}
    for label, those in table.groupby("weights", sort=False):
        kinds = {kind: rows.set_index("name")[list(MEASURES)] for kind, rows in those.groupby("faces", sort=False)}
        if "blurred" in kinds:
            kinds["sharp"] = kinds["sharp"].loc[kinds["blurred"].index]
            kinds["sharp - blurred"] = kinds["sharp"] - kinds["blurred"]
        for kind, values in kinds.items():
            cells = {measure: (values[measure].mean(), *bootstrap_interval(values[measure])) for measure in MEASURES}
            summary |= {(label, kind, measure): cell for measure, cell in cells.items()}
            lines.append([label, kind, *(cell_text(cell, f"{measure} {kind}") for measure, cell in cells.items())])
    shown, known = table["name"].nunique(), table.loc[table["faces"] == "blurred", "name"].nunique()
    caption = (
        "Real people, their faces as they are and blurred, mean [95% interval over portraits]. Networks of profile photo trained "
        f"on rendered people. {shown} portraits; the face of {known} was found and blurred, and all rows are over these."
    )
    return write("people", profile, table, header, lines, caption, summary, (caption,))
