"""P3M-Synth on disk: procedural portraits written into the released folder layouts.

`synth.json` in the root holds the specification and is written last: all images that it counts are there. Every image is
drawn from its own seed, so counts can grow without changing what is there, and the bytes do not depend on the number of jobs.
"""

import json
import os
import shutil
import signal
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from filelock import FileLock

from p3mlib import anonymize, io, matte
from p3mlib.bars import tqdm
from p3mlib.data import celeba, datasets
from p3mlib.synthetic import portrait as renderer

SYNTH_VERSION = 7  # raise it whenever the same seed gives other pixels
FINISHED, STARTED = datasets.SYNTH_MARKERS
_LOCK = "synth.lock"  # one process at a time draws into a folder
_FLUSH = 200  # images between two writings of landmarks.json and attributes.json


class SynthSet(NamedTuple):
    """One set: its number (part of every seed), folder below the root, distribution, and the layers written."""

    code: int
    folder: str
    distribution: str
    layers: tuple


_BOTH = ("original_image", "blurred_image")
SETS = {
    "train": SynthSet(0, "P3M-10k/train", "P3M", (*_BOTH, "mask", "facemask", "fg", "bg")),
    "P3M-500-P": SynthSet(1, "P3M-10k/validation/P3M-500-P", "P3M", (*_BOTH, "mask", "trimap", "facemask")),
    "P3M-500-NP": SynthSet(2, "P3M-10k/validation/P3M-500-NP", "NP", ("original_image", "mask", "trimap", "facemask")),
    "RWP": SynthSet(3, "RealWorldPortrait-636", "RWP", ("image", "alpha", "trimap")),
    "CelebA": SynthSet(4, "CelebAMask-HQ", "CelebA", ()),
}
_P3M = ("train", "P3M-500-P", "P3M-500-NP")
_JPEG = ("image", *_BOTH)


class Job(NamedTuple):
    """One image to render: everything a worker needs."""

    name: str
    set_name: str
    folder: Path
    size: tuple
    seed: int


def image_seed(seed, set_name, index):
    """The seed of one image: an int below 2**53 from (seed, set, index); different sets and indices never share one."""
    state = np.random.SeedSequence(seed, spawn_key=(SETS[set_name].code, index)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(11))


def image_name(set_name, index):
    """Stem of an image's files: p_00000 (P3M-10k), r_00000 (RWP), the plain number (CelebAMask-HQ)."""
    return str(index) if set_name == "CelebA" else f"{'r' if set_name == 'RWP' else 'p'}_{index:05d}"


def write_all(root, counts, size, seed, jobs=None, progress=True, force=False, now=None):
    """Write P3M-Synth: root/{P3M-10k, RealWorldPortrait-636, CelebAMask-HQ} and root/synth.json.

    Files that are there are kept, so an interrupted call goes on where it stopped and counts can grow.

    Args:
        root:     folder; made when missing.
        counts:   {set: number of images}, sets as in `SETS`; a set left out is empty.
        size:     side in pixels, or (height, width).
        seed:     int >= 0 of the whole benchmark.
        jobs:     processes; None means one per CPU. The files do not depend on it.
        progress: show a progress bar.
        force:    where P3M-Synth of another specification stands, delete and replace it instead of raising.
        now:      {set: number}: of `counts` draw only the first so many images of these sets, the rest in a later call.
    Returns:
        Path of root.
    Raises:
        ValueError: unknown set, bad count, size or seed; root holds P3M-Synth of another specification (other size,
            seed or version, or more images than asked for), or images that P3M-Synth did not write.
    """
    return _write(root, {name: SETS[name].folder for name in SETS}, counts, size, seed, jobs, progress, force, now)


def write_p3m(root, counts, size, seed, jobs=None, progress=True, force=False):
    """Write a P3M-10k folder: train (with fg, bg), P3M-500-P and P3M-500-NP, blurred and original images.

    Beside the images, each set's folder holds `landmarks.json` {name: 68 x [x, y] in pixels, or null without a face}
    and `attributes.json` {name: {seed, distribution and what the renderer drew}}. Where there is no face the face mask
    is all zero and the blurred image equals the original. Arguments and errors as in `write_all`.
    """
    return _write(root, {n: SETS[n].folder.partition("/")[2] for n in _P3M}, counts, size, seed, jobs, progress, force)


def write_rwp(root, count, size, seed, jobs=None, progress=True, force=False):
    """Write a RealWorldPortrait-636 folder: image, alpha, trimap. Arguments and errors as in `write_all`."""
    return _write(root, {"RWP": ""}, {"RWP": count}, size, seed, jobs, progress, force)


def write_celeba(root, count, size, seed, jobs=None, progress=True, force=False):
    """Write a CelebAMask-HQ folder: images of `size`, part masks of half of it (the release has 1024 and 512 px).

    Arguments and errors as in `write_all`.
    """
    return _write(root, {"CelebA": ""}, {"CelebA": count}, size, seed, jobs, progress, force)


