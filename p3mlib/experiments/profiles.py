"""What a profile of experiments.yaml says, as frozen pydantic models, and what makes their errors name a wrong key."""

from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, create_model, model_validator
from pydantic_core import PydanticCustomError

from p3mlib.data.photo import INGREDIENTS

_T = TypeVar("_T")
Pair, Many = Annotated[tuple[_T, _T], Strict(False)], Annotated[tuple[_T, ...], Strict(False)]  # YAML has no tuples


class Block(BaseModel):
    """A block of the file: fields (or their aliases) of exactly these types, and no other keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_key(cls, values):
        known = [field.alias or name for name, field in cls.model_fields.items()]
        if isinstance(values, dict) and (unknown := [key for key in values if key not in known]):
            names = {"unknown": str(unknown), "known": ", ".join(known)}
            raise PydanticCustomError("unknown_key", "unknown key {unknown}; known are {known}", names)
        return values

    def stated(self):
        """The fields that were given, defaults left out, as a plain dict."""
        return self.model_dump(exclude_unset=True)


class DataConfig(Block):
    """Size and number of the synthetic images of a profile."""

    size: Pair[int]
    counts: dict[str, int]
    seed: int


class TrainConfig(Block):
    """Everything that changes a training besides the network; meanings stand in experiments.yaml. A serialization alias is the
    name that run ids know: it stays when a field is renamed."""

    width: float
    init: Literal["imagenet", "scratch", "base"]
    crop_sides: Many[int]
    ingredients: Many[Literal[tuple(INGREDIENTS)]] = ()
    size: int = Field(multiple_of=32)
    epochs: int
    batch_size: int
    published: bool
    optimiser: Literal["adam", "sgd"]
    lr: float
    schedule: Literal["constant", "cosine", "step", "poly", "triangle"]  # see `train.learning_rate`
    weight_decay: float
    max_grad_norm: float = Field(serialization_alias="clip")
    trimap_kernel: Pair[int]
    in_memory: bool
    workers: int
    threads: int


_optional = {name: (Annotated[field.annotation, field], None) for name, field in TrainConfig.model_fields.items()}
TrainChange = create_model("TrainChange", __base__=Block, __doc__="Some of the fields of TrainConfig.", **_optional)


class TestConfig(Block):
    """How predictions are made and scored."""

    __test__ = False  # not a pytest class
    strategy: Literal["resize", "hybrid"]
    ratio: float
    resizing: Literal["legacy", "modern"]
    eight_bit: bool
    traditional_side: int

    def __str__(self):
        scored = ", scored at 8 bits" if self.eight_bit else ""
        return f"{self.strategy.upper()} at ratio {self.ratio:g}, {self.resizing} resizing{scored}"


class BenchConfig(Block):
    """At what size, and how often, inference is timed."""

    size: int
    rounds: int


class Override(Block):
    """What may be said of a training besides its network: how many seeds; factors on the profile's `lr` and `width`; fields of
    TrainConfig in place of the profile's; options that join the network's. A profile says it of a model, a network or a row."""

    seeds: int | None = None
    lr_scale: float = 1.0
    width_scale: float = 1.0
    training: TrainChange = TrainChange()
    options: dict[str, Any] = {}


class Profile(Block):
    """One scale of the whole grid."""

    name: str
    seeds: int
    memory: float = Field(gt=0)
    data: DataConfig
    train: TrainConfig
    test: TestConfig
    bench: BenchConfig
    overrides: dict[str, Override]
    treatments: Many[str] = ()
    sets: Many[Pair[str]] = ()
