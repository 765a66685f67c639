"""Figure 4: the network, drawn from what `trace.trace` saw; only the layout is decided here."""

from collections import Counter
from itertools import pairwise

import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from p3mlib.drawing.trace import BLOCKS, trace

# Coordinates are inches.
INK, MUTED, RED, SHALLOW, DEEP = "#333333", "#858585", "#C8102E", "#2E93C4", "#0B2F4E"  # the last two: E0, E4
MODULE = ("#65468E", "#EBE3F3")
COLOURS = {"encoder": ("#2B6798", "#DCE9F4"), "semantic": ("#13795B", "#DCF0E8"), "matting": ("#A9690A", "#FBECD2")}
COLOURS |= {"final": COLOURS["matting"], "tfi": MODULE, "sbfi": MODULE, "dbfi": MODULE}
SHAFT = 2.56  # of E0, between the lanes
LANES = {"encoder": 1.33, "matting": 3.74, "semantic": 5.97}  # centres
HALF, BOX, ROW, STEP = 0.8, 0.18, 0.258, 0.222  # half width and height of a box; pitch; from a box to a change of scale
DOTTED = (0, (1, 1.6))


class Canvas:
    """Axes in inches with the few shapes that both diagrams use.

    Args:
        ax: axes to draw into, or None for a new figure. width, height: in inches.
    """

    def __init__(self, ax, width, height):
        if ax is None:
            ax = plt.figure(figsize=(width, height)).add_axes((0, 0, 1, 1))
        ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
        ax.set_axis_off()
        self.ax, self.figure = ax, ax.figure

    def text(self, x, y, text, size=6.2, color=INK, ha="center", **style):
        style = {"family": "DejaVu Sans", "va": "center", "zorder": 6} | style
        self.ax.text(x, y, text, fontsize=size, color=color, ha=ha, **style)

    def box(self, x, y, color, fill, half=HALF, height=BOX, rounding=0.03, **style):
        shape = f"round,pad=0,rounding_size={rounding}"
        style = {"fc": fill, "ec": color, "lw": 0.8, "zorder": 4} | style
        self.ax.add_patch(FancyBboxPatch((x - half, y - height / 2), 2 * half, height, shape, **style))

    def block(self, x, y, kind, on=True, **style):
        if not on:
            style |= {"ls": (0, (3, 2)), "lw": 0.7}
        self.box(x, y, *(COLOURS[kind] if on else (MUTED, "none")), **style)

    def pill(self, x, y, text, color, half=0.4):
        self.box(x, y, color, "white", half, 0.136, 0.068, lw=0.6)
        self.text(x, y - 0.005, text, 6, color)

    def bridge(self, start, end, y, gaps, **style):
        """A horizontal arrow, interrupted where it passes under others."""
        for x in sorted(gaps):
            self.line((start, y), (x - 0.035, y), head=False, **style)
            start = x + 0.035
        self.line((start, y), (end, y), **style)

    def line(self, *points, color=INK, head=True, lw=0.9, ls="-"):
        style = "-|>,head_length=3.6,head_width=1.7" if head else "-"
        patch = FancyArrowPatch(path=Path(points), arrowstyle=style, color=color, lw=lw, ls=ls, mutation_scale=1)
        patch.set(joinstyle="miter", capstyle="butt", zorder=3)
        self.ax.add_patch(patch)

    def dot(self, x, y, color):
        self.ax.plot(x, y, "o", ms=2.4, mew=0, color=color, zorder=3.6)


def _side(level):
    return f"H/{2**level}" if level else "H"


def shape(part):
    """Such as "64 × H/4 × W/4"."""
    return " × ".join((str(part.channels), _side(part.level), _side(part.level).replace("H", "W")))


def _count(parts):
    number = sum(part.params for part in parts)
    return f"{number / 1e6:.2f} M" if number >= 1e5 else f"{number / 1e3:.1f} k"


def convolutions(part):
    """Such as "6 conv 3×3"; of 1x1 projections only where there is nothing else."""
    counts = Counter(op.kernel for op in part.all("convolution"))
    return ", ".join(f"{n} conv {k}×{k}" for k, n in counts.items() if k > 1 or len(counts) == 1)


