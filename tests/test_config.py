"""The grid: strict keys and types, run ids, and every paper row it names."""

import copy
import pickle

import pytest
import yaml

from p3mlib.experiments import config
from p3mlib.results import report

RAW = yaml.safe_load(config.resources.files("p3mlib.experiments").joinpath("experiments.yaml").read_text())


def edited(path, value):
    raw = copy.deepcopy(RAW)
    *parents, last = path
    place = raw
    for key in parents:
        place = place[key]
    place[last] = value
    return yaml.safe_dump(raw, sort_keys=False)


def changed(experiment, **blocks):
    """An experiment whose profile has other fields in some of its blocks."""
    profile = experiment.profile
    update = {name: getattr(profile, name).model_copy(update=fields) for name, fields in blocks.items()}
    return experiment.model_copy(update={"profile": profile.model_copy(update=update)})


SMOKE = ("profiles", "smoke")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*SMOKE, "train", "rate"), 1.0, r"^profiles.smoke.train: unknown key \['rate'\]; known are width, init, .*, threads$"),
        ((*SMOKE, "train", "epochs"), "two", "^profiles.smoke.train.epochs: Input should be a valid integer, got 'two'$"),
        ((*SMOKE, "train", "epochs"), True, "profiles.smoke.train.epochs: Input should be a valid integer, got True"),
        ((*SMOKE, "train", "epochs"), 1.0, "profiles.smoke.train.epochs: Input should be a valid integer, got 1.0"),
        ((*SMOKE, "train", "lr"), "1e-3", "profiles.smoke.train.lr: Input should be a valid number, got '1e-3'"),
        ((*SMOKE, "train", "size"), 50, "profiles.smoke.train.size: Input should be a multiple of 32, got 50"),
        ((*SMOKE, "train", "crop_sides"), 64, "profiles.smoke.train.crop_sides: Input should be a valid tuple, got 64"),
        ((*SMOKE, "data", "size"), [64], r"profiles.smoke.data.size.1: Field required, got \[64\]"),
        ((*SMOKE, "data", "size"), [1, 2, 3], r"profiles.smoke.data.size: Tuple should have at most 2 items .*, got \[1, 2, 3\]"),
        ((*SMOKE, "test", "strategy"), "tiles", "test.strategy: Input should be 'resize' or 'hybrid', got 'tiles'"),
        (SMOKE, None, "^profiles.smoke: Input should be a valid dictionary or instance of Profile, got None"),
        (("defaults", "train"), {}, "profiles.paper.train.lr: Field required"),
        (("networks", "basic", "colour"), "red", r"networks.basic: unknown key \['colour'\]; known are method, backbone, model"),
        (("networks", "basic"), {"method": "BASIC"}, "^networks.basic.backbone: Field required$"),
        (("networks", "modnet", "published"), {"lr": "high"}, "networks.modnet.published.lr: .* valid number, got 'high'"),
        (("networks", "modnet", "published"), {"optimiser": "lion"}, "published.optimiser: .* 'adam' or 'sgd', got 'lion'"),
        (("networks", "modnet", "published"), {"size": 50}, "published.size: Input should be a multiple of 32, got 50"),
        (("rows", "NET_n", "domain"), "X", "rows.NET_n.domain: Input should be 'B' or 'N', got 'X'"),
        (
            ("rows", "NET_n", "networks"),
            ["unet"],
            "^rows.NET_n.networks: no network 'unet' in experiments.yaml; there are basic,",
        ),
        (("rows", "basic_x"), {"domain": "B", "networks": ["basic"]}, "rows.basic_x.*should match pattern 'NET'"),
        (
            ("tables", 7, "rows"),
            ["basic", "nobody"],
            "^tables.7.rows: no row 'nobody' in experiments.yaml; there are basic, tfi,",
        ),
        (("tables", 3, "networks"), ["tfi"], "^tables.3.rows: no row 'tfi_n' in experiments.yaml"),
        (("tables", 7, "colour"), "red", r"tables.7: unknown key \['colour'\]; known are title, sets, metrics, rows"),
        (
            ("notebooks", "07_variants"),
            [5, 55],
            "^notebooks.07_variants: no row or table '55' in experiments.yaml; .* basic, .*, 11$",
        ),
        (("profiles", "laptop", "overrides", "lf"), {"depth": 3}, r"profiles.laptop.overrides.lf: unknown key \['depth'\]"),
        (("profiles", "laptop", "overrides", "lf"), {"training": {"rate": 3}}, r"overrides.lf.training: unknown key \['rate'\]"),
        (("profiles", "laptop", "overrides", "unet"), {}, "^profiles.laptop.overrides: no model, network or row 'unet' in exp"),
        (("extra",), 1, r"^experiments.yaml: unknown key \['extra'\]; known are profiles, networks, rows, tables"),
    ],
)
def test_a_wrong_key_is_named(path, value, message):
    with pytest.raises(ValueError, match=message):
        config.parse(edited(path, value))


