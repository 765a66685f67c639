"""Results that come with the project: those of its tables; kernels read them where the cache lacks a run, `make paper` never."""

import tarfile

import pandas as pd
import pytest
import torch

from p3mlib import paths
from p3mlib.experiments import config, notebooks, runs, shipped, untrained
from p3mlib.models import bases

ROOT = paths.shipped("laptop").parent


@pytest.fixture
def kernel(home):
    """A kernel in a fresh home, where nothing was ever run."""
    shipped.folder.cache_clear()
    yield home
    runs.also_in(None)
    shipped.folder.cache_clear()


def of(row, profile="laptop"):
    grid = config.load()
    return runs.get(grid.experiment(row, profile), grid.scored(row, profile), progress=False)


def test_every_run_of_the_committed_tables_is_in_the_archive_and_nothing_else():
    """After another `make paper`, `python -m p3mlib pack` writes the archive anew."""
    with tarfile.open(paths.shipped("laptop")) as archive:
        names = archive.getnames()
    tables = [pd.read_csv(path, dtype=str) for path in ROOT.glob("table_*.csv")]
    shown = {run for table in tables if "run" in table for run in table["run"].dropna()}
    packed = {name.split("/")[0] for name in names}
    only_for_notebooks = {
        name for name in packed - shown if name.split("-s0-")[0] in ("p3mnet_r34_fcp1", "p3mnet_r34_fcp2", "p3mnet_r34_fcp3")
    }
    references = {
        untrained.folder(method, untrained.REFERENCE_SETS, config.load().profile("laptop")).name
        for method in untrained.REFERENCES
    }
    assert shown <= packed and packed - shown == only_for_notebooks | references
    assert all(f"{name}/run.json" in names for name in packed)
    assert sum(name.endswith(".safetensors") for name in names) == len(shipped.WEIGHTED)


def test_a_fresh_kernel_shows_the_tables_numbers_without_training(kernel, caplog):
    said = shipped.use("06", "laptop").text
    assert "This notebook shows 12 runs; 0 are in the run cache. 12 come with the project" in said and "make paper" in said
    run = of("basic")
    table = pd.read_csv(ROOT / "table_7.csv").query("run == @run.id and metric == 'MAD'")
    for line in table.itertuples():
        measured = run.per_image(line.dataset, line.setting[-1])["MAD"].mean()
        assert measured == pytest.approx(line.value, rel=1e-5)
    assert len(table) == 2 and len(run.training_log()) > 1 and not paths.runs("laptop").exists()
    run.load()
    assert "its weights do not come with the project; shown is the base" in caplog.text


def test_networks_of_explorer_ppt_bring_weights_of_their_own(kernel):
    shipped.use("10", "laptop")
    base = bases.load("p3mnet_r34-s0").state_dict()
    found = [of(row).load().state_dict() for row in shipped.WEIGHTED]
    keys = [key for key, value in base.items() if value.is_floating_point() and value.numel() > 1]
    for state in found:
        assert any(not torch.equal(state[key], base[key]) for key in keys)
    assert all(any(not torch.equal(a[key], b[key]) for key in keys) for a in found for b in found if a is not b)


def test_what_make_paper_executes_reads_nothing_that_came(kernel, monkeypatch):
    monkeypatch.setenv(notebooks.EXECUTED, "1")
    assert "12 are trained here now" in shipped.use("06", "laptop").text
    assert not (kernel / "build").exists()


def test_a_run_of_the_cache_comes_first(kernel):
    shipped.use("06", "laptop")
    own = runs.Run(runs.folder(config.load().experiment("basic", "laptop")))
    own.folder.mkdir(parents=True)
    own.update(finished="now")
    assert shipped.place("laptop", own.id) == own.folder
    with pytest.raises(FileNotFoundError, match="no weights to score"):
        of("basic")


def test_an_archive_packed_again_is_the_same(kernel, monkeypatch):
    grid = config.load()
    some = [grid.experiment(row, "laptop") for row in ("tfi", "p3mnet_r34_n")]
    monkeypatch.setattr(notebooks, "trainings", lambda names, profile: (some, []))
    monkeypatch.setattr(notebooks, "untrained", lambda names, profile: [])
    paths.runs("laptop").parent.mkdir()
    paths.runs("laptop").symlink_to(shipped.folder("laptop"))
    monkeypatch.setattr(paths, "shipped", lambda profile: kernel / "again.tar.xz")
    with tarfile.open(shipped.pack("laptop")) as archive:
        for part in ("/per_image/", "/gallery/"):
            inner = [name for name in archive.getnames() if part in name]
            assert inner == sorted(inner) and len(inner) > 4, "not in the order that a file system happens to have"
        for member in archive:
            assert archive.extractfile(member).read() == (paths.runs("laptop") / member.name).read_bytes(), member.name
        assert {name.split("/")[0].split("-")[0] for name in archive.getnames()} == {"tfi", "p3mnet_r34_n"}


def test_an_unfinished_run_is_named(kernel, monkeypatch):
    monkeypatch.setattr(notebooks, "trainings", lambda names, profile: ([config.load().experiment("basic", "smoke")], []))
    monkeypatch.setattr(notebooks, "untrained", lambda names, profile: [])
    with pytest.raises(ValueError, match="basic-s0-.*: not finished; python -m p3mlib notebooks --profile smoke does it"):
        shipped.pack("smoke")


def test_notebooks_that_train_nothing_say_so_and_strangers_are_named(kernel):
    assert shipped.use("12", "smoke").text == "This notebook trains nothing."
    assert "**1 are trained" in shipped.use("00", "smoke").text
    with pytest.raises(ValueError, match="no notebook '99'"):
        shipped.use("99", "smoke")
