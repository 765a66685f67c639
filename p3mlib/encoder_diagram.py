"""Figure 6: the shared encoder and the basic block of each variant, drawn from the models that are built."""

import copy

from p3mlib.diagrams import COLOURS, INK, MUTED, Canvas, convolutions, layers, pool, shape
from p3mlib.flow import VARIANTS, Recorder, parents, stages, trace


def _block_items(model):
    """What runs in the residual block that the encoder repeats: [(label, [indices of the items it reads])].

    The first item is the input. Labels come from the modules and from the additions between them.
    """
    model = copy.deepcopy(model).cpu().eval()
    paths = {module: path for path, module in model.named_modules()}
    block = stages(model.encoder)[0][-1]
    tracked = {(f"{name}:{type(child).__name__}", "layer"): paths[child] for name, child in block.named_children()}
    recorder = Recorder(model, tracked, paths[block])
    recorder.run(model)
    joins = ("add", "mul", "cat")
    shown = [n for n in recorder.inside if (n.part.active if n.part else n.op.name.startswith(joins))]
    nodes = [recorder.image, *shown]
    names = {id(node): i for i, node in enumerate(nodes)}
    return [(_label(n), sorted(set(i for i, *_ in parents(n, names)))) for n in nodes]


def _label(node):
    if node.op:
        return {"add": "+", "mul": "×", "cat": "concat"}[node.op.name[:3]]
    kind = node.part.name.split(":")[-1]
    short = {"BatchNorm2d": "BN", "LayerNorm": "LN", "image": "input"}
    return convolutions(node.part)[2:] if kind == "Conv2d" else short.get(kind, kind)


def draw_encoder(models):
    """Figure 6: the shared encoder of the first model, and the basic block of every variant.

    Args:
        models: {label: P3M-Net}, labels as in `VARIANTS`; a variant that is missing gets an empty panel that says so.
    Returns:
        Figure, 7 in wide.
    """
    canvas, labels = Canvas(None, 7.0, 3.72), list(dict.fromkeys((*VARIANTS, *models)))
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
