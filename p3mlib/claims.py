"""Claims of the paper as predicates over its tables: evaluated on our numbers, and on the paper's own.

So far C1 to C18, on Tables 2 to 6. Only predicates that make sense on any data are here (`gen` in the list of claims); each
takes a `Numbers` and returns whether it holds and the numbers that say so.
"""

import itertools
import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from p3mlib import config, report

EARLIER = ("SHM", "LF", "HATT", "MODNet", "GFM")
VARIANTS = ("P3M-Net (R34)", "P3M-Net (Swin-T)", "P3M-Net (ViTAE-S)")
FREE = (*EARLIER, *VARIANTS)
DEEP = ("DIM", "AlphaGAN", "GCA", "IndexNet", "FBA")  # Table 3
TRADITIONAL = ("Closed", "IFM", "KNN", "Compre", "Robust", "Learning", "Global", "Shared")  # Table 2
COLUMNS = {"P3M-500-P": (5, "B:B"), "P3M-500-NP": (5, "B:N"), "RWP": (6, "B:N")}  # data set -> table, setting
TEN = ("SAD", "MSE", "MAD", "SAD-T", "MSE-T", "MAD-T", "SAD-FG", "SAD-BG", "Grad", "Conn")
SURE = 0.95  # share of resampled tables that must agree with a verdict


class NotRun(LookupError):
    """A number that a predicate needs is not there."""


@dataclass(frozen=True)
class Numbers:
    """Errors by (table, method, setting, data set, metric): arrays (seeds, images), or single numbers."""

    values: dict

    def __call__(self, table, method, setting, metric="SAD", dataset="P3M-500-P"):
        """Mean over seeds and images. Raises NotRun."""
        try:
            return float(np.mean(self.values[str(table), method, setting, dataset, metric]))
        except KeyError:
            raise NotRun(f"Table {table}: {method} {setting} {dataset} {metric}") from None

    def free(self, method, dataset, metric="SAD"):
        """Of Tables 5 and 6."""
        table, setting = COLUMNS[dataset]
        return self(table, method, setting, metric, dataset)

    def change(self, method, table=4):
        """SAD(B:N) / SAD(N:N) - 1."""
        return self(table, method, "B:N") / self(table, method, "N:N") - 1

    def drop(self, method):
        """SAD(B:N) - SAD(N:N) of Table 4."""
        return self(4, method, "B:N") - self(4, method, "N:N")

    def resampled(self, rng):
        """Means over images and seeds drawn anew: one draw of images a data set, the same for all; seeds for each method."""
        picks, drawn = {}, {}
        for key, array in self.values.items():
            if np.ndim(array) == 2:
                seeds, images = array.shape
                chosen = picks.setdefault((key[3], images), rng.integers(images, size=images))
                which = picks.setdefault((key[1], key[2][0], seeds), rng.integers(seeds, size=seeds))
                array = array[which][:, chosen].mean()
            drawn[key] = array
        return Numbers(drawn)


def from_results(results):
    """Numbers of ours. Args: results: table -> list of report.Result; per-image errors that are NaN count as absent."""
    found = {}
    for table, items in results.items():
        for r in items:
            for metric in r.errors.columns if r.errors is not None else ():
                found.setdefault((str(table), r.label, r.setting, r.dataset, metric), []).append(r.errors[metric].to_numpy())
    return Numbers({key: np.stack(arrays) for key, arrays in found.items() if not np.isnan(arrays).any()})


def from_paper():
    """Numbers of the paper."""
    printed = report.paper_values()
    printed = printed.assign(method=list(map(config.labelled, printed["method"], printed["cp"])))
    numbers = pd.to_numeric(printed["value"], errors="coerce")
    keys = printed[["table", "method", "setting", "dataset", "metric"]].itertuples(index=False, name=None)
    return Numbers({key: value for key, value in zip(keys, numbers, strict=True) if not np.isnan(value)})


def percent(values):
    """Text of relative changes, dict method -> number."""
    return ", ".join(f"{_short(name)} {value:+.1%}" for name, value in values.items())


def plain(values):
    """Text of errors, dict method -> number."""
    return ", ".join(f"{_short(name)} {value:.2f}" for name, value in values.items())


def _short(name):
    return re.sub(r"P3M-Net \((.*?)\)", r"\1", name)


def c1a(n):
    """PPT hardly touches traditional methods: SAD, MSE and MAD change by 5% at most."""
    changes = {m: max((n(2, m, "-:B", e) / n(2, m, "-:N", e) - 1 for e in TEN[:3]), key=abs) for m in TRADITIONAL}
    return max(map(abs, changes.values())) <= 0.05, percent(changes)


