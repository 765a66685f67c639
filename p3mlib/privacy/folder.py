"""Anonymise folders of photographs: find faces, obfuscate them, and write files that carry nothing but pixels."""

import hashlib
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from p3mlib import io
from p3mlib.anonymize import face_width
from p3mlib.bars import tqdm
from p3mlib.privacy import faces, gather, hand, records
from p3mlib.privacy.metadata import leftovers
from p3mlib.privacy.photograph import LeftOpen, Settings, hide

MEGAPIXELS = 100
REPORT, MASKS = records.NAME, gather.MASKS
OPEN_ENDS = ("no face", "not done", "not used")  # states that need a person
_VERSION = 3  # of what is done to a photograph; results of an earlier one are made anew
_GONE = "; what an earlier call wrote of it is removed"
_SAVE_EVERY = 20  # photographs between two versions of the report


class Job(NamedTuple):
    """A photograph to do: its path, the source and target folders, Settings, its files made by hand, and the key of all that.

    Its row says with `origin` which folder and which state of the photograph it is of, and with `written` what was written.
    """

    path: Path
    base: Path
    target: Path
    settings: Settings
    marks: tuple
    matte: Path | None
    key: str

    @property
    def name(self):
        return self.path.relative_to(self.base).as_posix()

    def row(self, status, **fields):
        """Row of the report, with the settings."""
        used = {key: getattr(self.settings, key) for key in ("method", "strength", "region", "margin")}
        return {**records.row(self.name, status, **fields), **used, "key": self.key, "origin": _origin(self.path, self.base)}


def anonymize_folder(source, target, settings=None, jobs=None, progress=True):
    """Anonymise every photograph below `source` into the same place below `target`, its face mask below `target/facemask`.

    Photographs are written from bare pixels as a viewer shows them (`io.read_photograph`), JPEG as JPEG and all others as PNG,
    and read again to see that no metadata is in them. Where no face is found nothing is written (see `Settings.keep_faceless`):
    a person has to look. What is finished and unchanged is not done again; a failure stops one photograph, not the others. A
    photograph that is not done has no file in the target, of an earlier call neither; a file there that is not ours, was changed
    since, or is of another folder's photograph of that name stays, and so does what was written of a photograph that is gone.

    Args:
        source:   folder, searched in depth, or one photograph. target: folder, outside of source.
        settings: Settings. jobs: processes, None means one per CPU.
    Returns:
        DataFrame of str, a row each: image, status (done; no face; not done; not used, for files of `alpha` and `landmarks`),
        faces, sizes (pixels from cheek to cheek), detectors, identity (smallest distance to the original, dlib), area, seen_from
        (pixels from which faces are looked for, upright and turned), message and the settings. `target/report.csv` has the rows
        of earlier calls too.
    Raises:
        ValueError: settings, folders within each other, nothing to do, a report in the target that is not ours.
        FileNotFoundError: no source. OSError: the target cannot be written.
    Source:
        Sec. 3.2 and Fig. 3; strengths, areas and detectors are ours.
    """
    settings = (settings or Settings()).checked()
    source, target = Path(source), Path(target)
    base = source if source.is_dir() else source.parent
    images, refused = gather.gather(source, target, settings)
    marks, mattes, unused = gather.assign(images, base, settings)
    try:
        target.mkdir(parents=True, exist_ok=True)
        with records.alone(target):
            io.sweep(target)
            known = {name: row for name, row in records.read(target).items() if row["status"] != "not used"}
            records.write(target, known)
            rows = [*unused, *_refuse(refused, known, base, target)]
            if source.is_dir():
                rows += _left(known, [*images, *refused], base, target)
            todo, finished = _plan(images, known, (base, target, settings), marks, mattes)
            return _carry_out(todo, [*rows, *finished], known, target, jobs, progress)
    except OSError as error:
        raise type(error)(error.errno, f"{target}: cannot be written ({error.strerror}); choose another folder") from None


def _refuse(refused, known, base, target):
    """Rows of what is not read; what an earlier call wrote of it is taken away."""
    rows = []
    for path, reason in refused.items():
        name = path.relative_to(base).as_posix()
        row, written = known.get(io.printable(name), {}), gather.outputs(path, base, target)
        gone = _GONE * bool(
            row.get("key") and not _foreign(row, path, base, written, _sums(written)) and gather.remove(path, base, target)
        )
        rows.append(gather.not_done(name, f"{path}: {reason}{gone}"))
    return rows


