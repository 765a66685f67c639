"""Data -> matplotlib Figure, in one style; and the one place that saves figures."""

import io

import cv2
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from PIL import Image

from p3mlib import paths
from p3mlib.io import atomic_path

WIDTH = 7.0  # inches: two columns of the journal
PNG_BYTES = 200_000
GREEN, PURPLE, BLUE = (0.15, 0.85, 0.25), (0.55, 0.20, 0.75), (0.35, 0.75, 0.95)
STYLE = {
    "figure.dpi": 110,
    "savefig.facecolor": "white",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlepad": 3,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
}
PALETTE = sns.color_palette("colorblind")


def use_style():
    """Set the project's matplotlib style for this process; notebooks call it once."""
    plt.rcParams.update(STYLE)


def save(figure, name, profile):
    """Write PNG (at most 200 KB, see `png_bytes`) and PDF into the profile's figures folder.

    Args:
        name: number of the paper's figure, for `figure_<NN>`; or any other name.

    Returns:
        path of the PNG.
    """
    stem = paths.figures(profile) / (f"figure_{name:02d}" if isinstance(name, int) else name)
    with atomic_path(stem.with_suffix(".png")) as partial:
        partial.write_bytes(png_bytes(figure))
    with atomic_path(stem.with_suffix(".pdf")) as partial:
        figure.savefig(partial, dpi=150, bbox_inches="tight", pad_inches=0.03, metadata={"CreationDate": None, "Producer": None})
    return stem.with_suffix(".png")


def png_bytes(figure, limit=PNG_BYTES):
    """The figure as PNG of at most `limit` bytes, without metadata.

    Where it is too large, resolution falls, and at each resolution 256 dithered colours are tried before the next.

    Raises:
        ValueError: even 60 dpi is too large.
    """
    for dpi in (220, 180, 150, 120, 100, 80, 60):
        full, small = io.BytesIO(), io.BytesIO()
        figure.savefig(full, format="png", dpi=dpi, bbox_inches="tight", pad_inches=0.03, metadata={"Software": None})
        if full.tell() <= limit:
            return full.getvalue()
        picture = Image.open(full).convert("RGB")
        picture.quantize(palette=picture.quantize(256), dither=Image.Dither.FLOYDSTEINBERG).save(small, "PNG", optimize=True)
        if small.tell() <= limit:
            return small.getvalue()
    raise ValueError(f"{small.tell()} bytes at {dpi} dpi; make the figure smaller than {limit} bytes")


def show(ax, picture, title=""):
    """Draw an image (H, W, 3), a matte (H, W) in [0, 1] or a mask on axes without ticks."""
    ax.imshow(np.clip(np.asarray(picture, float), 0, 1), cmap="gray", vmin=0, vmax=1, interpolation="lanczos")
    ax.set_title(title)
    ax.set_axis_off()


def picture_grid(rows, titles=(), labels=(), width=WIDTH):
    """Pictures in a grid.

    Args:
        rows:   list of lists of pictures (H, W, 3) or (H, W); None leaves a cell empty.
        titles: of the columns. labels: of the rows, written upright at the left.
        width:  in inches; the height follows from the pictures.
    Returns:
        Figure.
    """
    columns = max(map(len, rows))
    first = next(p for row in rows for p in row if p is not None)
    cell = width / columns
    height = cell * first.shape[0] / first.shape[1] * len(rows) + (0.2 if titles else 0.02)
    figure, axes = plt.subplots(len(rows), columns, figsize=(width, height), squeeze=False, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)
    for r, row in enumerate(rows):
        for c in range(columns):
            picture = row[c] if c < len(row) else None
            if picture is None:
                axes[r, c].set_axis_off()
            else:
                show(axes[r, c], picture, titles[c] if r == 0 and c < len(titles) else "")
        if r < len(labels):
            axes[r, 0].text(-0.06, 0.5, labels[r], rotation=90, va="center", ha="center", transform=axes[r, 0].transAxes)
    return figure


def dataset_samples(top, bottom, columns=8):
    """Figure 2: blurred training and validation images above, un-blurred ones below.

    Args:
        top, bottom: lists of (H, W, 3) images; two whole rows of `columns` are shown.
    """

    def rows(pictures):
        return [pictures[i : i + columns] for i in range(0, len(pictures) - columns + 1, columns)][:2]

    above, below = rows(top), rows(bottom)
    labels = ["blurred"] * len(above) + ["un-blurred"] * len(below)
    return picture_grid(above + below, labels=labels)


def beside_truth(groups):
    """Figures 1 and 8: images, the mattes predicted for them, and the true ones, one line a group.

    Args:
        groups: dict label -> list of (image (H, W, 3), matte (H, W), true matte (H, W)).
    """
    rows = [[picture for triple in triples for picture in triple] for triples in groups.values()]
    return picture_grid(rows, ["image", "alpha", "truth"] * max(map(len, groups.values())), list(groups))


