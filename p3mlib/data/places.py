"""Places without people: what a portrait is put in front of when it has to look like any photograph (profile `photo`)."""

import hashlib
import logging
from pathlib import Path

import cv2
import numpy as np
import skimage

from p3mlib import io

SIDE = 384  # pixels; the longer side of what is kept in memory
SKIMAGE = "brick coffee chelsea grass gravel hubble_deep_field motorcycle_left page retina rocket text".split()  # nobody in them


def files(folder):
    """Paths of the pictures in a folder and below it, sorted; none for None.

    Raises:
        FileNotFoundError: no such folder, or no picture in it.
    """
    found = (
        [] if folder is None else [p for p in sorted(Path(folder).rglob("*")) if p.suffix.lower() in (".jpg", ".jpeg", ".png")]
    )
    if folder is not None and not found:
        raise FileNotFoundError(f"{folder}: no pictures of places (JPEG or PNG) here; `make places` fetches some")
    return found


def identity(folder):
    """Short text that changes with the names and sizes of the pictures of `files`."""
    listed = "".join(f"{path.relative_to(folder)} {path.stat().st_size}\n" for path in files(folder))
    return f"places-{hashlib.sha256(listed.encode()).hexdigest()[:8]}"


class Places:
    """Pictures and procedural textures to cut backgrounds from.

    Args:
        folder: of pictures, read with all that lies below it; None: those that come with scikit-image alone.
    Raises:
        FileNotFoundError: no such folder, or no picture in it.
    """

    def __init__(self, folder=None):
        pictures = [path for name in SKIMAGE for path in Path(skimage.__file__, "../data").resolve().glob(f"{name}.*")]
        self.names, self.pictures = [], []
        for path in [*pictures, *files(folder)]:
            try:
                picture = io.read_image(path)
            except (OSError, ValueError) as error:
                logging.getLogger(__name__).warning("%s: left out of the places (%s)", path, error)
                continue
            scale = SIDE / max(picture.shape[:2])
            picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else picture
            self.names.append(path.name)
            self.pictures.append(np.uint8(np.round(picture * 255)))

    def __len__(self):
        return len(self.pictures)

    def draw(self, height, width, rng):
        """A place of (height, width, 3) float32 in [0, 1]: five of six times cut from a picture, else a made-up texture."""
        if rng.random() < 1 / 6:
            return texture(height, width, rng)
        picture = self.pictures[int(rng.integers(len(self)))]
        share = rng.uniform(0.35, 1.0)
        scale = min(picture.shape[0] / height, picture.shape[1] / width) * share
        h, w = max(1, int(height * scale)), max(1, int(width * scale))
        top, left = int(rng.integers(picture.shape[0] - h + 1)), int(rng.integers(picture.shape[1] - w + 1))
        cut = picture[top : top + h, left : left + w]
        cut = cut[:, ::-1] if rng.random() < 0.5 else cut
        interpolation = cv2.INTER_AREA if scale > 1 else cv2.INTER_LINEAR
        return cv2.resize(np.ascontiguousarray(cut), (width, height), interpolation=interpolation).astype(np.float32) / 255


def texture(height, width, rng):
    """A made-up place (height, width, 3) in [0, 1]: two colours mixed by a ramp, stripes, tiles or noise of several octaves."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(height, width)
    turn, count = rng.uniform(0, np.pi), rng.uniform(2, 30)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    kind = rng.integers(4)
    if kind == 0:
        mix = along - along.min()
    elif kind == 1:
        mix = 0.5 + 0.5 * np.tanh(rng.uniform(1, 8) * np.sin(count * np.pi * along))
    elif kind == 2:
        mix = (np.sin(count * np.pi * along) > 0) ^ (np.sin(count * np.pi * across) > 0)
    else:
        mix = np.zeros((height, width), np.float32)
        for octave in range(1, 6):
            grid = rng.random((2**octave + 1, 2**octave + 1), dtype=np.float32)
            mix += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) / 2 ** (octave * rng.uniform(0.3, 1))
        mix = (mix - mix.min()) / max(np.ptp(mix), 1e-6)
    low, high = rng.random((2, 3), dtype=np.float32)
    return np.clip(low + np.float32(mix)[..., None] * (high - low), 0, 1).astype(np.float32)
