"""The committed numbers of profile smoke notice a network that computes something else: each is broken in one line."""

import inspect
import textwrap

import pytest
import reference

from p3mlib.experiments import config, runs
from p3mlib.models.p3mnet.p3mnet import P3MNet
from p3mlib.models.trimap_based.dim import DIM
from p3mlib.models.trimap_free.gfm import GFM

SETS = [("P3M-500-P", "B"), ("P3M-500-NP", "N")]


def broken(method, right, wrong):
    """A method with one line of its source in place of another."""
    source = textwrap.dedent(inspect.getsource(method))
    assert source.count(right) == 1, "the line is another now"
    made = {}
    exec(source.replace(right, wrong), method.__globals__, made)
    return made[method.__name__]


def moved(row):
    """How far its SAD on each set is from the committed one, as a fraction."""
    run = runs.get(config.load().experiment(row, "smoke"), SETS, progress=False)
    _, numbers = reference.committed()
    table = numbers.reset_index()
    own = table[(table["method"] == config.load().rows[row].method) & (table["metric"] == "SAD") & (table["cp"] == "")]
    found = []
    for name, domain in SETS:
        (committed,) = set(own[(own["dataset"] == name) & (own["setting"] == f"B:{domain}")]["value"])
        found.append(abs(run.per_image(name, domain)["SAD"].mean() / committed - 1))
    return found


@pytest.mark.parametrize(
    ("row", "network", "method", "right", "wrong"),
    [
        ("p3mnet_r34", P3MNet, "_matte", "(semantics[level - 1], x, features", "(features.skips[level - 1], x, features"),
        ("gfm", GFM, "_focus", "order = (x, maps[level])", "order = (maps[level], x)"),
        ("dim", DIM, "forward", "y = F.relu(layer(y))", "y = layer(y)"),
    ],
)
def test_a_network_that_is_broken_in_one_line_is_noticed(row, network, method, right, wrong, home, monkeypatch):
    assert max(moved(row)) < 0.1, "what test_notebooks allows on another processor"
    monkeypatch.setenv("P3M_RUNS", "broken")
    monkeypatch.setattr(network, method, broken(getattr(network, method), right, wrong))
    assert max(moved(row)) > 0.3
