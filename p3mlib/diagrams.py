"""Diagrams of P3M-Net (Figures 4 and 6), drawn from a forward pass of the model that is built.

`trace` runs one small image through a copy of the model and notes every block, every pooling and which tensor went
where. Counts, kernels, channels, sizes and arrows of the drawings come from there; only the layout is decided here.
"""

import copy
import inspect
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ENCODER = ("E0", "E0/2", "E1", "E2", "E3", "E4")  # the maps of `Features`, shallow to deep
BLOCKS = {"semantic": "S", "matting": "M", "tfi": "TFI", "sbfi": "sBFI", "dbfi": "dBFI"}
VARIANTS = ("ResNet-34", "Swin-T", "ViTAE-S")


@dataclass(frozen=True)
class Op:
    """A tensor operation that ran: `name` as in ATen, output at 1/2**`level`, `scale` = output side / input side."""

    name: str
    kernel: int = 0
    stride: int = 0
    level: int = 0
    scale: float = 1.0


@dataclass
class Part:
    """A block: `inputs` (argument -> (channels, level)), output `channels` at 1/2**`level`, operations inside.

    `blocks` is how often its residual block repeats; `active` is False for an off twin, which only hands an input on.
    """

    name: str
    kind: str
    channels: int = 0
    level: int = 0
    inputs: dict = field(default_factory=dict)
    ops: list = field(default_factory=list)
    params: int = 0
    blocks: int = 0
    active: bool = True

    def all(self, name):
        """The operations inside whose name starts so, in order."""
        return [op for op in self.ops if op.name.startswith(name)]

    @property
    def given(self):
        """(channels, level) of the first input."""
        return next(iter(self.inputs.values()))


@dataclass(frozen=True)
class Edge:
    """Flow of features: `source`, through the operations `via`, is `argument` of `target`; `used` if really read."""

    source: str
    target: str
    argument: str = ""
    via: tuple = ()
    used: bool = True

    def op(self, name):
        """The operation on the way whose name starts so, or None; "indices" if pooling positions flow, not features."""
        return next((op for op in self.via if op.name.startswith(name)), None)


@dataclass
class Trace:
    """One forward pass: `parts` by name in order of execution, and the `edges` between them."""

    parts: dict
    edges: list

    def of(self, *kinds):
        """Parts of these kinds (image, encoder, semantic, matting, tfi, sbfi, dbfi, final, output) as they ran."""
        return [part for part in self.parts.values() if part.kind in kinds]

    def into(self, target):
        """Edges that bring features the part reads."""
        return [e for e in self.edges if e.target == target and e.used and not e.op("indices")]


@dataclass(eq=False)
class _Node:
    part: Part = None
    op: Op = None
    sources: list = field(default_factory=list)  # (argument, node, address of the tensor)
    read: set = field(default_factory=set)


def _tensors(*values):
    return [x for x in tree_leaves(values) if isinstance(x, torch.Tensor)]


def _key(tensor):
    return tensor.untyped_storage().data_ptr()