def blurring_steps(portraits):
    """Figure 3: from the original to the anonymised portrait in six steps, a row for each portrait.

    Args:
        portraits: list of (image, landmarks, steps): (H, W, 3), (68, 2) x, y in pixels, anonymize.Anonymized of that image.
    Returns:
        Figure.
    """
    titles = ("original", "landmarks", "private area", "transition area", "private without transition", "blurred")
    heights = [image.shape[0] / image.shape[1] for image, *_ in portraits]
    size = (1.6 * WIDTH, 1.6 * WIDTH / 6 * sum(heights) + 0.5)
    figure, axes = plt.subplots(len(portraits), 6, figsize=size, height_ratios=heights, squeeze=False, layout="constrained")
    for r, (row, (image, landmarks, steps)) in enumerate(zip(axes, portraits, strict=True)):
        private, transition, masked = (steps.private, PURPLE), (steps.transition, BLUE), (steps.facemask, PURPLE)
        for step, masks in enumerate(((), (), (private,), (private, transition), (masked,), ())):
            shown = (steps.image if step == 5 else image).copy()
            for mask, colour in masks:
                shown[mask] = 0.45 * shown[mask] + 0.55 * np.array(colour)
            show(row[step], shown, "" if r else f"({step + 1}) {titles[step]}")
            if step == 1:
                row[step].scatter(*landmarks.T, s=7, color=GREEN, linewidths=0)
    return figure


def close_up_boxes(alpha, facemask, error, side):
    """Where to look closer, chosen by rule: colour -> (row, column) of the corner of a square of `side` pixels.

    Red: the middle of the blurred face. Blue: the largest sum of `error` away from face and transition area. Green and yellow:
    most transition pixels, twice without overlap.

    Args:
        alpha: (H, W) in [0, 1]. facemask: (H, W) bool. error: (H, W), of one method's alpha.
    """
    soft = ((alpha > 0.02) & (alpha < 0.98)).astype(np.float32)

    def densest(weight, taken=()):
        sums = cv2.boxFilter(weight, -1, (side, side), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT)
        sums = sums[: alpha.shape[0] - side + 1, : alpha.shape[1] - side + 1].copy()
        for y, x in taken:
            sums[max(0, y - side) : y + side, max(0, x - side) : x + side] = -1
        return tuple(int(i) for i in np.unravel_index(sums.argmax(), sums.shape))

    red = densest(facemask.astype(np.float32))
    blue = densest(error * (1 - cv2.dilate(np.maximum(soft, facemask.astype(np.float32)), np.ones((5, 5)))), [red])
    green = densest(soft, [red, blue])
    return {"red": red, "blue": blue, "limegreen": green, "gold": densest(soft, [red, blue, green])}


def variants(image, mattes, boxes, side):
    """Figure 7: an image and the mattes of several networks, the same close-ups under each.

    Args:
        image: (H, W, 3). mattes: {name: (H, W)}. boxes: colour -> corner, see `close_up_boxes`. side: of the boxes in pixels.
    """
    pictures = {"image": image, **mattes}
    shape = {"height_ratios": [2 * image.shape[0] / image.shape[1], 1, 1], "hspace": 0.03, "wspace": 0.03}
    figure, axes = plt.subplots(3, 2 * len(pictures), figsize=(WIDTH, WIDTH * 0.52), gridspec_kw=shape)
    for k, (name, picture) in enumerate(pictures.items()):
        for ax in axes[0, 2 * k : 2 * k + 2]:
            ax.remove()
        whole = figure.add_subplot(axes[0, 0].get_gridspec()[0, 2 * k : 2 * k + 2])
        show(whole, picture, name.replace("P3M-Net ", "P3M-Net\n"))
        for ax, (color, (y, x)) in zip(axes[1:, 2 * k : 2 * k + 2].flat, boxes.items(), strict=True):
            whole.add_patch(plt.Rectangle((x - 0.5, y - 0.5), side, side, fill=False, color=color, lw=1))
            show(ax, picture[y : y + side, x : x + side])
            ax.axis("on")
            ax.set(xticks=[], yticks=[])
            plt.setp(ax.spines.values(), color=color, lw=1.5, visible=True)
    return figure


