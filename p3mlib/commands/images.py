"""Commands on images: rendering, checking, anonymising."""

import json
import sys
from pathlib import Path
from typing import Annotated, Literal

from typer import Argument, Option

from p3mlib.commands.options import Folder, Jobs, Json, SmallestFace, between, not_done, profile_names


def synth(
    folder: Folder,
    profile: Annotated[str, Option(help="takes size, counts and seed from it", autocompletion=profile_names)] = "laptop",
    size: Annotated[tuple[int, int] | None, Option(metavar="H W", help="of the images in pixels")] = None,
    count: Annotated[int | None, Option(min=1, help="training images; the test sets shrink or grow in proportion")] = None,
    seed: Annotated[int | None, Option(min=0, help="of the whole benchmark")] = None,
    jobs: Jobs = None,
):
    """render P3M-Synth into a folder, in the layouts of the real data sets"""
    from p3mlib.experiments import config
    from p3mlib.synthetic import dataset

    data = config.load().profile(profile).data
    counts = dict(data.counts)
    if count is not None:
        counts = {name: max(1, round(n * count / counts["train"])) for name, n in counts.items()}
    dataset.write_all(folder, counts, tuple(size or data.size), data.seed if seed is None else seed, jobs)
    print(f"{folder}: {', '.join(f'{n} {name}' for name, n in counts.items())}")


def verify(folder: Folder):
    """name damaged, missing, mis-sized and mismatched files of a data set"""
    from p3mlib.data.verify import remarks, verify
    from p3mlib.io import printable

    problems = verify(folder)
    for text in remarks(folder):
        print(f"{'note':11} {text}")
    for problem in problems:
        print(f"{problem.kind:11} {printable(problem.path)}: {printable(problem.message)}")
    print(f"{folder}: {len(problems) or 'no'} problem{'s' * (len(problems) != 1)}")
    return 1 if problems else 0


def layers(
    folder: Folder,
    jobs: Jobs = None,
    limit: Annotated[int | None, Option(min=1, help="only the first so many images")] = None,
):
    """estimate foreground and background colours of a real P3M-10k folder, which training needs"""
    from p3mlib.data.foreground import write_layers

    return not_done(write_layers(folder, jobs, limit))


def anonymize(
    source: Annotated[Path, Argument(metavar="SRC", help="folder, searched in depth, or one photo")],
    target: Annotated[Path, Argument(metavar="DST", help="folder; gets the photos, facemask/ and report.csv")],
    method: Annotated[Literal["blur", "mosaic", "mask"], Option(help="how faces are hidden")] = "blur",
    strength: Annotated[
        float | None,
        Option(callback=between(0.001, 1), help="sigma or cell over the face's size, to 1; default 0.2 (blur), 0.25 (mosaic)"),
    ] = None,
    region: Annotated[Literal["hull", "paper"], Option(help="paper: its polygon alone, open on turned heads")] = "hull",
    margin: Annotated[float, Option(callback=between(0, 2), help="grow the area by this share of the face's size, 0 to 2")] = 0.0,
    alpha: Annotated[
        Path | None, Option(metavar="DIR", help="mattes: their transition area stays as it is, as in the paper")
    ] = None,
    landmarks: Annotated[Path | None, Option(metavar="DIR", help="NAME.json or NAME.png for faces that detectors miss")] = None,
    smallest_face: SmallestFace = 24,
    keep_faceless: Annotated[bool, Option("--keep-faceless", help="write photos without a face too")] = False,
    force: Annotated[bool, Option("--force", help="allow strengths at which people are recognised")] = False,
    jobs: Jobs = None,
):
    """obfuscate the faces in photos and write them without any metadata"""
    from p3mlib.privacy.folder import OPEN_ENDS, REPORT, Settings, anonymize_folder

    options = {"alpha": alpha, "landmarks": landmarks, "keep_faceless": keep_faceless, "force": force}
    settings = Settings(method=method, strength=strength, region=region, margin=margin, smallest=smallest_face, **options)
    report = anonymize_folder(source, target, settings, jobs)
    if region == "paper":
        print("region paper: on a turned head its polygon leaves eyes, nose and mouth open")
    print(f"faces under {smallest_face:g} px from cheek to cheek are not looked for")
    open_ends = report[report["status"].isin(OPEN_ENDS)]
    for message in report.loc[report["message"] != "", "message"]:
        print(message, file=sys.stderr)
    done, whole = (report["status"] == "done").sum(), (report["area"] == "whole (no matte)").sum()
    print(f"{done} of {(report['status'] != 'not used').sum()} done, {whole} without a matte: the whole area is obfuscated there")
    print(f"{target / REPORT}: {len(open_ends)} images or files need a person")
    return 1 if len(open_ends) else 0


def audit(
    folder: Annotated[Path | None, Argument(metavar="FOLDER", help="searched in depth; may be left out with --attack")] = None,
    original: Annotated[
        Path | None, Option(metavar="DIR", help="the images before, same names: measures identity and detail")
    ] = None,
    attack: Annotated[
        bool, Option("--attack", help="also train networks to undo obfuscations; report what they recover")
    ] = False,
    size: Annotated[Literal["smoke", "laptop"], Option(help="of the attack")] = "laptop",
    smallest_face: SmallestFace = 24,
    jobs: Jobs = None,
    as_json: Json = False,
):
    """say what anonymised images still give away: metadata, identity, masks not applied, open rims"""
    from tqdm import tqdm

    from p3mlib.privacy import audit

    if not (folder or attack):
        raise ValueError("audit what? Name a folder of images, or pass --attack")
    images = audit.audit_folder(folder, original, smallest_face, jobs) if folder else []
    reports, rows = [], []
    try:
        for report in tqdm(images, desc="audit", unit="image", disable=as_json or not folder):
            reports.append(report)
    except KeyboardInterrupt:
        if reports and not as_json:
            print(audit.as_text(reports))
        raise
    if attack:
        from p3mlib.privacy.attack import as_table, attack_table

        rows = attack_table(size)
    if as_json:
        print(json.dumps({"images": [audit.as_dict(report) for report in reports], "attack": rows}, indent=1))
    else:
        print("\n\n".join(([audit.as_text(reports)] if reports else []) + ([as_table(rows)] if rows else [])))
    return 1 if any(report.leaks or report.failure for report in reports) else 0