class _Recorder(TorchDispatchMode):
    """Which operation or tracked module made each tensor, from the entry of the module `scope` on."""

    def __init__(self, model, tracked, scope):
        super().__init__()
        self.nodes, self.stack, self.keep, self.producer = [], [], [], {}
        for (name, kind), module in tracked.items():
            model.get_submodule(module).register_forward_pre_hook(partial(self._enter, name, kind), with_kwargs=True)
            model.get_submodule(module).register_forward_hook(self._leave)
        model.get_submodule(scope).register_forward_pre_hook(self._open)
        model.get_submodule(scope).register_forward_hook(self._close)

    def run(self, model):
        """Feed a small image; returns the model's output."""
        self.side = 64
        with torch.no_grad(), self:
            return model(torch.linspace(0, 1, 3 * self.side**2).view(1, 3, self.side, self.side))

    def made(self, tensor):
        """A node that reads the tensor."""
        return _Node(sources=[("", self.producer[_key(tensor)], _key(tensor))], read={_key(tensor)})

    def _size(self, x):
        return x.shape[1] if x.dim() > 1 else 0, round(math.log2(self.side / x.shape[-1])) if x.dim() == 4 else 0

    def _open(self, module, args):
        self.image = _Node(Part("image", "image", *self._size(args[0])))
        self.keep.append(args[0])
        self.nodes, self.producer = [], {_key(args[0]): self.image}

    def _close(self, module, args, output):
        self.scope = [self.producer[_key(x)] for x in _tensors(output) if x.is_floating_point()]
        self.sizes, self.inside = [self._size(x) for x in _tensors(output)], list(self.nodes)

    def _enter(self, name, kind, module, args, kwargs):
        bound = inspect.signature(module.forward).bind(*args, **kwargs).arguments
        given = [(argument, x) for argument, value in bound.items() for x in _tensors(value)]
        part = Part(name, kind, inputs={argument: self._size(x) for argument, x in given}, blocks=_repeats(module))
        part.params = sum(p.numel() for p in module.parameters())
        self.stack.append(_Node(part, sources=[(a, self.producer.get(_key(x)), _key(x)) for a, x in given]))

    def _leave(self, module, args, output):
        node, made = self.stack.pop(), _tensors(output)
        (node.part.channels, node.part.level), node.part.active = self._size(made[0]), bool(node.part.ops)
        self.nodes.append(node)
        if node.part.active:  # an off twin made nothing
            self.producer.update({_key(x): node for x in made})

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        """Run the operation and note it."""
        output = func(*args, **(kwargs or {}))
        inputs, outputs = _tensors(args, kwargs), _tensors(output)
        self.keep += outputs  # alive, so that no address names two tensors
        if not inputs or not outputs:
            return output
        op = self._describe(func._schema.name.split("::")[1], args, inputs[0], outputs[0])
        if self.stack:
            self.stack[-1].part.ops.append(op)
            self.stack[-1].read.update(map(_key, inputs))
            return output
        known = [("", self.producer[_key(x)], _key(x)) for x in inputs if _key(x) in self.producer]
        for x in outputs:
            if _key(x) not in self.producer or op.name.endswith("_"):  # else a view of known features
                index = op.name.startswith("max_pool2d") and not x.is_floating_point()
                self.producer[_key(x)] = _Node(op=replace(op, name="indices") if index else op, sources=known)
                self.nodes.append(self.producer[_key(x)])
        return output

    def _describe(self, name, args, source, output):
        kernel = stride = 0
        if name == "convolution":
            kernel, stride = args[1].shape[-1], args[3][0]
        elif name.startswith("max_pool2d"):
            kernel, stride = args[1][0], ((args[2] if len(args) > 2 else None) or args[1])[0]
        if output.dim() == source.dim() == 4:
            return Op(name, kernel, stride, self._size(output)[1], output.shape[-1] / source.shape[-1])
        return Op(name, kernel, stride)


def _stages(module):
    """Lists of equal composite blocks inside a module."""
    lists = [m for m in module.modules() if isinstance(m, (nn.Sequential, nn.ModuleList)) and len(m)]
    return [m for m in lists if len({type(x) for x in m}) == 1 and any(True for _ in m[0].children())]


def _repeats(module):
    return next((len(stage) for stage in _stages(module)), 0)


def _called(module, path):
    """Paths of the children that are called: those of a ModuleList in its place."""
    for name, child in module.named_children():
        yield from _called(child, f"{path}.{name}") if isinstance(child, nn.ModuleList) else [f"{path}.{name}"]


def _parents(node, names, via=()):
    """(name, argument, used, operations between) of the nearest named nodes a node was computed from."""
    via = (node.op, *via) if node.op else via
    for argument, source, key in node.sources:
        used = bool(node.op) or key in node.read
        if source is not None and id(source) in names:
            yield names[id(source)], argument, used, via
        elif source is not None:
            yield from ((name, argument, used, ops) for name, _, _, ops in _parents(source, names, via))


