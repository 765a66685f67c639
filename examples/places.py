"""Pictures without people for the profile `photo`, from packages of Debian: `python examples/places.py data/places`.

Wallpapers, panoramas and the textures of two games, under free licences; nothing of them is part of this project. Needs apt-get
and dpkg-deb; about 1.1 GB is fetched. What shows people (posters, paintings, figures of games) or no place (plain, cut out on
black) is left out by name or by its pixels; a look at what is left is the last word: `--sheet FILE.png` draws it.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

PACKAGES = (
    "extremetuxracer-data gnome-backgrounds lomiri-wallpapers-16.04 lomiri-wallpapers-20.04 mate-backgrounds "
    "plasma-workspace-wallpapers stellarium-data supertuxkart-data sway-backgrounds ukui-wallpapers"
).split()
ONLY = {"extremetuxracer-data": r"terrains|env|textures/.*(side|sky)", "stellarium-data": "landscapes"}
PEOPLE = r"/library/|/karts/|/gui/|stkflag|ainting|friends_by|Autumn|supertuxkart_1024|animal"
NO_PICTURES = r"[Nn]ormal|gloss|spec|_nm\.|mask|emit|icon|logo|font|particle|screenshot|_n\.|metal_map|pbr"
SIDE = 512  # pixels; the longer side of what is kept
THUMB = (96, 66)


def main():
    """Fetch, choose, and write `<package>_<number>.jpg` into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--packages", type=Path, help="folder of .deb files, kept; default: fetched for this once")
    parser.add_argument("--sheet", type=Path, help="draw all that was chosen, small, into this PNG")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        packages = arguments.packages or Path(scratch)
        chosen = [
            pair for name in tqdm(PACKAGES, unit="package") for pair in choose(unpacked(name, packages, Path(scratch)), name)
        ]
        arguments.folder.mkdir(parents=True, exist_ok=True)
        for number, (name, picture) in enumerate(chosen):
            cv2.imwrite(str(arguments.folder / f"{name}_{number:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    print(f"{len(chosen)} pictures in {arguments.folder}")
    if arguments.sheet:
        thumbs = [cv2.resize(picture, THUMB, interpolation=cv2.INTER_AREA) for _, picture in chosen]
        thumbs += [np.zeros_like(thumbs[0])] * (-len(thumbs) % 16)
        cv2.imwrite(str(arguments.sheet), np.vstack([np.hstack(thumbs[i : i + 16]) for i in range(0, len(thumbs), 16)]))


def unpacked(name, packages, scratch):
    """Folder with the files of a package of Debian, fetched into `packages` where it is not there."""
    if not list(packages.glob(f"{name}_*.deb")):
        packages.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "-q", name], cwd=packages, check=True)
    folder = scratch / name
    subprocess.run(["dpkg-deb", "-x", next(packages.glob(f"{name}_*.deb")), folder], check=True)
    return folder


def choose(folder, name):
    """List of (name, picture of at most SIDE px) of what shows a place; the same picture in other sizes and shades once."""
    seen, chosen = set(), []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder).as_posix()
        if path.suffix.lower() not in (".jpg", ".jpeg", ".png", ".webp") or path.stat().st_size < 60_000:
            continue
        if not re.search(ONLY.get(name, ""), inside) or re.search(f"{PEOPLE}|{NO_PICTURES}", inside):
            continue
        if name.startswith("plasma") and (family := path.parents[1]) in seen:  # one size of each
            continue
        picture = cv2.imread(str(path))
        if picture is None or min(picture.shape[:2]) < 240:
            continue
        small = cv2.resize(picture, (160, 110), interpolation=cv2.INTER_AREA)
        look = (cv2.resize(small, (8, 8), interpolation=cv2.INTER_AREA) // 16).tobytes()
        if look in seen or small.std() < 12 or (small.max(2) < 8).mean() > 0.25:
            continue
        seen |= {look, family} if name.startswith("plasma") else {look}
        scale = min(1, SIDE / max(picture.shape[:2]))
        chosen.append((name, cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)))
    return chosen


if __name__ == "__main__":
    main()
