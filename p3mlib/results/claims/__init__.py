"""Claims of the paper (C1 to C40) as predicates over its tables: evaluated on our numbers, and on the paper's own.

Only predicates that make sense on any data are here; each takes a `Numbers` and returns whether it holds and the numbers
that say so. Thresholds and numbering are those of the project's list of claims.
"""

from p3mlib.results.claims.board import (
    PREDICATES,
    SURE,
    VERDICTS,
    answers,
    asked,
    evaluate,
    named,
    of_profile,
    save,
    scoreboard,
    verdict,
)
from p3mlib.results.claims.numbers import NotRun, Numbers, from_paper, from_results, from_tables

__all__ = [
    "PREDICATES",
    "SURE",
    "VERDICTS",
    "NotRun",
    "Numbers",
    "answers",
    "asked",
    "evaluate",
    "from_paper",
    "from_results",
    "from_tables",
    "named",
    "of_profile",
    "save",
    "scoreboard",
    "verdict",
]
