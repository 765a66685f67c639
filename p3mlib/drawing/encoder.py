"""Figure 6: the shared encoder and the basic block of each variant, drawn from the models that are built."""

import copy

from p3mlib.drawing.network import COLOURS, INK, MUTED, Canvas, convolutions, layers, pool, shape
from p3mlib.drawing.trace import VARIANTS, Recorder, parents, stages, trace


def _block_items(model):
    """What runs in the residual block that the encoder repeats: [(label, [indices of the items it reads])].

    The first item is the input. Labels come from the modules and from the additions between them.
    """
    model = copy.deepcopy(model).cpu().eval()
    paths = {module: path for path, module in model.named_modules()}
    block = stages(model.encoder)[3][-1]  # the deepest stage, after any shortcut convolution
    tracked = {(f"{name}:{type(child).__name__}", "layer"): paths[child] for name, child in block.named_children()}
    recorder = Recorder(model, tracked, paths[block])
    recorder.run(model)
    joins = ("add", "mul", "cat")
    shown = [n for n in recorder.inside if (n.part.active if n.part else n.op.name.startswith(joins))]
    nodes = [recorder.image, *shown]
    names, seen = {}, []
    for node in nodes:
        sources = sorted({i for i, *_ in parents(node, names)})
        if sources or not seen:  # not what is made without the input, such as the masks of windows
            names[id(node)] = len(seen)
            seen.append((_label(node, block), sources))
    return seen


def _label(node, block):
    if node.op:
        return {"add": "+", "mul": "×", "cat": "concat"}[node.op.name[:3]]
    name, _, kind = node.part.name.partition(":")
    if kind == "Sequential":
        inside = [{"Conv2d": "conv", "BatchNorm2d": "BN"}.get(type(m).__name__, type(m).__name__) for m in getattr(block, name)]
        return ", ".join(inside).replace("SiLU, conv", "SiLU,\nconv")
    heads = f"{block.attn.heads} heads" if kind.endswith("Attention") else ""
    short = {
        "BatchNorm2d": "BN",
        "LayerNorm": "LN",
        "": "input",
        "WindowAttention": f"window attention,\n{heads}, shift {getattr(block, 'shift', 0)}",
        "Attention": f"attention,\n{heads}",
        "Mlp": "linear, GELU,\nlinear",
    }
    return convolutions(node.part)[2:] if kind == "Conv2d" else short.get(kind, kind)


def draw_encoder(models):
    """Figure 6: the shared encoder of the first model, and the basic block of every variant.

    Args:
        models: {label: P3M-Net}, labels as in `VARIANTS`; a variant that is missing gets an empty panel that says so.
    Returns:
        Figure, 7 in wide.
    """
    canvas, labels = Canvas(None, 7.0, 4.2), list(dict.fromkeys((*VARIANTS, *models)))
    label, model = next(iter(models.items()))
    found = trace(model)
    canvas.text(1.3, 4.05, f"Shared encoder ({label})", 7.5, COLOURS["encoder"][0], weight="bold")
    _draw_chain(canvas, found.of("encoder"), 1.3, 3.6)
    width = (6.96 - 2.72) / len(labels)
    for i, label in enumerate(labels):
        x = 2.72 + (i + 0.5) * width
        border = "-" if label in models else (0, (4, 3))
        canvas.box(x, 2.12, MUTED, "none", width / 2 - 0.05, 4.08, 0.05, lw=0.6, ls=border)
        canvas.text(x, 4.05, f"P3M BB ({label})", 7, INK if label in models else MUTED, weight="bold")
        if label in models:
            _draw_panel(canvas, models[label], x, 3.86)
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
            canvas.pill(x, y, f"max-pool {pool(op)}", color)
            y -= height / 2 + step
        stages += part.blocks > 0
        name = f"P3M BB × N{stages}, N{stages} = {part.blocks}" if part.blocks else layers(part)
        canvas.line((x, before), (x, y + height / 2), color=color)
        canvas.box(x, y, color, fill if part.params else "white", half, height)
        canvas.text(x - half + 0.06, y, part.name, 7, color, "left", weight="bold")
        canvas.text(x + half - 0.06, y + 0.062, name or "pooled only", ha="right")
        canvas.text(x + half - 0.06, y - 0.062, shape(part), ha="right")
        before = y - height / 2
    strides = sorted({op.stride for part in parts for op in part.all("convolution")})
    number = sum(len(part.all("convolution")) for part in parts)
    words = f"stride of all {number} convolutions: {', '.join(map(str, strides))}"
    canvas.text(x, before - 0.11, words, color=MUTED)


def _draw_panel(canvas, model, x, y):
    """The basic block downwards, and N and C under it."""
    items, (color, fill) = _block_items(model), COLOURS["encoder"]
    heights = [0.16 if "\n" not in label else 0.09 + 0.1 * len(label.split("\n")) for label, _ in items]
    middles, here = [], y
    for i, height in enumerate(heights):
        here -= (height + heights[i - 1]) / 2 + 0.12 if i else 0
        middles.append(here)
    for i, (label, sources) in enumerate(items):
        here, joins = middles[i], len(label) == 1
        if i == 0:
            canvas.text(x, here, label)
        else:
            half = 0.08 if joins else 0.46
            canvas.box(x, here, color, "white" if joins else fill, half, heights[i], 0.08 if joins else 0.03)
            canvas.text(x, here - 0.005, label, 8 if joins else 6.2, linespacing=1.15)
        for j in sources:
            start = middles[j] - heights[j] / 2
            if j == i - 1:
                canvas.line((x, start), (x, here + heights[i] / 2))
            else:
                way, low = x + (0.56 if joins else -0.56), start - 0.025
                canvas.line((x, start), (x, low), (way, low), (way, here), (x + (half if joins else -half), here))
                canvas.dot(x, low, INK)
    low = middles[-1] - 0.08
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
