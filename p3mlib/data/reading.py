"""What each file of a portrait is read as, and what must hold between them: one rule for training, scoring and `verify`."""

from functools import partial

from p3mlib import io

READERS = {
    "image": io.read_image, "fg": io.read_image, "bg": io.read_image,
    "alpha": io.read_matte, "trimap": io.read_trimap, "facemask": partial(io.read_mask, released=True),
}  # fmt: skip


class Window:
    """A colour image of a data set on disk, of which a window is read where one is asked for: `image[top:bottom, left:right]`.

    Args:
        path: of the file.
    Attributes:
        shape: (H, W, 3).
    """

    def __init__(self, path):
        self.path, self.shape = path, (*io.image_size(path), 3)

    def __getitem__(self, window):
        """(h, w, 3) float32 of two slices with begin and end inside the image; raises as `io.read_image`."""
        rows, columns = window
        return io.read_image(self.path, (columns.start, rows.start, columns.stop, rows.stop))


def faults(sample, files):
    """What makes a portrait useless although each of its files can be read: `datasets.Portraits` refuses it, `verify` names all.

    Args:
        sample: {part: array}; `image` is an image or anything of its shape. files: {part: Path} of the same parts.
    Yields:
        (part, kind of `verify`, sentence): another size than the image; turned by EXIF differently, where sizes cannot tell which
        way is right; a matte that shows nobody, or nothing else.
    """
    shape, turns = sample["image"].shape[:2], {part: io.orientation(files[part]) for part in sample}
    for part, array in sample.items():
        if array.shape[:2] != shape:
            size, other = ("{1}x{0}".format(*found) for found in (array.shape, shape))
            turned = f" (turned by EXIF {turns['image']})" * (turns["image"] > 1)
            yield part, "mis-sized", f"is {size} px (width x height) but its image {files['image']} is {other}{turned}"
        elif turns[part] != turns["image"] and (max(turns[part], turns["image"]) < 5 or shape[0] == shape[1]):
            words = f"has EXIF orientation {turns[part]}, but {turns['image']} in {files['image']}, so which way up it belongs is"
            yield part, "mismatched", f"{words} not certain; write both as they are seen, without that tag"
    if "alpha" in sample and sample["alpha"].shape == shape:
        low, high = (float(value) for value in (sample["alpha"].min(), sample["alpha"].max()))
        if high < 0.5:
            yield "alpha", "mismatched", f"is a matte with nobody in it: its highest value is {255 * high:.0f}, expected 255"
        elif low > 0.5:
            yield "alpha", "mismatched", f"is a matte without background: its lowest value is {255 * low:.0f}, expected 0"
