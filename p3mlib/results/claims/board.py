"""Verdicts on the claims, and the scoreboard that shows them beside the paper's numbers and beside chance."""

import contextlib

import numpy as np
import pandas as pd

from p3mlib.results.claims import ablation, copy_paste, methods, obfuscation
from p3mlib.results.claims.numbers import NotRun, Numbers, from_paper, from_tables
from p3mlib.results.printed import write

SURE = 0.95  # share of resampled tables that must agree with a verdict
VERDICTS = ("PASS", "FAIL", "undecided", "not run")
PREDICATES = tuple(
    sorted(
        (*methods.PREDICATES, *ablation.PREDICATES, *copy_paste.PREDICATES, *obfuscation.PREDICATES),
        key=lambda predicate: (int(predicate.__name__[1:-1]), predicate.__name__),
    )
)


def named(*numbers):
    """The predicates of claims by number, e.g. named(2, 3). Raises ValueError for a claim that has none."""
    found = {number: [p for p in PREDICATES if int(p.__name__[1:-1]) == number] for number in numbers}
    if missing := [number for number, predicates in found.items() if not predicates]:
        raise ValueError(f"no claim {missing[0]}; there are 1 to {PREDICATES[-1].__name__[1:-1]}")
    return tuple(predicate for predicates in found.values() for predicate in predicates)


def evaluate(numbers, draws=200, predicates=PREDICATES):
    """Verdict on every predicate.

    Args:
        numbers: Numbers. draws: resampled tables, over images and seeds. predicates: those of `PREDICATES` that are asked.
    Returns:
        DataFrame: claim, says, verdict (PASS, FAIL; undecided where less than 95% of the draws agree, or an error of zero has no
        ratio; not run), agreement (share of draws with the same answer; NaN where nothing was drawn, as with parameter
        counts), held (share of draws where the claim holds), numbers (or what is missing).
    """
    tables = [numbers.resampled(draw) for draw in range(draws)]
    rows = [verdict(predicate, numbers, answers(predicate, tables)) for predicate in predicates]
    return pd.DataFrame(rows)[["claim", "says", "verdict", "agreement", "held", "numbers"]]


def verdict(predicate, numbers, drawn):
    """A row of `evaluate`, as a dict. Args: drawn: `answers` of the predicate on tables drawn anew from `numbers`."""
    row = {"claim": predicate.__name__.upper(), "says": predicate.__doc__, "agreement": float("nan"), "held": float("nan")}
    asked = _Asked(numbers.values)
    try:
        holds, shown = predicate(asked)
    except NotRun as missing:
        return row | {"verdict": "not run", "numbers": str(missing)}
    except ZeroDivisionError:
        return row | {"verdict": "undecided", "numbers": "an error is zero"}
    row["held"] = float(holds)
    if drawn and any(np.size(numbers.values[key]) > 1 for key in asked.keys):
        row |= {"agreement": drawn.count(holds) / len(drawn), "held": drawn.count(True) / len(drawn)}
    sure = not row["agreement"] < SURE
    return row | {"verdict": ("PASS" if holds else "FAIL") if sure else "undecided", "numbers": shown}


class _Asked(Numbers):
    """Numbers that remember which of them were asked for."""

    def __init__(self, values):
        super().__init__(values)
        object.__setattr__(self, "keys", set())

    def __call__(self, table, method, setting, metric="SAD", dataset="P3M-500-P"):
        value = super().__call__(table, method, setting, metric, dataset)
        self.keys.add((str(table), method, setting, dataset, metric))
        return value


def asked(predicate, numbers):
    """Which of `numbers` a predicate looks at: set of keys (table, method, setting, set, metric); empty where it was not run."""
    known = _Asked(numbers.values)
    with contextlib.suppress(ZeroDivisionError):
        try:
            predicate(known)
        except NotRun:
            return set()
    return known.keys


def answers(predicate, tables):
    """What a predicate says of each table: True, False, or None where a number is missing or an error of zero has no ratio."""
    found = []
    for table in tables:
        try:
            found.append(bool(predicate(table)[0]))
        except (NotRun, ZeroDivisionError):
            found.append(None)
    return found