def face_mask(face):
    """Figure 10: an image of CelebAMask-HQ, its parts with the line above the brows, the face mask, and the face.

    Args:
        face: item of `celeba.Faces`.
    """
    parts, brows = face["parts"], [face["parts"][name] for name in ("l_brow", "r_brow") if name in face["parts"]]
    drawn = np.zeros_like(face["image"])
    order = sorted(parts, key=lambda name: -parts[name].sum())  # small ones over large ones
    for name, color in zip(order, sns.color_palette("husl", len(order)), strict=True):
        drawn[parts[name]] = color
    mask = face["facemask"]
    pictures = [face["image"], drawn, mask, face["image"] * mask[..., None]]
    figure = picture_grid([pictures], ["source", "parts, upper edge of the brows", "face mask", "face"], width=WIDTH)
    if brows:
        line = min(np.flatnonzero(brow.any(1))[0] for brow in brows) - 0.5
        figure.axes[1].axhline(line, color="red", lw=1.5)
    return figure


def comparison(samples, mattes, errors=False):
    """Figures 12 to 14: the same images for every method, beside the true matte.

    Args:
        samples: list of dicts with `name`, `image` (H, W, 3), `alpha` (H, W). mattes: {method: {name: (H, W)}}.
        errors:  show |matte - alpha| instead of mattes.
    Raises:
        ValueError: no sample. KeyError: a method lacks one of the images.
    """
    if not samples:
        raise ValueError("no sample to show")

    def cell(found, sample):
        return np.abs(found[sample["name"]] - sample["alpha"]) if errors else found[sample["name"]]

    rows = [[s["image"], s["alpha"], *(cell(found, s) for found in mattes.values())] for s in samples]
    return picture_grid(
        rows, titles=["image", "truth", *(name.replace("P3M-Net ", "P3M-Net\n").replace("+", "\n+") for name in mattes)]
    )


def error_bars(summary, paper, order, metric="SAD", ylabel="SAD"):
    """Ours with 95% intervals beside the paper's values, one group a method.

    Args:
        summary: dict (method, dataset, setting, metric) -> (mean, low, high). paper: dict (method, dataset) -> value.
        order:   methods from left to right.
    Returns:
        Figure with one panel a data set that has the metric.
    """
    sets = list(dict.fromkeys(key[1:3] for key in summary if key[0] in order and key[3] == metric))
    figure, axes = plt.subplots(1, len(sets), figsize=(WIDTH, 2.4), squeeze=False, sharey=True, layout="constrained")
    for ax, (dataset, setting) in zip(axes[0], sets, strict=True):
        x = np.arange(len(order))
        cells = [summary.get((m, dataset, setting, metric), (np.nan,) * 3) for m in order]
        mean, low, high = np.array(cells, float).T
        ax.bar(x - 0.2, mean, 0.38, yerr=[mean - low, high - mean], color=PALETTE[0], label="ours", error_kw={"lw": 0.8})
        ax.bar(x + 0.2, [paper.get((m, dataset), np.nan) for m in order], 0.38, color=PALETTE[7], label="paper")
        ax.set_xticks(x, [m.replace("BASIC+", "+") for m in order], rotation=20, ha="right")
        ax.set_title(f"{dataset} ({setting})")
    axes[0, 0].set_ylabel(ylabel)
    axes[0, 0].legend()
    return figure


VERDICT_COLOURS = {"PASS": PALETTE[2], "FAIL": PALETTE[3], "undecided": PALETTE[8], "not run": (0.75, 0.75, 0.75)}


def scoreboard(board, columns=3):
    """Claims as bars: how often each holds on tables from images and seeds drawn anew; a tick marks chance.

    Args:
        board: DataFrame of `claims.scoreboard`. columns: side by side.
    Returns:
        Figure.
    """
    rows = -(-len(board) // columns)
    figure, axes = plt.subplots(1, columns, figsize=(WIDTH, 0.5 + 0.135 * rows), sharex=True, squeeze=False, layout="constrained")
    for i, ax in enumerate(axes[0]):
        part = board.iloc[i * rows : (i + 1) * rows]
        y = np.arange(len(part))
        colours = [VERDICT_COLOURS[verdict] for verdict in part["verdict"]]
        ax.barh(y, 1, color=colours, alpha=0.2, height=0.8, lw=0)
        ax.barh(y, part["held"].fillna(0), color=colours, height=0.8)
        ax.scatter(part["chance"], y, marker="|", s=28, color="black", lw=1.2, zorder=3)
        ax.set_yticks(y, part["claim"], fontsize=6.5)
        ax.tick_params(length=0)
        ax.set(ylim=(rows - 0.4, -0.6), xlim=(-0.03, 1.03), xticks=[0, 0.5, 1], xticklabels=["0", "50%", "100%"])
        ax.spines[["left", "bottom"]].set_visible(False)
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in VERDICT_COLOURS.values()]
    handles.append(plt.Line2D([], [], marker="|", color="black", ls="", markersize=6))
    figure.legend(handles, [*VERDICT_COLOURS, "chance"], loc="outside upper center", ncols=5)
    figure.supxlabel("share of resampled tables where the claim holds", fontsize=8)
    return figure
