"""Whether a map is about what the network learned, and whether the next fold gives it again."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from tqdm import tqdm

from ..errors import FormatError, list_some
from ._saliency.values import as_map, as_mask, spearman, ssim
from .saliency import Method, saliency_map

__all__ = ["Repeatability", "cascading_randomization", "fold_repeatability"]


def cascading_randomization(
    model: Any,
    X: Any,
    method: Method = "gradient",
    *,
    order: Literal["top_down", "bottom_up", "independent"] = "top_down",
    random_state: int = 0,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Draw the weights of one layer after the other anew, and watch the map.

    A map that stays the same when the network forgets what it learned is not about what it
    learned.

    Parameters
    ----------
    model : fitted classifier or torch.nn.Module
        As in `saliency_map`; stays as it is.
    X : Cohort or array of shape (n, n_channels, depth, height, width)
        As in `saliency_map`.
    method : str, default "gradient"
        As in `saliency_map`.
    order : {"top_down", "bottom_up", "independent"}, default "top_down"
        From the head to the input, the other way round, or each layer alone.
    random_state : int, default 0
        Of the weights.
    progress : bool, default True
        Show a bar on a terminal.
    **options
        Passed on to `saliency_map`.

    Returns
    -------
    pandas.DataFrame
        Index ``layer``, the first row being "trained", the others those whose weights (and
        those of the rows between) are random. ``ssim``, ``spearman``: means over people of
        the similarity with the map of the trained network; ``ssim_sd``, ``spearman_sd``.

    Raises
    ------
    FormatError
        As `saliency_map`.

    References
    ----------
    .. [1] Adebayo J, et al. Sanity checks for saliency maps. NeurIPS 2018.
    .. [2] Arun N, et al. Assessing the trustworthiness of saliency maps for localizing
       abnormalities in medical imaging. Radiology: Artificial Intelligence 3, e200267, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> network = pp.mtbi.resnet3d(10, stem="medicalnet", width=4, random_state=0)
    >>> volumes = np.random.default_rng(0).normal(size=(2, 1, 12, 24, 20))
    >>> pp.mtbi.cascading_randomization(network, volumes).index[:3].tolist()
    ['trained', 'fc', 'layer4']
    """
    from ._saliency.inputs import prepare
    from ._saliency.weights import parts, with_random_parts

    subject = prepare(model, X, of="logit", device=options.get("device", "auto"))
    network, volumes = subject.score.network, subject.volumes
    size = int(options.get("batch_size", 4))
    names = parts(network)
    if order not in ("top_down", "bottom_up", "independent"):
        raise FormatError(
            f"expected 'top_down', 'bottom_up' or 'independent', found {order!r}", where="order"
        )
    if order == "bottom_up":
        names = names[::-1]
    trained = saliency_map(network, volumes.numpy(), method, progress=False, **options)
    rows = {"trained": _similarity(trained, trained)}
    hidden = None if progress else True
    for position, name in enumerate(tqdm(names, disable=hidden, unit="layer", desc="random")):
        chosen = [name] if order == "independent" else names[: position + 1]
        drawn = with_random_parts(network, chosen, volumes, batch_size=size, seed=random_state)
        maps = saliency_map(drawn, volumes.numpy(), method, progress=False, **options)
        rows[name] = _similarity(trained, maps)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("layer")


def _similarity(maps: np.ndarray, others: np.ndarray) -> dict[str, float]:
    pairs = list(zip(maps, others, strict=True))
    found = pd.DataFrame(
        {"ssim": [ssim(*pair) for pair in pairs], "spearman": [spearman(*pair) for pair in pairs]}
    )
    mean, spread = found.mean(), found.std()
    return {
        "ssim": mean["ssim"], "spearman": mean["spearman"], "ssim_sd": spread["ssim"],
        "spearman_sd": spread["spearman"],
    }  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Repeatability:
    """How alike the mean maps of several folds are.

    Parameters
    ----------
    icc_agreement : float
        Intraclass correlation ICC(2,1) over voxels: whether folds give the same values.
    icc_consistency : float
        ICC(3,1): the same, but for a constant between folds.
    pairs : pandas.DataFrame
        Index ``first``, ``second``; ``spearman`` and ``ssim`` of each pair of folds.
    """

    icc_agreement: float
    icc_consistency: float
    pairs: pd.DataFrame

    def __repr__(self) -> str:
        mean = self.pairs.mean()
        return (
            f"Repeatability(ICC(2,1) {self.icc_agreement:.2f}, ICC(3,1) "
            f"{self.icc_consistency:.2f}; over {len(self.pairs)} pairs Spearman "
            f"{mean['spearman']:.2f}, SSIM {mean['ssim']:.2f})"
        )


def fold_repeatability(
    maps: Sequence[ArrayLike] | Mapping[Any, ArrayLike], *, within: ArrayLike | None = None
) -> Repeatability:
    """Compare the mean maps of the folds of a cross-validation, or of several seeds.

    Parameters
    ----------
    maps : sequence or mapping of arrays of shape (depth, height, width)
        One mean map per fold, with values from 0 to 1.
    within : array-like of bool, shape (depth, height, width), optional
        The voxels that count for correlations, such as a brain mask: the background, where
        all maps are dark, would make them look alike. SSIM is over the whole map.

    Returns
    -------
    Repeatability

    Raises
    ------
    FormatError
        With fewer than two maps, or maps of different shapes.

    Notes
    -----
    Folds share most of their training people, so this is more than other people would give.
    Neighbouring voxels are no independent cases: no interval is given.

    References
    ----------
    .. [1] Shrout PE, Fleiss JL. Intraclass correlations. Psychological Bulletin 86, 420, 1979.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> one = np.random.default_rng(0).random((8, 8, 8))
    >>> pp.mtbi.fold_repeatability([one, one])
    Repeatability(ICC(2,1) 1.00, ICC(3,1) 1.00; over 1 pairs Spearman 1.00, SSIM 1.00)
    """
    named = dict(maps) if isinstance(maps, Mapping) else dict(enumerate(maps))
    folds = {name: as_map(each, f"map {name!r}") for name, each in named.items()}
    shapes = {each.shape for each in folds.values()}
    if len(folds) < 2 or len(shapes) > 1:
        raise FormatError(
            f"expected two maps or more of one shape, found {len(folds)} of shapes "
            f"{list_some(sorted(shapes))}",
            where="maps",
        )
    (shape,) = shapes
    inside = np.ones(shape, dtype=bool) if within is None else as_mask(within, shape, "within")
    pairs = {
        (first, second): {
            "spearman": spearman(folds[first][inside], folds[second][inside]),
            "ssim": ssim(folds[first], folds[second]),
        }
        for first, second in itertools.combinations(folds, 2)
    }
    table = pd.DataFrame.from_dict(pairs, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(pairs), names=["first", "second"])
    return Repeatability(*_icc(np.stack([each[inside] for each in folds.values()], axis=1)), table)


def _icc(ratings: np.ndarray) -> tuple[float, float]:
    """Return ICC(2,1) and ICC(3,1) of ratings of shape (n_targets, n_judges)."""
    n, k = ratings.shape
    x = ratings.astype(np.float64)
    x = x - x.mean()
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    between = k * np.square(rows).sum() / (n - 1)
    judges = n * np.square(columns).sum() / (k - 1)
    error = np.square(x - rows[:, None] - columns).sum() / ((n - 1) * (k - 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        agreement = (between - error) / (between + (k - 1) * error + k * (judges - error) / n)
        consistency = (between - error) / (between + (k - 1) * error)
    return float(agreement), float(consistency)