def scoreboard(numbers, draws=200, predicates=PREDICATES):
    """Verdicts beside the paper's numbers and beside chance.

    Args: as in `evaluate`.
    Returns:
        DataFrame: claim, tables (those it reads), says, verdict, agreement, held, chance (share of `draws` tables whose
        rows have exchanged their numbers that pass), chance_within (rows of one method only), ours, paper.
    """
    board, rng, paper = evaluate(numbers, draws, predicates), np.random.default_rng(1), from_paper()
    mixed = {within: [numbers.shuffled(rng, within) for _ in range(draws)] for within in (False, True)}
    theirs, tables, chances = [], [], {False: [], True: []}
    for predicate, said in zip(predicates, board["verdict"], strict=True):
        asked = _Asked(paper.values)
        theirs.append(predicate(asked)[1])
        tables.append(" ".join(sorted({key[0] for key in asked.keys}, key=int)))
        for within, drawn in mixed.items():
            known = said != "not run" and draws
            chances[within].append(answers(predicate, drawn).count(True) / draws if known else float("nan"))
    board = board.rename(columns={"numbers": "ours"}).assign(
        paper=theirs, tables=tables, chance=chances[False], chance_within=chances[True]
    )
    return board[["claim", "tables", "says", "verdict", "agreement", "held", "chance", "chance_within", "ours", "paper"]]


def of_profile(profile, draws=200):
    """The scoreboard of a profile's written tables. Returns (DataFrame, caption). FileNotFoundError: no tables.

    Where tables have rows with released weights, two more columns: `released`, the verdict on those of them that a predicate
    needs all, and `released_numbers`.
    """
    numbers, per_image = from_tables(profile)
    board, (theirs, _) = scoreboard(numbers, draws), from_tables(profile, released=True)
    if theirs.values:
        verdicts = evaluate(theirs, draws)
        board = board.assign(released=verdicts["verdict"], released_numbers=verdicts["numbers"])
    return board, caption(board, profile, per_image, draws)


def caption(board, profile, per_image, draws):
    """One paragraph that says how a scoreboard is to be read."""
    counts = board["verdict"].value_counts()
    decided = counts.get("PASS", 0) + counts.get("FAIL", 0)
    told = ", ".join(f"{counts.get(v, 0)} {v}" for v in VERDICTS)
    share = f" ({counts.get('PASS', 0) / decided:.0%} of the decided pass)" if decided else ""
    if "released" in board:
        run = board.loc[board["released"] != "not run", "released"].value_counts()
        share += f". Of released weights alone {', '.join(f'{run.get(v, 0)} {v}' for v in VERDICTS[:-1])}"
    source = f"{per_image:.0%} of the errors come per image, the others as means over images" if per_image < 1 else "per image"
    return (
        f"The paper's claims on the tables of profile {profile}: {told}{share}. A verdict stands where at least {SURE:.0%} of "
        f"{draws} tables from images and seeds drawn anew agree (agreement); otherwise it is undecided. Errors: "
        f"{source}. Chance: how often tables pass whose rows have exchanged their numbers, over the whole table / only among "
        "the rows of one method; where it is above 30% a PASS says little. Compare with the first what ranks methods, with the "
        "second what ranks settings."
    )


def save(board, profile, text):
    """Write `claims.csv`, `.md` and `.tex` into the profile's tables folder; returns the Markdown text."""
    header = ["Claim\ntable", "Says", "Verdict\nagreement", "Chance", "Ours", "Paper"]
    header[5:5] = ["Released weights"] * ("released" in board)
    lines = []
    for r in board.itertuples():
        tables = ", ".join(f"[{number}](table_{number}.md)" for number in r.tables.split())
        verdict, chance = f"{r.verdict}\n{_percent(r.agreement)}", f"{_percent(r.chance)} / {_percent(r.chance_within)}"
        lines.append([f"{r.claim}\n{tables}", r.says, verdict, chance, r.ours, r.paper])
        if "released" in board:
            lines[-1].insert(5, "-" if r.released == "not run" else f"{r.released}\n{r.released_numbers}")
    return write("claims", profile, board, header, lines, text).markdown


def _percent(share):
    return "-" if share != share else f"{share:.0%}"