def _write(root, folders, counts, size, seed, jobs, progress, force, now=None):
    root, whole = Path(root), _specification(folders, counts, size, seed)
    now = whole if now is None else _specification(folders, now, size, seed)
    if _prepare(root, folders, whole, now, force) is None:
        return root
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / _LOCK):
        try:
            if (plan := _prepare(root, folders, whole, now, force)) is not None:  # another process may have drawn it meanwhile
                _draw(root, folders, plan, jobs, progress)
        finally:
            (root / _LOCK).unlink(missing_ok=True)  # while it is held: who waits for it makes a new one
    return root


def _draw(root, folders, plan, jobs, progress):
    io.write_text(root / STARTED, json.dumps(plan.spec, indent=1))
    (root / FINISHED).unlink(missing_ok=True)
    places = {name: root / folder for name, folder in folders.items() if plan.spec["counts"][name]}
    try:
        for count, (job, record) in enumerate(_run(plan.todo, jobs, progress), 1):
            plan.records[job.set_name][job.name] = record
            if count % _FLUSH == 0:
                _save_records(places, plan.records)
    finally:
        _save_records(places, plan.records)
    if plan.last:
        io.write_text(root / FINISHED, json.dumps(plan.spec, indent=1))
        (root / STARTED).unlink(missing_ok=True)


def _specification(folders, counts, size, seed):
    unknown = sorted(set(counts) - set(folders))
    if unknown:
        raise ValueError(f"counts has no set '{unknown[0]}'; there are {', '.join(folders)}")
    counts = {name: counts.get(name, 0) for name in folders}
    size = [size, size] if np.ndim(size) == 0 else list(size)
    integers = [*counts.values(), *size, seed]
    if len(size) != 2 or not all(isinstance(v, (int, np.integer)) and v >= 0 for v in integers) or min(size) < 1:
        raise ValueError(
            f"counts {counts}, size {size} and seed {seed} must be whole numbers, none negative, size (height, width)"
        )
    counts = {name: int(count) for name, count in counts.items()}
    return {"version": SYNTH_VERSION, "size": [int(side) for side in size], "seed": int(seed), "counts": counts}


class _Plan(NamedTuple):
    """What a call has to draw: the specification of all that was begun, the jobs, what is known of complete images, and
    whether nothing is missing afterwards."""

    spec: dict
    todo: list
    records: dict
    last: bool


def _prepare(root, folders, whole, now, force):
    """The _Plan that leads to what `now` counts, None where all of it is there. ValueError unless root can hold `whole`."""
    begun = _begun(root, folders, whole, force)
    spec = {**whole, "counts": {name: max(count, begun.get(name, 0)) for name, count in now["counts"].items()}}
    records = {name: _load_records(root / folder) for name, folder in folders.items()}
    todo, lacking = (
        [job for name, folder in folders.items() for job in _missing_items(name, root / folder, those, records[name])]
        for those in (now, spec)
    )
    last = len(todo) == len(lacking)
    if not todo and begun == spec["counts"] and (root / FINISHED).is_file() == last:
        return None
    return _Plan(spec, todo, records, last)


def _begun(root, folders, whole, force):
    """{set: number of images} that earlier calls wrote or began, {} for a new folder; ValueError where they do not fit."""
    markers = [root / name for name in (FINISHED, STARTED) if (root / name).is_file()]
    if not markers:
        strange = [root / folder for folder in folders.values() if _holds_images(root / folder)]
        if strange:
            raise ValueError(f"{strange[0]} holds images that P3M-Synth did not write; choose another folder or move them away")
        return {}
    try:
        there = json.loads(markers[0].read_text())
        fits = all(there[key] == whole[key] for key in ("version", "size", "seed"))
        fits = fits and all(whole["counts"].get(name, 0) >= count for name, count in there["counts"].items())
    except (ValueError, KeyError, TypeError):
        there, fits = "unreadable", False
    if fits:
        return there["counts"]
    if not force:
        raise ValueError(
            f"{root} holds P3M-Synth with the specification {there}, asked for is {whole}. "
            f"Delete {root} to render it anew, choose another folder, or replace it with force=True"
        )
    for marker in (root / FINISHED, root / STARTED):
        marker.unlink(missing_ok=True)
    for name, folder in folders.items():
        for path in _own_paths(name, root / folder):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return {}


def _own_paths(set_name, folder):
    """What P3M-Synth writes into a set's folder, and nothing else."""
    layers = SETS[set_name].layers or (celeba.FACE_IMAGES, celeba.FACE_PARTS)
    return [folder / layer for layer in (*layers, "landmarks.json", "attributes.json")]


def _holds_images(folder):
    return any(path.suffix.lower() in io.IMAGE_SUFFIXES for path in folder.rglob("*") if path.is_file())


