"""experiments.yaml as frozen dataclasses. An unknown or wrongly typed key is an error that names it."""

import dataclasses
import functools
import hashlib
import json
import types
import typing
from dataclasses import dataclass
from importlib import resources

import yaml

COPY_PASTE = {"none": "", "icp": "ICP", "fcp": "FCP", "matched": "matched CP"}  # as the tables print them
SCHEDULES = ("constant", "stable", "cosine", "step", "poly", "triangle")  # see `train.learning_rate`


@dataclass(frozen=True)
class DataConfig:
    """Size and number of the synthetic images of a profile."""

    size: tuple[int, int]
    counts: dict[str, int]
    seed: int


@dataclass(frozen=True)
class TrainConfig:
    """Everything that changes a training besides the network; meanings stand in experiments.yaml."""

    width: float
    init: str
    pretrain: int
    encoder: int
    own_base: bool
    crop_sides: tuple[int, ...]
    size: int
    epochs: int
    batch_size: int
    published: bool
    optimiser: str
    lr: float
    schedule: str
    weight_decay: float
    clip: float
    trimap_kernel: tuple[int, int]
    in_memory: bool
    workers: int
    threads: int


@dataclass(frozen=True)
class TestConfig:
    """How predictions are made and scored."""

    __test__ = False  # not a pytest class
    strategy: str
    ratio: float
    resizing: str
    eight_bit: bool
    traditional_side: int

    def __str__(self):
        scored = ", scored at 8 bits" if self.eight_bit else ""
        return f"{self.strategy.upper()} at ratio {self.ratio:g}, {self.resizing} resizing{scored}"


@dataclass(frozen=True)
class BenchConfig:
    """At what size, and how often, inference is timed."""

    size: int
    rounds: int


@dataclass(frozen=True)
class Profile:
    """One scale of the whole grid."""

    name: str
    seeds: tuple[int, ...]
    data: DataConfig
    train: TrainConfig
    test: TestConfig
    bench: BenchConfig
    models: dict[str, dict[str, typing.Any]] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """What is trained: `train` is the domain of the training images, B (blurred) or N (normal); `copy_paste` is none, icp, fcp
    or matched, with the `layer` of fcp (see copy_paste.py).

    The rest a profile may say for a model or a row (`Profile.models`): of the profile's seeds the first `seeds` are run, 0 runs all;
    `lr` and `width` multiply the profile's, fields of TrainConfig in `training` go before it; `options` join the row's own.
    """

    method: str
    backbone: str
    model: str
    train: str
    options: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
    seeds: int = 0
    lr: float = 1.0
    width: float = 1.0
    training: dict[str, typing.Any] = dataclasses.field(default_factory=dict)
    copy_paste: str = "none"
    layer: int = 0

    @property
    def label(self):
        """Method, with its copy and paste."""
        return labelled(self.method, COPY_PASTE[self.copy_paste])


def labelled(method, cp):
    """Method as figures, tables and claims name it, e.g. "P3M-Net (R34)+FCP"."""
    return f"{method}+{cp}" if cp in (kind for kind in COPY_PASTE.values() if kind) else method


