"""Names of before the wings go on working, and say where their content lives now."""

import importlib
import sys

import pytest

from p3mlib._moved import MOVED


@pytest.fixture(autouse=True)
def _fresh(monkeypatch):
    for name in MOVED:
        monkeypatch.delitem(sys.modules, f"p3mlib.{name}", raising=False)


@pytest.mark.parametrize("name", MOVED)
def test_an_old_name_gives_what_the_new_one_holds(name):
    with pytest.warns(DeprecationWarning, match=f"p3mlib.{name} is now p3mlib.{MOVED[name].split()[0]}"):
        old = importlib.import_module(f"p3mlib.{name}")
    for home in MOVED[name].split():
        new = importlib.import_module(f"p3mlib.{home}")
        public = [n for n in vars(new) if not n.startswith("_") and getattr(vars(new)[n], "__module__", None) == new.__name__]
        assert all(getattr(old, n) is getattr(new, n) for n in public)


def test_both_ways_of_importing():
    with pytest.warns(DeprecationWarning):
        from p3mlib.evaluate import evaluate, predict

        from p3mlib import faces
    from p3mlib.experiments import evaluate as new
    from p3mlib.models import predict as inference

    assert evaluate is new.evaluate and predict is inference and faces.detect


def test_a_name_that_never_was_is_an_import_error():
    with pytest.raises(ImportError):
        importlib.import_module("p3mlib.nonsense")
    with pytest.warns(DeprecationWarning), pytest.raises(ImportError, match="nothing"):
        from p3mlib.datasets import nothing  # noqa: F401