def test_all_wrong_keys_are_named_at_once():
    with pytest.raises(ValueError, match="(?s)smoke.train.epochs: .*, got 'two'\nprofiles.smoke.train.lr: .*, got 'high'$"):
        config.parse(edited((*SMOKE, "train"), {**RAW["profiles"]["smoke"]["train"], "epochs": "two", "lr": "high"}))


def test_unknown_names_list_what_there_is():
    grid = config.load()
    with pytest.raises(
        ValueError,
        match="no profile 'huge' in experiments.yaml; there are laptop, smoke, bases, longer, whole, photo, gpu, paper",
    ):
        grid.profile("huge")
    with pytest.raises(ValueError, match="no row 'r50' in experiments.yaml; there are basic, .*, p3mnet_r34_fcp3"):
        grid.experiment("r50", "smoke")


def test_the_paper_profile_is_the_papers_protocol():
    train = config.load().profile("paper").train
    assert (train.crop_sides, train.size, train.epochs, train.batch_size, train.lr) == ((512, 768, 1024), 512, 150, 8, 1e-5)


def test_the_run_id_changes_with_what_changes_training_and_with_nothing_else():
    grid = config.load()
    base = grid.experiment("basic", "smoke")
    assert base.run_id("data") == grid.experiment("basic", "smoke").run_id("data")
    assert base.run_id("data").startswith("basic-s0-9878bac8")
    less = base.model_copy(update={"profile": base.profile.model_copy(update={"memory": 99.0})})
    same = [
        less,
        changed(base, train={"workers": 3}),
        changed(base, train={"in_memory": False}),
        changed(base, test={"ratio": 0.25}),
    ]
    assert {e.run_id("data") for e in same} == {base.run_id("data")}
    others = [changed(base, train={"epochs": 3}), changed(base, train={"init": "scratch"}), base.model_copy(update={"seed": 1})]
    others += [grid.experiment("tfi", "smoke"), grid.experiment("basic", "laptop")]
    assert len({e.run_id("data") for e in (base, *others)} | {base.run_id("other data")}) == 7


def test_a_training_in_mixed_precision_has_an_id_of_its_own(monkeypatch):
    experiment = config.load().experiment("basic", "smoke")
    ids = [experiment.run_id("data")]
    for mixed in ("no", "bf16", "fp16"):  # as accelerate launch --mixed_precision passes it on
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", mixed)
        ids.append(experiment.run_id("data"))
    assert ids[0] == ids[1] and len(set(ids)) == 3


@pytest.mark.parametrize(
    ("profile", "row", "seed", "name"),
    [
        ("smoke", "basic", 0, "basic-s0-9878bac8"),
        ("smoke", "p3mnet_r34_fcp2", 0, "p3mnet_r34_fcp2-s0-18e797b5"),
        ("laptop", "p3mnet_r34", 2, "p3mnet_r34-s2-dee8f971"),
        ("laptop", "dim_n", 1, "dim_n-s1-387e22d5"),
        ("paper", "hatt", 0, "hatt-s0-57dd188e"),
    ],
)
def test_run_ids_stay(profile, row, seed, name):
    """Literal ids: with another one everything in a cache is trained again."""
    assert config.load().experiment(row, profile, seed).run_id("data") == name


def test_an_experiment_goes_to_another_process_and_back():
    experiment = config.load().experiment("p3mnet_r34_fcp1", "laptop", 1)
    assert pickle.loads(pickle.dumps(experiment)) == experiment
    assert config.Experiment.model_validate_json(experiment.model_dump_json(exclude_unset=True)) == experiment


