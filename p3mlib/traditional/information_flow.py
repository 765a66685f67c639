"""Information-flow matting (Aksoy et al. 2017)."""

import numpy as np
import pymatting
from scipy import ndimage, sparse
from scipy.spatial import cKDTree

from p3mlib.traditional._common import estimator
from p3mlib.traditional._sampling import EDGE_TRIMMING, expand

MIXTURE, MIXTURE_SPACE = 20, 1.0  # neighbours, weight of the place beside the colour
KNOWN, KNOWN_SPACE, KNOWN_WEIGHT = 7, 10.0, 0.05
INTRA, INTRA_SPACE, INTRA_WEIGHT = 5, 0.05, 0.01
LOCAL_EPSILON, LOCAL_WEIGHT = 1e-6, 1.0
REGULAR = 1e-6  # of the linear weights; the toolbox's 1e-10 gives weights of hundreds where colours are finer than 8 bits
TRANSPARENT = 0.0099  # residual of the colour histograms above which known-to-unknown flow is left out
PATCH_NEIGHBOURS, PATCH_NEAR, PATCH_FAR = 10, 0.25, 0.9  # patch trimming


@estimator
def estimate(image, trimap):
    """Alpha by Information-flow matting.

    Args:
        image:  (H, W, 3) float in [0, 1]. trimap: (H, W) float, 0 background, 1 foreground, other values unknown.
    Returns:
        (H, W) float32 in [0, 1].
    Raises:
        ValueError: see `estimator`.
    Source:
        Aksoy et al. 2017 with the parameters of the authors' toolbox; the histograms compare R, G and B (the toolbox reads B
        twice). Known pixels are eliminated from the system, the limit of the toolbox's weight of 100.
    """
    known = (trimap <= 0) | (trimap >= 1)
    unknown = ~known.ravel()
    weights = [_mixture(image, unknown), _intra(image, unknown)]
    energy = _squared(weights[0]) + INTRA_WEIGHT * _graph(weights[1]) + LOCAL_WEIGHT * _local(image, known)
    target, trust = np.zeros(unknown.sum()), np.zeros(unknown.sum())
    if not _is_transparent(image, trimap):
        target, trust = _from_known(image, trimap)
    rows = energy.tocsr()[unknown]
    system = (rows[:, unknown] + sparse.diags(KNOWN_WEIGHT * trust + 1e-9)).tocsr()
    right = KNOWN_WEIGHT * trust * target - rows[:, ~unknown] @ trimap.ravel()[~unknown]
    out = trimap.astype(np.float64).ravel()
    start = np.where(trust > 0, target, 0.5)
    out[unknown] = pymatting.cg(system, right, M=pymatting.jacobi(system), x0=start, rtol=1e-6, maxiter=2000)
    return out.reshape(trimap.shape)


def _features(image, space):
    """(N, 5) colour and place, the place over the sides of the image times `space`."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    return np.concatenate([image.reshape(-1, 3), space * np.stack([x / width, y / height], -1).reshape(-1, 2)], 1)


def _neighbours(points, queries, count):
    """Indices (len(queries), count) into points; fewer points than `count` repeat the nearest."""
    tree = cKDTree(points, balanced_tree=False, compact_nodes=False)
    _, found = tree.query(queries, min(count, len(points)), workers=-1)
    found = found.reshape(len(queries), -1)
    return np.concatenate([found, np.repeat(found[:, :1], count - found.shape[1], 1)], 1)


def _linear_weights(centres, neighbours):
    """Weights (N, K) that sum to 1 and mix neighbours (N, K, C) to centres (N, C) best (locally linear embedding)."""
    apart = neighbours - centres[:, None]
    gram = apart @ apart.transpose(0, 2, 1) + REGULAR * np.eye(neighbours.shape[1])
    weights = np.linalg.solve(gram, np.ones((*gram.shape[:2], 1)))[..., 0]
    return weights / weights.sum(1, keepdims=True)


def _rows(unknown, columns, weights):
    """Sparse (N, N) with the weights (U, K) in the rows of unknown pixels."""
    size, rows = len(unknown), np.repeat(np.flatnonzero(unknown), columns.shape[1])
    return sparse.csr_matrix((weights.ravel(), (rows, columns.ravel())), (size, size))


def _mixture(image, unknown):
    """Colour-mixture flow: every unknown pixel as a mixture of its neighbours in colour and place."""
    features, ids = _features(image, MIXTURE_SPACE), np.flatnonzero(unknown)
    found = _neighbours(features, features[ids], MIXTURE + 1)
    own = found == ids[:, None]
    own[~own.any(1), -1] = True  # among identical pixels it may be missing: drop the farthest instead
    own &= np.cumsum(own, 1) == 1
    found = found[~own].reshape(len(ids), MIXTURE)
    colours = image.reshape(-1, 3)
    return _rows(unknown, found, _linear_weights(colours[ids], colours[found]))


def _squared(weights):
    """(D - W)' (D - W) of row weights."""
    difference = sparse.diags(np.asarray(weights.sum(1)).ravel()) - weights
    return difference.T @ difference


