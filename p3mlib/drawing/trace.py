"""What a forward pass of P3M-Net really does: blocks, poolings, and which tensor went where.

`trace` runs one small image through a copy of the model and follows every tensor by its storage. The diagrams take counts,
kernels, channels, sizes and arrows from here.
"""

import copy
import inspect
import math
from dataclasses import dataclass, field, replace
from functools import partial

import torch
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

    `blocks` is how often its residual block repeats; `active` is False for a pass-through, which only hands an input on.
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


class Recorder(TorchDispatchMode):
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
        if node.part.active:  # a pass-through made nothing
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


def stages(module):
    """Lists of equal composite blocks inside a module."""
    kinds = (nn.Sequential, nn.ModuleList)
    lists = [m for m in module.modules() if isinstance(m, kinds) and len(m) and not isinstance(m[0], kinds)]
    return [m for m in lists if len({type(x) for x in m}) == 1 and any(True for _ in m[0].children())]


def _repeats(module):
    return next((len(stage) for stage in stages(module)), 0)


def _called(module, path):
    """Paths of the children that are called: those of a ModuleList in its place."""
    for name, child in module.named_children():
        yield from _called(child, f"{path}.{name}") if isinstance(child, nn.ModuleList) else [f"{path}.{name}"]


def parents(node, names, via=()):
    """(name, argument, used, operations between) of the nearest named nodes a node was computed from."""
    via = (node.op, *via) if node.op else via
    for argument, source, key in node.sources:
        used = bool(node.op) or key in node.read
        if source is not None and id(source) in names:
            yield names[id(source)], argument, used, via
        elif source is not None:
            yield from ((name, argument, used, ops) for name, _, _, ops in parents(source, names, via))


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
    recorder = Recorder(model, tracked | {("final", "final"): "detail"}, "encoder")
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
        for source, argument, used, via in parents(node, names):
            edge = Edge(source, name, argument, via, used)
            edges.setdefault((source, name, argument, bool(edge.op("indices"))), edge)
    return Trace(parts, list(edges.values()))


def groups(model, members):
    """Flow between groups of submodules of any network, as one forward pass shows it.

    Args:
        members: name of a group -> names of its submodules.
    Returns:
        sorted list of (source, target); `image`, and the outputs `segmentation` and `alpha`, are ends.
    """
    model = copy.deepcopy(model).cpu().eval()
    tracked = {(path, name): path for name, paths in members.items() for part in paths for path in _callable(model, part)}
    recorder = Recorder(model, tracked, "")
    output = recorder.run(model)
    blocks = [node for node in recorder.nodes if node.part]
    names = {id(recorder.image): "image"} | {id(node): node.part.kind for node in blocks}
    ends = [(node.part.kind, node) for node in blocks]
    ends += [(name, recorder.made(getattr(output, name))) for name in ("segmentation", "alpha")]
    edges = {(source, name) for name, node in ends for source, *_ in parents(node, names) if source != name}
    return sorted(edges)


def _callable(model, path):
    """The submodule, or the members of a list or dict of modules."""
    module = model.get_submodule(path)
    if not isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        return [path]
    return [inner for name, _ in module.named_children() for inner in _callable(model, f"{path}.{name}")]


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
