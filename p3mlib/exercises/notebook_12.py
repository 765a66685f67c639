"""Exercises of notebook 12: predicates, verdicts, chance."""

import numpy as np

from p3mlib.exercises.exercise import Exercise, right, wrong
from p3mlib.exercises.judges import choice, function, number
from p3mlib.results.claims.board import SURE

BOUND = 0.05
_CASES = ((True, 0.97), (False, 0.97), (True, 0.80))  # does it hold on the table, share of resampled tables that agree
_WEAK = 0.3


def _holds(blurred, normal):
    """C1's rule on two lists of errors, method by method."""
    return bool(np.max(np.abs(np.divide(blurred, normal) - 1)) <= BOUND)


def _signed(blurred, normal):
    return bool(np.max(np.divide(blurred, normal) - 1) <= BOUND)


def _any(blurred, normal):
    return bool(np.min(np.abs(np.divide(blurred, normal) - 1)) <= BOUND)


def _on_average(blurred, normal):
    return bool(abs(np.mean(np.divide(blurred, normal) - 1)) <= BOUND)


def _absolute(blurred, normal):
    return bool(np.max(np.abs(np.subtract(blurred, normal))) <= BOUND)


def _percent(blurred, normal):
    return bool(np.max(np.abs(np.divide(blurred, normal) - 1)) <= 100 * BOUND)


def _trials():
    pairs = (
        ([10.2, 20.4, 29.8], [10, 20, 30]),
        ([12, 20, 30], [10, 20, 30]),
        ([8, 20, 30], [10, 20, 30]),
        ([11, 18, 30], [10, 20, 30]),
        ([0.102, 0.209], [0.1, 0.2]),
        ([0.12, 0.21], [0.1, 0.2]),
        ([13, 14], [10, 10]),
    )
    return [tuple(np.array(side, float) for side in pair) for pair in pairs]


def _verdict(holds, agreement):
    return ("PASS" if holds else "FAIL") if agreement >= SURE else "undecided"


def _verdicts(answer):
    """Verdict on three verdicts."""
    truth = [_verdict(*case) for case in _CASES]
    if isinstance(answer, str) or not hasattr(answer, "__len__") or len(answer) != len(truth):
        return wrong(f"A list of {len(truth)} verdicts is asked for, each PASS, FAIL or undecided.")
    for given, expected, (holds, agreement) in zip(answer, truth, _CASES, strict=True):
        said = str(given).strip().lower()
        if said not in ("pass", "fail", "undecided"):
            return wrong(f"'{given}' is no verdict; there are PASS, FAIL and undecided.")
        if said == expected.lower():
            continue
        case = f"The claim {'holds' if holds else 'does not hold'} and {agreement:.0%} of the tables agree"
        if expected == "undecided":
            return wrong(f"{case}, fewer than {SURE:.0%}: other images could say the opposite.")
        if said == "undecided":
            return wrong(f"{case}, at least {SURE:.0%}: that is decided.")
        return wrong(f"{case}: agreement says how sure the answer is, not which answer.")
    return right("Agreement says how sure a verdict is; which verdict says the table itself.")


def _weakest(board):
    return board[["chance", "chance_within"]].min(axis=1)


EXERCISES = (
    Exercise(
        "12.1",
        "change",
        "a predicate of your own",
        function(
            _holds,
            _trials,
            "Every method, either direction, relative to the un-blurred error: this is what C1 says.",
            [
                (_signed, "A change downwards is one as well: take absolute values."),
                (_any, "One method within the bound is not enough: all of them must be."),
                (_on_average, "A mean lets ups and downs cancel: look at every method."),
                (_absolute, "Differences depend on the unit: divide by the error on normal images."),
                (_percent, "A ratio of 0.05 is 5%: the bound is in the wrong unit."),
                (lambda blurred, normal: not _holds(blurred, normal), "The answer is the wrong way round."),
            ],
        ),
        (
            "A relative change is `blurred / normal - 1`.",
            "It may be negative: `abs`.",
            "All methods: the largest change must be within the bound.",
        ),
    ),
    Exercise(
        "12.2",
        "predict",
        "three verdicts",
        _verdicts,
        (
            "First ask how many tables agree, then what the answer is.",
            f"Below the bound of {SURE:.0%} nothing is decided.",
            "A sure 'no' is a FAIL.",
        ),
    ),
    Exercise(
        "12.3",
        "compute",
        "predicates that chance would pass",
        number(
            lambda board: int((_weakest(board) > _WEAK).sum()),
            "a number of predicates",
            "Where tables with exchanged rows pass that often, a PASS says little.",
            [
                (
                    lambda board: int((board[["chance", "chance_within"]].max(axis=1) > _WEAK).sum()),
                    "Both kinds of chance must be above the bound: take the smaller of the two.",
                ),
                (
                    lambda board: int((board["chance"] > _WEAK).sum()),
                    "That asks the first column alone; both must be above the bound.",
                ),
                (
                    lambda board: int((board["chance_within"] > _WEAK).sum()),
                    "That asks the second column alone; both must be above the bound.",
                ),
                (lambda board: len(board), "Those are all predicates; count those above the bound."),
                (lambda board: int((_weakest(board) <= _WEAK).sum()), "Those are the others, which chance passes rarely."),
                (lambda board: (_weakest(board) > _WEAK).mean(), "That is a share; asked is how many."),
            ],
            tolerance=1e-6,
        ),
        (
            "Two columns: `chance` and `chance_within`.",
            "The smaller of the two must be above the bound: `.min(axis=1)`.",
            "A comparison gives True and False; their sum is the number of True.",
        ),
        ("board",),
    ),
    Exercise(
        "12.4",
        "explain",
        "what a high chance means",
        choice(
            "d",
            "Tables that know nothing of the methods pass as well, so passing hardly tells methods apart.",
            a="Agreement says how sure the answer is on our table; chance asks a table without any knowledge.",
            b="A claim that chance passes can be true; the table is only a weak witness for it.",
            c="The verdict is about our numbers; that the predicate holds on the paper's was checked before.",
        ),
        (
            "In a table with exchanged rows, what is left of the methods?",
            "If a coin passes an exam half of the time, what does passing say?",
        ),
    ),
)
