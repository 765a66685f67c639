"""Made-up files through anonymize, audit, predict and verify: no traceback, nothing lost, every file done or named.

`python tests/fuzz.py --count 1000 --seed 0` tries so many files, some dozens at a time, each lot in a process of its own: a crash
of a library is a fault like any other. It prints what was found and exits with 1 if that is anything. What a file is depends on
the seed and its number alone, so that `--first 731 --count 1` makes one again; `--keep DIR` leaves it there.
"""

import argparse
import contextlib
import csv
import hashlib
import io as streams
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import odd
from PIL import Image, TiffImagePlugin

SUFFIXES = (
    *4 * (".jpg",), ".JPG", ".jpeg", ".jfif", *4 * (".png",), ".PNG", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".heic", ".avif",
)  # fmt: skip
MODES = (*5 * ("RGB",), "RGBA", "L", "LA", "P", "PA", "1", "CMYK", "YCbCr", "LAB", "I;16", "I", "F")
FORMATS = {".bmp": "BMP", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP", ".gif": "GIF", ".png": "PNG", ".heic": "PNG"}
FORMATS |= {".avif": "AVIF"}  # of all other suffixes JPEG
NAMES = (
    "{n}", "{n}", "{n}", "{n}", "photo {n}", "{n}.png", "Ünï-{n}", "照片{n}", "-{n}", "a%20{n}", "quo'te\"{n}", "line\nfeed{n}",
    "{n}_alpha", "{n}_cutout", " {n} ", "._{n}", ".hidden{n}", "long{n}" + "m" * 200, "あ{n}" + "い" * 74, "{n}" + "n" * 247,
    "M\udcfcller{n}", "$({n})", "{n};ls", "{n}\u202e",
)  # fmt: skip
FOLDERS = ("", "", "", "trip", "trip/day 2", "a folder.jpg", "m\udcfc")


def make(folder, number, seed):
    """Write the made-up file of a number below a folder; returns its path. What it is depends on seed and number alone."""
    rng = np.random.default_rng([seed, number])

    def pick(among):
        return among[int(rng.integers(len(among)))]

    suffix, place = pick(SUFFIXES), folder / pick(FOLDERS)
    name = pick(NAMES).format(n=number)
    while len(os.fsencode(name + suffix)) > 255:
        name = name[:-1]
    place.mkdir(parents=True, exist_ok=True)
    path = place / f"{name}{suffix}"
    special = rng.random()
    if special < 0.03:
        path.mkdir()
    elif special < 0.05:
        path.symlink_to("nowhere")
    elif special < 0.08:
        path.write_bytes(rng.bytes(int(rng.integers(0, 300))))
    else:
        path.write_bytes(_spoiled(_content(rng, pick, suffix), rng, pick))
    return path


def _content(rng, pick, suffix):
    """Bytes of a picture of any size, mode, depth, with EXIF and a profile."""
    picture = _picture(rng, pick)
    kind = FORMATS.get(suffix.lower(), "JPEG") if rng.random() < 0.95 else pick(("PNG", "JPEG", "TIFF", "BMP", "WEBP"))
    options = {"exif": _exif(rng, pick)} if rng.random() < 0.5 and kind not in ("BMP", "GIF") else {}
    if rng.random() < 0.3 and kind not in ("BMP", "GIF"):
        options["icc_profile"] = pick((odd.wide_gamut(), odd.wide_gamut()[:150], b"nonsense", b""))
    if kind == "PNG" and picture.mode in ("P", "L", "RGB", "1") and rng.random() < 0.2:
        options["transparency"] = {"RGB": (1, 2, 3)}.get(picture.mode, 0)
    if kind in ("TIFF", "PNG", "WEBP", "GIF") and rng.random() < 0.1:
        options |= {"save_all": True, "append_images": [picture]}
    for mode in (picture.mode, "RGB", "L"):  # what this format cannot hold becomes what it can
        stream = streams.BytesIO()
        with contextlib.suppress(
            OSError, ValueError, KeyError, TypeError, AttributeError, SystemError, RuntimeError, SyntaxError
        ):
            _as(picture, mode).save(stream, kind, **(options if mode == picture.mode else {}))
            return stream.getvalue()
    return b""


def _picture(rng, pick):
    side = pick((1, 2, 3, 5, 8, 16, 31, 64, 96))
    size = pick(((side, side), (side, 1), (1, side), (2000, 1), (1, 900), (side, 70), (120, 90), (90, 130), (7, 9), (700, 20)))
    if rng.random() < 0.12:
        from skimage.data import astronaut

        return Image.fromarray(astronaut()[:320, 60:380]).resize((200, 200))
    values = (
        rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
        if rng.random() < 0.5
        else np.full((*size[::-1], 3), 77, np.uint8)
    )
    return _as(Image.fromarray(values), pick(MODES))


def _as(picture, mode):
    if picture.mode == mode:
        return picture
    if mode in ("I;16", "I", "F"):
        kind = {"I;16": np.uint16, "I": np.int32, "F": np.float32}[mode]
        grey = np.asarray(picture.convert("L"))
        return Image.fromarray(grey.astype(kind) * (257 if mode == "I;16" else 1))
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.buildTransform(*map(ImageCms.createProfile, ("sRGB", "LAB")), "RGB", "LAB")
        return ImageCms.applyTransform(picture.convert("RGB"), lab)
    return picture.convert("RGBA").convert(mode) if mode in ("LA", "PA") else picture.convert("RGB").convert(mode)


def _exif(rng, pick):
    if rng.random() < 0.4:
        return pick(
            [*odd.BROKEN_EXIF.values(), odd.turned_and_broken(6), b"Exif\0\0" + rng.bytes(60), b"Exif\0\0" + bytes(60_000)]
        )
    exif = Image.Exif()
    exif[0x0112] = pick((*range(1, 9), 0, 9, 77))
    exif[0x010F], exif[0x8769] = "maker\0", {0x9003: "not a date", 0x829A: TiffImagePlugin.IFDRational(1, 0)}
    exif[0x8825] = {1: "N", 2: (1.0, 2.0, 3.0)}
    return exif.tobytes()


def _spoiled(content, rng, pick):
    """The bytes of a file, often as they are; else cut, changed, or with something behind."""
    how, size = rng.random(), max(1, len(content))
    if how < 0.12:
        return content[: int(rng.integers(size))]
    if how < 0.16:
        return content[: -int(rng.integers(1, 13))]
    if how < 0.24:
        changed = bytearray(content)
        for at in rng.integers(size, size=int(rng.integers(1, 20))):
            changed[at : at + 1] = rng.bytes(1)
        return bytes(changed)
    if how < 0.34:
        return content + pick((bytes(9000), rng.bytes(500), b"\0\0\0\x18ftypmp42" + bytes(900), content, b"\n"))
    return content


def dataset(source, root, seed):
    """A P3M-10k folder of those files that have an image suffix, with mattes of every coding; returns the number of images."""
    from p3mlib import io

    rng, images, mattes = np.random.default_rng(seed), root / "train" / "blurred_image", root / "train" / "mask"
    images.mkdir(parents=True), mattes.mkdir()
    stems = set()
    for path in _files(source):
        if path.is_file() and path.suffix.lower() in io.IMAGE_SUFFIXES and path.stem not in stems and path.name[0] != ".":
            stems.add(path.stem)
            shutil.copy(path, images)
            try:
                height, width = io.image_size(path)
            except (ValueError, OSError):
                height, width = 8, 9
            matte = np.zeros((height, width), np.uint8)
            matte[height // 4 :, width // 4 : -(-3 * width // 4)] = 255
            matte = _matte(matte, rng)
            with contextlib.suppress(OSError):  # a name that is too long with this suffix
                matte.save(mattes / f"{path.stem}.png")
    return len(stems)


def _matte(matte, rng):
    how = rng.integers(12)
    if how < 6:
        return Image.fromarray(matte)
    kinds = (
        matte // 255,
        np.dstack([0 * matte] * 3 + [matte]),
        matte.astype(np.uint16) * 257,
        matte[:-1],
        0 * matte,
        np.dstack([matte] * 3),
    )
    other = kinds[how - 6]
    return Image.fromarray(other if other.size else matte)


def _files(folder):
    """Regular files and dead links below a folder, sorted; links that lead somewhere count as files."""
    return sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())


def play(work):
    """Run the four commands on `work/in`; writes `work/<command>.json` with status and text of each, as they end."""
    import torch

    from p3mlib.__main__ import main
    from p3mlib.data.datasets import open_dataset
    from p3mlib.models import build_model, save_pretrained

    torch.manual_seed(0)
    save_pretrained(build_model("modnet", width=0.0625), work / "weights")
    source = os.fspath(work / "in")
    keep = ["--keep-faceless"] if (work / "faceless").exists() else []
    commands = {
        "predict": ["predict", source, "--weights", os.fspath(work / "weights"), "-o", os.fspath(work / "predicted")],
        "anonymize": ["anonymize", source, os.fspath(work / "out"), "--jobs", "1", *keep],
        "audit": ["audit", os.fspath(work / "out"), "--original", source, "--json"],
        "verify": ["verify", os.fspath(work / "data")],
    }
    for name, arguments in commands.items():
        out, err = streams.StringIO(), streams.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = main(arguments)
        (work / f"{name}.json").write_text(json.dumps({"status": status, "out": out.getvalue(), "err": err.getvalue()}))
    refused = {}
    if (work / "data/train/mask").is_dir():
        with contextlib.suppress(FileNotFoundError):
            portraits = open_dataset("train", work / "data")
            for i, name in enumerate(portraits.names):
                try:
                    portraits[i]
                except (ValueError, OSError) as error:
                    refused[name] = str(error)
    (work / "training.json").write_text(json.dumps(refused))


def judge(work, before):
    """Sentences on what went wrong; `before` is what `state` said of `work/in`."""
    results = {}
    for name in ("predict", "anonymize", "audit", "verify"):
        path = work / f"{name}.json"
        if not path.exists():
            yield f"{name}: the process died"
            return
        results[name] = json.loads(path.read_text())
        text = results[name]["out"] + results[name]["err"]
        if "Traceback (most" in text or results[name]["status"] not in (0, 1):
            yield f"{name}: status {results[name]['status']}: {text[-600:]}"
    if state(work / "in") != before:
        yield "the photographs were changed"
    yield from _judge_predict(work, results["predict"])
    yield from _judge_anonymize(work, results["anonymize"])
    yield from _judge_audit(work, results["audit"])
    yield from _judge_verify(work, results["verify"])


def state(folder):
    """{path below the folder: hash of its content} of all files."""
    return {
        os.fspath(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else ""
        for p in _files(folder)
    }


def _pictures(folder):
    """Files with a picture's suffix; neither their names nor those of folders above them begin with a dot."""
    known = {suffix.lower() for suffix in SUFFIXES}
    for path in _files(folder):
        if not any(part[0] == "." for part in path.relative_to(folder).parts) and path.suffix.lower() in known:
            yield path


def _named(path, folder, text):
    from p3mlib import io

    return any(name in text for name in (io.printable(path.relative_to(folder)), path.relative_to(folder).as_posix()))


def _judge_predict(work, result):
    from p3mlib import io

    open_ends = 0
    for path in _pictures(work / "in"):
        base = work / "predicted" / path.relative_to(work / "in").parent
        try:
            done = all((base / f"{path.stem}{end}.png").is_file() for end in io.RESULTS)
        except OSError:
            done = False
        if done and path.is_file() and _size(base / f"{path.stem}_alpha.png") != _size(path):
            yield f"predict: {path!r} has results of another size"
        named = _named(path, work / "in", result["err"])
        open_ends += named and "not done" in result["err"]
        if not done and not named and not io.is_result(path):
            yield f"predict: {path!r} is neither done nor named"
    if bool(open_ends) != (result["status"] == 1):
        yield f"predict: status {result['status']}, but {open_ends} are named: {result['err'][-300:]}"


def _size(path):
    from p3mlib import io

    try:
        return io.image_size(path)
    except (ValueError, OSError):
        return None


def _judge_anonymize(work, result):
    from p3mlib import io

    report = work / "out" / "report.csv"
    if not report.is_file():
        if any(True for _ in _pictures(work / "in")):
            yield f"anonymize: no report: {result['err'][-600:]}"
        return
    with open(report, newline="", encoding="utf-8") as file:
        rows = {row["image"]: row for row in csv.DictReader(file)}
    for path in _pictures(work / "in"):
        name = path.relative_to(work / "in").as_posix()
        row = rows.get(name) or rows.get(io.printable(name)) or rows.get(name.encode("utf-8", "backslashreplace").decode())
        if row is None and not io.is_result(path):
            if not _named(path, work / "in", result["out"] + result["err"]):
                yield f"anonymize: {path!r} is neither in the report nor named"
        elif row and row["status"] == "done":
            place = (work / "out" / name).parent
            if not any(file.stem == path.stem for file in place.iterdir() if file.is_file()):
                yield f"anonymize: {path!r} is done but has no file"
        elif row and not row["message"] and row["status"] != "skipped":
            yield f"anonymize: {path!r} is '{row['status']}' without a reason"
    bad = [row for row in rows.values() if row["status"] in ("no face", "not done")]
    if bad and result["status"] == 0:
        yield f"anonymize: {len(bad)} are not done, but the status is 0"


def _judge_audit(work, result):
    from p3mlib import io

    try:
        reports = {report["name"]: report for report in json.loads(result["out"])["images"]}
    except ValueError:
        if "no image" not in result["err"]:
            yield f"audit: no answer: {result['err'][-600:]}"
        return
    for path in _pictures(work / "out"):
        name = path.relative_to(work / "out").as_posix()
        if not name.startswith("facemask/") and not {name, io.printable(name)} & set(reports):
            yield f"audit: {path!r} is not in the answer"


def _judge_verify(work, result):
    from p3mlib import io

    refused = json.loads((work / "training.json").read_text()) if (work / "training.json").exists() else {}
    for name, why in refused.items():
        if io.printable(name) not in result["out"]:
            yield f"verify: says nothing of {name!r}, which training refuses: {why}"


def attempt(work, first, count, seed, timeout=1800):
    """Make files number `first` to `first + count - 1`, run the commands in a process of their own; returns the faults."""
    (work / "in").mkdir(parents=True)
    for number in range(first, first + count):
        make(work / "in", number, seed)
    dataset(work / "in", work / "data", seed)
    if first // max(1, count) % 2:
        (work / "faceless").touch()
    before = state(work / "in")
    command = [sys.executable, os.path.abspath(__file__), "--play", os.fspath(work)]
    with contextlib.suppress(subprocess.TimeoutExpired):
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout)
        faults = list(judge(work, before))
        return faults + [f"the process ended with {done.returncode}: {done.stderr[-1500:]}"] * bool(done.returncode)
    return [f"took more than {timeout} s"]


def main():
    """Try `--count` files in lots; prints the faults."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--lot", type=int, default=25, help="files in one process")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--play", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.play:
        return play(arguments.play)
    found, end = 0, arguments.first + arguments.count
    for first in range(arguments.first, end, arguments.lot):
        count = min(arguments.lot, end - first)
        with tempfile.TemporaryDirectory(prefix="fuzz-") as temporary:
            work = arguments.keep / str(first) if arguments.keep else Path(temporary)
            faults = attempt(work, first, count, arguments.seed)
        found += len(faults)
        print(f"files {first} to {first + count - 1}: {len(faults)} faults", *faults, sep="\n  ", flush=True)
    print(f"{arguments.count} files, {found} faults")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
