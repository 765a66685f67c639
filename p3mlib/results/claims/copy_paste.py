"""The claims about copy and paste (C19, C29 to C38, C40), as `claims` evaluates them. NP is P3M-500-NP, un-blurred."""

from itertools import pairwise

from scipy.stats import spearmanr

from p3mlib.results.claims.numbers import TEN, NotRun, Numbers, percent, plain

R34, SWIN, VITAE, MODNET = "P3M-Net (R34)", "P3M-Net (Swin-T)", "P3M-Net (ViTAE-S)", "MODNet"
THREE, KINDS, NP = (R34, SWIN, MODNET), ("ICP", "FCP"), "P3M-500-NP"


def _on_np(n: Numbers, method, cp="", metric="SAD"):
    """Of Tables 9 and 10: cp is "", ICP, FCP or † (trained on un-blurred images)."""
    table = 10 if method == VITAE else 9
    return n(table, method, "N:N", metric, NP) if cp == "†" else n(table, _label(method, cp), "B:N", metric, NP)


def _label(method, cp):
    return f"{method}+{cp}" if cp else method


def _gains(n, methods=THREE, kinds=KINDS):
    """Relative fall of SAD on NP."""
    return {_label(m, k): 1 - _on_np(n, m, k) / _on_np(n, m) for m in methods for k in kinds}


def _segmentation(n, method, cp=""):
    return _on_np(n, method, cp, "SAD-FG") + _on_np(n, method, cp, "SAD-BG")


def c19a(n):
    """Segmentation error on NP falls from R34 over Swin-T and Swin-T with FCP to ViTAE-S."""
    errors = {m: n(5, m, "B:N", "SAD-FG", NP) + n(5, m, "B:N", "SAD-BG", NP) for m in (R34, SWIN, f"{SWIN}+FCP", VITAE)}
    values = list(errors.values())
    return all(a > b for a, b in pairwise(values)), plain(errors)


def c19b(n):
    """From R34 to ViTAE-S it halves at least."""
    errors = [n(5, m, "B:N", "SAD-FG", NP) + n(5, m, "B:N", "SAD-BG", NP) for m in (R34, VITAE)]
    return 1 - errors[1] / errors[0] >= 0.5, f"{1 - errors[1] / errors[0]:.1%}"


def c20a(n):
    """Transition error falls from R34 over Swin-T to ViTAE-S, on both sets."""
    columns = {d: [n.free(m, d, "SAD-T") for m in (R34, SWIN, VITAE)] for d in ("P3M-500-P", NP)}
    return all(a > b > c for a, b, c in columns.values()), "; ".join(
        f"{d}: {a:.2f}, {b:.2f}, {c:.2f}" for d, (a, b, c) in columns.items()
    )


def c29a(n):
    """FCP improves Swin-T on real-world portraits: SAD and four fifths of all metrics."""
    falls = {m: n(6, f"{SWIN}+FCP", "B:N", m, "RWP") / n(6, SWIN, "B:N", m, "RWP") - 1 for m in TEN}
    return falls["SAD"] < 0 and sum(f < 0 for f in falls.values()) >= 0.8 * len(falls), percent(falls)


def c30a(n):
    """ICP and FCP both improve SAD on normal images for R34, Swin-T and MODNet."""
    gains = _gains(n)
    return min(gains.values()) > 0, percent(gains)


def c30b(n):
    """Each of these gains is 5% at least."""
    gains = _gains(n)
    return min(gains.values()) >= 0.05, percent(gains)


def c31a(n):
    """They improve at least 85% of all cells of Table 9."""
    falls = [_on_np(n, m, k, e) < _on_np(n, m, "", e) for m in THREE for k in KINDS for e in TEN[:8]]
    return sum(falls) >= 0.85 * len(falls), f"{sum(falls)} of {len(falls)}"


def c32a(n):
    """Copy and paste costs at most 5% on blurred images."""
    costs = {_label(m, k): n(9, _label(m, k), "B:B") / n(9, m, "B:B") - 1 for m in THREE for k in KINDS}
    return max(costs.values()) <= 0.05, percent(costs)


def c33a(n):
    """With it, blurred training is at most 5% worse than normal training."""
    ratios = {_label(m, k): _on_np(n, m, k) / _on_np(n, m, "†") - 1 for m in THREE for k in KINDS}
    return max(ratios.values()) <= 0.05, percent(ratios)


