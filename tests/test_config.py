"""The grid: strict keys and types, run ids, and every paper row it names."""

from dataclasses import replace

import pytest
import yaml

from p3mlib.experiments import config
from p3mlib.results import report

RAW = yaml.safe_load(config.resources.files("p3mlib.experiments").joinpath("experiments.yaml").read_text())


def edited(path, value):
    raw = yaml.safe_load(yaml.safe_dump(RAW))
    *parents, last = path
    place = raw
    for key in parents:
        place = place[key]
    place[last] = value
    return yaml.safe_dump(raw)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("profiles", "smoke", "train", "learning_rate"), 1.0, r"profiles.smoke.train: unknown key \['learning_rate'\]"),
        (("profiles", "smoke", "train", "epochs"), "two", r"profiles.smoke.train.epochs: expected int, got 'two'"),
        (("profiles", "smoke", "train", "epochs"), True, r"train.epochs: expected int, got True"),
        (("profiles", "smoke", "train", "size"), 50, r"50 is not a multiple of 32"),
        (("profiles", "smoke", "data", "size"), [64], r"data.size: expected 2 values"),
        (("profiles", "smoke", "test", "strategy"), "tiles", r"'tiles' is not one of resize, hybrid"),
        (("rows", "basic", "colour"), "red", r"rows.basic: unknown key \['colour'\]"),
        (("tables", 7, "rows"), ["basic", "nobody"], r"tables.7: no such row \['nobody'\]"),
        (("profiles", "laptop", "models", "lf"), {"depth": 3}, r"profiles.laptop.models.lf: unknown key \['depth'\]"),
        (("profiles", "laptop", "models", "unet"), {}, r"profiles.laptop.models.unet: neither a row nor what one trains"),
        (("published", "modnet", "lr"), "high", r"published.modnet.lr: expected float, got 'high'"),
        (("published", "modnet", "optimiser"), "adagrad", r"train.optimiser: 'adagrad' is not one of adam, sgd"),
        (("extra",), 1, r"unknown key \['extra'\]"),
    ],
)
def test_a_wrong_key_is_named(path, value, message):
    with pytest.raises(ValueError, match=message):
        config.parse(edited(path, value))


def test_unknown_names_list_what_there_is():
    grid = config.load()
    with pytest.raises(ValueError, match="no profile 'huge' .* smoke, laptop, gpu, paper"):
        grid.profile("huge")
    with pytest.raises(ValueError, match="no row 'r50' .* basic"):
        grid.experiment("r50", "smoke")


def test_the_paper_profile_is_the_papers_protocol():
    train = config.load().profile("paper").train
    assert (train.crop_sides, train.size, train.epochs, train.batch_size, train.lr) == ((512, 768, 1024), 512, 150, 8, 1e-5)


def test_the_run_id_changes_with_what_changes_training_and_with_nothing_else():
    grid = config.load()
    base = grid.experiment("basic", "smoke")
    assert base.run_id("data") == grid.experiment("basic", "smoke").run_id("data")
    assert base.run_id("data").startswith("basic-s0-")
    workers = replace(base, profile=replace(base.profile, train=replace(base.profile.train, workers=3)))
    scored = replace(base, profile=replace(base.profile, test=replace(base.profile.test, ratio=0.25)))
    assert base.run_id("data") == workers.run_id("data") == scored.run_id("data")
    longer = replace(base, profile=replace(base.profile, train=replace(base.profile.train, epochs=3)))
    others = [longer, replace(base, seed=1), grid.experiment("tfi", "smoke"), grid.experiment("basic", "laptop")]
    assert len({e.run_id("data") for e in (base, *others)} | {base.run_id("other data")}) == 6


def test_a_profile_changes_a_network_and_one_of_its_rows():
    models = {"p3mnet_resnet34": {"lr": 2.0, "training": {"clip": 1.0}}, "basic": {"seeds": 1, "training": {"epochs": 3}}}
    grid = config.parse(edited(("profiles", "laptop", "models"), models))
    basic, tfi = (grid.experiment(name, "laptop") for name in ("basic", "tfi"))
    assert (basic.row.lr, basic.row.seeds, basic.train.clip, basic.train.epochs) == (2.0, 1, 1.0, 3)
    assert (tfi.row.lr, tfi.row.seeds, tfi.train.clip, tfi.train.epochs) == (2.0, 0, 1.0, grid.profile("laptop").train.epochs)


def test_seeds_count_from_zero():
    for profile in config.load().profiles.values():
        assert profile.seeds == tuple(range(len(profile.seeds)))


def test_every_row_and_method_of_a_table_has_the_papers_values():
    grid, paper = config.load(), report.paper_values()
    assert len(paper) == 763
    for number, table in grid.tables.items():
        methods = list(table.methods) + [grid.rows[name].method for name in table.rows]
        printed = set(paper[paper["table"] == str(number)]["method"])
        assert set(methods) <= printed
        assert set(methods) == printed or number in (5, 6, 11), "these wait for other methods"
