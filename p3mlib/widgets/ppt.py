"""PPT, privacy-preserving training: one person, the face sharp or hidden, and what networks trained on either say."""

import os
from concurrent.futures import ThreadPoolExecutor

import torch

from p3mlib.anonymize import METHODS, obfuscate
from p3mlib.experiments.evaluate import face_hole
from p3mlib.models import fast, predict
from p3mlib.widgets.frame import Explorer, choice, pictures, slider


def ppt_explorer(models, samples, test):
    """Hide a face by any method and strength; see the matte and the face-hole rate of every network.

    Args:
        models: dict label -> network in eval mode, e.g. trained on blurred images (B), on normal ones (N), with ICP, with FCP.
        samples: un-blurred portraits with `name`, `image`, `alpha`, `facemask`; those without a face are left out.
        test: the profile's test protocol (`strategy`, `ratio`, `resizing`).
    Returns:
        Explorer.
    Raises:
        ValueError: no sample has a face, or there is no network.
    """
    people = {sample["name"]: sample for sample in samples if sample.get("facemask") is not None and sample["facemask"].any()}
    if not people or not models:
        raise ValueError(f"{len(people)} portraits with a face and {len(models)} networks; at least one of each is needed")
    quick = {label: fast(model) for label, model in models.items()}
    side_by_side = ThreadPoolExecutor(os.cpu_count(), initializer=torch.set_num_threads, initargs=(1,))
    earlier = []
    who, how = choice("person", people), choice("face", ["sharp", *METHODS])
    strength = slider("strength", 0.2, 0.02, 0.6, 0.02)

    def draw():
        sample = people[who.value]
        image = sample["image"]
        if how.value != "sharp":
            given = None if how.value == "mask" else strength.value
            image = obfuscate(image, sample["facemask"], how.value, given)
        first = (image, f"face: {how.value}"), (sample["alpha"], "the truth")
        if earlier:
            looking = (f"{label}\nlooks ..." for label in quick)
            yield pictures([*first, *zip(earlier, looking, strict=True)], height=170)
        earlier[:] = side_by_side.map(lambda m: predict(m, image, test.strategy, test.ratio, test.resizing), quick.values())
        rates = (f"{label}\nface-hole rate {face_hole(pred, sample):.1%}" for label, pred in zip(quick, earlier, strict=True))
        yield pictures([*first, *zip(earlier, rates, strict=True)], height=170)

    advice = (
        "Go from sharp to blur and slowly raise the strength, for several people. The face-hole rate is how much of alpha "
        "is missing inside the face: does it fall as the face is hidden, for networks that never saw a sharp face, and stay "
        "for the others?"
    )
    controls = {"person": who, "face": how, "strength": strength}
    return Explorer("Does a network that never saw a sharp face miss it?", advice, controls, draw)