def c1b(n):
    """The order of traditional methods stays (rank correlation)."""
    rank = spearmanr(*([n(2, m, setting) for m in TRADITIONAL] for setting in ("-:B", "-:N"))).statistic
    return rank >= 0.9, f"{rank:.2f}"


def c2a(n):
    """Deep trimap-based methods do alike on blurred and normal images: B:B and B:N differ by 3% at most."""
    changes = {m: n(3, m, "B:B") / n(3, m, "B:N") - 1 for m in DEEP}
    return max(map(abs, changes.values())) <= 0.03, percent(changes)


def c2b(n):
    """They hardly notice what they were trained on: B:N and N:N differ by 5% (median) and 15% (largest) at most."""
    changes = {m: n.change(m, 3) for m in DEEP}
    sizes = [abs(c) for c in changes.values()]
    return np.median(sizes) <= 0.05 and max(sizes) <= 0.15, percent(changes)


def c3a(n):
    """Trained on blurred images, IndexNet, AlphaGAN and GCA are better on normal ones."""
    changes = {m: n.change(m, 3) for m in ("IndexNet", "AlphaGAN", "GCA")}
    return max(changes.values()) < 0, percent(changes)


def c3b(n):
    """So are most deep trimap-based methods."""
    changes = {m: n.change(m, 3) for m in DEEP}
    return sum(c < 0 for c in changes.values()) > len(changes) / 2, percent(changes)


def c4a(n):
    """Trimap-free methods react to PPT more than deep trimap-based ones (maximum and median of |B:N / N:N - 1|)."""
    free = {m: abs(n.change(m)) for m in (*EARLIER, "BASIC")}
    deep = {m: abs(n.change(m, 3)) for m in DEEP}
    ours, theirs = list(free.values()), list(deep.values())
    return max(ours) > max(theirs) and np.median(ours) > np.median(theirs), f"{percent(free)} | {percent(deep)}"


def c4b(n):
    """The median change of trimap-free methods exceeds the largest of the traditional ones."""
    free = np.median([abs(n.change(m)) for m in (*EARLIER, "BASIC")])
    traditional = max(abs(n(2, m, "-:B") / n(2, m, "-:N") - 1) for m in TRADITIONAL)
    return free > traditional, f"{free:.1%} against {traditional:.1%}"


def c5a(n):
    """Tested on normal images, training on normal ones beats training on blurred ones for most methods."""
    drops = {m: n.drop(m) for m in (*EARLIER, "BASIC", *VARIANTS)}
    return sum(d > 0 for d in drops.values()) > len(drops) / 2, plain(drops)


def c5b(n):
    """The same over the five earlier methods."""
    drops = {m: n.drop(m) for m in EARLIER}
    return sum(d > 0 for d in drops.values()) > len(drops) / 2, plain(drops)


def c6a(n):
    """SHM, which has two stages, loses most under PPT."""
    drops = {m: n.drop(m) for m in (*EARLIER, "BASIC", *VARIANTS)}
    return max(drops, key=drops.get) == "SHM", plain(drops)


def c6b(n):
    """SHM loses at least a fifth."""
    return n.change("SHM") >= 0.2, f"{n.change('SHM'):+.1%}"


def c6c(n):
    """MODNet and GFM lose at most half of what SHM loses."""
    drops = {m: n.drop(m) for m in ("SHM", "MODNet", "GFM")}
    return drops["SHM"] > 0 and max(drops["MODNet"], drops["GFM"]) <= drops["SHM"] / 2, plain(drops)


def c7a(n):
    """BASIC loses at most a quarter of what SHM loses."""
    drops = {m: n.drop(m) for m in ("BASIC", "SHM")}
    return drops["SHM"] > 0 and drops["BASIC"] <= drops["SHM"] / 4, plain(drops)


def c7b(n):
    """BASIC loses at most 7%."""
    return n.change("BASIC") <= 0.07, f"{n.change('BASIC'):+.1%}"


def c8a(n):
    """Multi-task GFM, MODNet and BASIC each lose less than two-stage SHM, in relation to their error."""
    changes = {m: n.change(m) for m in ("GFM", "MODNet", "BASIC", "SHM")}
    return max(v for m, v in changes.items() if m != "SHM") < changes["SHM"], percent(changes)


def c8b(n):
    """The multi-task methods lose on average less than half of what SHM loses."""
    changes = {m: n.change(m) for m in ("GFM", "MODNet", "BASIC", "HATT", "SHM")}
    return np.mean([v for m, v in changes.items() if m != "SHM"]) < changes["SHM"] / 2, percent(changes)


