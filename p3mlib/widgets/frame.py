"""What all explorers share: question, controls, and a still that is drawn anew after a change and stays in the saved notebook.

The still is plain HTML (small JPEGs with captions, or a table), not a widget: it is shown, saved and published alike, with what
was last seen in it. Only the controls need a running kernel.
"""

import asyncio
import base64
import contextlib
import html
from dataclasses import dataclass

import cv2
import ipywidgets
import numpy as np
import torch
from IPython.display import HTML, display

from p3mlib.io import to_uint8

HEIGHT = 200  # pixels of a picture on the screen
WAIT = 0.02  # seconds without another change before a still is drawn: of a slider's way only the last place is computed
QUALITY = 90  # of the JPEGs
WIDE = ipywidgets.Layout(width="29rem", max_width="100%")
LABEL = {"description_width": "10rem"}
_ROW = "display:flex;flex-wrap:wrap;gap:.6rem;align-items:flex-start;margin:.3rem 0"
_PICTURE = "border:1px solid #999;max-width:100%;height:auto;box-sizing:content-box"
_CAPTION = "font-size:.85rem;line-height:1.3;white-space:pre-line"


@dataclass(frozen=True)
class Still:
    """What an explorer shows at one moment, as HTML; `private` is shown among the controls, which a notebook is saved without."""

    html: str
    private: bool = False

    def _repr_html_(self):
        return self.html


@contextlib.contextmanager
def _one_thread():
    """One thread for PyTorch: on small images several wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Explorer:
    """Controls above a still that follows them.

    Args:
        question: that moving the controls answers. advice: what to try and what to see, in a sentence.
        controls: dict name -> ipywidgets control. draw: () -> Still, from the values of the controls, or an iterator of
            Stills that get better, where the last takes long; a ValueError's sentence is shown in the place of the still.
    Attributes:
        still: Still that is shown now. controls: as given.
    """

    def __init__(self, question, advice, controls, draw):
        self.question, self.advice, self.controls = question, advice, controls
        self._draw, self._due, self._shown, self._unsaved = draw, None, None, ipywidgets.HTML()
        for control in controls.values():
            control.observe(lambda change: self._soon(self.update), "value")
        stills = self._stills()
        while still := self._next(stills):
            self.still = still

    def _stills(self):
        drawn = self._draw()
        yield from (drawn,) if isinstance(drawn, Still) else drawn

    def _next(self, stills):
        """The next of an iterator, None after its last."""
        try:
            with _one_thread():
                return next(stills, None)
        except ValueError as error:
            return Still(f"<p><strong>{html.escape(str(error))}</strong></p>")

    def _soon(self, work, *given):
        """Do it in a kernel when nothing that comes meanwhile wants something else. Without an event loop, at once."""
        if self._due:
            self._due.cancel()
        try:
            self._due = asyncio.get_running_loop().call_later(WAIT, work, *given)
        except RuntimeError:
            work(*given)

    def update(self):
        """Draw the still from the controls as they are now."""
        self._show(self._stills())

    def _show(self, stills):
        self._due, still = None, self._next(stills)
        if still is None:
            return
        self.still = still
        self._unsaved.value = still.html if still.private else ""
        if self._shown:
            self._shown.update(self._saved())
        self._soon(self._show, stills)

    def _saved(self):
        """What the notebook keeps."""
        return Still("<p>An own photograph is shown above; it is not saved.</p>") if self.still.private else self.still

    def _ipython_display_(self):
        needs = "The controls need a running kernel; the pictures below are as they were last seen."
        display(
            HTML(f"<p><strong>{html.escape(self.question)}</strong><br>{html.escape(self.advice)}<br><small>{needs}</small></p>")
        )
        display(ipywidgets.VBox([*self.controls.values(), self._unsaved]))
        self._shown = display(self._saved(), display_id=True)


def pictures(panels, said="", height=HEIGHT):
    """Pictures side by side.

    Args:
        panels: list of (picture, caption): (H, W, 3) or (H, W) in [0, 1], or bool, and what is to be seen, which is also the
            alternative text. said: a line above. height: of all pictures in pixels.
    Returns:
        Still.
    """
    figures = "".join(_figure(picture, caption, height) for picture, caption in panels)
    return Still(f'{_line(said)}<div style="{_ROW}">{figures}</div>')


def _line(text):
    return f'<p style="white-space:pre-line">{html.escape(text)}</p>' if text else ""


def _figure(picture, caption, height):
    text, width = html.escape(caption), max(1, round(height * picture.shape[1] / picture.shape[0]))
    source, most = data_url(picture, (width, height)), max(width + 2, 150)
    image = f'<img alt="{text}" width="{width}" style="{_PICTURE}" src="{source}">'
    said = f'<figcaption style="{_CAPTION}">{text}</figcaption>'
    return f'<figure style="margin:0;max-width:{most}px">{image}{said}</figure>'


def data_url(picture, size):
    """A picture as the address of a JPEG that is inside it; arguments as of `jpeg`."""
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg(picture, size)).decode('ascii')}"


def jpeg(picture, size):
    """A picture as JPEG, in milliseconds.

    Args:
        picture: (H, W, 3) or (H, W) in [0, 1], or bool; beyond is cut off. size: (width, height) in pixels; enlarged pixels stay
            squares where a pixel becomes four or more.
    Returns:
        bytes.
    """
    pixels = to_uint8(np.clip(np.asarray(picture, np.float32), 0, 1))
    factor = size[1] / pixels.shape[0]
    how = cv2.INTER_NEAREST if factor >= 4 else cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    pixels = cv2.resize(pixels, size, interpolation=how)
    pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR if pixels.ndim == 2 else cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()


def table(header, rows, said="", after=""):
    """A table.

    Args:
        header: texts. rows: lists of texts. said: a line above. after: HTML below.
    Returns:
        Still.
    """

    def line(cells, tag):
        return "<tr>" + "".join(f"<{tag}>{html.escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    head = f"<thead>{line(header, 'th')}</thead>"
    return Still(f'{_line(said)}<div style="overflow-x:auto"><table>{head}<tbody>{body}</tbody></table></div>{after}')


def slider(name, value, low, high, step=1, unit=""):
    """A slider of whole numbers or, where `step` is a fraction, of fractions; arrow keys move it."""
    kind = ipywidgets.IntSlider if isinstance(step, int) else ipywidgets.FloatSlider
    return kind(
        value=value, min=low, max=high, step=step, description=f"{name} ({unit})" if unit else name, style=LABEL, layout=WIDE
    )


def choice(name, options, value=None):
    """Choose one of a few: a drop-down list that the keyboard opens."""
    value = next(iter(options)) if value is None else value
    return ipywidgets.Dropdown(options=list(options), value=value, description=name, style=LABEL, layout=WIDE)


def heat(error):
    """An error map (H, W) in [-1, 1] as (H, W, 3): grey where right, red where too little, blue where too much."""
    strength = np.abs(error)[..., None]
    colour = np.where((error < 0)[..., None], np.float32((0.85, 0.1, 0.1)), np.float32((0.1, 0.3, 0.95)))
    return (1 - strength) * np.float32(0.85) + strength * colour