@dataclass(frozen=True)
class Table:
    """Rows (trained) or methods (untrained: printed name -> function, null where missing), test sets, metrics."""

    title: str
    sets: tuple[tuple[str, str], ...]
    metrics: tuple[str, ...]
    rows: tuple[str, ...] = ()
    methods: dict[str, str | None] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """A row of the grid at the scale of a profile with one seed: one training."""

    name: str
    row: Row
    profile: Profile
    seed: int
    published: dict = dataclasses.field(default_factory=dict)

    @property
    def train(self):
        """The profile's TrainConfig with this row's learning rate, or with what the network's own paper trains with."""
        own = self.published if self.profile.train.published else {}
        train = dataclasses.replace(self.profile.train, **{**self.row.training, **own})
        lr = train.lr * (1.0 if own else self.row.lr)
        return dataclasses.replace(train, lr=lr, width=train.width * self.row.width)

    @property
    def pretraining(self):
        """The training on blurred images that this one goes on from; None without. Nothing in it depends on a row's images.

        "base": of a network with its options, for all rows that have them; its weights go on. Before it, "encoder": of the
        network as published, for all options; only its encoder goes on, as in the paper only the encoder comes from ImageNet.
        The learning rate stays up ("stable") in both: it falls in the rows' own epochs, on their own images, which so decide.
        """
        train = self.train
        if train.pretrain:
            return self._before("base", {"pretrain": 0, "epochs": train.pretrain}, self.row.options)
        if train.encoder:
            published = self.profile.models.get(self.row.model, {}).get("options", {})
            return self._before("encoder", {"encoder": 0, "epochs": train.encoder}, published)
        return None

    def _before(self, stage, change, options):
        training = {**self.row.training, **change, "schedule": "stable"}
        row = dataclasses.replace(self.row, train="B", copy_paste="none", layer=0, options=options, training=training)
        seed = self.seed if self.train.own_base else 0
        return dataclasses.replace(self, name=f"{self.row.model}_{stage}", row=row, seed=seed)

    def training(self, data):
        """The fields that change the trained weights, as a plain dict; `data` identifies the training images."""
        train = {k: v for k, v in dataclasses.asdict(self.train).items() if k not in ("workers", "in_memory")}
        row = {"model": self.row.model, "options": dict(self.row.options), "train": self.row.train}
        if self.row.copy_paste != "none":
            row |= {"copy_paste": self.row.copy_paste, "layer": self.row.layer}
        return {**row, **train, "seed": self.seed, "data": data}

    def run_id(self, data):
        """Readable name plus a hash of `training(data)`."""
        fields = json.dumps(self.training(data), sort_keys=True)
        return f"{self.name}-s{self.seed}-{hashlib.sha256(fields.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Grid:
    """The whole file."""

    profiles: dict[str, Profile]
    rows: dict[str, Row]
    tables: dict[int, Table]
    notebooks: dict[str, tuple]
    alone: tuple = ()
    published: dict[str, dict] = dataclasses.field(default_factory=dict)

    def profile(self, name):
        """The profile called `name`; ValueError lists the known ones."""
        return _known(self.profiles, name, "profile")

    def experiment(self, row, profile, seed=0):
        """The training of `row` in `profile` with `seed`; ValueError lists what there is."""
        known, scale = _known(self.rows, row, "row"), self.profile(profile)
        change = _merged(scale.models.get(known.model, {}), scale.models.get(row, {}))
        known = dataclasses.replace(known, **{**change, "options": {**known.options, **change.get("options", {})}})
        return Experiment(row, known, scale, seed, self.published.get(known.model, {}))

    def sets(self, row):
        """Test sets of all tables that show a row, each once, in order."""
        tables = [table for table in self.tables.values() if row in table.rows]
        return list(dict.fromkeys(pair for table in tables for pair in table.sets))

    def experiments(self, rows, profile):
        """All trainings of `rows` over their seeds, seed by seed."""
        seeds = self.profile(profile).seeds
        wanted = [self.experiment(row, profile, seed) for seed in seeds for row in rows]
        return [e for e in wanted if e.seed in seeds[: e.row.seeds or None]]


def _known(table, name, what):
    if name not in table:
        raise ValueError(f"no {what} '{name}' in experiments.yaml; there are {', '.join(map(str, table))}")
    return table[name]


