"""What an exercise is, and what is said of an answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

KINDS = ("predict", "compute", "change", "explain")


class Verdict(NamedTuple):
    """Whether an answer is right, and the reason in one or two sentences."""

    right: bool
    why: str


def wrong(why):
    """Verdict on a wrong answer."""
    return Verdict(False, why)


def right(why):
    """Verdict on a right answer."""
    return Verdict(True, why)


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        number: "NN.k", the notebook and its place there.
        kind:   of KINDS: say before you run, compute, change or write code, choose an explanation.
        title:  a few words for the list of what is solved.
        judge:  `judge(answer, **given)` -> Verdict, see `judges`.
        hints:  sentences from a nudge to nearly the answer.
        given:  names of the data that the notebook hands in beside the answer.
    Raises:
        ValueError: another kind, or no hints.
    """

    number: str
    kind: str
    title: str
    judge: Callable
    hints: tuple
    given: tuple = ()

    def __post_init__(self):
        if self.kind not in KINDS or not self.hints:
            raise ValueError(f"exercise {self.number}: a kind of {', '.join(KINDS)} and hints are needed, got '{self.kind}'")
