"""What the notebooks call, and what this kernel has seen answered."""

import importlib
from dataclasses import dataclass

from p3mlib.exercises.exercise import Verdict

_tried, _solved, _hinted = {}, set(), {}  # number -> how often; numbers; number -> how many hints were given


@dataclass(frozen=True)
class Reply:
    """What a cell shows: the number of an exercise, what is said, and whether it is solved (None: not answered)."""

    number: str
    text: str
    solved: bool | None = None

    def __repr__(self):
        mark = {True: "right. ", False: "not yet. ", None: ""}[self.solved]
        return f"{self.number}: {mark}{self.text}"

    def _repr_markdown_(self):
        mark = {True: "✓ **right.** ", False: "✗ **not yet.** ", None: ""}[self.solved]
        return f"**{self.number}** {mark}{self.text}"


@dataclass(frozen=True)
class Progress:
    """Which exercises of a notebook are solved: rows (number, kind, title, state)."""

    notebook: str
    rows: tuple

    @property
    def solved(self):
        """Numbers of the exercises that are solved."""
        return [number for number, *_, state in self.rows if state == "solved"]

    def _told(self):
        return f"Notebook {self.notebook}: {len(self.solved)} of {len(self.rows)} exercises solved"

    def __repr__(self):
        return "\n".join([self._told(), *(f"{number}  {kind:8} {state:22} {title}" for number, kind, title, state in self.rows)])

    def _repr_markdown_(self):
        lines = ["| exercise | kind | about | state |", "|---|---|---|---|"]
        return "\n".join([f"{self._told()}.", "", *lines, *(f"| {' | '.join(row)} |" for row in self.rows)])


def exercises(notebook):
    """The exercises of a notebook.

    Args:
        notebook: its two digits, as "02".
    Returns:
        dict number -> Exercise, in order.
    Raises:
        ValueError: no notebook of that number has exercises.
    """
    try:
        module = importlib.import_module(f"p3mlib.exercises.notebook_{notebook}")
    except ModuleNotFoundError as error:
        if error.name != f"p3mlib.exercises.notebook_{notebook}":
            raise
        raise ValueError(f"no exercises for a notebook '{notebook}'; name it by two digits, as \"02\"") from None
    return {exercise.number: exercise for exercise in module.EXERCISES}


def _find(number):
    known = exercises(str(number)[:2])
    if number not in known:
        raise ValueError(f"no exercise '{number}'; there are {', '.join(known)}")
    return known[number]


def check(number, answer=..., **given):
    """Say whether an answer is right, and why.

    Args:
        number: of the exercise, as "02.1".
        answer: a number, letter, name, function or whatever the task asks for; `...` is no answer yet.
        given:  the data that the exercise hands in.
    Returns:
        Reply, which a notebook shows. A wrong answer, and none, never fail.
    Raises:
        ValueError: there is no such exercise, or it is given other data than it needs.
    """
    exercise = _find(number)
    if given.keys() != set(exercise.given):
        raise ValueError(f"exercise {number} is given {', '.join(exercise.given) or 'no data'}, not {', '.join(given) or 'none'}")
    if answer is ...:
        return Reply(number, f'not answered yet. Put your answer in place of the three dots; `hint("{number}")` helps.')
    _tried[number] = _tried.get(number, 0) + 1
    try:
        verdict = exercise.judge(answer, **given)
    except Exception as error:
        verdict = Verdict(False, f"This answer cannot be compared, {type(error).__name__}: {error}")
    if verdict.right:
        _solved.add(number)
    return Reply(number, verdict.why, bool(verdict.right))


def hint(number):
    """The next hint of an exercise; after the last, where the solution stands.

    Args:
        number: as in `check`.
    Returns:
        Reply.
    Raises:
        ValueError: there is no such exercise.
    """
    hints = _find(number).hints
    given = _hinted.get(number, 0)
    _hinted[number] = given + 1
    if given < len(hints):
        return Reply(number, f"hint {given + 1} of {len(hints)}: {hints[given]}")
    return Reply(number, f"no more hints; the solution stands in `notebooks/solutions/{number[:2]}.py`.")


def progress(notebook):
    """Which exercises of a notebook this kernel has seen solved.

    Args:
        notebook: its two digits, as "02".
    Returns:
        Progress, which a notebook shows as a sentence and a table.
    Raises:
        ValueError: no notebook of that number has exercises.
    """
    rows = ((e.number, e.kind, e.title, _state(e.number)) for e in exercises(notebook).values())
    return Progress(notebook, tuple(rows))


def _state(number):
    if number in _solved:
        return "solved"
    times = _tried.get(number, 0)
    return f"tried {times} time{'s' * (times != 1)}" if times else "open"


def forget():
    """Begin anew: nothing is tried, solved or hinted at."""
    for memory in (_tried, _solved, _hinted):
        memory.clear()