def _typed(kind, value, where):
    """`value` checked against and converted to the annotation `kind`."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind is typing.Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _build(kind, value, where)
    if origin is tuple and isinstance(value, (list, tuple)):
        kinds = [args[0]] * len(value) if args[-1] is Ellipsis else args
        if len(kinds) != len(value):
            raise ValueError(f"{where}: expected {len(kinds)} values, got {value!r}")
        return tuple(_typed(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))
    if origin is dict and isinstance(value, dict):
        return {k: _typed(args[1], v, f"{where}.{k}") for k, v in value.items()}
    if origin is types.UnionType:
        return None if value is None else _typed(args[0], value, where)
    if kind is float and type(value) is int:
        return float(value)
    if origin is None and type(value) is kind:
        return value
    raise ValueError(f"{where}: expected {getattr(kind, '__name__', kind)}, got {value!r}")


def _build(kind, values, where):
    if not isinstance(values, dict):
        raise ValueError(f"{where}: expected a mapping, got {values!r}")
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = values.keys() - fields.keys()
    if unknown:
        raise ValueError(f"{where}: unknown key {sorted(unknown)}; known are {', '.join(fields)}")
    missing = [
        n
        for n, f in fields.items()
        if n not in values and f.default_factory is dataclasses.MISSING and f.default is dataclasses.MISSING
    ]
    if missing:
        raise ValueError(f"{where}: missing key {missing}")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _typed(hints[name], value, f"{where}.{name}") for name, value in values.items()})


def _merged(base, change):
    """`change` laid over `base`, one level into nested mappings; `counts` and the like are replaced key by key."""
    both = dict(base)
    for key, value in change.items():
        nested = isinstance(value, dict) and isinstance(both.get(key), dict)
        both[key] = _merged(both[key], value) if nested else value
    return both


def parse(text):
    """Grid from the text of an experiments.yaml.

    Raises:
        ValueError: unknown, missing or wrongly typed key, an unknown choice, a table or notebook naming no row.
    """
    raw = yaml.safe_load(text)
    unknown = raw.keys() - {"defaults", "profiles", "rows", "notebooks", "alone", "tables", "published"}
    if unknown:
        raise ValueError(f"experiments.yaml: unknown key {sorted(unknown)}")
    profiles = {
        name: _build(Profile, {"name": name, **_merged(raw["defaults"], change)}, f"profiles.{name}")
        for name, change in raw["profiles"].items()
    }
    for profile in profiles.values():
        _check(profile)
    rows = {name: _build(Row, row, f"rows.{name}") for name, row in raw["rows"].items()}
    for name, row in rows.items():
        if row.copy_paste not in COPY_PASTE:
            raise ValueError(f"rows.{name}.copy_paste: '{row.copy_paste}' is not one of {', '.join(COPY_PASTE)}")
    for profile in profiles.values():
        for name, change in profile.models.items():
            where = f"profiles.{profile.name}.models.{name}"
            if name not in {row.model for row in rows.values()} | rows.keys():
                raise ValueError(f"{where}: neither a row nor what one trains")
            _build(Row, {"method": "", "backbone": "", "model": name, "train": "", **change}, where)
            if "training" in change:
                change["training"] = _fields(change["training"], profile, f"{where}.training")
    tables = {n: _build(Table, table, f"tables.{n}") for n, table in raw["tables"].items()}
    notebooks = {name: tuple(wanted) for name, wanted in raw["notebooks"].items()}
    for where, wanted in [*notebooks.items(), *((f"tables.{n}", t.rows) for n, t in tables.items())]:
        strangers = set(wanted) - rows.keys() - tables.keys()
        if strangers:
            raise ValueError(f"{where}: no such row {sorted(strangers)}; there are {', '.join(rows)}")
    published = raw.get("published", {})
    for model, change in published.items():
        for profile in profiles.values():
            published[model] = _fields(change, profile, f"published.{model}")
    return Grid(profiles, rows, tables, notebooks, tuple(raw.get("alone", ())), published)


def _fields(change, profile, where):
    """Some fields of TrainConfig, typed, and checked in place of the profile's."""
    kinds = typing.get_type_hints(TrainConfig)
    if unknown := change.keys() - kinds.keys():
        raise ValueError(f"{where}: unknown key {sorted(unknown)}; known are {', '.join(kinds)}")
    change = {key: _typed(kinds[key], value, f"{where}.{key}") for key, value in change.items()}
    _check(dataclasses.replace(profile, train=dataclasses.replace(profile.train, **change)))
    return change


def _check(profile):
    choices = {
        "train.init": (profile.train.init, ("imagenet", "scratch")),
        "train.schedule": (profile.train.schedule, SCHEDULES),
        "train.optimiser": (profile.train.optimiser, ("adam", "sgd")),
        "test.strategy": (profile.test.strategy, ("resize", "hybrid")),
        "test.resizing": (profile.test.resizing, ("legacy", "modern")),
    }
    for key, (value, allowed) in choices.items():
        if value not in allowed:
            raise ValueError(f"profiles.{profile.name}.{key}: '{value}' is not one of {', '.join(allowed)}")
    if profile.train.size % 32:
        raise ValueError(f"profiles.{profile.name}.train.size: {profile.train.size} is not a multiple of 32")


@functools.cache
def load():
    """The project's grid."""
    return parse(resources.files("p3mlib.experiments").joinpath("experiments.yaml").read_text())
