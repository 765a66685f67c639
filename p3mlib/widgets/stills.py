"""Explorers without a kernel: a few states of three of them as HTML with radio buttons, for the page."""

import html

import cv2
import numpy as np
from skimage.data import astronaut

from p3mlib.matte import make_trimap
from p3mlib.privacy import faces
from p3mlib.synthetic.portrait import render_portrait
from p3mlib.widgets.anonymise import anonymisation_explorer
from p3mlib.widgets.matting_equation import matting_equation_explorer
from p3mlib.widgets.metrics import metrics_explorer

EQUATION = {
    "its own background": {},
    "night": {"background": "night"},
    "studio green": {"background": "studio green"},
    "night, α cut at 0.5": {"background": "night", "threshold": 0.5},
    "night, α cut at 0.9": {"background": "night", "threshold": 0.9},
}
ANONYMISED = {
    **{f"blur {s:g}": {"strength": s} for s in (0.02, 0.06, 0.1, 0.2)},
    "mosaic 0.2": {"method": "mosaic", "strength": 0.2},
    "mask": {"method": "mask"},
    "blur 0.2, hull": {"strength": 0.2, "region": "hull"},
}
SPOILED = {
    "too bright": {},
    "right": {"offset": 0.0},
    "shifted by 3 px": {"offset": 0.0, "right": 3},
    "blurred by 4 px": {"offset": 0.0, "blur": 4.0},
    "shrunk by 4 px": {"offset": 0.0, "grow": -4},
}


def page_explorers():
    """HTML of three explorers, each with the states that a reader can choose from; needs no trained network."""
    made = render_portrait(2, (256, 205), "P3M")
    alpha = cv2.resize(made.alpha, (103, 128), interpolation=cv2.INTER_AREA)
    photo = (astronaut()[:320, 60:420] / 255).astype(np.float32)
    explorers = (
        (matting_equation_explorer(made.fg, made.bg, made.alpha), EQUATION),
        (anonymisation_explorer(photo, faces.detect(photo)[0], None), ANONYMISED),
        (metrics_explorer(alpha, make_trimap(alpha, 9)), SPOILED),
    )
    return "".join(states(f"explorer{i}", *one) for i, one in enumerate(explorers, 1))


def states(name, explorer, choices):
    """States of an explorer as HTML.

    Args:
        name: that no other has on the page. explorer: frame.Explorer, left in its last state.
        choices: dict label -> values of controls that are not as they are at first; at most as many as style.css has rules for.
    Returns:
        HTML with radio buttons, which need no script: the one that is chosen shows its state.
    """
    first = {key: control.value for key, control in explorer.controls.items()}
    buttons, stills = [], []
    for i, (label, values) in enumerate(choices.items()):
        for key, value in {**first, **values}.items():
            explorer.controls[key].value = value
        checked = " checked" * (i == 0)
        button = f'<input type="radio" name="{name}" id="{name}_{i}"{checked}>'
        buttons.append(f'{button}<label for="{name}_{i}">{html.escape(label)}</label>')
        stills.append(f'<div class="state">{explorer.still.html}</div>')
    said = f'<h3 id="{name}">{html.escape(explorer.question)}</h3>'
    return f'<section>{said}<div class="states">{"".join(buttons)}{"".join(stills)}</div></section>'