def _load_records(folder):
    """{name: {"landmarks", "attributes"}} of the images known to be complete."""
    try:
        landmarks, attributes = (json.loads((folder / f"{key}.json").read_text()) for key in ("landmarks", "attributes"))
    except (OSError, ValueError):
        return {}
    return {n: {"landmarks": landmarks[n], "attributes": attributes[n]} for n in landmarks if n in attributes}


def _save_records(places, records):
    for name, folder in places.items():
        ordered = sorted(records[name].items(), key=lambda item: item[0].zfill(12))
        for key in ("landmarks", "attributes"):
            io.write_text(folder / f"{key}.json", json.dumps({n: record[key] for n, record in ordered}))


def _missing_items(set_name, folder, spec, records):
    """Jobs for the images that are not complete: no record, or one of their files is not there."""
    names = [image_name(set_name, index) for index in range(spec["counts"][set_name])]
    layers = (celeba.FACE_IMAGES,) if set_name == "CelebA" else SETS[set_name].layers
    present = set(names) & set(records)
    for layer in layers:
        present &= set(datasets.stems(folder / layer))
    if set_name == "CelebA":
        there = {path.name for path in (folder / celeba.FACE_PARTS).glob("*/*.png")}
        paths = {n: [celeba.part_path(folder, n, p).name for p in records[n]["attributes"]["parts"]] for n in present}
        present = {name for name in present if there.issuperset(paths[name])}
    seeds = (image_seed(spec["seed"], set_name, index) for index in range(len(names)))
    jobs = (Job(n, set_name, folder, tuple(spec["size"]), s) for n, s in zip(names, seeds, strict=True))
    return [job for job in jobs if job.name not in present]


def _cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker():
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent; the image at work is finished
    cv2.setNumThreads(1)


def _run(todo, jobs, progress):
    """Render all jobs, yielding (job, record) as they finish; a worker's error stops the rest."""
    jobs = min(jobs or _cpus(), len(todo))
    bar = tqdm(total=len(todo), desc="render P3M-Synth", unit="image", disable=not progress or not todo)
    with bar:
        if jobs <= 1:
            for job in todo:
                yield job, render(job)
                bar.update()
            return
        with ProcessPoolExecutor(jobs, get_context("spawn"), _start_worker) as pool:
            try:
                tasks = {pool.submit(render, job): job for job in todo}
                for task in as_completed(tasks):
                    yield tasks[task], task.result()
                    bar.update()
            finally:
                pool.shutdown(cancel_futures=True)


def render(job):
    """Render one image and write its files; returns {"landmarks": 68 x [x, y] or None, "attributes": dict}."""
    figure = renderer.render_portrait(job.seed, size=job.size, distribution=SETS[job.set_name].distribution)
    photo = renderer.photograph(figure, job.seed)
    attributes = {"seed": job.seed, "distribution": SETS[job.set_name].distribution, **figure.attributes}
    if job.set_name == "CelebA":
        attributes["parts"] = _write_face(job, figure, photo)
    else:
        _write_layers(job, figure, photo)
    landmarks = None if figure.landmarks is None else np.round(figure.landmarks, 2).tolist()
    return {"landmarks": landmarks, "attributes": {key: _plain(value) for key, value in attributes.items()}}


def _plain(value):
    """numpy scalars and arrays as JSON knows them."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value


def _write_layers(job, figure, photo):
    alpha, layers = figure.alpha, SETS[job.set_name].layers
    facemask, blurred = np.zeros(alpha.shape, bool), photo
    if figure.landmarks is not None:
        blurred, facemask, *_ = anonymize.anonymize(photo, figure.landmarks, alpha, region="hull")
    trimap = matte.make_trimap(alpha, anonymize.default_kernel(alpha.shape))
    content = {"original_image": photo, "image": photo, "blurred_image": blurred, "mask": alpha, "alpha": alpha}
    private_fg = np.where(facemask[..., None], blurred, figure.fg)  # the un-blurred face stands in original_image alone
    content |= {"trimap": trimap, "facemask": facemask, "fg": private_fg, "bg": figure.bg}
    for layer in layers:
        suffix = ".jpg" if layer in _JPEG else ".png"
        io.write_image(job.folder / layer / f"{job.name}{suffix}", content[layer])


def _write_face(job, figure, photo):
    """Image and part masks; returns the parts written. Only visible parts have a file, as in the release."""
    io.write_image(job.folder / celeba.FACE_IMAGES / f"{job.name}.jpg", photo)
    written = []
    for part in celeba.PARTS:
        mask = figure.parts.get(part)
        if mask is not None and mask.any():
            io.write_image(celeba.part_path(job.folder, job.name, part), _half(mask))
            written.append(part)
    return written


def _half(mask):
    """A mask at half the size; a part too thin to survive keeps every pixel that it touches."""
    size = tuple(max(1, round(side / 2)) for side in mask.shape[::-1])
    share = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    half = share >= 0.5
    return half if half.any() else share > 0
