"""What a call of the anonymiser has to do: photographs, files that cannot be read, and whose the files made by hand are."""

from pathlib import Path

from p3mlib import io
from p3mlib.privacy import hand, records

MASKS = "facemask"


def gather(source, target, settings):
    """Photographs of a call.

    Args:
        source: folder or photograph. target: folder. settings: photograph.Settings; folders of mattes and landmarks that lie
                within the source hold no photographs.
    Returns:
        (list of Path, dict Path -> why it is not done: HEIC, films, links, two photographs with one face mask).
    Raises:
        FileNotFoundError: no source. ValueError: source and target within each other, no photograph at all, a folder `facemask`.
    """
    if not source.exists():
        raise FileNotFoundError(f"{source}: no such file or folder")
    inside, outside = source.resolve(), target.resolve()
    if source.is_file():
        if source.parent.resolve() == outside:
            raise ValueError(f"{target}: is the photograph's own folder, where it would be overwritten; choose another")
        return [source], {}
    if inside == outside or inside in outside.parents or outside in inside.parents:
        raise ValueError(f"{source} and {target}: neither may lie within the other; choose a target elsewhere")
    found, refused = io.list_photographs(source)
    made = [folder.resolve() for folder in (settings.alpha, settings.landmarks) if folder and inside in folder.resolve().parents]
    found = [path for path in found if not any(_within(path, folder) for folder in made)]
    if any(path.relative_to(source).parts[0] == MASKS for path in found):
        raise ValueError(f"{source / MASKS}: face masks are written into a folder of that name; rename it")
    images, masks = [], {}
    for path in found:
        other = masks.setdefault(path.with_suffix(""), path)
        if path.is_symlink():
            refused[path] = "a symbolic link, which may lead anywhere; put the file here"
        elif other is not path:
            refused[path] = f"would write the same face mask as {other}; rename one of them"
        else:
            images.append(path)
    return images, refused


def _within(path, folder):
    """True where a file, or a link to one, lies in a resolved folder, whatever way the path takes there."""
    place = path.parent.resolve()
    return folder == place or folder in place.parents


def not_done(name, message):
    """Row of a photograph that was not done, with the reason."""
    return records.row(name, "not done", message=io.printable(message))


def assign(images, base, settings):
    """Files made by hand for the photographs of a call; one that is handed over alone has the others of its folder as neighbours.

    Returns:
        (hand.Assigned of `settings.landmarks`, hand.Assigned of `settings.alpha`, rows with status "not used").
    """
    beside = [path for path in base.iterdir() if path.suffix.lower() in io.IMAGE_SUFFIXES and path.is_file()]
    photographs = list(dict.fromkeys([*images, *beside]))
    marks, mattes = (hand.assign(photographs, base, *of) for of in ((settings.landmarks, True), (settings.alpha, False)))
    unused = {**marks.unused, **mattes.unused}
    return marks, mattes, [records.row(f, "not used", message=io.printable(f"{f}: {why}")) for f, why in unused.items()]


def outputs(path, base, target):
    """(photograph, face mask) that a source is written to: JPEG stays JPEG, all others become PNG."""
    inner = path.relative_to(base)
    suffix = (
        path.suffix if path.suffix.lower() in (".jpg", ".jpeg", ".jfif") else ".jpg" if path.suffix.lower() == ".jpe" else ".png"
    )
    return (target / inner).with_suffix(suffix), (target / MASKS / inner).with_suffix(".png")


def remove(path, base, target):
    """Take what an earlier call wrote of a photograph out of the target; True where there was something."""
    there = [Path(written) for written in outputs(path, base, target) if written.exists()]
    for written in there:
        written.unlink()
    return bool(there)