def c9a(n):
    """In B:B the multi-task methods are better than the sequential and two-stage ones."""
    errors = {m: n(4, m, "B:B") for m in (*EARLIER, "BASIC")}
    return max(errors[m] for m in ("GFM", "MODNet", "BASIC")) < min(errors[m] for m in ("SHM", "LF", "HATT")), plain(errors)


def c9b(n):
    """LF is the worst in B:B."""
    errors = {m: n(4, m, "B:B") for m in (*EARLIER, "BASIC")}
    return max(errors, key=errors.get) == "LF", plain(errors)


def c9c(n):
    """LF changes less than SHM loses."""
    return abs(n.change("LF")) < n.change("SHM"), percent({m: n.change(m) for m in ("LF", "SHM")})


def c10a(n):
    """Every P3M-Net beats every earlier method in every setting and metric."""
    worst = {
        (s, m): (max(n(4, v, s, m) for v in VARIANTS), min(n(4, e, s, m) for e in EARLIER))
        for s in ("N:N", "B:N", "B:B")
        for m in ("SAD", "MSE", "MAD")
    }
    shown = "; ".join(f"{s} {a:.2f} against {b:.2f}" for (s, m), (a, b) in worst.items() if m == "SAD")
    return all(a < b for a, b in worst.values()), shown


def c11a(n):
    """ViTAE-S beats Swin-T beats ResNet-34 in every column."""
    columns = {f"Table 4 {s}": [n(4, v, s) for v in VARIANTS] for s in ("N:N", "B:N", "B:B")}
    columns |= {name: [n.free(v, name) for v in VARIANTS] for name in COLUMNS}
    shown = "; ".join(f"{name} {' > '.join(f'{v:.2f}' for v in values)}" for name, values in columns.items())
    return all(a > b > c for a, b, c in columns.values()), shown


def c12a(n):
    """Transformers are less sensitive to PPT than the CNN."""
    changes = {v: n.change(v) for v in VARIANTS}
    return max(changes[VARIANTS[1]], changes[VARIANTS[2]]) < changes[VARIANTS[0]], percent(changes)


def c12b(n):
    """No P3M-Net loses more than a tenth."""
    changes = {v: n.change(v) for v in VARIANTS}
    return max(changes.values()) <= 0.1, percent(changes)


def _better(n, metrics):
    cells = list(itertools.product(("P3M-500-P", "P3M-500-NP"), metrics, VARIANTS))
    wins = sum(n.free(v, d, m) < min(n.free(e, d, m) for e in EARLIER) for d, m, v in cells)
    return wins, len(cells)


def c13a(n):
    """The P3M-Nets are better than all earlier methods in at least 85% of Table 5's cells."""
    wins, cells = _better(n, TEN)
    return wins >= 0.85 * cells, f"{wins} of {cells}"


def c13b(n):
    """In all of them for SAD, MSE, MAD over the image and its transition area."""
    wins, cells = _better(n, TEN[:6])
    return wins == cells, f"{wins} of {cells}"


def c14a(n):
    """The methods keep their order on blurred, celebrity and real-world sets (rank correlation)."""
    errors = {name: [n.free(m, name) for m in FREE] for name in COLUMNS}
    pairs = {f"{a}, {b}": spearmanr(errors[a], errors[b]).statistic for a, b in itertools.combinations(COLUMNS, 2)}
    return min(pairs.values()) >= 0.85, "; ".join(f"{pair}: {rank:.2f}" for pair, rank in pairs.items())


def c14b(n):
    """On P3M-500-NP the order is LF, HATT, SHM, MODNet, GFM, R34, Swin-T, ViTAE-S, worst first."""
    errors = {m: n.free(m, "P3M-500-NP") for m in ("LF", "HATT", "SHM", "MODNet", "GFM", *VARIANTS)}
    return list(errors.values()) == sorted(errors.values(), reverse=True), plain(errors)


def c15a(n):
    """LF and HATT have the largest errors in the transition area, 1.3 times that of the best P3M-Net or more."""
    holds, shown = True, []
    for name in COLUMNS:
        errors = {m: n.free(m, name, "SAD-T") for m in FREE}
        best = min(errors[v] for v in VARIANTS)
        holds &= set(sorted(errors, key=errors.get)[-2:]) == {"LF", "HATT"} and min(errors["LF"], errors["HATT"]) >= 1.3 * best
        shown.append(f"{name}: {plain({m: errors[m] for m in ('LF', 'HATT')})}, best {best:.2f}")
    return holds, "; ".join(shown)