def c33b(n):
    """FCP closes half of the gap to normal training or more, wherever there is a gap above 1%."""
    errors = {m: (_on_np(n, m), _on_np(n, m, "FCP"), _on_np(n, m, "†")) for m in THREE}
    closed = {m: (none - fcp) / (none - normal) for m, (none, fcp, normal) in errors.items() if none / normal - 1 > 0.01}
    return bool(closed) and min(closed.values()) >= 0.5, percent(closed) or "no gap"


def c33c(n):
    """FCP beats normal training for R34 and Swin-T."""
    ratios = {m: _on_np(n, m, "FCP") / _on_np(n, m, "†") - 1 for m in (R34, SWIN)}
    return max(ratios.values()) < 0, percent(ratios)


def c34a(n):
    """The gain comes more from foreground and background than from the transition area."""
    gains = {}
    for m in THREE:
        for k in KINDS:
            transition = _on_np(n, m, "", "SAD-T") - _on_np(n, m, k, "SAD-T")
            gains[_label(m, k)] = _segmentation(n, m) - _segmentation(n, m, k) - transition
    return min(gains.values()) > 0, plain(gains)


def c35a(n):
    """FCP generalises at least as well as ICP."""
    ratios = {m: _on_np(n, m, "FCP") / _on_np(n, m, "ICP") - 1 for m in (*THREE, VITAE)}
    return max(ratios.values()) <= 0.005, percent(ratios)


def c36a(n):
    """ViTAE-S changes by 3% at most on normal images."""
    gains = _gains(n, (VITAE,))
    return max(map(abs, gains.values())) <= 0.03, percent(gains)


def c36b(n):
    """FCP gives ViTAE-S less than every other network."""
    gains = _gains(n, (*THREE, VITAE), ("FCP",))
    return gains[f"{VITAE}+FCP"] < min(gains[f"{m}+FCP"] for m in THREE), percent(gains)


def c36c(n):
    """It costs ViTAE-S a little on blurred images."""
    costs = {k: n(10, f"{VITAE}+{k}", "B:B") / n(10, VITAE, "B:B") - 1 for k in KINDS}
    return min(costs.values()) > 0, percent(costs)


def _gaps(n):
    return {m: _on_np(n, m) / _on_np(n, m, "†") - 1 for m in (*THREE, VITAE)}


def c37a(n):
    """Blurred training is worse on normal images for every network."""
    gaps = _gaps(n)
    return min(gaps.values()) > 0, percent(gaps)


def c37b(n):
    """For ViTAE-S least, and at most 5%."""
    gaps = _gaps(n)
    return min(gaps, key=gaps.get) == VITAE and gaps[VITAE] <= 0.05, percent(gaps)


def c38a(n):
    """The larger the gap, the larger the gain of FCP (rank correlation over networks)."""
    gaps, gains = _gaps(n), _gains(n, (*THREE, VITAE), ("FCP",))
    rank = spearmanr(list(gaps.values()), list(gains.values())).statistic
    return rank >= 0.8, f"{rank:.2f}"


def _holes(n, method, cp=""):
    """The face-hole rate; foreground error where a table has none, as the paper's."""
    try:
        return _on_np(n, method, cp, "Hole")
    except NotRun:
        return _on_np(n, method, cp, "SAD-FG")


def c40a(n):
    """Copy and paste fills holes in faces: their share (or the foreground error) on NP falls for R34 and Swin-T."""
    falls = {_label(m, k): _holes(n, m, k) / _holes(n, m) - 1 for m in (R34, SWIN) for k in KINDS}
    return max(falls.values()) < 0, percent(falls)


def c40b(n):
    """So does normal training."""
    falls = {m: _holes(n, m, "†") / _holes(n, m) - 1 for m in (R34, SWIN)}
    return max(falls.values()) < 0, percent(falls)


def c40c(n):
    """For MODNet foreground and background error fall together."""
    falls = {k: _segmentation(n, MODNET, k) / _segmentation(n, MODNET) - 1 for k in KINDS}
    return max(falls.values()) < 0, percent(falls)


PREDICATES = (
    *(c19a, c19b, c20a, c29a, c30a, c30b, c31a, c32a, c33a, c33b, c33c, c34a, c35a),
    *(c36a, c36b, c36c, c37a, c37b, c38a, c40a, c40b, c40c),
)
