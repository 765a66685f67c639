"""The sentences of captions: what was trained and tested on which data, and what is missing or misprinted."""

from p3mlib import paths
from p3mlib.experiments import config
from p3mlib.models import bases
from p3mlib.results import report


def data_sentence(profile):
    """Which data a table of `profile` is from."""
    if paths.is_real():
        named = [f"{n} from the folder named by {variable}" for n, variable in paths.REAL_ROOTS.items() if paths.real_root(n)]
        return f"Data: {', '.join(named)}; the rest P3M-Synth. Profile {profile}."
    height, width = config.load().profile(profile).data.size
    data = f"Data: P3M-Synth, {height} x {width} px, profile {profile}."
    return f"{data} The paper's numbers are for P3M-10k: compare order and ratio."


def size_sentence(datasets, sign):
    """That SAD is at the size of the paper's images of `datasets`; `sign` marks it in the headers."""
    size = " and ".join(dict.fromkeys(f"{report.PAPER_KILOPIXELS[dataset] / 1000:g}" for dataset in datasets))
    what = f"{sign} SAD" if sign else "SAD is printed"
    return f"{what} at the paper's mean image size (per-image SAD / pixels x {size} Mpx); table CSV has both."


def notes_of(results):
    """Why results are missing, a sentence a reason, with the methods it holds for."""
    reasons = {}
    for result in results:
        if result.errors is None:
            reasons.setdefault(result.note, set()).add(result.method)
    return tuple(f"{', '.join(sorted(methods))}: {reason}" for reason, methods in reasons.items())


def misprints(frame):
    """Which of the paper's values in a tidy table are misprints, as a sentence."""
    wrong = frame[frame["note"].str.startswith("paper: misprint")].drop_duplicates("paper")
    texts = [f"{row.paper} ({row.metric}, {row.method}) is a {row.note.removeprefix('paper: ')}" for row in wrong.itertuples()]
    return f"As printed in the paper: {'; '.join(texts)}." if texts else ""


def training_sentence(rows, profile):
    """Widths, epochs and seeds of a table's trainings, and how their networks are tested."""
    experiments = config.load().experiments(rows, profile)
    trainings = {e.row.method: e.train for e in experiments}
    widths = _usual({method: f"{train.width:g}" for method, train in trainings.items()})
    epochs = _usual({method: str(train.epochs) for method, train in trainings.items()})
    before = _usual({e.row.method: _before(e) for e in experiments})
    seeds = {}
    for experiment in experiments:
        seeds.setdefault(experiment.row.method, set()).add(experiment.seed)
    counted = " or ".join(", ".join(map(str, found)) for found in sorted({tuple(sorted(found)) for found in seeds.values()}))
    return (
        f"Trained at width {widths}, epochs: {epochs}{before and ' after '}{before}, seeds {counted}. "
        f"Tested with {config.load().profile(profile).test}; what has a size rule of its own follows that."
    )


def _usual(values):
    """Text of the commonest of `values` (method -> text), with the methods that differ in brackets."""
    usual = max(values.values(), key=list(values.values()).count)
    others = {}
    for method, text in values.items():
        others.setdefault(text, []).append(method)
    listed = "; ".join(f"{', '.join(names)} {text}" for text, names in others.items() if text != usual)
    return f"{usual} ({listed})" if listed else usual


def _before(experiment):
    """How many epochs of which base a training starts from, in words."""
    if not experiment.start:
        return ""
    laps = [f"{lap['epochs']} on {lap['images']}" for lap in bases.laps(bases.cards()[experiment.start])]
    return f"{', '.join(laps)} other blurred images (bases of the package, each seed its own)"
