"""Figure 5: how trimap-free networks are put together, drawn from what a forward pass shows; only the layout is decided here."""

import torch

from p3mlib.drawing.network import COLOURS, INK, MUTED, RED, Canvas
from p3mlib.drawing.trace import groups
from p3mlib.models import build_model, count_parameters

# method: (model, options, group -> (colour, submodules))
NETWORKS = {
    "BASIC": (
        "p3mnet_resnet34",
        {"tfi": False, "sbfi": False, "dbfi": False},
        {
            "shared encoder": ("encoder", ["encoder"]),
            "segmentation decoder": ("semantic", ["semantic"]),
            "matting decoder": ("matting", ["matting", "detail"]),
        },
    ),
    "GFM": (
        "gfm",
        {},
        {
            "shared encoder": ("encoder", ["encoder"]),
            "glance decoder": ("semantic", ["bins", "bottleneck", "pyramid", "glance"]),
            "focus decoder": ("matting", ["bridge", "focus"]),
        },
    ),
    "MODNet": (
        "modnet",
        {},
        {
            "shared encoder": ("encoder", ["encoder"]),
            "semantic branch": ("semantic", ["semantic"]),
            "detail branch": ("matting", ["detail"]),
            "fusion branch": ("final", ["fusion"]),
        },
    ),
    "LF": (
        "lf",
        {},
        {
            "shared encoder": ("encoder", ["encoder"]),
            "foreground branch": ("semantic", ["foreground"]),
            "background branch": ("matting", ["background"]),
            "fusion": ("final", ["fusion"]),
        },
    ),
    "HATT": (
        "hatt",
        {},
        {
            "encoder": ("encoder", ["encoder"]),
            "attention": ("semantic", ["aspp", "attend_channels", "distil", "rows_first", "columns_first", "attend_places"]),
            "decoder": ("matting", ["low", "decoder", "head"]),
        },
    ),
    "SHM": ("shm", {}, {"T-Net": ("semantic", ["t_net"]), "M-Net": ("matting", ["m_net"])}),
}
WIDTH, ROW, HALF, BOX = 7.1, 1.12, 0.52, 0.3


def structures(width=0.0625):
    """Figure 5.

    Args:
        width: of the networks that are traced; arrows do not depend on it. Parameters are counted at width 1.
    Returns:
        Figure.
    """
    canvas = Canvas(None, WIDTH, ROW * len(NETWORKS) + 0.35)
    for i, (method, (model, options, parts)) in enumerate(NETWORKS.items()):
        members = {name: paths for name, (_, paths) in parts.items()}
        edges = groups(build_model(model, width=width, **options), members)
        with torch.device("meta"):
            whole = build_model(model, **options)
        sizes = {
            name: sum(count_parameters(whole.get_submodule(p), paper=False) for p in paths) for name, paths in members.items()
        }
        made_by = {source for source, target in edges if target in ("segmentation", "alpha")}
        kind = "two-stage" if _in_sequence(edges, list(members)) else "multi-task" if len(made_by) > 1 else "single-task"
        _draw(canvas, ROW * (len(NETWORKS) - i - 0.5), f"{method}\n{kind}", parts, sizes, edges)
    canvas.text(
        WIDTH / 2, ROW * len(NETWORKS) + 0.18, "Arrows: which part reads what another computed. Red: outputs.", color=MUTED
    )
    return canvas.figure


def _in_sequence(edges, parts):
    """True where no part feeds two others: one network after another."""
    return all(sum(source == part and target in parts for source, target in edges) <= 1 for part in parts)


def _places(parts, edges):
    """Column and height of every part; in a sequence one after another, else decoders above and below each other."""
    sequence = _in_sequence(edges, list(parts))
    columns = {"encoder": 1, "semantic": 1 if sequence else 2, "matting": 2, "final": 3}
    heights = {"encoder": 0, "semantic": 0.23, "matting": -0.23, "final": 0}
    found = {name: (columns[role], heights[role]) for name, (role, _) in parts.items()}
    return {"image": (0, 0), **found, "segmentation": (4, 0.23), "alpha": (4, -0.23 if sequence or len(parts) == 3 else 0)}


def _draw(canvas, middle, title, parts, sizes, edges):
    place = {name: (1.15 + 1.33 * column, middle + y) for name, (column, y) in _places(parts, edges).items()}
    canvas.text(0.1, middle, title, size=7.5, ha="left", linespacing=1.4)
    for source, target in edges:
        (x0, y0), (x1, y1) = place[source], place[target]
        color, end = INK if target in parts else RED, x1 - (HALF if target in parts else 0.45)
        if source == "image" and x1 - x0 > 1.5:  # below what lies between
            low = min(y1 - 0.06, middle - 0.29) if y1 < middle else middle - 0.48
            points = [(x0, y0 - 0.09), (x0, low), (end, low)]
            if y1 >= middle:
                points[2:] = [(x1, low), (x1, y1 - BOX / 2)]
            canvas.line(*points, color=color)
        elif x0 == x1:
            canvas.line((x0, y0 - BOX / 2), (x1, y1 + BOX / 2), color=color)
        else:
            canvas.line((x0 + (HALF if source in parts else 0.22), y0), (end, y1), color=color)
    for name, (x, y) in place.items():
        if name in parts:
            canvas.box(x, y, *COLOURS[parts[name][0]], half=HALF, height=BOX)
            canvas.text(x, y + 0.06, name)
            canvas.text(x, y - 0.07, f"{sizes[name] / 1e6:.2f} M", size=5.4, color=MUTED)
        else:
            canvas.text(x, y, name, color=RED if name != "image" else INK)
