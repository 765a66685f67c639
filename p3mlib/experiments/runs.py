"""The run cache: what is trained and scored once stands on disk, with its provenance, and is never done again.

`runs/<profile>/<run id>/` holds `run.json`, `train.csv`, `per_image/<set>.<domain>.csv`, `gallery/<set>.<domain>/*.png`
and `model.safetensors` with `config.json`. The per-image results stand without the weights, so a run made elsewhere can be
brought home as a few small files.
"""

import logging
import os
import shutil
from contextlib import contextmanager, nullcontext, suppress

import torch
from accelerate import Accelerator

from p3mlib import paths
from p3mlib.data import datasets
from p3mlib.experiments import corpus, processes
from p3mlib.experiments.evaluate import evaluate, with_regions
from p3mlib.experiments.forecast import Forecast
from p3mlib.experiments.run import Run, record
from p3mlib.experiments.train import check_start, fit
from p3mlib.io import DamagedFile, write_image, write_text
from p3mlib.models import bases
from p3mlib.models.inference import Fast, fast, predict_batch
from p3mlib.models.pretrained import CHECKPOINT, WEIGHTS

log = logging.getLogger(__name__)
GALLERY = 6  # predictions kept per test set
_elsewhere = None  # run id -> Run that came from elsewhere, or None


def also_in(find):
    """From now on `get` and `untrained` take a finished run that the cache lacks from `find(run id)` -> Run or None."""
    global _elsewhere
    _elsewhere = find


def finished(run, tests):
    """A Run that is finished and scored on all of `tests`, in the cache or elsewhere; None where there is none."""
    if is_done(run, tests):
        return run
    other = _elsewhere(run.id) if _elsewhere and not run.record.get("finished") else None
    return other if other and is_done(other, tests) else None


def check(experiments):
    """Raise what would end one of these trainings later; nothing is trained.

    Raises:
        datasets.MissingData: images, face masks or colours. ValueError: fewer images than a batch.
        OSError: ImageNet weights that are neither in P3M_IMAGENET nor on the hub.
    """
    for experiment in experiments:
        corpus.training_identity(experiment)
        corpus.check_batch(experiment)
        check_start(experiment)


def folder(experiment):
    """Folder of an experiment's run, whether it exists or not; None where the training images are missing."""
    try:
        return needed_folder(experiment)
    except datasets.MissingData:
        return None


def forget(experiment):
    """Delete the run of an experiment, once no other command trains it; datasets.MissingData as in `get`."""
    run = Run(needed_folder(experiment))
    with writing(run):
        if processes.state().is_main_process and run.folder.exists():
            shutil.rmtree(run.folder)


def is_done(run, tests):
    """True where a Run is finished and scored on all sets of `tests` (see `tests_of`): nothing is left to do."""
    record = run.record
    return bool(record.get("finished")) and all(_is_scored(run, record, *pair, test) for pair, test in tests.items())


def tests_of(sets, profile):
    """How an experiment is scored on each of `sets`: dict (set, domain) -> what run.json keeps of it."""
    how = profile.test.model_dump()
    return {pair: {**how, "data": corpus.identity(*pair, profile), "score": with_regions.__name__} for pair in sets}


def get(experiment, sets, progress=True):
    """The run of an experiment, scored on `sets`: from the cache, else trained and scored here.

    Args:
        experiment: config.Experiment.
        sets:       iterable of (set, domain), e.g. [("P3M-500-P", "B"), ("P3M-500-NP", "N")].
    Returns:
        Run.
    Raises:
        datasets.MissingData: images that are needed are not there; the message says how to get them.
    """
    profile, tests = experiment.profile, tests_of(sets, experiment.profile)
    found = finished(Run(needed_folder(experiment)), tests)
    if processes.agreed(found):
        return found
    run = _trained(experiment, progress)
    if not (run.folder / WEIGHTS).exists():
        raise FileNotFoundError(f"{run.folder}: no weights to score other images with; train it again with --force")
    run, model = _loaded(experiment, progress)
    how = {"eight_bit": profile.test.eight_bit, "score": with_regions, "progress": progress}
    with writing(run), _threads(profile.train.threads):
        model = fast(model.to(Accelerator().device))  # once for all sets
        for (name, domain), test in tests.items():
            score(run, name, domain, profile, test, Network, (model, experiment, name), **how)
    return run


def needed_folder(experiment):
    """Folder of an experiment's run. Raises datasets.MissingData where the training images are missing."""
    return paths.runs(experiment.profile.name) / experiment.run_id(corpus.training_identity(experiment))