def layers(part):
    """What ran inside a part without blocks, such as "conv 7×7, BN, ReLU"."""
    short = {"convolution": "conv", "native_batch_norm": "BN", "relu": "ReLU", "relu_": "ReLU"}
    named = [op for op in part.ops if op.name in short]
    return ", ".join(short[op.name] + (f" {op.kernel}×{op.kernel}" if op.kernel else "") for op in named)


def pool(op):
    """Kernel and stride of a pooling, such as "3×3/2"."""
    return f"{op.kernel}×{op.kernel}/{op.stride}"


def _detail(part):
    if not part.active:
        return "off"
    if part.kind in ("semantic", "matting", "final"):
        return f"{len(part.all('convolution'))} conv · {part.given[0]}→{part.channels} · {_side(part.level)}"
    if part.kind == "tfi":
        return f"{len(part.inputs)}×{part.given[0]}→{part.channels} · {_side(part.level)}"
    how = "".join(f"pool {pool(op)} · " for op in part.all("max_pool2d"))
    how += "".join(f"up ×{op.scale:g} · " for op in part.all("upsample")[:1])
    return f"{how}{part.channels} · {_side(part.level)}"


def _lane(part):
    return LANES.get(part.kind, LANES["semantic" if part.kind == "dbfi" else "matting"])


def _rows(found):
    """Heights: {part: y}, and of the change from the scale 1/2**(k+1) to 1/2**k: {k: y}."""
    rows, changes, first, y = {}, {}, {}, 0.88
    for part in found.of("matting", "tfi", "sbfi", "final"):  # as they ran, from the bottom up
        level = part.given[1]
        if first and level not in first:
            changes[level] = y - ROW + STEP
            y += 2 * STEP - ROW
        first.setdefault(level, y)
        rows[part.name] = y
        y += ROW
    rows |= {part.name: first[part.level] for part in found.of("encoder")}
    rows |= {part.name: rows["M" + part.name[1:]] for part in found.of("semantic")}
    return rows | {part.name: rows["s" + part.name[1:]] for part in found.of("dbfi")}, changes


def draw_network(model, ax=None):
    """Figure 4: encoder, segmentation and matting decoder, integration modules and outputs of a P3M-Net.

    An arrow is drawn where a block reads a feature; a pass-through is a hollow box on the line that passes through it.

    Returns:
        Figure, 7 in wide (that of `ax` if given; font sizes are meant for 7 in).
    """
    found = trace(model)
    rows, changes = _rows(found)
    top = rows["final"] + 2 * STEP
    canvas = Canvas(ax, 7.0, top + 0.84)
    _draw_scales(canvas, changes, top)
    spans = _spans(found, rows)
    _draw_encoder(canvas, found, spans)
    for part in found.of(*BLOCKS, "final"):
        _draw_block(canvas, part, _lane(part), rows[part.name])
    buses = {"E0": [e.target for e in found.edges if e.source == "E0" and e.used and e.argument == "full"]}
    buses["E4"] = [e.target for e in found.edges if e.source == "E4" and e.used]
    _draw_flow(canvas, found, rows, spans, changes, buses)
    _draw_texture(canvas, buses["E0"], rows)
    _draw_context(canvas, buses["E4"], rows, spans["E4"][0])
    _draw_ends(canvas, found, rows, changes, top)
    _draw_legend(canvas, found)
    return canvas.figure


def _draw_scales(canvas, changes, top):
    borders = [0.5, *(changes[k] for k in sorted(changes, reverse=True)), top + 0.06]
    for k, (low, high) in enumerate(pairwise(borders)):
        shade = ("#F3F3F3", "#FBFBFB")[k % 2]
        canvas.ax.add_patch(Rectangle((0.04, low), 6.92, high - low, fc=shade, ec="none", zorder=0))
        canvas.text(0.1, (low + high) / 2, _side(len(changes) - k), 7, MUTED, "left", weight="bold")


def _spans(found, rows):
    """{encoder part: (bottom, top)}: as high as its scale in the matting decoder."""
    spans, blocks = {}, found.of("matting", "tfi", "sbfi", "final")
    for part in found.of("encoder"):
        beside = [rows[p.name] for p in blocks if p.given[1] == part.level]
        low, high = min(beside) - BOX / 2, max(beside) + BOX / 2
        spans[part.name] = (low - 0.14 * (part.level == 5), high + 0.14 * (part.level == 0))
    return spans


