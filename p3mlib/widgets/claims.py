"""Claims: the tables that a verdict was decided from, drawn anew, and what noise alone would do."""

import numpy as np

from p3mlib.bars import tqdm
from p3mlib.results import claims
from p3mlib.widgets.frame import Explorer, Still, choice, pictures, slider, table

_HELD, _NOT, _MUTE = (0.2, 0.6, 0.35), (0.85, 0.35, 0.1), (0.8, 0.8, 0.8)
_COLUMNS = 40  # squares in a row
_MOST = 15  # rows of a table in the flow


def claims_explorer(numbers, predicates=claims.PREDICATES, draws=200):
    """Choose a predicate; see in how many drawn tables it holds, the intervals of its numbers, and chance.

    Args:
        numbers: claims.Numbers of ours, per image. predicates: those to choose from, of which at least one was run. draws: tables
            from images and seeds drawn anew, and as many whose rows have exchanged their numbers.
    Returns:
        Explorer.
    Raises:
        ValueError: none of the predicates was run on these numbers.
    """
    paper, known = claims.from_paper(), {}
    for predicate in predicates:
        keys = claims.asked(predicate, numbers)
        if keys:
            known[f"{predicate.__name__.upper()}: {predicate.__doc__.splitlines()[0][:90]}"] = predicate, keys
    if not known:
        raise ValueError("no predicate was run: there are no tables, or none has its numbers; `make paper` writes them")
    drawn = [numbers.resampled(draw) for draw in tqdm(range(draws), desc="draw tables", unit="table")]
    rng = np.random.default_rng(1)
    mixed = [numbers.shuffled(rng, False) for _ in range(draws)]
    told = {
        predicate: (claims.answers(predicate, drawn), claims.answers(predicate, mixed))
        for predicate, _ in tqdm(known.values(), desc="what drawn tables say", unit="claim")
    }
    which, count = choice("claim", known), slider("tables drawn", draws, 5, draws, 5)

    def draw():
        predicate, keys = known[which.value]
        held, chance = (answers[: count.value] for answers in told[predicate])
        row = claims.verdict(predicate, numbers, held)
        said = f"{row['claim']}: {row['verdict']}. {row['says']}\nOurs: {row['numbers']}\nThe paper: {predicate(paper)[1]}"
        panels = [
            (_squares(held), f"{held.count(True)} of {len(held)} tables from images and seeds drawn anew agree with the claim"),
            (_squares(chance), f"{chance.count(True)} of {len(chance)} tables whose rows exchanged their numbers do: chance"),
        ]
        rows = [_row(key, numbers, paper, drawn[: count.value]) for key in sorted(keys)[:_MOST]]
        left = f"<p>and {len(keys) - _MOST} more numbers</p>" if len(keys) > _MOST else ""
        header = ["table", "method", "setting", "set", "metric", "ours", "95% of the drawn tables", "paper"]
        return Still(pictures(panels, said, 70).html + table(header, rows, after=left).html)

    advice = (
        "Green squares are tables in which the claim holds. Choose one that passes and compare with chance; then one that "
        "is undecided, and lower the number of tables: with few draws everything looks sure or everything looks open."
    )
    return Explorer("What was this verdict decided from?", advice, {"claim": which, "draws": count}, draw)


def _squares(answers):
    """One square a table: green where the claim holds, red where not, grey where it has no answer."""
    rows = -(-len(answers) // _COLUMNS)
    grid = np.ones((rows, _COLUMNS, 3), np.float32)
    for i, answer in enumerate(answers):
        grid[divmod(i, _COLUMNS)] = {True: _HELD, False: _NOT, None: _MUTE}[answer]
    large = np.kron(grid, np.ones((8, 8, 1), np.float32))
    large[::8] = large[:, ::8] = 1
    return large


def _row(key, numbers, paper, drawn):
    low, high = np.quantile([np.mean(t.values[key]) for t in drawn], [0.025, 0.975])
    theirs = f"{paper.values[key]:.4g}" if key in paper.values else "-"
    return [*key[:2], key[2], key[3], key[4], f"{np.mean(numbers.values[key]):.4g}", f"[{low:.4g}, {high:.4g}]", theirs]