def _trained(experiment, progress):
    """The trained run of an experiment. Commands that want the same one wait for the first; a launcher's processes share it."""
    run, profile = Run(needed_folder(experiment)), experiment.profile
    if processes.agreed(run.record.get("finished")):
        return run
    first = processes.state().is_main_process
    with writing(run):
        if processes.agreed(run.record.get("finished")):
            return run
        run.folder.mkdir(exist_ok=True)
        portraits = corpus.kept("train", experiment.row.domain, profile, progress)
        faces = corpus.open_set("CelebA", "N", profile, progress) if experiment.row.copy_paste != "none" else None
        with _threads(profile.train.threads), run.timed("training") if first else nullcontext():
            start = bases.load(experiment.start) if experiment.start else None
            fit(experiment, portraits, run.folder, progress, faces, start, Forecast(progress=progress and first))
        if first:
            run.update(**record(experiment, len(portraits), {*portraits.folders(), *(faces.folders() if faces else [])}))
        processes.state().wait_for_everyone()
    return run


def _loaded(experiment, progress):
    """(the trained Run of an experiment, its network); one with damaged or missing weights is named and trained anew."""
    run = _trained(experiment, progress)
    try:
        return run, run.load()
    except (DamagedFile, FileNotFoundError) as error:
        log.warning("%s; so %s is trained anew", error, run.id)
    with writing(run):
        with suppress(DamagedFile, FileNotFoundError):  # another command was quicker
            return run, run.load()
        processes.state().wait_for_everyone()
        if processes.state().is_main_process:
            shutil.rmtree(run.folder)
    run = _trained(experiment, progress)
    return run, run.load()


@contextmanager
def writing(run):
    """A block that writes into a run's folder when no other command does. What one that was killed left half written goes, and
    the checkpoint of a training that its record says has finished."""
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with processes.locked(run.folder.with_suffix(".lock")):
        if processes.state().is_main_process:
            for path in run.folder.rglob(".*.partial*"):
                path.unlink(missing_ok=True)
            if run.record.get("finished"):
                (run.folder / CHECKPOINT).unlink(missing_ok=True)
        yield


def of_rows(grid, rows, profile, seed=0, sets=None):
    """{row: Run} of those rows whose data is there, scored on those of `sets` (None: of the tables with that row) that exist."""
    found = {}
    for row in rows:
        there, _ = corpus.available(grid.scored(row, profile) if sets is None else sets, grid.profile(profile))
        try:
            found[row] = get(grid.experiment(row, profile, seed), there)
        except datasets.MissingData:
            continue
    return found


@contextmanager
def _threads(count):
    """Fixed number of CPU threads, because it changes the last bits of a sum; 0 leaves it alone. P3M_THREADS overrides it."""
    before = torch.get_num_threads()
    torch.set_num_threads(int(os.environ.get("P3M_THREADS") or 0) or count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Network:
    """Predictor of one set's samples, tested as the profile says; a network that is not `fast` moves to this process's device."""

    def __init__(self, model, experiment, name):
        test = experiment.profile.test
        self.model = model if isinstance(model, Fast) else fast(model.to(Accelerator().device))
        smallest = self.model.smallest_side if name == "RWP" else 0
        self.how = test.strategy, test.ratio, test.resizing, smallest, experiment.profile.train.size

    def __call__(self, sample):
        return self.many([sample])[0]

    def many(self, samples):
        """Alphas of samples of one size, in one pass."""
        trimaps = [sample["trimap"] for sample in samples] if "trimap" in samples[0] else None
        return predict_batch(self.model, [sample["image"] for sample in samples], *self.how, trimaps=trimaps)


def _whole(table):
    """True for a table of scores that is there and complete; a damaged one is named."""
    if not table.exists():
        return False
    text = table.read_bytes()
    lines = text.splitlines()
    whole = len(lines) > 1 and text.endswith(b"\n") and len({line.count(b",") for line in lines}) == 1
    if not whole:
        log.warning("%s: damaged, so its images are scored anew", table)
    return whole


def _is_scored(run, record, name, domain, test):
    """True where a run's record says that a set was scored with this `test` (a dict), and its table is whole."""
    key = f"{name}.{domain}"
    return record.get("evaluations", {}).get(key) == test and _whole(run.folder / "per_image" / f"{key}.csv")


def score(run, name, domain, profile, test, make_predictor, arguments, progress, **how):
    """Score one set, in the first process, unless the record says that it was scored with the same `test` (a dict)."""
    if not processes.state().is_main_process:
        return
    key, record = f"{name}.{domain}", run.record
    if _is_scored(run, record, name, domain, test):
        return
    predictor = make_predictor(*arguments)
    portraits = corpus.kept(name, domain, profile, progress)
    kept = set(portraits.names[:GALLERY])

    def keep(image, alpha):
        if image in kept:
            write_image(run.folder / "gallery" / key / f"{image}.png", alpha)

    with run.timed("scoring"):
        frame = evaluate(predictor, portraits, progress=progress, keep=keep, **how)
    write_text(run.folder / "per_image" / f"{key}.csv", frame.to_csv())
    run.update(evaluations={**record.get("evaluations", {}), key: test})
