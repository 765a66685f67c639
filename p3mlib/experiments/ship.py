"""From finished runs to bases of the package: weights in half precision, each with a card that says what it is."""

from p3mlib.data.datasets import MissingData
from p3mlib.experiments import corpus, runs
from p3mlib.experiments.evaluate import evaluate
from p3mlib.io import reason
from p3mlib.models import bases

LICENCE = "MIT, as the package; trained on P3M-Synth alone, without a photograph"
NOT_FOR = "photographs: no real portrait was seen; a start for trainings on P3M-Synth, not a tool for cutting people out"
LICENCE_PHOTO = (
    "MIT, as the package; trained on P3M-Synth in front of free pictures without people; the frozen encoder is not in the file: "
    "EfficientNet-Lite0 (Apache 2.0), whose ImageNet training did contain people"
)
NOT_FOR_PHOTO = (
    "decisions about people, groups and crowds, film; statements about groups of people: how it fares by skin or hair is unknown"
)
_OF_A_LAP = (
    "run", "profile", "data", "images", "epochs", "steps", "loss", "seconds", "device", "precision", "commit", "sha256", "before",
)  # fmt: skip
_TRIED = 4  # first test images: half and full precision are compared on them, and half's errors stand in the card, for tests
_ALIKE = 0.002  # mean absolute difference of their mattes


def ship(experiments, folder=bases.FOLDER):
    """Write the bases of finished runs, and pass over what is not finished.

    Args:
        experiments: of one profile. folder: of the bases.
    Returns:
        (names of the bases that were written, dict name -> why not).
    """
    written, left = [], {}
    for experiment in experiments:
        name = f"{experiment.name}-s{experiment.seed}"
        try:
            _ship(name, experiment, folder)
            written.append(name)
        except (ValueError, MissingData) as error:
            left[name] = reason(error, name)
    return written, left


def _ship(name, experiment, folder):
    row, run = experiment.row, runs.Run(runs.needed_folder(experiment))
    record = run.record
    photo = bool(experiment.train.ingredients)
    if not photo and (row.domain != "B" or row.copy_paste != "none"):
        raise ValueError(f"{experiment.name} is no base: bases are trained on blurred images, without copy and paste")
    if not record.get("finished") or not record["evaluations"]:
        raise ValueError(f"{run.folder}: not finished and scored; python -m p3mlib train {experiment.name} does it")
    card = {key: record[key] for key in ("commit", "device", "images", "versions", "precision")}
    card |= {"profile": experiment.profile.name, "run": run.id, "data": record["training"]["data"], "seed": experiment.seed}
    card |= {"licence": LICENCE_PHOTO, "not for": NOT_FOR_PHOTO} if photo else {"licence": LICENCE, "not for": NOT_FOR}
    log = run.training_log()
    card |= {"loss": log["total"][log["stage"] != "base"].round(4).tolist(), "seconds": record["seconds"]["training"]}
    card["epochs"] = len(card["loss"])
    card["steps"] = card["epochs"] * (record["images"] // experiment.train.batch_size)
    if record["base"]:
        before = bases.cards()[record["base"]]
        card["before"] = {key: before[key] for key in _OF_A_LAP if key in before}
    model = run.load()
    half, card["SAD"], card["SAD of first images"] = bases.halved(model), {}, {}
    for key in sorted(record["evaluations"]):
        tested, domain = key.rsplit(".", 1)
        card["SAD"][key] = round(run.per_image(tested, domain)["SAD"].mean(), 3)
        network, portraits = runs.Network(half, experiment, tested), _first(tested, domain, experiment)
        card["SAD of first images"][key] = evaluate(network, portraits, progress=False)["SAD"].round(4).tolist()
    card["half precision"] = _difference(experiment, model, half)
    bases.write(name, model, card, folder)


def _difference(experiment, *models):
    """Largest mean absolute difference of the mattes of two networks over some test images; ValueError where they differ."""
    full, half = (runs.Network(model, experiment, "P3M-500-P") for model in models)
    largest = max(float(abs(full(sample) - half(sample)).mean()) for sample in _first("P3M-500-P", "B", experiment))
    if largest > _ALIKE:
        raise ValueError(f"its mattes move by {largest:.4f} on average in half precision")
    return round(largest, 6)


def _first(name, domain, experiment):
    portraits = corpus.kept(name, domain, experiment.profile, False)
    return [portraits[index] for index in range(min(_TRIED, len(portraits)))]
