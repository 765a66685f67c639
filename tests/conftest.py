"""Shared fixtures: nothing that a test writes lands in the checkout."""

import os
from pathlib import Path

import matplotlib
import pytest
import torch

from p3mlib.experiments import config

matplotlib.use("Agg")
if "PYTEST_XDIST_WORKER" in os.environ:  # processes side by side, a core each
    torch.set_num_threads(1)


SAMPLE = Path(os.environ.get("P3M_SAMPLE", Path(__file__).parents[2] / "shared" / "p3m_sample" / "P3M-10k"))


def pytest_collection_modifyitems(items):
    """First the tests that fork this process, which they cannot after another one has computed a gradient in it."""
    items.sort(key=lambda item: item.path.stem != "test_faults")


@pytest.fixture
def real_sample():
    """Folder of a few real P3M portraits in the released layout; the test is skipped where there are none."""
    if not SAMPLE.is_dir():
        pytest.skip("no real P3M portraits here; name their folder in P3M_SAMPLE")
    return SAMPLE


@pytest.fixture(autouse=True)
def _no_real_data(monkeypatch):
    for variable in ("P3M_ROOT", "RWP_ROOT", "CELEBA_ROOT", "P3M_RUNS", "P3M_SAMPLE", "P3M_PLACES", "P3M_WEIGHTS"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def smoke_home(tmp_path_factory):
    """A project home with the smoke profile's synthetic data, rendered once."""
    from p3mlib.synthetic import dataset

    home = tmp_path_factory.mktemp("home")
    spec = config.load().profile("smoke").data
    dataset.write_all(home / "data" / "smoke", spec.counts, spec.size, spec.seed, jobs=1, progress=False)
    return home


@pytest.fixture
def home(smoke_home, tmp_path, monkeypatch):
    """An own home that shares the rendered data."""
    (tmp_path / "data").symlink_to(smoke_home / "data")
    monkeypatch.setenv("P3M_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
