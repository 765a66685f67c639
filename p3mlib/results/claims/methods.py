"""The claims that compare methods (C1 to C18, C25, C28), on Tables 2 to 7."""

import itertools

import numpy as np
from scipy.stats import spearmanr

from p3mlib.results.claims.numbers import COLUMNS, DEEP, EARLIER, FREE, TEN, TRADITIONAL, VARIANTS, percent, plain


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


def _better(n, metrics, sets=("P3M-500-P", "P3M-500-NP")):
    cells = list(itertools.product(sets, metrics, VARIANTS))
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


def c25a(n):
    """BASIC, the bare multi-task network, is better than SHM, HATT and LF on both sets."""
    holds, shown = True, []
    for d in ("P3M-500-P", "P3M-500-NP"):
        basic, others = n(7, "BASIC", COLUMNS[d][1], dataset=d), {m: n.free(m, d) for m in ("SHM", "HATT", "LF")}
        holds &= basic < min(others.values())
        shown.append(f"{d}: BASIC {basic:.2f}, {plain(others)}")
    return holds, "; ".join(shown)


def c28a(n):
    """On real-world portraits the P3M-Nets are better than all earlier methods in at least 85% of Table 6's cells."""
    wins, cells = _better(n, TEN, ("RWP",))
    return wins >= 0.85 * cells, f"{wins} of {cells}"


def c28b(n):
    """In all of them for SAD, MSE and MAD."""
    wins, cells = _better(n, TEN[:3], ("RWP",))
    return wins == cells, f"{wins} of {cells}"


PREDICATES = (
    *(c1a, c1b, c2a, c2b, c3a, c3b),
    *(c4a, c4b, c5a, c5b, c6a, c6b, c6c, c7a, c7b, c8a, c8b, c9a, c9b, c9c),
    *(c10a, c11a, c12a, c12b, c13a, c13b, c14a, c14b, c15a, c16a, c16b, c17a, c18a, c18b, c25a, c28a, c28b),
)