def trace(model):
    """Run a 64 x 64 image through a copy of a P3M-Net and note its blocks and the flow between them.

    Returns:
        Trace. Parts: image, E0 E0/2 E1..E4, S4..S0 (segmentation decoder), M4..M0 and final (matting decoder), TFI,
        sBFI, dBFI with their index, and the outputs segmentation, detail, alpha, side2..side0.
    """
    model = copy.deepcopy(model).cpu().eval()
    tracked = {(path, "stage"): path for path in _called(model.encoder, "encoder")}
    for kind, letter in BLOCKS.items():
        tracked |= {(f"{letter}{i}", kind): f"{kind}.{i}" for i in range(len(getattr(model, kind)))}
    recorder = _Recorder(model, tracked | {("final", "final"): "detail"}, "encoder")
    output = recorder.run(model)
    names = {id(recorder.image): "image"} | {id(n): name for n, name in zip(recorder.scope, ENCODER, strict=True)}
    blocks = [n for n in recorder.nodes if n.part and n.part.kind != "stage"]
    names |= {id(node): node.part.name for node in blocks}
    nodes = dict(zip(ENCODER, recorder.scope, strict=True)) | {node.part.name: node for node in blocks}
    parts = {"image": recorder.image.part} | _encoder_parts(recorder) | {node.part.name: node.part for node in blocks}
    final = {"segmentation": output.segmentation, "detail": output.detail, "alpha": output.alpha}
    final |= {f"side{len(output.sides) - 1 - i}": side for i, side in enumerate(output.sides)}
    for name, tensor in final.items():
        parts[name], nodes[name] = Part(name, "output", *recorder._size(tensor)), recorder.made(tensor)
    edges = {}  # one for each pair, argument and nature (features or indices)
    for name, node in nodes.items():
        for source, argument, used, via in _parents(node, names):
            edge = Edge(source, name, argument, via, used)
            edges.setdefault((source, name, argument, bool(edge.op("indices"))), edge)
    return Trace(parts, list(edges.values()))


def _encoder_parts(recorder):
    """One Part for each map of `Features`: all that ran since the map before."""
    parts, start = {}, 0
    for name, node, (channels, level) in zip(ENCODER, recorder.scope, recorder.sizes, strict=False):
        stop = recorder.nodes.index(node) + 1
        ran, start = recorder.nodes[start:stop], stop
        ops = [op for n in ran for op in (n.part.ops if n.part else [n.op])]
        inner = [n.part for n in ran if n.part]
        params, blocks = sum(p.params for p in inner), max((p.blocks for p in inner), default=0)
        parts[name] = Part(name, "encoder", channels, level, {}, ops, params, blocks)
    return parts


# ---- drawing: coordinates are inches

INK, MUTED, RED, SHALLOW, DEEP = "#333333", "#858585", "#C8102E", "#2E93C4", "#0B2F4E"  # the last two: E0, E4
MODULE = ("#65468E", "#EBE3F3")
COLOURS = {"encoder": ("#2B6798", "#DCE9F4"), "semantic": ("#13795B", "#DCF0E8"), "matting": ("#A9690A", "#FBECD2")}
COLOURS |= {"final": COLOURS["matting"], "tfi": MODULE, "sbfi": MODULE, "dbfi": MODULE}
SHAFT = 2.56  # of E0, between the lanes
LANES = {"encoder": 1.33, "matting": 3.74, "semantic": 5.97}  # centres
HALF, BOX, ROW, STEP = 0.8, 0.18, 0.258, 0.222  # half width and height of a box; pitch; from a box to a change of scale
DOTTED = (0, (1, 1.6))


class _Canvas:
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


def _shape(part):
    return " × ".join((str(part.channels), _side(part.level), _side(part.level).replace("H", "W")))


def _count(parts):
    number = sum(part.params for part in parts)
    return f"{number / 1e6:.2f} M" if number >= 1e5 else f"{number / 1e3:.1f} k"


def _convolutions(part):
    """Such as "6 conv 3×3"; of 1x1 projections only where there is nothing else."""
    counts = Counter(op.kernel for op in part.all("convolution"))
    return ", ".join(f"{n} conv {k}×{k}" for k, n in counts.items() if k > 1 or len(counts) == 1)