def _left(known, paths, base, target):
    """Rows of photographs that are gone from the source, of which an earlier call left files in the target."""
    names, rows = {io.printable(path.relative_to(base).as_posix()) for path in paths}, []
    for name, row in known.items():
        if name in names or row.get("origin", "").split()[:1] != _origin(base / name, base).split()[:1]:
            continue
        if there := [file for file in gather.outputs(base / name, base, target) if file.exists()]:
            text = f"{base / name}: is gone, and what was written of it is still there; take away {' and '.join(map(str, there))}"
            rows.append({**row, **gather.not_done(name, text)})
    return rows


def _plan(images, known, where, marks, mattes):
    """(jobs, rows of what is finished or cannot be done). What an earlier call left of the others is taken away."""
    todo, rows = [], []
    for path in images:
        files = marks.files.get(path, ()), next(iter(mattes.files.get(path, ())), None)
        job = Job(path, *where, *files, _key(path, files, where[-1]))
        row, written = known.get(io.printable(job.name), {}), gather.outputs(path, *where[:2])
        wrong = marks.wrong.get(path) or mattes.wrong.get(path)
        sums = _sums(written)
        if strange := _foreign(row, path, where[0], written, sums):
            kept = {key: row[key] for key in ("key", "origin", "written") if key in row}
            rows.append({**gather.not_done(job.name, f"{path}: not done. {strange}"), **kept})
        elif not wrong and row.get("key") == job.key and row.get("status") == "done" and sums == row.get("written"):
            rows.append(row)
        else:
            gone = _GONE * gather.remove(path, *where[:2])
            if wrong:
                rows.append(job.row("not done", message=io.printable(wrong + gone)))
            else:
                todo.append((job, gone))
    return todo, rows


def _foreign(row, path, base, written, sums):
    """Why what lies where a photograph is written to is not ours to overwrite, or "".

    Args:
        row: the report's of the photograph, {} for none. written: the files. sums: `_sums` of them.
    """
    there = [file for file in written if file.exists()]
    if not there:
        return ""
    if not row.get("key"):
        return f"{there[0]}: is there already and was not written of this photograph; it would be overwritten, so move it away"
    if row.get("origin") and not set(row["origin"].split()) & set(_origin(path, base).split()):
        return (
            f"{there[0]}: was written of another photograph of that name, in another folder; give each folder a target of its own"
        )
    if sums and row.get("written", sums) not in ("", sums) and all(map(os.path.getsize, there)):
        return f"{there[0]}: it or its mask was changed after it was written; look at it, and take it away to have it done anew"
    return ""


def _origin(path, base):
    """Two words, of the folder and of the photograph as it is: a moved folder keeps the second, a changed file the first."""
    words = [os.fspath(base.resolve())]
    with suppress(OSError):  # a photograph that is gone, or a link that leads nowhere
        words.append((path.stat().st_size, path.stat().st_mtime_ns))
    return " ".join(hashlib.sha256(repr(word).encode()).hexdigest()[:12] for word in words)


def _sums(written):
    """Short hex over the contents of the files of a photograph, which are all there, else ""."""
    if not all(file.is_file() for file in written):
        return ""
    return hashlib.sha256(b"".join(hashlib.sha256(file.read_bytes()).digest() for file in written)).hexdigest()[:12]


def _key(path, files, settings):
    """Changes when the source, its files made by hand or the settings do."""
    marks = [_VERSION, sorted(asdict(settings).items())]
    for file in filter(None, (path, *files[0], files[1])):
        with suppress(OSError):  # whoever reads it says what is wrong
            marks.append((str(file), file.stat().st_size, file.stat().st_mtime_ns))
    return hashlib.sha256(repr(marks).encode()).hexdigest()[:12]


def _carry_out(todo, rows, known, target, jobs, progress):
    """Do the jobs; returns the rows of this call and keeps the report up to date, so that every file in the target is in it."""
    gone = {job.name: text for job, text in todo}
    pending = [job.row("not done", message=io.printable(f"{job.path}: interrupted; run this again")) for job, _ in todo]
    every = {**known, **{row["image"]: row for row in [*rows, *pending]}}
    records.write(target, every)
    results = tqdm(
        _results([job for job, _ in todo], jobs), total=len(todo), desc="anonymize", unit="image", disable=not progress
    )
    try:
        for count, (name, row) in enumerate(results, 1):
            row["message"] += gone[name] if row["status"] in OPEN_ENDS and not row.get("written") else ""
            rows.append(row)
            every[row["image"]] = row
            if count % _SAVE_EVERY == 0:
                records.write(target, every)
    finally:
        records.write(target, every)
    return records.as_frame(rows)