def _draw_encoder(canvas, found, spans):
    color, fill = COLOURS["encoder"]
    x = LANES["encoder"]
    for part in found.of("encoder"):
        low, high = spans[part.name]
        y = (low + high) / 2
        blocks = f"{part.blocks} blocks, " if part.blocks else ""
        canvas.box(x, y, color, fill if part.params else "white", height=high - low)
        canvas.text(x - HALF + 0.05, y, part.name, 7, color, "left", weight="bold")
        lines = [blocks + convolutions(part), shape(part)] if part.params else ["pooled only", shape(part)]
        for i, line in enumerate(lines):
            canvas.text(x + HALF - 0.05, y + 0.07 - 0.14 * i, line, ha="right")


def _draw_block(canvas, part, x, y):
    canvas.block(x, y, part.kind, part.active)
    colors = (COLOURS[part.kind][0], INK) if part.active else (MUTED, MUTED)
    canvas.text(x - HALF + 0.05, y, part.name, 7, colors[0], "left", weight="bold")
    canvas.text(x + HALF - 0.05, y, _detail(part), color=colors[1], ha="right")


def _draw_across(canvas, edge, source, target, y, gaps):
    """A horizontal arrow to a block of the same scale, or that of the pooling indices."""
    start, end, color = _lane(source), _lane(target), COLOURS[source.kind][0]
    if edge.op("indices"):
        canvas.bridge(start + 0.4, end - 0.4, y, gaps, color=MUTED, ls=DOTTED)
    elif start < end:
        canvas.bridge(start + HALF, end - HALF, y, gaps, color=color)
    else:
        canvas.line((start, y), (end + HALF, y), color=color)
        canvas.dot(start, y, color)


def _draw_along(canvas, edge, source, low, high, changes):
    """A vertical arrow within a lane, with the change of scale on it."""
    x, color = _lane(source), COLOURS[source.kind][0]
    canvas.line((x, low), (x, high), color=color)
    for name, label in {"max_pool": "max-pool ", "max_unpool": "max-unpool ×", "upsample": "bilinear ×"}.items():
        op = edge.op(name)
        if op:
            y = changes[op.level - (name == "max_pool")]
            canvas.pill(x, y, label + (pool(op) if op.kernel else f"{op.scale:g}"), color)


def _draw_flow(canvas, found, rows, spans, changes, buses):
    low, high = min((rows[t] for t in buses["E0"]), default=9), rows["E0"]
    for edge in found.edges:
        source, target = found.parts[edge.source], found.parts[edge.target]
        if not edge.used or target.kind == "output" or source.kind == "image":
            continue
        if edge.target in buses.get(edge.source, ()) and not edge.op("indices"):
            continue
        if _lane(source) != _lane(target):
            y = changes[edge.op("indices").level - 1] if edge.op("indices") else rows[target.name]
            _draw_across(canvas, edge, source, target, y, [SHAFT] * (low < y < high))
        elif source.kind == "encoder":
            _draw_along(canvas, edge, source, spans[source.name][0], spans[target.name][1], changes)
        else:
            _draw_along(canvas, edge, source, rows[source.name] + BOX / 2, rows[target.name] - BOX / 2, changes)


def _draw_texture(canvas, targets, rows):
    """E0 to the sBFI modules."""
    if targets:
        low, y = min(rows[t] for t in targets), rows["E0"]
        canvas.line((LANES["encoder"] + HALF, y), (SHAFT, y), (SHAFT, low), color=SHALLOW, head=False)
        canvas.text((LANES["encoder"] + HALF + SHAFT) / 2, y + 0.07, "E0", 6.2, SHALLOW, weight="bold")
    for target in targets:
        canvas.line((SHAFT, rows[target]), (LANES["matting"] - HALF, rows[target]), color=SHALLOW)
        canvas.dot(SHAFT, rows[target], SHALLOW)


def _draw_context(canvas, targets, rows, bottom):
    """E4 to the first decoder blocks and to the dBFI modules."""
    x, y, start, end = 6.9, 0.56, LANES["encoder"], LANES["semantic"]
    modules = [rows[t] for t in targets if t[0] == "d"]
    canvas.line((start, bottom), (start, y), (end, y), color=DEEP, head=False)
    canvas.text((start + HALF + SHAFT) / 2, y + 0.07, "E4", 6.2, DEEP, weight="bold")
    for target in (t for t in targets if t[0] in "MS"):
        lane = LANES["semantic" if target[0] == "S" else "matting"]
        canvas.line((lane, y), (lane, rows[target] - BOX / 2), color=DEEP)
        canvas.dot(lane, y, DEEP)
    if modules:
        canvas.line((end, y), (x, y), (x, max(modules)), color=DEEP, head=False)
    for height in modules:
        canvas.line((x, height), (end + HALF, height), color=DEEP)
        canvas.dot(x, height, DEEP)


