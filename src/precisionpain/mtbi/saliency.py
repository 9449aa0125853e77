"""Saliency maps: which voxels change the score of a network for one person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from ..errors import AlignmentError, FormatError, list_some
from ._saliency.values import as_maps

if TYPE_CHECKING:
    import torch

__all__ = ["mean_map", "saliency_map"]

Method = Literal["gradient", "integrated_gradients", "smoothgrad", "grad_cam", "occlusion"]
Which = Literal[
    "true_positives", "true_negatives", "false_positives", "false_negatives", "everybody"
]


def saliency_map(
    model: Any,
    X: Any,
    method: Method = "gradient",
    *,
    of: Literal["probability", "logit"] = "probability",
    normalize: bool = True,
    shortcut_grad: Literal["full", "cut"] | None = "full",
    baseline: float | ArrayLike = 0.0,
    n_steps: int = 32,
    n_samples: int = 16,
    noise: float = 0.1,
    layer: str | None = None,
    window: tuple[int, int, int] = (6, 12, 12),
    stride: tuple[int, int, int] | None = None,
    batch_size: int = 4,
    device: str | torch.device = "auto",
    random_state: int = 0,
    progress: bool = True,
) -> np.ndarray:
    """Map which voxels change the score of each person.

    The network is looked at in evaluation mode, in a copy: mode, device and gradients of the
    one that is given stay as they are.

    Parameters
    ----------
    model : fitted classifier or torch.nn.Module
        A `ChronicPainClassifier`, or a network with one logit.
    X : Cohort or array of shape (n, n_channels, depth, height, width)
        The Cohort for a classifier; for a network the volumes as it was trained on them.
    method : str, default "gradient"
        "gradient": absolute ∂ score / ∂ voxel, as published. "integrated_gradients": the gradient
        summed along the straight way from `baseline`; adds up to the difference of the
        scores. "smoothgrad": mean gradient over noisy copies. "grad_cam": channels of
        `layer` weighted by their mean gradient, positive part. "occlusion": how much the
        score falls when a window is covered with `baseline`.
    of : {"probability", "logit"}, default "probability"
        The score.
    normalize : bool, default True
        Whether to take absolute values and scale each map to the range from 0 to 1, as
        published. False gives the raw values: integrated gradients, SmoothGrad and occlusion
        have a sign then.
    shortcut_grad : {"full", "cut"} or None, default "full"
        Networks of depth 18 and 34 were published with shortcuts that pass no gradient
        back. Such gradients are not those of what the network computes: "cut" reproduces
        the published maps, "full" is about the network, None leaves it as it is. Nothing
        but the gradient changes; see `ResNet3D.shortcut_grad`.
    baseline : float or array of shape (depth, height, width), default 0.0
        Of integrated gradients and occlusion: what an absent voxel looks like. 0 is the mean
        of volumes that were z-scored.
    n_steps : int, default 32
        Of integrated gradients.
    n_samples : int, default 16
        Noisy copies of SmoothGrad.
    noise : float, default 0.1
        Their standard deviation, as a share of the volume's range.
    layer : str, optional
        Of Grad-CAM; "layer4" of a `ResNet3D`.
    window, stride : tuple of int, default (6, 12, 12), half of the window
        Of occlusion, in voxels.
    batch_size : int, default 4
        Volumes at a time; lower it where memory runs out.
    device : str or torch.device, default "auto"
        Where to compute.
    random_state : int, default 0
        Of the noise, which is the same for everybody.
    progress : bool, default True
        Show a bar on a terminal.

    Returns
    -------
    numpy.ndarray of float32, shape (n, depth, height, width)
        The maximum over channels of the absolute values, scaled per map; or the sum over
        channels with ``normalize=False`` (of "gradient" the maximum of the absolute values).

    Raises
    ------
    FormatError
        When the classifier isn't fitted, volumes are not finite or of another shape, or an
        option makes no sense.
    TrainingError
        When the network's gradients are not finite, or memory runs out.

    Warns
    -----
    DataWarning
        When a map is constant: nothing in the volume changes the score.

    See Also
    --------
    cascading_randomization, deletion_insertion, region_statistics : Whether to believe them.

    Notes
    -----
    A bright voxel says that the *network* is sensitive there, not that the disease is.

    References
    ----------
    .. [1] Simonyan K, et al. Deep inside convolutional networks. arXiv:1312.6034, 2013.
    .. [2] Sundararajan M, et al. Axiomatic attribution for deep networks. ICML 2017.
    .. [3] Smilkov D, et al. SmoothGrad: removing noise by adding noise. arXiv:1706.03825, 2017.
    .. [4] Selvaraju RR, et al. Grad-CAM. ICCV 2017.
    .. [5] Zeiler MD, Fergus R. Visualizing and understanding convolutional networks. ECCV 2014.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> network = pp.mtbi.resnet3d(10, stem="medicalnet", width=4, random_state=0)
    >>> volumes = np.random.default_rng(0).normal(size=(2, 1, 12, 24, 20))
    >>> maps = pp.mtbi.saliency_map(network, volumes)
    >>> maps.shape, float(maps.min()), float(maps.max())
    ((2, 12, 24, 20), 0.0, 1.0)
    """
    from ._saliency import attribution
    from ._saliency.inputs import check_finite, memory_explained, min_max_maps, prepare

    subject = prepare(model, X, of=of, device=device, shortcut_grad=shortcut_grad)
    common: dict[str, Any] = {"batch_size": batch_size, "progress": progress}
    with memory_explained(batch_size):
        if method == "gradient":
            raw = attribution.gradient(subject, **common).abs()
        elif method == "integrated_gradients":
            raw = attribution.integrated_gradients(
                subject, baseline=baseline, n_steps=n_steps, **common
            )
        elif method == "smoothgrad":
            raw = attribution.smoothgrad(
                subject, n_samples=n_samples, noise=noise, random_state=random_state, **common
            )
        elif method == "grad_cam":
            raw = attribution.grad_cam(subject, layer=layer, **common)
        elif method == "occlusion":
            raw = attribution.occlusion(
                subject, window=tuple(window), stride=None if stride is None else tuple(stride),
                baseline=baseline, **common,
            )  # fmt: skip
        else:
            raise FormatError(
                f"expected one of {list_some(get_args(Method))}, found {method!r}", where="method"
            )
    signed = not normalize and method != "gradient"
    maps = check_finite((raw.sum(1) if signed else raw.abs().amax(1)).numpy())
    return min_max_maps(maps) if normalize else maps


def mean_map(
    maps: ArrayLike,
    y_true: Any,
    p: Any,
    threshold: float = 0.5,
    which: Which = "true_positives",
) -> np.ndarray:
    """Average the maps of those whom the model got right.

    Whether this is a map of the training people or of people that the network hadn't seen is
    decided by whose maps are given; the published figure shows both, of the best fold.

    Parameters
    ----------
    maps : array-like of shape (n, depth, height, width)
        One map per person, such as `saliency_map` makes them.
    y_true : array-like or pandas.Series of shape (n,)
        Outcome, 0 or 1, in the order of the maps.
    p : array-like or pandas.Series of shape (n,)
        Predicted probability of 1. Where both are Series, `p` is brought into the order of
        `y_true` by its index.
    threshold : float, default 0.5
        Probabilities from here on are called 1.
    which : str, default "true_positives"
        Or "true_negatives", "false_positives", "false_negatives", "everybody".

    Returns
    -------
    numpy.ndarray of float32, shape (depth, height, width)

    Raises
    ------
    AlignmentError
        When maps, outcome and predictions are not of the same people.
    FormatError
        When nobody is left to average, or a value is missing.

    Examples
    --------
    >>> import numpy as np
    >>> import precisionpain as pp
    >>> maps = np.arange(4.0).reshape(4, 1, 1, 1)
    >>> print(pp.mtbi.mean_map(maps, [1, 1, 0, 1], [0.9, 0.2, 0.8, 0.7]).item())
    1.5
    """
    values = as_maps(maps)
    if isinstance(y_true, pd.Series) and isinstance(p, pd.Series):
        different = sorted(map(str, set(y_true.index).symmetric_difference(p.index)))
        if different or p.index.has_duplicates or y_true.index.has_duplicates:
            raise AlignmentError(
                "outcome and predictions are not of the same people"
                + (f": {list_some(different)}" if different else ", or name somebody twice"),
            )
        p = p.reindex(y_true.index)
    truth, risk = np.asarray(y_true, dtype=float), np.asarray(p, dtype=float)
    if truth.shape != (len(values),) or risk.shape != truth.shape:
        raise AlignmentError(
            f"expected one outcome and one probability for each of {len(values)} maps, found "
            f"{truth.shape} and {risk.shape}"
        )
    if not np.isin(truth, (0, 1)).all() or not ((risk >= 0) & (risk <= 1)).all():
        raise FormatError("expected outcomes of 0 or 1, and probabilities between 0 and 1")
    chosen = groups_of(truth, risk, threshold, which)
    if not chosen.any():
        raise FormatError(
            f"none of {len(values)} people are {which.replace('_', ' ')} at a threshold of "
            f"{threshold:g}, so there is no mean map",
            where="which",
            remedy="choose another threshold or group; a model that finds nobody has no map of "
            "what it found",
        )
    return values[chosen].mean(axis=0, dtype=np.float64).astype(np.float32)


def groups_of(truth: np.ndarray, risk: np.ndarray, threshold: float, which: str) -> np.ndarray:
    """Tell who belongs to a group of the confusion matrix."""
    called, ill = risk >= threshold, truth == 1
    groups = {
        "true_positives": called & ill,
        "true_negatives": ~called & ~ill,
        "false_positives": called & ~ill,
        "false_negatives": ~called & ill,
        "everybody": np.ones(len(truth), dtype=bool),
    }
    if which not in groups:
        raise FormatError(f"expected one of {list_some(groups)}, found {which!r}", where="which")
    return groups[which]
