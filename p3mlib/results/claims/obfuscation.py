"""The claims about obfuscations that training did not see (C26, C27), as `claims` evaluates them."""

from p3mlib.results.claims.numbers import VARIANTS, percent, plain

OTHERS = ("Mosaic", "Mask")


def c26a(n):
    """Mosaicing and masking cost a network trained on blur at most a tenth."""
    changes = {f"{v} {o}": n(8, v, f"B:{o}") / n(8, v, "B:B") - 1 for v in VARIANTS for o in OTHERS}
    return max(changes.values()) <= 0.1, percent(changes)


def c26b(n):
    """Masking is no easier than mosaicing."""
    changes = {v: n(8, v, "B:Mask") / n(8, v, "B:Mosaic") - 1 for v in VARIANTS}
    return min(changes.values()) >= 0, percent(changes)


def c27a(n):
    """ViTAE-S beats Swin-T beats ResNet-34 under every obfuscation."""
    errors = {o: [n(8, v, f"B:{o}") for v in VARIANTS] for o in ("B", *OTHERS)}
    shown = "; ".join(plain({f"{o} {v}": error for v, error in zip(VARIANTS, e, strict=True)}) for o, e in errors.items())
    return all(a > b > c for a, b, c in errors.values()), shown


PREDICATES = (c26a, c26b, c27a)