def _share(n, method, dataset):
    return (n.free(method, dataset, "SAD-FG") + n.free(method, dataset, "SAD-BG")) / n.free(method, dataset)


def c16a(n):
    """At least half of SHM's error is segmentation, more than of any P3M-Net's."""
    sets = ("P3M-500-P", "P3M-500-NP")
    shares = {f"{m} {d[8:]}": _share(n, m, d) for d in sets for m in ("SHM", *VARIANTS)}
    holds = all(_share(n, "SHM", d) >= max(0.5, *(_share(n, v, d) for v in VARIANTS)) for d in sets)
    return holds, percent(shares)


def c16b(n):
    """SHM is worse than every P3M-Net on both sets."""
    errors = {f"{m} {d[8:]}": n.free(m, d) for d in ("P3M-500-P", "P3M-500-NP") for m in ("SHM", *VARIANTS)}
    return all(n.free("SHM", d) > n.free(v, d) for d in ("P3M-500-P", "P3M-500-NP") for v in VARIANTS), plain(errors)


def c17a(n):
    """Segmentation error: every P3M-Net below MODNet and GFM, those below LF, HATT and SHM."""
    holds, shown = True, []
    for d in ("P3M-500-P", "P3M-500-NP"):
        errors = {m: n.free(m, d, "SAD-FG") + n.free(m, d, "SAD-BG") for m in FREE}
        low, middle, high = ([errors[m] for m in group] for group in (VARIANTS, ("MODNet", "GFM"), ("LF", "HATT", "SHM")))
        holds &= max(low) < min(middle) and max(middle) < min(high)
        shown.append(f"{d}: {plain(errors)}")
    return holds, "; ".join(shown)


def c18a(n):
    """DIM, which is given the trimap, has the lowest error in the transition area."""
    errors = {d: {m: n.free(m, d, "SAD-T") for m in ("DIM", *FREE)} for d in COLUMNS}
    return all(min(e, key=e.get) == "DIM" for e in errors.values()), "; ".join(f"{d}: {plain(e)}" for d, e in errors.items())


def c18b(n):
    """There every P3M-Net is within 1.5 times DIM's error, and closer to it than every earlier method."""
    holds, shown = True, []
    for d in COLUMNS:
        ratios = {m: n.free(m, d, "SAD-T") / n.free("DIM", d, "SAD-T") for m in FREE}
        worst = max(ratios[v] for v in VARIANTS)
        holds &= worst <= 1.5 and worst < min(ratios[m] for m in EARLIER)
        shown.append(f"{d}: {plain(ratios)}")
    return holds, "; ".join(shown)


PREDICATES = (
    *(c1a, c1b, c2a, c2b, c3a, c3b),
    *(c4a, c4b, c5a, c5b, c6a, c6b, c6c, c7a, c7b, c8a, c8b, c9a, c9b, c9c),
    *(c10a, c11a, c12a, c12b, c13a, c13b, c14a, c14b, c15a, c16a, c16b, c17a, c18a, c18b),
)


def evaluate(numbers, draws=200, predicates=PREDICATES):
    """Verdict on every predicate.

    Args:
        numbers: Numbers. draws: resampled tables, over images and seeds. predicates: those of `PREDICATES` that are asked.
    Returns:
        DataFrame: claim, says, verdict (PASS, FAIL, within noise, undecided where an error of zero has no ratio, not run),
        agreement (share of draws with the same answer), numbers (or what is missing).
    """
    rng, rows = np.random.default_rng(0), []
    tables = [numbers.resampled(rng) for _ in range(draws)]
    for predicate in predicates:
        row = {"claim": predicate.__name__.upper(), "says": predicate.__doc__}
        try:
            holds, shown = predicate(numbers)
        except NotRun as missing:
            rows.append({**row, "verdict": "not run", "agreement": float("nan"), "numbers": str(missing)})
            continue
        except ZeroDivisionError:
            rows.append({**row, "verdict": "undecided", "agreement": float("nan"), "numbers": "an error is zero"})
            continue
        agreement = float(np.mean([_answer(predicate, table) == holds for table in tables])) if tables else 1.0
        verdict = ("PASS" if holds else "FAIL") if agreement >= SURE else "within noise"
        rows.append({**row, "verdict": verdict, "agreement": agreement, "numbers": shown})
    return pd.DataFrame(rows)


def _answer(predicate, numbers):
    """True, False, or None where an error of zero has no ratio."""
    try:
        return predicate(numbers)[0]
    except ZeroDivisionError:
        return None