def _results(todo, jobs):
    """Yield (name, row) of every job, whatever happens to it or to the process that does it."""
    jobs = min(jobs or os.cpu_count() or 1, len(todo))
    if jobs <= 1:
        yield from map(_safely, todo)
        return
    left = {job.name: job for job in todo}
    yield from _pooled(left, jobs)
    while left:  # a process died: one after the other, so that the first of those left is the one it died of
        yield from _pooled(left, 1)
        if left:
            name = next(iter(left))
            yield name, left.pop(name).row("not done", message=f"{io.printable(name)}: its process died; too little memory?")


def _pooled(left, jobs):
    """Yield what is finished and take it out of `left`; stops where a process dies."""
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        tasks = [pool.submit(_safely, job) for job in left.values()]
        try:
            for task in as_completed(tasks):
                name, row = task.result()
                left.pop(name)
                yield name, row
        except BrokenProcessPool:
            return
        finally:
            pool.shutdown(cancel_futures=True)


def _safely(job):
    """(name, row) of one photograph, whatever happens to it."""
    try:
        return job.name, job.row(**_one(job))
    except Exception as error:  # the boundary of one photograph: the others go on
        gather.remove(job.path, job.base, job.target)
        return job.name, job.row("not done", message=io.reason(error, job.path))


def _one(job):
    """Anonymise one photograph; returns fields of its row."""
    path, settings = job.path, job.settings
    height, width = io.image_size(path)
    if height * width > MEGAPIXELS * 1e6:
        raise ValueError(f"{path}: {height * width / 1e6:.0f} megapixels, at most {MEGAPIXELS} are read; reduce it first")
    image = io.read_photograph(path)
    found, turn = faces.detect(image, settings.smallest), io.orientation(path)
    marked = hand.read(job.marks, image.shape[:2], turn, found)
    alpha = None if job.matte is None else hand.read_matte(job.matte, image.shape[:2], turn)
    if found and job.marks and not marked.faces and marked.mask is None:
        raise ValueError(
            f"{job.marks[0]}: says that there is no face, but detectors find {len(found)}: look, and take the file away"
        )
    people = [*found, *(face for face in marked.faces if not faces.same_place(face, found))]
    notes = [marked.note] if marked.note else []
    notes += [f"{path}: holds {n} pictures, frames or pages; only the first is read"] if (n := io.frames(path)) > 1 else []
    fields = {
        "faces": "" if marked.mask is not None and not people else len(people),
        "sizes": " ".join(f"{face_width(face.landmarks):.0f}" for face in people),
        "detectors": " ".join([face.detector for face in people] + ["mask by hand"] * (marked.mask is not None)) or "-",
        "seen_from": f"{settings.smallest:g}, turned {faces.turned_from(settings.smallest)}",
    }
    if not people and marked.mask is None and not job.marks:
        notes.insert(0, f"{path}: no face found, {'written as it is' if settings.keep_faceless else 'not written'}; look at it")
        fields |= {"status": "no face", "message": "; ".join(notes)}
        if not settings.keep_faceless:
            return fields
    try:
        hidden = hide(image, [*found, *marked.faces], settings, marked.mask, alpha)
    except LeftOpen as error:
        raise ValueError(f"{path}{f' with {job.matte}' if job.matte else ''}: {error}") from None
    if hidden.grown:
        notes.append(f"{path}: {hidden.grown} of {len(people)} faces were recognised until more around them was hidden")
    _write(job, hidden)
    identity = "" if hidden.identity is None else f"{hidden.identity:.2f}"
    area = "whole (no matte)" if alpha is None else "without the transition area"
    if fields.get("status") == "no face":
        area = "none"
    sums = _sums(gather.outputs(path, job.base, job.target))
    return {
        "status": "done",
        "message": io.printable("; ".join(notes)),
        "identity": identity,
        "area": area,
        "written": sums,
        **fields,
    }


def _write(job, hidden):
    """Write photograph and mask, and read them again. Raises ValueError where they carry anything but pixels."""
    picture, masked = gather.outputs(job.path, job.base, job.target)
    io.write_image(masked, hidden.mask)
    io.write_image(picture, hidden.image)
    if left := [piece.name for file in (picture, masked) for piece in leftovers(file)]:
        raise ValueError(f"{picture}: was written with {', '.join(left)} and taken away again; please report this")
