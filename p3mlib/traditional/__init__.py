"""Trimap-based matting without learning: one file a method, all `estimate(image, trimap) -> alpha`.

METHODS maps the name printed in the paper's Table 2 to the function.

Imports nothing of the package. Used from outside: METHODS and the modules.
"""

from p3mlib.traditional import (
    closed_form,
    comprehensive,
    global_sampling,
    information_flow,
    knn,
    learning_based,
    robust,
    shared,
)

METHODS = {
    "Closed": closed_form.estimate,
    "IFM": information_flow.estimate,
    "KNN": knn.estimate,
    "Compre": comprehensive.estimate,
    "Robust": robust.estimate,
    "Learning": learning_based.estimate,
    "Global": global_sampling.estimate,
    "Shared": shared.estimate,
}
