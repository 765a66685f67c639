"""Reader of CelebAMask-HQ, the source of faces for copy and paste."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from p3mlib import io
from p3mlib.data.datasets import fingerprint, is_synthetic, missing, stems

FACE_IMAGES, FACE_PARTS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
PARTS = (
    "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r", "nose", "mouth", "u_lip", "l_lip",
    "neck", "neck_l", "cloth", "hair", "hat",
)  # fmt: skip


def open_faces(root, limit=None):
    """Open CelebAMask-HQ, the source of faces for copy and paste (Sec. 5.1, 6.1).

    Args:
        root:  folder with CelebA-HQ-img/ and CelebAMask-HQ-mask-anno/. limit: only the first so many.
    Returns:
        Faces, sorted by number.
    Raises:
        MissingData: one of the folders, or every image in it, is missing.
    """
    root = Path(root)
    images = stems(root / FACE_IMAGES)
    if not images or not (root / FACE_PARTS).is_dir():
        raise missing(root, "CelebAMask-HQ", [FACE_IMAGES, FACE_PARTS])
    return Faces(root, {name: images[name] for name in sorted((n for n in images if n.isdigit()), key=int)[:limit]})


def faces_state(root):
    """As `datasets.state`, of CelebAMask-HQ."""
    folders = [Path(root) / FACE_IMAGES, *sorted(path for path in (Path(root) / FACE_PARTS).glob("*") if path.is_dir())]
    return tuple((folder.name, folder.stat().st_mtime_ns) for folder in folders if folder.is_dir())


class Faces(Sequence):
    """CelebAMask-HQ; made by `open_faces`.

    An item is a dict: `name` str, `image` (H, W, 3) float32 in [0, 1], `parts` {part: (H, W) bool} of the parts that
    are visible (resized to the image, nearest neighbour) and `facemask` (H, W) bool by `face_below_brows`.
    """

    name, domain = "CelebA", "N"

    def __init__(self, root, images):
        self.root, self.synthetic, self._images, self.names = root, is_synthetic(root), images, list(images)

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        """One face; raises IndexError out of range and io.DamagedFile for a file that cannot be decoded."""
        files = self.paths(index)
        image = io.read_image(files.pop("image"))
        size = image.shape[1::-1]
        masks = {part: io.read_mask(path, released=True).astype(np.uint8) for part, path in files.items()}
        parts = {part: cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST) > 0 for part, mask in masks.items()}
        return {
            "name": self.names[index],
            "image": image,
            "parts": parts,
            "facemask": face_below_brows(parts, image.shape),
        }

    def paths(self, index):
        """{"image" or part: Path} of one face; only visible parts have files."""
        name = self.names[index]
        parts = {part: part_path(self.root, name, part) for part in PARTS}
        return {"image": self._images[name], **{part: path for part, path in parts.items() if path.is_file()}}

    def subset(self, count):
        """The first `count` faces."""
        return Faces(self.root, {name: self._images[name] for name in self.names[:count]})

    def folders(self):
        """Folders below the root that reading these faces opens, sorted."""
        return [FACE_IMAGES, FACE_PARTS]

    def fingerprint(self):
        """Short hex over the relative paths and sizes in bytes of all files of these faces."""
        return fingerprint(self.root, [path for index in range(len(self)) for path in self.paths(index).values()])


def part_path(root, name, part):
    """File of one part of face number `name`: 2,000 faces share a folder, as in the release."""
    return Path(root) / FACE_PARTS / str(int(name) // 2000) / f"{int(name):05d}_{part}.png"


def face_below_brows(parts, shape):
    """Face mask from part masks: skin below a horizontal line right above the left and the right brow.

    The brows' own rows count as below. Without a brow the line is right above the eyes or glasses; without these the
    whole skin counts. Without skin the mask is empty.

    Args:
        parts: {part: (H, W) bool}. shape: (H, W).
    Returns:
        (H, W) bool.
    Source:
        Sec. 5.1 and Fig. 10; the fallbacks are ours.
    """
    face = parts.get("skin", np.zeros(shape[:2], bool)).copy()
    for group in (("l_brow", "r_brow"), ("l_eye", "r_eye", "eye_g")):
        rows = [np.flatnonzero(parts[part].any(axis=1)) for part in group if part in parts and parts[part].any()]
        if rows:
            face[: min(row[0] for row in rows)] = False
            break
    return face