def test_blocks_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        config.load().profile("smoke").train.epochs = 3


def test_a_profile_changes_a_model_a_network_and_a_row():
    overrides = {
        "p3mnet_resnet34": {"lr_scale": 2.0, "training": {"max_grad_norm": 1.0, "epochs": 7}},
        "basic": {"seeds": 1, "training": {"epochs": 3}},
        "basic_n": {"training": {"epochs": 4}},
    }
    grid = config.parse(edited(("profiles", "laptop", "overrides"), overrides))
    basic, basic_n, tfi, lf = (grid.experiment(name, "laptop") for name in ("basic", "basic_n", "tfi", "lf"))
    assert [e.row.lr_scale for e in (basic, basic_n, tfi, lf)] == [2.0, 2.0, 2.0, 1.0]
    assert [e.row.seeds for e in (basic, basic_n, tfi)] == [1, 1, grid.profile("laptop").seeds]
    assert [e.train.max_grad_norm for e in (basic, basic_n, tfi, lf)] == [1.0, 1.0, 1.0, 0.0]
    assert [e.train.epochs for e in (basic, basic_n, tfi)] == [3, 4, 7]


def test_options_of_a_profile_join_those_of_the_network():
    grid = config.parse(edited(("profiles", "laptop", "overrides"), {"p3mnet_resnet34": {"options": {"tfi": True, "new": 1}}}))
    assert grid.experiment("basic", "laptop").row.options == {"tfi": False, "sbfi": False, "dbfi": False, "new": 1}


def test_seeds_are_those_of_the_row_before_those_of_the_profile():
    grid = config.parse(edited(("profiles", "smoke", "overrides"), {"p3mnet_r34": {"seeds": 3}}))
    seeds = [(e.name, e.seed) for e in grid.experiments(["lf", "p3mnet_r34", "p3mnet_r34_fcp1"], "smoke")]
    assert seeds == [("lf", 0), ("p3mnet_r34", 0), ("p3mnet_r34_fcp1", 0), ("p3mnet_r34", 1), ("p3mnet_r34", 2)]
    assert grid.experiments([], "smoke") == []


def test_rows_are_networks_in_their_treatments():
    text = copy.deepcopy(RAW)
    text["profiles"] = {"paper": {}}
    text["rows"] = {"NET": {"domain": "B", "networks": ["lf", "shm"]}}
    text["rows"]["NET_fcp"] = {"domain": "B", "copy_paste": "fcp", "networks": ["lf"]}
    trained = {"title": "", "sets": [["RWP", "N"]], "metrics": [], "networks": ["shm", "lf"], "rows": ["NET"]}
    text["tables"] = {3: trained, 4: {"title": "", "sets": [], "metrics": [], "methods": {"KNN": "knn"}}}
    text["notebooks"] = {"a": [3, 4, "lf_fcp"]}
    grid = config.parse(yaml.safe_dump(text))
    assert list(grid.rows) == ["lf", "shm", "lf_fcp"] and grid.rows["lf_fcp"].label == "LF+FCP"
    assert grid.tables[3].rows == ("shm", "lf") and grid.notebooks == {"a": ("shm", "lf", 4, "lf_fcp")}
    assert grid.sets("lf") == [("RWP", "N")] and grid.sets("lf_fcp") == []


def test_a_profile_scores_its_own_sets_beside_those_of_the_tables():
    grid = config.load()
    assert grid.scored("gca", "laptop") == grid.sets("gca") == [("P3M-500-P", "B"), ("P3M-500-P", "N")]
    assert grid.scored("gca", "longer") == [*grid.sets("gca"), ("P3M-500-NP", "N")], "each once: a card has both sets"


def test_every_row_and_method_of_a_table_has_the_papers_values():
    grid, paper = config.load(), report.paper_values()
    assert len(paper) == 763
    for number, table in grid.tables.items():
        methods = list(table.methods) + [grid.rows[name].method for name in table.rows]
        printed = set(paper[paper["table"] == str(number)]["method"])
        assert set(methods) - printed <= {"P3M-Net (Lite0)"}, "ours alone"
        assert printed <= set(methods) or number in (5, 6, 11), "these wait for other methods"
