"""A brush: a picture to paint on in the browser, as a control of an explorer."""

from importlib import resources

import anywidget
import cv2
import numpy as np
import traitlets

from p3mlib.widgets.frame import data_url

HEIGHT = 260  # pixels of the picture on the screen


class Brush(anywidget.AnyWidget):
    """A picture to paint on, by mouse, finger or keyboard.

    Attributes:
        value: list of strokes, dicts of `points` ([x, y] as shares of width and height), `radius` (share of the height) and
            `tone` in [0, 1]; the browser adds to it.
        picture: data URL of what is painted on. size: [width, height] on the screen. tones: [name, tone] to choose from.
    """

    _esm = resources.files("p3mlib.widgets").joinpath("brush.js").read_text()
    value = traitlets.List().tag(sync=True)
    picture = traitlets.Unicode().tag(sync=True)
    size = traitlets.List().tag(sync=True)
    tones = traitlets.List().tag(sync=True)
    description = traitlets.Unicode().tag(sync=True)


def brush(name, picture, tones):
    """A Brush.

    Args:
        name: said above it. picture: (H, W, 3) or (H, W) in [0, 1]. tones: dict name -> value in [0, 1].
    """
    size = [max(1, round(HEIGHT * picture.shape[1] / picture.shape[0])), HEIGHT]
    return Brush(description=name, size=size, tones=list(map(list, tones.items())), picture=data_url(picture, tuple(size)))


def painted(picture, strokes):
    """A picture with the strokes of a Brush.

    Args:
        picture: (H, W) float32. strokes: see `Brush.value`.
    Returns:
        (H, W) float32, a new array.
    """
    drawn, (height, width) = np.array(picture, np.float32), picture.shape
    for stroke in strokes:
        points = np.rint([[x * width - 0.5, y * height - 0.5] for x, y in stroke["points"]]).astype(int)
        thickness = max(1, round(2 * stroke["radius"] * height))
        for one, other in zip(points, points[1:] if len(points) > 1 else points, strict=False):
            cv2.line(drawn, one.tolist(), other.tolist(), stroke["tone"], thickness)
    return drawn
