"""The reconstruction attack: a small network learns to undo an obfuscation, and shows what it left in the picture.

The attacker knows method, strength and face mask, and trains on other faces (P3M-Synth) than the ones attacked. What the
attack on "mask" reaches is guessed from the surroundings alone; only what others recover beyond that leaked from the face.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from p3mlib.anonymize import METHODS, obfuscate, private_area
from p3mlib.bars import tqdm
from p3mlib.privacy.faces import Face, embedding, identity_distance
from p3mlib.synthetic.portrait import photograph, render_portrait

SETTINGS = [("blur", s) for s in (0.02, 0.05, 0.1, 0.2, 0.3)] + [("mosaic", s) for s in (1 / 16, 1 / 8, 1 / 4)] + [("mask", None)]
SIZES = {"smoke": (24, 8, 10), "laptop": (128, 48, 60)}  # training faces, held-out faces, steps
SIDE = 64  # pixels of a crop; the face takes two thirds of it
_MARGIN = 1.5
_BATCH, _WIDTHS, _FINE, _RATE = 12, (24, 40, 64), 8, 4e-3
_FLAT = 1e-4  # spread of luminance below which nothing is to be told
_PEOPLE = 10**6  # between the first training person of two seeds; held-out people start half way
_seeding = threading.Lock()  # of the one generator that weights are drawn from


class Faces(NamedTuple):
    """Face crops: images (N, S, S, 3) float32 in [0, 1]; masks (N, S, S) bool, the private area of each."""

    images: np.ndarray
    masks: np.ndarray


class Recovery(NamedTuple):
    """What an attack recovers from held-out faces, inside their masks.

    psnr_obfuscated, psnr_attack, psnr_mean: PSNR in dB to the original of the obfuscated picture, of the reconstruction and of
    the training faces' mean. rank1_obfuscated, rank1_attack: share in [0, 1] of pictures nearest to their own original;
    chance: 1 / N. default: whether this is the strength that `anonymize.obfuscate` takes by itself.
    """

    method: str
    strength: float | None
    default: bool
    psnr_obfuscated: float
    psnr_attack: float
    psnr_mean: float
    rank1_obfuscated: float
    rank1_attack: float
    chance: float


def crop_face(image, landmarks, side=SIDE):
    """A square around the face, half again as large as the face, and its private area.

    Args:
        image:     (H, W, 3) float32 in [0, 1]; continued by reflection where the square leaves it.
        landmarks: (68, 2) float, x and y in pixels. side: of the crop in pixels.
    Returns:
        crop (side, side, 3) float32, mask (side, side) bool (the hull), landmarks (68, 2) in the crop.
    """
    low, high = np.min(landmarks, axis=0), np.max(landmarks, axis=0)
    half = max(2, int(np.ceil(_MARGIN * (high - low).max() / 2)))
    left, top = (np.rint((low + high) / 2) - half).astype(int)
    x, y = (_reflected(np.arange(2 * half) + start, size) for start, size in zip((left, top), image.shape[1::-1], strict=True))
    crop = cv2.resize(image[np.ix_(y, x)], (side, side), interpolation=cv2.INTER_AREA if 2 * half > side else cv2.INTER_LINEAR)
    points = (np.asarray(landmarks, np.float64) - (left, top) + 0.5) * side / (2 * half) - 0.5
    return crop, private_area(points, (side, side), "hull"), points


def _reflected(index, size):
    """Indices beyond 0..size-1, reflected at the border."""
    index = np.mod(index, 2 * size)
    return np.where(index < size, index, 2 * size - 1 - index)


def synthetic_faces(count, seed, side=SIDE):
    """Crops of `count` synthetic faces, close-ups of P3M-Synth; every seed is another person.

    Args:
        count: >= 1. seed: of the first person; the next ones follow. side: of the crops in pixels.
    Returns:
        Faces.
    """
    crops = []
    for person in range(seed, seed + count):
        portrait = render_portrait(person, (3 * side // 2,) * 2, "CelebA")
        crops.append(crop_face(photograph(portrait, person), portrait.landmarks, side)[:2])
    return Faces(*(np.stack(column) for column in zip(*crops, strict=True)))


def hide(faces, method, strength):
    """The faces as published: obfuscated inside their masks and rounded to 8 bits. (N, S, S, 3) float32."""
    hidden = [obfuscate(image, mask, method, strength) for image, mask in zip(*faces, strict=True)]
    return np.rint(np.stack(hidden) * 255).astype(np.float32) / 255


class Inverter(nn.Module):
    """A U-Net that corrects a picture inside the mask; for speed it sees 2 x 2 pixels as channels until the last layers."""

    def __init__(self, widths=_WIDTHS):
        super().__init__()
        self.down = nn.ModuleList(_block(i, o) for i, o in zip([16, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_block(i + o, o) for i, o in zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.whole = nn.Conv2d(widths[0], 4 * _FINE, 1)
        self.out = nn.Sequential(nn.Conv2d(_FINE + 4, 16, 5, padding=2), nn.SiLU(), nn.Conv2d(16, 3, 3, padding=1))

    def forward(self, image, mask):
        """image (B, 3, S, S) and mask (B, 1, S, S) in [0, 1], S a multiple of 8 -> (B, 3, S, S)."""
        given, seen = torch.cat([image - 0.5, mask], 1), []
        x = F.pixel_unshuffle(given, 2)
        for i, block in enumerate(self.down):
            x = block(F.avg_pool2d(x, 2) if i else x)
            seen.append(x)
        for block, skip in zip(self.up, seen[-2::-1], strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0), skip], 1))
        return image + mask * self.out(torch.cat([F.pixel_shuffle(self.whole(x), 2), given], 1))


def _block(before, after):
    layers = [nn.Conv2d(before, after, 3, padding=1), nn.GroupNorm(4, after), nn.SiLU()]
    return nn.Sequential(*layers, nn.Conv2d(after, after, 3, padding=1), nn.SiLU())


def train_inverter(method, strength, faces, steps, seed):
    """Train a network to undo one obfuscation.

    Args:
        method, strength: see `anonymize.obfuscate`. faces: Faces to train on, shown mirrored as well.
        steps: of batches of 12. seed: of weights and batches; equal seeds give equal networks on one machine.
    Returns:
        Inverter in eval mode.
    Raises:
        ValueError: fewer than one face or one step; method or strength as in `anonymize.obfuscate`.
    """
    if len(faces.images) < 1 or steps < 1:
        raise ValueError(f"{len(faces.images)} faces and {steps} steps: the attack needs at least one of each")
    mirrored = Faces(*(np.concatenate([a, a[:, :, ::-1]]) for a in faces))
    hidden = _tensor(hide(mirrored, method, strength))
    original, masks = _tensor(mirrored.images), torch.from_numpy(mirrored.masks[:, None]).float()
    with _seeding, torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Inverter().to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam(network.parameters(), _RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        pick = torch.randint(len(original), (_BATCH,), generator=generator)
        error = network(hidden[pick], masks[pick]) - original[pick]
        loss = (error.abs() * masks[pick]).sum() / masks[pick].sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return network.eval()


def _tensor(images):
    return torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


def reconstruct(network, hidden, masks):
    """Undo the obfuscation: (N, S, S, 3) float32 and (N, S, S) bool -> (N, S, S, 3) float32 in [0, 1]."""
    with torch.inference_mode():
        result = network(_tensor(hidden), torch.from_numpy(masks[:, None]).float())
    return result.clamp(0, 1).permute(0, 2, 3, 1).contiguous().numpy()


def psnr(pictures, faces):
    """Mean over the faces of the PSNR in dB inside their masks; pictures (N, S, S, 3) in [0, 1], faces as they are."""
    errors = [((a - b)[mask] ** 2).mean() for a, b, mask in zip(pictures, *faces, strict=True)]
    return float(np.mean(-10 * np.log10(np.maximum(errors, 1e-10))))


def rank1(pictures, faces, mean):
    """Share of pictures that are nearest to their own original.

    Nearest is the highest correlation, over the pixels that both masks cover, of luminance brought to zero mean and unit spread,
    less that of the mean face: features count, not skin colour nor exposure, which the surroundings show anyway.

    Args:
        pictures: (N, S, S, 3) in [0, 1]; faces: Faces, the originals in the same order; mean: (S, S, 3), the mean face.
    Returns:
        float in [0, 1]; ties count as misses.
    """
    inside = faces.masks.reshape(len(pictures), -1).astype(float)
    a, b, m = (np.asarray(x, float).mean(-1).reshape(len(x), -1) for x in (pictures, faces.images, mean[None]))
    count = inside @ inside.T

    def shared(of_first, of_second=1.0):
        """Mean over the pixels that masks i and j share, (N, N), of a product of what belongs to picture i and to original j."""
        return (inside * of_first) @ (inside * of_second).T / count

    mean_a, mean_b, mean_m = shared(a), shared(1.0, b), shared(m)
    squares = (shared(a * a), mean_a), (shared(1.0, b * b), mean_b), (shared(m * m), mean_m)
    spread_a, spread_b, spread_m = (np.sqrt(np.maximum(square - mean**2, 0)) for square, mean in squares)
    ab = _correlation(shared(a, b) - mean_a * mean_b, spread_a, spread_b)
    am = _correlation(shared(a * m) - mean_a * mean_m, spread_a, spread_m)
    bm = _correlation(shared(1.0, b * m) - mean_b * mean_m, spread_b, spread_m)
    told_a, told_b, told_m = (np.float64(spread > _FLAT) for spread in (spread_a, spread_b, spread_m))
    of_features_a, of_features_b = told_a + told_m - 2 * am, told_b + told_m - 2 * bm  # variances of a - m and b - m
    known = (told_a > 0) & (of_features_a > _FLAT) & (of_features_b > _FLAT)
    scores = np.where(known, (ab - am - bm + told_m) / np.sqrt(np.where(known, of_features_a * of_features_b, 1)), 0)
    best = scores == scores.max(1, keepdims=True)
    return float((best.diagonal() & (best.sum(1) == 1)).mean())


def _correlation(covariance, first, second):
    """Zero where one of the two is flat."""
    known = (first > _FLAT) & (second > _FLAT)
    return np.where(known, covariance / np.where(known, first * second, 1), 0)


def reconstruction_attack(method, strength, faces, steps, seed=0):
    """Train an attack on some faces, run it on others, and measure what it recovers.

    Args:
        method, strength: see `anonymize.obfuscate`; strength None is the default.
        faces: pair of Faces, to train on and held out. steps, seed: see `train_inverter`.
    Returns:
        Recovery, and the Inverter.
    Raises:
        ValueError: as `train_inverter`, or fewer than two held-out faces.
    """
    known, unknown = faces
    if len(unknown.images) < 2:
        raise ValueError(f"{len(unknown.images)} held-out faces: telling people apart takes at least two")
    network = train_inverter(method, strength, known, steps, seed)
    hidden, mean = hide(unknown, method, strength), known.images.mean(0)
    guess = reconstruct(network, hidden, unknown.masks)
    levels = [psnr(pictures, unknown) for pictures in (hidden, guess, np.repeat(mean[None], len(hidden), 0))]
    found = [rank1(pictures, unknown, mean) for pictures in (hidden, guess)]
    default = strength is None or strength == METHODS[method]
    return Recovery(method, strength or METHODS[method], default, *levels, *found, 1 / len(hidden)), network


def attack_table(size="laptop", seed=0, photo=None, settings=SETTINGS):
    """The attack on every method and strength.

    Args:
        size:     key of SIZES, or (training faces, held-out faces, steps).
        seed:     of faces, weights and batches.
        photo:    (image (H, W, 3) float in [0, 1], faces.Face): a real face to attack as well, with networks trained on synthetic
                  faces; adds `identity_obfuscated` and `identity_attack`, dlib's distance to the photo, under 0.6 "same person".
        settings: pairs of method and strength.
    Returns:
        list of dict, a row per setting: the fields of Recovery, and the two of the photo.
    Raises:
        ValueError: unknown size, too few faces. ImportError: a photo is given and dlib is missing.
    """
    if isinstance(size, str) and size not in SIZES:
        raise ValueError(f"no size '{size}'; there are {', '.join(SIZES)}, or pass (training faces, held-out faces, steps)")
    train, held, steps = SIZES[size] if isinstance(size, str) else size
    faces = synthetic_faces(train, seed * _PEOPLE), synthetic_faces(held, seed * _PEOPLE + _PEOPLE // 2)
    rows = []
    with ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,)) as side_by_side:
        attacks = side_by_side.map(lambda setting: reconstruction_attack(*setting, faces, steps, seed), settings)
        for (method, strength), (recovery, network) in zip(
            settings, tqdm(attacks, desc="attack", total=len(settings), unit="setting"), strict=True
        ):
            rows.append(recovery._asdict() | (attack_photo(network, method, strength, *photo) if photo else {}))
    return rows


def attack_photo(network, method, strength, image, face):
    """Obfuscate a real face at the attack's resolution, undo it, and measure the identity of both.

    Returns:
        dict with `identity_obfuscated` and `identity_attack`: dlib's distance to the photo. Errors as in `faces.embedding`.
    """
    crop, mask, points = crop_face(np.asarray(image, np.float32), face.landmarks)
    one = Faces(crop[None], mask[None])
    hidden = hide(one, method, strength)
    target = embedding(image, face)
    pictures = {"identity_obfuscated": hidden[0], "identity_attack": reconstruct(network, hidden, one.masks)[0]}
    return {key: identity_distance(target, crop_embedding(picture, points)) for key, picture in pictures.items()}


def crop_embedding(crop, points):
    """dlib's embedding (128,) of a crop with landmarks (68, 2), fourfold enlarged: dlib rounds landmarks to whole pixels."""
    large = cv2.resize(crop, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC).clip(0, 1)
    points = 4 * points + 1.5
    return embedding(large, Face(points, (*points.min(0), *points.max(0)), 1.0, "manual"))


def as_table(rows):
    """The rows of `attack_table` as text, the default strengths marked, with what the columns mean."""
    lines = ["method  strength    PSNR obfuscated  attack  mean face   rank-1 obfuscated  attack  chance"]
    photo = "identity_attack" in rows[0]
    lines[0] += "   identity obfuscated  attack" * photo
    for r in rows:
        strength = "" if r["strength"] is None else f"{r['strength']:.4g}"
        line = f"{r['method']:6}  {strength:6} {'*' if r['default'] else ' '}"
        line += f"    {r['psnr_obfuscated']:12.1f} dB {r['psnr_attack']:7.1f}"
        line += f" {r['psnr_mean']:10.1f}   {r['rank1_obfuscated']:17.0%} {r['rank1_attack']:7.0%} {r['chance']:7.0%}"
        lines.append(line + (f"   {r['identity_obfuscated']:19.2f} {r['identity_attack']:7.2f}" if photo else ""))
    lines.append("* the default. What the attack on 'mask' reaches is guessed from the surroundings; only more than that leaked.")
    return "\n".join(lines)
