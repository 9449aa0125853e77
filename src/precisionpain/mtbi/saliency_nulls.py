"""Maps of networks that learned nothing, to compare a saliency map with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from tqdm import tqdm

from ..errors import FormatError, TrainingError
from ._classifier.labels import as_codes, as_labels
from .saliency import Which, groups_of, mean_map, saliency_map

if TYPE_CHECKING:
    from ..cohort.core import Cohort

__all__ = ["permuted_null", "random_weight_null"]

_MOST_DRAWS = 5  # per map, before one gives up


def permuted_null(
    classifier: Any,
    cohort: Cohort,
    y: Any,
    n: int = 100,
    *,
    split: tuple[ArrayLike, ArrayLike] | None = None,
    which: Which = "true_positives",
    random_state: int = 0,
    progress: bool = True,
    **options: Any,
) -> np.ndarray:
    """Make mean maps of classifiers that were trained on permuted labels.

    The whole way from labels to map is gone again: training, predictions, the choice of true
    positives, their maps. A frozen trunk (``freeze=True``) makes this affordable, and is then
    a test of the head alone.

    Parameters
    ----------
    classifier : ChronicPainClassifier
        With its settings; it is cloned, and stays as it is.
    cohort : Cohort
        The people.
    y : array-like or pandas.Series of shape (n_people,)
        Outcome, of two classes: in the order of the cohort, or a Series by subject id.
    n : int, default 100
        How many maps. No p-value is below 1 / (1 + n).
    split : (train, test), optional
        Rows of the cohort to train on, and those whose maps are averaged, as one fold of a
        cross-validation; everybody for both when None, as in the published map of the
        training people.
    which : str, default "true_positives"
        Whose maps, as in `mean_map`.
    random_state : int, default 0
        Of the permutations.
    progress : bool, default True
        Show a bar on a terminal.
    **options
        Passed on to `saliency_map`: give the same as for the observed map.

    Returns
    -------
    numpy.ndarray of float32, shape (n, depth, height, width)
        For `region_statistics`.

    Raises
    ------
    FormatError
        When there aren't two classes or `n` is below 1.
    AlignmentError
        When labels and people don't match.
    TrainingError
        When the classifiers hardly ever have anybody to average. A draw without is drawn
        again, as there is an observed map only when there was somebody.

    Notes
    -----
    The observed map is made in the same way: fit on ``cohort[train]``, then
    ``mean_map(saliency_map(fitted, cohort[test], ...), y[test], p)``.

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.mtbi.permuted_null(classifier, cohort, y, n=200)  # doctest: +SKIP
    """
    from sklearn.base import clone

    if n < 1:
        raise FormatError(f"expected n of at least 1, found {n}")
    classes, labels = as_codes(as_labels(cohort, y))
    everybody = np.arange(len(labels))
    train, test = (everybody, everybody) if split is None else map(np.asarray, split)
    threshold = float(getattr(classifier, "threshold", 0.5))
    rng = np.random.default_rng(random_state)
    people, drawn = cohort[test], 0
    maps: list[np.ndarray] = []
    with tqdm(total=n, disable=None if progress else True, unit="map", desc="null") as bar:
        while len(maps) < n:
            if drawn >= _MOST_DRAWS * n:
                raise TrainingError(
                    f"of {drawn} classifiers trained on permuted labels only {len(maps)} have "
                    f"{which.replace('_', ' ')} to average",
                    remedy="average over which='everybody', here and in the observed map",
                )
            drawn += 1
            permuted = rng.permutation(labels)
            fitted = clone(classifier).fit(cohort[train], classes[permuted[train]])
            p = np.asarray(fitted.predict_proba(people))[:, 1]
            chosen = groups_of(permuted[test], p, threshold, which)
            if not chosen.any():
                continue
            # Maps are what takes the time: only of those who count.
            each = saliency_map(fitted, people[np.flatnonzero(chosen)], progress=False, **options)
            maps.append(each.mean(axis=0, dtype=np.float64).astype(np.float32))
            bar.update()
    return np.stack(maps)


def random_weight_null(
    model: Any,
    X: Any,
    n: int = 20,
    *,
    random_state: int = 0,
    progress: bool = True,
    **options: Any,
) -> np.ndarray:
    """Make mean maps of networks with random weights.

    What such maps show is the anatomy of the scans and the architecture of the network.

    Parameters
    ----------
    model : fitted classifier or torch.nn.Module
        Whose architecture is taken; it stays as it is.
    X : Cohort or array of shape (n_people, n_channels, depth, height, width)
        The people of the observed map: for the published one, the true positives.
    n : int, default 20
        How many networks.
    random_state : int, default 0
        Of the weights.
    progress : bool, default True
        Show a bar on a terminal.
    **options
        Passed on to `saliency_map`: give the same as for the observed map.

    Returns
    -------
    numpy.ndarray of float32, shape (n, depth, height, width)
        For `region_statistics`.

    Raises
    ------
    FormatError
        As `saliency_map`.

    Notes
    -----
    Running statistics of batch normalisation are computed on the volumes, as a training would.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> network = pp.mtbi.resnet3d(10, stem="medicalnet", width=4, random_state=0)
    >>> volumes = np.random.default_rng(0).normal(size=(2, 1, 12, 24, 20))
    >>> pp.mtbi.random_weight_null(network, volumes, n=3).shape
    (3, 12, 24, 20)
    """
    from ._saliency.inputs import prepare
    from ._saliency.weights import parts, with_random_parts

    if n < 1:
        raise FormatError(f"expected n of at least 1, found {n}")
    subject = prepare(model, X, of="logit", device=options.get("device", "auto"))
    network, size = subject.score.network, int(options.get("batch_size", 4))
    names = parts(network)
    seeds = np.random.default_rng(random_state).integers(2**31, size=n).tolist()
    maps = []
    for seed in tqdm(seeds, disable=None if progress else True, unit="network", desc="null"):
        drawn = with_random_parts(network, names, subject.volumes, batch_size=size, seed=seed)
        each = saliency_map(drawn, subject.volumes.numpy(), progress=False, **options)
        maps.append(mean_map(each, np.ones(len(each)), np.ones(len(each)), which="everybody"))
    return np.stack(maps)
