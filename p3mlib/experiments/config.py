"""The grid: experiments.yaml as frozen pydantic models. An unknown or wrongly typed key is an error that names it."""

import functools
import hashlib
import json
import os
from importlib import resources
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from p3mlib.experiments.profiles import Block, Many, Override, Pair, Profile, TrainChange
from p3mlib.models import bases

_FORMER = {"pretrain": 0, "encoder": 0, "own_base": False}  # fields of former versions, as run ids know them: runs stay
COPY_PASTE = {"none": "", "icp": "ICP", "fcp": "FCP", "matched": "matched CP"}  # as the tables print them


class Network(Block):
    """What tables print, what `models.build_model` makes (a model with options), and what its own paper trains it with."""

    method: str
    backbone: str
    model: str
    options: dict[str, Any] = {}
    published: TrainChange = TrainChange()


class Treatment(Override):
    """How `networks` are trained: `domain` of the training images is B (blurred) or N (normal); `layer` is that of fcp."""

    domain: Literal["B", "N"]
    copy_paste: Literal["none", "icp", "fcp", "matched"] = "none"
    layer: int = 0
    networks: Many[str]


class Row(Network, Treatment):
    """What is trained: a network in one treatment; that of an experiment also has what its profile overrides."""

    network: str

    @property
    def label(self):
        """Method, with its copy and paste."""
        return labelled(self.method, COPY_PASTE[self.copy_paste])


def labelled(method, cp):
    """Method as figures, tables and claims name it, e.g. "P3M-Net (R34)+FCP"."""
    return f"{method}+{cp}" if cp in (kind for kind in COPY_PASTE.values() if kind) else method


class Table(Block):
    """Rows (trained) or methods (untrained: printed name -> function, null where missing), test sets, metrics."""

    title: str
    sets: Many[Pair[str]]
    metrics: Many[str]
    patterns: Many[str] = Field((), alias="rows")
    networks: Many[str] = ("NET",)
    methods: dict[str, str | None] = {}

    @property
    def rows(self):
        """Names of the rows, those with NET once for each network."""
        return tuple(pattern.replace("NET", name) for name in self.networks for pattern in self.patterns)


def precision():
    """What this process trains in besides float32, as `accelerate launch --mixed_precision` says: "no", "bf16", "fp16", "fp8"."""
    return os.environ.get("ACCELERATE_MIXED_PRECISION", "no").lower()


class Experiment(Block):
    """A row of the grid at the scale of a profile with one seed: one training."""

    name: str
    row: Row
    profile: Profile
    seed: int

    @property
    def train(self):
        """The profile's TrainConfig with this row's learning rate, or with what the network's own paper trains with."""
        own = self.row.published.stated() if self.profile.train.published else {}
        train = self.profile.train.model_copy(update={**self.row.training.stated(), **own})
        lr = train.lr * (1.0 if own else self.row.lr_scale)
        return train.model_copy(update={"lr": lr, "width": train.width * self.row.width_scale})

    @property
    def start(self):
        """Name of the base of the package (models.bases) that this training goes on from; None without."""
        return bases.find(self.row.network, self.seed) if self.train.init == "base" else None

    def training(self, data):
        """The fields that change the trained weights, as a plain dict; `data` identifies the training images."""
        idle = {"workers", "in_memory"} | (set() if self.train.ingredients else {"ingredients"})
        train = self.train.model_dump(by_alias=True, exclude=idle)
        row = {"model": self.row.model, "options": dict(self.row.options), "train": self.row.domain}
        if self.row.copy_paste != "none":
            row |= {"copy_paste": self.row.copy_paste, "layer": self.row.layer}
        start = {"start": bases.cards()[self.start]["sha256"]} if self.start else {}
        mixed = {"precision": precision()} if precision() != "no" else {}
        return {**row, **_FORMER, **train, **start, **mixed, "seed": self.seed, "data": data}

    def run_id(self, data):
        """Readable name plus a hash of `training(data)`."""
        fields = json.dumps(self.training(data), sort_keys=True)
        return f"{self.name}-s{self.seed}-{hashlib.sha256(fields.encode()).hexdigest()[:8]}"