def _layers(part):
    """What ran inside a part without blocks, such as "conv 7×7, BN, ReLU"."""
    short = {"convolution": "conv", "native_batch_norm": "BN", "relu": "ReLU", "relu_": "ReLU"}
    named = [op for op in part.ops if op.name in short]
    return ", ".join(short[op.name] + (f" {op.kernel}×{op.kernel}" if op.kernel else "") for op in named)


def _pool(op):
    return f"{op.kernel}×{op.kernel}/{op.stride}"


def _detail(part):
    if not part.active:
        return "off"
    if part.kind in ("semantic", "matting", "final"):
        return f"{len(part.all('convolution'))} conv · {part.given[0]}→{part.channels} · {_side(part.level)}"
    if part.kind == "tfi":
        return f"{len(part.inputs)}×{part.given[0]}→{part.channels} · {_side(part.level)}"
    how = "".join(f"pool {_pool(op)} · " for op in part.all("max_pool2d"))
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

    An arrow is drawn where a block reads a feature; an off twin is a hollow box on the line that passes through it.

    Returns:
        Figure, 7 in wide (that of `ax` if given; font sizes are meant for 7 in).
    """
    found = trace(model)
    rows, changes = _rows(found)
    top = rows["final"] + 2 * STEP
    canvas = _Canvas(ax, 7.0, top + 0.84)
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
    for k, (low, high) in enumerate(zip(borders[:-1], borders[1:], strict=True)):
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
        lines = [blocks + _convolutions(part), _shape(part)] if part.params else ["pooled only", _shape(part)]
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
            canvas.pill(x, y, label + (_pool(op) if op.kernel else f"{op.scale:g}"), color)


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
        canvas.text(x, end + 0.06, _shape(found.parts[name]), color=RED)
    canvas.box(fuse, top, INK, "white", 0.2, 0.15)
    canvas.text(fuse, top, "fuse")
    _draw_heads(canvas, found, rows["E0"] + BOX / 2 + 0.14, end)


def _draw_heads(canvas, found, low, end):
    """The image above the encoder, and the titles of the lanes."""
    x = LANES["encoder"]
    canvas.line((x, end), (x, low))
    canvas.text(x, end + 0.17, "image", 7, weight="bold")
    canvas.text(x, end + 0.06, _shape(found.parts["image"]))
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


def _block_items(model):
    """What runs in the residual block that the encoder repeats: [(label, [indices of the items it reads])].

    The first item is the input. Labels come from the modules and from the additions between them.
    """
    model = copy.deepcopy(model).cpu().eval()
    paths = {module: path for path, module in model.named_modules()}
    block = _stages(model.encoder)[0][-1]
    tracked = {(f"{name}:{type(child).__name__}", "layer"): paths[child] for name, child in block.named_children()}
    recorder = _Recorder(model, tracked, paths[block])
    recorder.run(model)
    joins = ("add", "mul", "cat")
    shown = [n for n in recorder.inside if (n.part.active if n.part else n.op.name.startswith(joins))]
    nodes = [recorder.image, *shown]
    names = {id(node): i for i, node in enumerate(nodes)}
    return [(_label(n), sorted(set(i for i, *_ in _parents(n, names)))) for n in nodes]


def _label(node):
    if node.op:
        return {"add": "+", "mul": "×", "cat": "concat"}[node.op.name[:3]]
    kind = node.part.name.split(":")[-1]
    short = {"BatchNorm2d": "BN", "LayerNorm": "LN", "image": "input"}
    return _convolutions(node.part)[2:] if kind == "Conv2d" else short.get(kind, kind)


def draw_encoder(models):
    """Figure 6: the shared encoder of the first model, and the basic block of every variant.

    Args:
        models: {label: P3M-Net}, labels as in `VARIANTS`; a variant that is missing gets an empty panel that says so.
    Returns:
        Figure, 7 in wide.
    """
    canvas, labels = _Canvas(None, 7.0, 3.72), list(dict.fromkeys((*VARIANTS, *models)))
    label, model = next(iter(models.items()))
    found = trace(model)
    canvas.text(1.3, 3.57, f"Shared encoder ({label})", 7.5, COLOURS["encoder"][0], weight="bold")
    _draw_chain(canvas, found.of("encoder"), 1.3, 3.3)
    width = (6.96 - 2.72) / len(labels)
    for i, label in enumerate(labels):
        x = 2.72 + (i + 0.5) * width
        border = "-" if label in models else (0, (4, 3))
        canvas.box(x, 1.88, MUTED, "none", width / 2 - 0.05, 3.6, 0.05, lw=0.6, ls=border)
        canvas.text(x, 3.57, f"P3M BB ({label})", 7, INK if label in models else MUTED, weight="bold")
        if label in models:
            _draw_panel(canvas, models[label], x, 3.38)
        else:
            canvas.text(x, 2.2, f"not built yet:\narrives with the\n{label} encoder", 6.5, MUTED, linespacing=1.4)
    return canvas.figure


def _draw_chain(canvas, parts, x, y):
    """E0 to E4 downwards, with the poolings between."""
    (color, fill), half, height, step = COLOURS["encoder"], 1.2, 0.27, 0.135
    canvas.text(x, y + 0.1, "image", weight="bold")
    before, stages, y = y + 0.04, 0, y - 0.27
    for part in parts:
        for op in part.all("max_pool"):
            y -= height / 2 + step
            canvas.pill(x, y, f"max-pool {_pool(op)}", color)
            y -= height / 2 + step
        stages += part.blocks > 0
        name = f"P3M BB × N{stages}, N{stages} = {part.blocks}" if part.blocks else _layers(part)
        canvas.line((x, before), (x, y + height / 2), color=color)
        canvas.box(x, y, color, fill if part.params else "white", half, height)
        canvas.text(x - half + 0.06, y, part.name, 7, color, "left", weight="bold")
        canvas.text(x + half - 0.06, y + 0.062, name or "pooled only", ha="right")
        canvas.text(x + half - 0.06, y - 0.062, _shape(part), ha="right")
        before = y - height / 2
    strides = sorted({op.stride for part in parts for op in part.all("convolution")})
    number = sum(len(part.all("convolution")) for part in parts)
    words = f"stride of all {number} convolutions: {', '.join(map(str, strides))}"
    canvas.text(x, before - 0.11, words, color=MUTED)


def _draw_panel(canvas, model, x, y):
    """The basic block downwards, and N and C under it."""
    items, (color, fill), step = _block_items(model), COLOURS["encoder"], 0.29
    last = len(items) - 1
    for i, (label, sources) in enumerate(items):
        here = y - i * step
        if i == 0:
            canvas.text(x, here, label)
        else:
            half = 0.08 if len(label) == 1 else 0.42
            canvas.box(x, here, color, fill if half > 0.1 else "white", half, 0.16, 0.08 if half < 0.1 else 0.03)
            canvas.text(x, here - 0.005, label, 6.2 if half > 0.1 else 8)
        for j in sources:
            start = y - j * step - 0.08
            if j == i - 1:
                canvas.line((x, start), (x, here + 0.08))
            else:
                canvas.line((x, start - 0.025), (x + 0.54, start - 0.025), (x + 0.54, here), (x + half, here))
                canvas.dot(x, start - 0.025, INK)
    low = y - last * step - 0.08
    canvas.line((x, low), (x, low - 0.16))
    for i, line in enumerate(_facts(model)):
        canvas.text(x, low - 0.28 - 0.13 * i, line)


def _facts(model):
    """N and C of a variant, as lines of text."""
    found = trace(model)
    stages = [part for part in found.of("encoder") if part.blocks]
    widths = [found.parts[f"M{i}"].channels for i in (4, 3, 2, 1)]
    lines = ["N1–N4: " + ", ".join(str(p.blocks) for p in stages)]
    lines += ["E1–E4: " + ", ".join(str(p.channels) for p in stages)]
    lines += ["C1–C4: " + ", ".join(map(str, widths)), "(decoders, deep to shallow)"]
    short = [p.name for p in stages if {op.kernel for op in p.all("convolution")} >= {1, 3}]
    return lines + (["shortcut with 1×1 conv in", "the first block of " + ", ".join(short)] if short else [])
