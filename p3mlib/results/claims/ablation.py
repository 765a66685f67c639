"""The claims about the integration modules and the cost of the networks (C21 to C24, C39), on Tables 7 and 11."""

from p3mlib.results.claims.numbers import COLUMNS, VARIANTS, percent, plain

NONE, TFI, SBFI, DBFI, FULL = "BASIC", "BASIC+TFI", "BASIC+TFI+sBFI", "BASIC+TFI+dBFI", VARIANTS[0]
SETS = ("P3M-500-P", "P3M-500-NP")
TIMED = ("LF", "HATT", "SHM", "GFM", "MODNet", "DIM", *VARIANTS)  # Table 11


def _error(n, row, dataset):
    return n(7, row, COLUMNS[dataset][1], dataset=dataset)


def _errors(n, rows):
    return {d: {row: _error(n, row, d) for row in rows} for d in SETS}


def _shown(errors):
    return "; ".join(f"{d}: {plain(found)}" for d, found in errors.items())


def _times(n):
    return {m: n(11, m, "", "Inference time", "") for m in TIMED}


def _seconds(times):
    return ", ".join(f"{m} {t:.4f}" for m, t in times.items())


def c21a(n):
    """TFI alone lowers SAD by 5% at least on both sets."""
    changes = {d: e[TFI] / e[NONE] - 1 for d, e in _errors(n, (NONE, TFI)).items()}
    return max(changes.values()) <= -0.05, percent(changes)


def c21b(n):
    """It brings more than sBFI or dBFI bring on top of it."""
    errors = _errors(n, (NONE, TFI, SBFI, DBFI))
    return all(e[NONE] - e[TFI] > e[TFI] - min(e[SBFI], e[DBFI]) for e in errors.values()), _shown(errors)


def c22a(n):
    """sBFI and dBFI each lower SAD further on both sets."""
    errors = _errors(n, (TFI, SBFI, DBFI))
    return all(max(e[SBFI], e[DBFI]) < e[TFI] for e in errors.values()), _shown(errors)


def c22b(n):
    """sBFI lowers it at least as much as dBFI."""
    errors = _errors(n, (SBFI, DBFI))
    return all(e[SBFI] <= e[DBFI] for e in errors.values()), _shown(errors)


def c23a(n):
    """All three modules together are best of the five on both sets."""
    errors = _errors(n, (NONE, TFI, SBFI, DBFI, FULL))
    return all(min(e, key=e.get) == FULL for e in errors.values()), _shown(errors)


def c23b(n):
    """Together they lower SAD by a fifth at least."""
    changes = {d: e[FULL] / e[NONE] - 1 for d, e in _errors(n, (NONE, FULL)).items()}
    return max(changes.values()) <= -0.2, percent(changes)


def _params(n, *rows):
    return [n(7, row, "", "Params", "") for row in rows]


def c24a(n):
    """They cost at most a tenth more parameters."""
    none, full = _params(n, NONE, FULL)
    return full / none - 1 <= 0.1, f"{none:.2f} to {full:.2f} M ({full / none - 1:+.1%})"


def c24b(n):
    """Their parameters add up, to 0.2%."""
    tfi, sbfi, dbfi, full = _params(n, TFI, SBFI, DBFI, FULL)
    total = sbfi + dbfi - tfi
    return abs(total / full - 1) <= 0.002, f"{total:.2f} and {full:.2f} M"


def c39a(n):
    """P3M-Net (R34) is the fastest, a tie within 5% allowed."""
    times = _times(n)
    return times[FULL] <= 1.05 * min(times.values()), _seconds(times)


def c39b(n):
    """R34 is faster than Swin-T, that faster than ViTAE-S."""
    times = [n(11, v, "", "Inference time", "") for v in VARIANTS]
    return times[0] < times[1] < times[2], _seconds(dict(zip(VARIANTS, times, strict=True)))


def c39c(n):
    """MODNet has the fewest parameters, ViTAE-S the second fewest."""
    counts = {m: n(11, m, "", "Params", "") for m in TIMED}
    return sorted(counts, key=counts.get)[:2] == ["MODNet", VARIANTS[2]], plain(counts)


def c39d(n):
    """Every P3M-Net is faster than DIM, LF, HATT and SHM."""
    times = _times(n)
    return max(times[v] for v in VARIANTS) < min(times[m] for m in ("DIM", "LF", "HATT", "SHM")), _seconds(times)


PREDICATES = (c21a, c21b, c22a, c22b, c23a, c23b, c24a, c24b, c39a, c39b, c39c, c39d)
