"""Judges of answers: numbers, letters, names and functions. A judge takes the answer and the data given and returns a Verdict.

Mistakes that are typical come as `traps`, pairs of what the mistake gives and the reason why it is one.
"""

import copy
import math
import numbers

import numpy as np
import torch

from p3mlib.exercises.exercise import right, wrong

_FACTORS = {
    1000: "A factor of 1000 too large: look at the unit again, {unit}.",
    0.001: "A factor of 1000 too small: look at the unit again, {unit}.",
    100: "A factor of 100 too large: is it in percent? Asked is {unit}.",
    0.01: "A factor of 100 too small: asked is {unit}.",
    -1: "The sign is the wrong way round.",
}


def near(one, other, tolerance=0.01):
    """True where two floats differ by no more than this share of the second, or by rounding."""
    return abs(one - other) <= max(tolerance * abs(other), 1e-9)


def number(expected, unit, why, traps=(), tolerance=0.01):
    """A judge of numbers.

    Args:
        expected:  function of the data given -> float.
        unit:      words, as "thousand pixels".
        why:       what is said of the right answer.
        traps:     pairs (function as `expected`, reason).
        tolerance: share of the right number.
    Returns:
        judge(answer, **given) -> Verdict.
    """

    def judge(answer, **given):
        value = _float(answer)
        if value is None or not math.isfinite(value):
            return wrong(f"One number is asked for, {unit}; this is {_kind(answer) if value is None else value}.")
        truth = float(expected(**given))
        if near(value, truth, tolerance):
            return right(why)
        for mistake, reason in traps:
            if near(value, float(mistake(**given)), tolerance):
                return wrong(reason)
        return wrong(_by_size(value, truth, unit, tolerance))

    return judge


def _float(answer):
    """The one number that an answer holds, or None."""
    if isinstance(answer, (np.ndarray, torch.Tensor)):
        answer = answer.reshape(-1)[0].item() if math.prod(answer.shape) == 1 else None
    good = isinstance(answer, (numbers.Real, np.number)) and not isinstance(answer, (bool, np.bool_))
    return float(answer) if good else None


def _kind(answer):
    shape = getattr(answer, "shape", None)
    return f"{type(answer).__name__}{f' of shape {tuple(shape)}' if shape else ''}"


def _by_size(value, truth, unit, tolerance):
    for factor, sentence in _FACTORS.items():
        if truth and near(value / factor, truth, tolerance):
            return sentence.format(unit=unit)
    return f"{value:.4g} is too {'large' if value > truth else 'small'}; asked is {unit}."


def choice(letter, why, **reasons):
    """A judge of multiple choice.

    Args:
        letter:  the right option. why: what is said of it. reasons: of every other letter, why it is wrong.
    Returns:
        judge(answer, **given) -> Verdict; its attribute `letters` lists the options.
    """

    def judge(answer, **given):
        chosen = str(answer).strip(" ().").lower() if isinstance(answer, str) else ""
        if chosen == letter:
            return right(why)
        return wrong(reasons.get(chosen, f"Answer with one letter in quotes: {', '.join(judge.letters)}."))

    judge.letters = sorted({letter, *reasons})
    return judge


def name(expected, options, why, reason):
    """A judge of names from a list.

    Args:
        expected: function of the data given -> the right name. options: all names.
        why:      what is said of the right one. reason: function of a wrong name and the data given -> why not.
    Returns:
        judge(answer, **given) -> Verdict.
    """
    known = {option.lower(): option for option in options}

    def judge(answer, **given):
        chosen = known.get(str(answer).strip().lower())
        if chosen is None:
            return wrong(f"Answer with one of these names in quotes: {', '.join(options)}.")
        return right(why) if chosen == expected(**given) else wrong(reason(chosen, **given))

    return judge


def function(reference, trials, why, traps=()):
    """A judge of functions, which are tried beside the library's own.

    Args:
        reference: what the function should do. trials: function of the data given -> list of tuples of arguments.
        why:       what is said of the right one. traps: pairs (a function with the mistake, reason).
    Returns:
        judge(answer, **given) -> Verdict. Arguments that the answer changes, exceptions and a missing `return` are named.
    """

    def judge(answer, **given):
        if not callable(answer):
            return wrong(f"Hand in the function itself, its name without brackets; this is {_kind(answer)}.")
        tried, found = trials(**given), []
        for arguments in tried:
            own = copy.deepcopy(arguments)
            try:
                found.append(_arrays(answer(*own)))
            except Exception as error:
                return wrong(f"On {_told(arguments)} it raises {type(error).__name__}: {error}")
            if found[-1] is None:
                return wrong("It returns None: is a `return` missing?")
            if not all(_same(_arrays(mine), _arrays(theirs)) for mine, theirs in zip(own, arguments, strict=True)):
                return wrong("It changes its arguments; the caller still needs them. Work on a copy.")
        truths = [_arrays(reference(*arguments)) for arguments in tried]
        if all(map(_same, found, truths)):
            return right(why)
        for mistake, reason in traps:
            if all(_same(f, _quietly(mistake, arguments)) for f, arguments in zip(found, tried, strict=True)):
                return wrong(reason)
        return wrong(_difference(found, truths, tried))

    return judge


def _arrays(value):
    """A result as an array of floats, or None where it is none."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    try:
        return None if value is None else np.asarray(value, float)
    except (TypeError, ValueError):
        return np.array(float("nan"))


def _same(one, other):
    return one is not None and other is not None and one.shape == other.shape and np.allclose(one, other, rtol=1e-4, atol=1e-6)


def _quietly(mistake, arguments):
    try:
        return _arrays(mistake(*copy.deepcopy(arguments)))
    except (ValueError, RuntimeError, IndexError):
        return None


def _told(arguments):
    words = (f"an array {tuple(a.shape)}" if getattr(a, "shape", None) else f"{a!r}" for a in arguments)
    return ", ".join(words)


def _difference(found, truths, tried):
    """Sentence on the first trial where a function and the library's differ."""
    for mine, theirs, arguments in zip(found, truths, tried, strict=True):
        if _same(mine, theirs):
            continue
        if mine.shape != theirs.shape:
            return f"On {_told(arguments)} the result has shape {mine.shape}, the library's {theirs.shape}."
        if mine.ndim == 0:
            return f"On {_told(arguments)} it gives {mine:.4g}, the library {theirs:.4g}."
        off = ~np.isclose(mine, theirs, rtol=1e-4, atol=1e-6)
        return f"On {_told(arguments)} it differs from the library at {off.sum()} of {off.size} places."
    return "It differs from the library."