class Grid(Block):
    """The whole file."""

    profiles: dict[str, Profile]
    networks: dict[str, Network]
    treatments: dict[Annotated[str, Field(pattern="NET")], Treatment] = Field(alias="rows")
    tables: dict[int, Table]
    needs: dict[str, Many[str | int]] = Field(alias="notebooks")
    alone: Many[str]

    @functools.cached_property
    def rows(self):
        """dict name -> Row: every network in every treatment that it gets."""
        return {
            pattern.replace("NET", name): Row(**_merged(self.networks[name].stated(), treatment.stated()), network=name)
            for pattern, treatment in self.treatments.items()
            for name in treatment.networks
            if _known(self.networks, name, "network", f"rows.{pattern}.networks: ")
        }

    @functools.cached_property
    def notebooks(self):
        """dict notebook -> names of the rows, and numbers of the untrained tables, that it needs."""
        rows = {number: table.rows for number, table in self.tables.items()}
        return {name: tuple(row for need in needs for row in rows.get(need) or (need,)) for name, needs in self.needs.items()}

    def profile(self, name):
        """The profile called `name`; ValueError lists the known ones."""
        return _known(self.profiles, name, "profile")

    def experiment(self, row, profile, seed=0):
        """The training of `row` in `profile` with `seed`; ValueError lists what there is."""
        known, scale = _known(self.rows, row, "row"), self.profile(profile)
        model, network, own = (scale.overrides.get(name, Override()).stated() for name in (known.model, known.network, row))
        merged = functools.reduce(_merged, [{"seeds": scale.seeds}, model, network, known.stated(), own])
        return Experiment(name=row, row=Row(**merged), profile=scale, seed=seed)

    def trained(self, profile):
        """Names of the rows that a profile trains: all, or those of its `treatments`."""
        named = self.profile(profile).treatments or tuple(self.treatments)
        rows = {pattern: [pattern.replace("NET", name) for name in t.networks] for pattern, t in self.treatments.items()}
        return [row for name in named for row in rows.get(name, [name])]

    def shown(self, number, profile):
        """Names of the rows of a table that a profile trains."""
        trained = set(self.trained(profile))
        return [row for row in self.tables[number].rows if row in trained]

    def sets(self, row):
        """Test sets of all tables that show a row, each once, in order."""
        tables = [table for table in self.tables.values() if row in table.rows]
        return list(dict.fromkeys(pair for table in tables for pair in table.sets))

    def scored(self, row, profile):
        """Test sets on which a profile scores a row: those of `sets`, and the profile's own."""
        return list(dict.fromkeys([*self.sets(row), *self.profile(profile).sets]))

    def experiments(self, rows, profile):
        """All trainings of `rows` over their seeds, seed by seed."""
        first = [self.experiment(row, profile) for row in rows]
        seeds = range(max((e.row.seeds for e in first), default=0))
        return [e.model_copy(update={"seed": seed}) for seed in seeds for e in first if seed < e.row.seeds]


def _known(table, name, what, where=""):
    if name not in table:
        raise ValueError(f"{where}no {what} '{name}' in experiments.yaml; there are {', '.join(map(str, table))}")
    return table[name]


def _merged(base, change):
    """`change` laid over `base`, key by key in nested mappings."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    return base | {key: _merged(base.get(key), value) for key, value in change.items()}


def parse(text):
    """Grid from the text of an experiments.yaml.

    Raises:
        ValueError: unknown, missing or wrongly typed keys or choices, each on a line; a name that nothing has.
    """
    raw = yaml.safe_load(text)
    defaults = raw.pop("defaults", {})
    raw["profiles"] = {name: _merged({**defaults, "name": name}, change) for name, change in raw["profiles"].items()}
    raw["networks"] = {name: _merged({"model": name}, network) for name, network in raw["networks"].items()}
    try:
        grid = Grid.model_validate(raw)
    except ValidationError as error:
        raise ValueError("\n".join(map(_message, error.errors()))) from None
    named = {**{row.model: row for row in grid.rows.values()}, **grid.networks, **grid.rows}
    uses = [(f"profiles.{name}.overrides", p.overrides, "model, network or row", named) for name, p in grid.profiles.items()]
    rows = {**grid.treatments, **grid.rows}
    uses += [(f"profiles.{n}.treatments", p.treatments, "row", rows) for n, p in grid.profiles.items()]
    uses += [(f"tables.{number}.rows", table.rows, "row", grid.rows) for number, table in grid.tables.items()]
    uses += [(f"notebooks.{n}", needs, "row or table", {**grid.rows, **grid.tables}) for n, needs in grid.needs.items()]
    for where, names, what, known in uses:
        for name in names:
            _known(known, name, what, f"{where}: ")
    return grid


def _message(error):
    """Key path, what is wrong and what was found, of an error of pydantic."""
    found = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"
    return f"{'.'.join(map(str, error['loc'])) or 'experiments.yaml'}: {error['msg']}{found}"


@functools.cache
def load():
    """The project's grid."""
    return parse(resources.files("p3mlib.experiments").joinpath("experiments.yaml").read_text())
