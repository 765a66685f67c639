"""Trimap-based matting without learning: one file a method, all `estimate(image, trimap) -> alpha`.

METHODS maps the name printed in the paper's Table 2 to the function.
"""

from p3mlib.traditional import closed_form, knn, learning_based

METHODS = {"Closed": closed_form.estimate, "KNN": knn.estimate, "Learning": learning_based.estimate}