def _graph(weights):
    """Laplacian D - W of the symmetrised weights."""
    weights = (weights + weights.T) / 2
    return sparse.diags(np.asarray(weights.sum(1)).ravel()) - weights


def _intra(image, unknown):
    """Flow among unknown pixels of similar colour."""
    ids, columns, values = np.flatnonzero(unknown), [], []
    for count, space in ((INTRA, INTRA_SPACE), (-(-INTRA // 5), INTRA_SPACE / 100)):
        features = _features(image, space)[ids]
        found = _neighbours(features, features, count + 1)[:, 1:]
        apart = np.abs(features[:, None] - features[found]).sum(-1)
        columns.append(ids[found])
        values.append(np.maximum(1 - apart / features.shape[1], 0))
    return _rows(unknown, np.concatenate(columns, 1), np.concatenate(values, 1))


def _local(image, known):
    """The matting Laplacian of windows around unknown pixels, over 5: affinities of a pixel in nine windows then sum to about 1.

    The toolbox divides every row by its sum, which can make the energy indefinite because affinities may be negative.
    """
    return pymatting.cf_laplacian(image, epsilon=LOCAL_EPSILON, is_known=known) / 5


def _is_transparent(image, trimap):
    """Whether colours of the unknown region are not those of the known ones around it: a highly transparent object."""
    unknown = (trimap > 0) & (trimap < 1)
    near = ndimage.distance_transform_edt(~unknown) <= 20
    sides = [near & (trimap >= 1), near & (trimap <= 0)]
    if not all(side.any() for side in sides):
        return False
    histograms = [_histogram(image[mask]) for mask in (unknown, *sides)]
    basis = np.stack(histograms[1:], 1)
    weights, *_ = np.linalg.lstsq(basis, histograms[0], rcond=None)
    return np.linalg.norm(basis @ weights - histograms[0]) / len(histograms[0]) > TRANSPARENT


def _histogram(colours):
    """10 bins a channel, each channel's share of pixels; (30,)."""
    return np.concatenate([np.histogram(colours[:, k], 10, (0, 1))[0] / len(colours) for k in range(3)])


def _from_known(image, trimap):
    """Known-to-unknown flow: estimate (U,) and trust (U,), 1 where trimming knows the pixel."""
    unknown = (trimap > 0) & (trimap < 1)
    trimmed = expand(image, _patch_trimmed(image, trimap), EDGE_TRIMMING)
    features, colours = _features(image, KNOWN_SPACE), image.reshape(-1, 3)
    ids = np.flatnonzero(unknown)
    sides = [np.flatnonzero(mask.ravel()) for mask in (trimmed >= 1, trimmed <= 0)]
    found = np.concatenate([side[_neighbours(features[side], features[ids], KNOWN)] for side in sides], 1)
    weights = _linear_weights(colours[ids], colours[found])
    share = weights[:, :KNOWN].sum(1)
    mixed = [(weights[:, part, None] * colours[found[:, part]]).sum(1) for part in (slice(KNOWN), slice(KNOWN, None))]
    trust = ((mixed[0] - mixed[1]) ** 2).sum(1) / 3
    known_now = ((trimmed <= 0) | (trimmed >= 1))[unknown]
    estimate = np.where(known_now, trimmed[unknown], np.clip(share, 0, 1))
    return estimate, np.where(known_now, 1.0, np.minimum(trust, 1.0))


def _patch_trimmed(image, trimap):
    """Trimap with unknown pixels known whose 3 x 3 neighbourhood is like one side's and unlike the other's."""
    mean = np.stack([ndimage.uniform_filter(image[..., k], 3) for k in range(3)], -1)
    products = image[..., :, None] * image[..., None, :]
    second = ndimage.uniform_filter(products, (3, 3, 1, 1))
    covariance = second - mean[..., :, None] * mean[..., None, :] + 1e-8 * np.eye(3)
    unknown = (trimap > 0) & (trimap < 1)
    distances = []
    for side in (trimap >= 1, trimap <= 0):
        found = _neighbours(mean[side], mean[unknown], PATCH_NEIGHBOURS)
        distances.append(_bhattacharyya(mean[unknown], covariance[unknown], mean[side][found], covariance[side][found]).min(1))
    to_f, to_b = distances
    out, values = trimap.copy(), trimap[unknown]
    values[(to_f < PATCH_NEAR) & (to_b > PATCH_FAR)] = 1
    values[(to_b < PATCH_NEAR) & (to_f > PATCH_FAR)] = 0
    out[unknown] = values
    return out


def _bhattacharyya(mean, covariance, means, covariances):
    """Distances (N, K) of normal distributions: one (N, 3), (N, 3, 3) against K others each."""
    both = (covariance[:, None] + covariances) / 2
    apart = (mean[:, None] - means)[..., None]
    spread = (apart.swapaxes(-1, -2) @ np.linalg.solve(both, apart))[..., 0, 0] / 8
    logs = [np.linalg.slogdet(matrix)[1] for matrix in (both, covariance, covariances)]
    return spread + 0.5 * (logs[0] - 0.5 * (logs[1][:, None] + logs[2]))