def _draw_ends(canvas, found, rows, changes, top):
    """The outputs with their red arrows, and what stands above the lanes."""
    end, fuse = top + 0.24, 4.85
    ends = {"segmentation": LANES["semantic"], "detail": LANES["matting"], "alpha": fuse}
    for edge in (e for e in found.edges if found.parts[e.target].kind == "output"):
        source, out = found.parts[edge.source], found.parts[edge.target]
        x, y, color = _lane(source), rows[source.name], COLOURS[source.kind][0]
        if out.name == "alpha":
            canvas.line((x, top), (fuse + (0.2 if x > fuse else -0.2), top), color=color)
            canvas.dot(x, top, color)
        elif out.name in ends:
            canvas.line((x, y + BOX / 2), (x, top), color=color, head=False)
            scale = edge.op("upsample")
            label = f"bilinear ×{scale.scale:g}" if scale else edge.via[-1].name
            canvas.pill(x, changes[0] if scale else y + STEP, label, color)
        else:
            canvas.line((x - HALF, y), (x - HALF - 0.16, y), color=RED, lw=0.7)
            canvas.text(x - HALF - 0.18, y, out.name, 6, RED, "right")
    for name, x in ends.items():
        canvas.line((x, top), (x, end), color=RED, lw=1.4)
        canvas.text(x, end + 0.17, name, 7, RED, weight="bold")
        canvas.text(x, end + 0.06, shape(found.parts[name]), color=RED)
    canvas.box(fuse, top, INK, "white", 0.2, 0.15)
    canvas.text(fuse, top, "fuse")
    _draw_heads(canvas, found, rows["E0"] + BOX / 2 + 0.14, end)


def _draw_heads(canvas, found, low, end):
    """The image above the encoder, and the titles of the lanes."""
    x = LANES["encoder"]
    canvas.line((x, end), (x, low))
    canvas.text(x, end + 0.17, "image", 7, weight="bold")
    canvas.text(x, end + 0.06, shape(found.parts["image"]))
    titles = {"encoder": "Shared encoder", "matting": "Matting decoder", "semantic": "Segmentation decoder"}
    for kind, title in titles.items():
        parts = found.of(kind, *["final"] * (kind == "matting"))
        canvas.text(LANES[kind], end + 0.5, title, 7.5, COLOURS[kind][0], weight="bold")
        canvas.text(LANES[kind], end + 0.38, f"{_count(parts)} parameters", color=COLOURS[kind][0])


def _draw_legend(canvas, found):
    """Two lines at the bottom: arrows, then boxes."""
    modules = {"TFI": found.of("tfi"), "sBFI": found.of("sbfi"), "dBFI": found.of("dbfi")}
    arrows = {"E4: deep context": {"color": DEEP}, "E0: shallow texture": {"color": SHALLOW}}
    arrows |= {"pooling indices": {"color": MUTED, "ls": DOTTED}, "network output": {"color": RED, "lw": 1.4}}
    if not modules["sBFI"][0].active:
        del arrows["E0: shallow texture"]
    x, y = LANES["encoder"] - HALF, 0.33
    for label, style in arrows.items():
        canvas.line((x, y), (x + 0.24, y), **style)
        canvas.text(x + 0.3, y, label, ha="left")
        x += 1.65
    x, y = LANES["encoder"] - HALF, 0.13
    for on, title in ((True, "integration: "), (False, "switched off: ")):
        names = [f"{n} {_count(p)}" if on else n for n, p in modules.items() if p[0].active == on]
        if names:
            canvas.block(x + 0.12, y, "tfi", on, half=0.12, height=0.11)
            canvas.text(x + 0.3, y, title + ", ".join(names), ha="left")
            x += 2.15
    x = LANES["encoder"] - HALF + 3.75
    kernels = sorted({op.kernel for part in found.of("semantic", "matting", "final") for op in part.all("convolution")})
    sizes = ", ".join(f"{k}×{k}" for k in kernels)
    canvas.text(x, y, f"decoder blocks: {sizes} conv · channels in→out · height", color=MUTED, ha="left")
