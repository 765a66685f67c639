"""The claims hold on the paper's own numbers, say what is missing, and know what is within the noise."""

import numpy as np
import pytest

from p3mlib import claims, claims_copy_paste, claims_obfuscation
from p3mlib.claims import Numbers

ALL = (*claims.PREDICATES, *claims_copy_paste.PREDICATES, *claims_obfuscation.PREDICATES)


def test_every_predicate_holds_on_the_papers_numbers():
    found = claims.evaluate(claims.from_paper(), draws=0, predicates=ALL)
    assert list(found["verdict"]) == ["PASS"] * len(ALL), found[found["verdict"] != "PASS"]


def test_every_predicate_fails_when_better_and_worse_are_exchanged():
    paper = claims.from_paper()
    turned = Numbers({key: 100 / value for key, value in paper.values.items()})
    found = claims.evaluate(turned, draws=0, predicates=ALL).set_index("claim")["verdict"]
    both_ways = {
        "C1A",
        "C1B",
        "C2A",
        "C2B",
        "C4A",
        "C4B",
        "C7B",
        "C9C",
        "C12B",
        "C26A",
        "C14A",
        "C33A",
        "C36A",
        "C38A",
    }  # of sizes or ranks alone
    assert all(found[name] == "FAIL" for name in found.index if name not in both_ways), found


def numbers_of(shm, rest, seeds=2, images=30, spread=0.1):
    rng = np.random.default_rng(0)
    values = {}
    for method in (*claims.EARLIER, "BASIC", *claims.VARIANTS):
        for setting, mean in (("N:N", 10.0), ("B:N", shm if method == "SHM" else rest)):
            values["4", method, setting, "P3M-500-P", "SAD"] = mean + spread * rng.standard_normal((seeds, images))
    return Numbers(values)


def test_noise_is_told_from_an_effect():
    sure = claims.evaluate(numbers_of(14, 10.2)).set_index("claim")
    assert sure.loc["C6A", "verdict"] == "PASS" and sure.loc["C6A", "agreement"] == 1 and "SHM 4.0" in sure.loc["C6A", "numbers"]
    assert claims.evaluate(numbers_of(9, 10.2)).set_index("claim").loc["C6A", "verdict"] == "FAIL"
    close = claims.evaluate(numbers_of(12.0, 10.2, spread=2)).set_index("claim")
    assert close.loc["C6B", "verdict"] == "within noise" and close.loc["C6B", "agreement"] < 0.95


def test_what_was_not_run_is_named():
    found = claims.evaluate(numbers_of(14, 10.2), draws=3).set_index("claim")
    assert found.loc["C9A", "verdict"] == "not run" and found.loc["C9A", "numbers"] == "Table 4: SHM B:B P3M-500-P SAD"
    with pytest.raises(claims.NotRun, match="Table 3: DIM B:N"):
        claims.c4a(numbers_of(14, 10.2))


def test_an_error_of_zero_decides_nothing():
    numbers = numbers_of(14, 10.2)
    numbers.values["4", "SHM", "N:N", "P3M-500-P", "SAD"][:] = 0
    found = claims.evaluate(numbers, draws=3).set_index("claim")
    assert found.loc["C6B", "verdict"] == "undecided" and found.loc["C6A", "verdict"] == "PASS"
