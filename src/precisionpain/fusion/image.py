"""A block of scans: a small 3-D network on the boxes round both trigeminal nerves."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import DataWarning, FormatError, MissingModalityError
from ._classes import LogOddsClassifier
from ._deep.ensemble import (
    calibrate,
    check_counts,
    check_shares,
    cross_fit,
    one_thread,
    seed_of,
)
from ._targets import check_cohort, two_classes

__all__ = ["ImageEncoder"]

Crops = tuple[NDArray[np.float32], NDArray[np.bool_]]


class ImageEncoder(LogOddsClassifier, TransformerMixin, BaseEstimator):
    """A small 3-D network that reads the nerve region of a scan, trained with the outcome.

    Round each trigeminal nerve a box is cut out; a right nerve is mirrored, and the painful
    one comes first, so that the network sees two channels: the painful nerve and the other.
    Both together have mean 0 and SD 1. The middle of a nerve is that of its label where there
    are label images; otherwise a packaged network, which learned on simulated heads, finds the
    cistern. Networks of several inner folds are averaged and calibrated on people left out.

    It is a whole classifier, for `late_fusion`, which knows by `available` who lacks the scan;
    and a transformer that gives one column, the log odds, for `FeatureBlock` and the other
    fusions. Who has no scan, or no painful side (controls, pain on both sides), lacks it.

    Opt-in: a network from the start wants hundreds of scans at least. Without them,
    `precisionpain.trigeminal.NerveMeasures` says more.

    Parameters
    ----------
    image : str, default "T2w"
        Contrast of the scans in ``cohort.images``.
    labels : str or None, default "dseg"
        Contrast of their label images; None finds the cistern in the scan.
    visit, run, entities : optional
        Which scan, where people have several, as in `NerveFeatures`.
    allow : sequence of str, default ()
        Visits allowed by name although they lie after the landmark.
    box_mm : tuple of three floats, default (20, 24, 20)
        Size of a box along left-right, back-front and down-up.
    spacing_mm : float, default 1.0
        Of its voxels.
    max_spacing_mm : float, default 1.2
        Coarser scans are refused, and count as missing.
    width : int, default 8
        Channels of the first of three levels.
    dropout : float, default 0.3
        Before the last layer.
    shift : int, default 2
        Voxels by which a box is moved at random in training.
    n_epochs : int, default 20
        Passes through the people.
    batch_size : int, default 8
        People in a step, about.
    learning_rate, weight_decay : float, default 2e-3 and 0.1
        Of AdamW.
    n_members : int, default 3
        Networks, one for each inner fold.
    min_people : int, default 10
        Fewer training people with a scan are refused.
    device : str, default "auto"
        As torch names it; "auto" is a CUDA GPU where there is one.
    random_state : int, default 0
        Seed of folds, weights and batches. On a CPU the same seed gives the same digits.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.
    n_available_ : int
        Training people who have the scan.
    members_ : list of torch.nn.Module
    temperature_ : float
        Log odds were divided by it.
    prevalence_ : float
        Of the second class in training; the probability of who lacks the scan.
    intercept_ : float
        Log odds of a person of whom the networks say neither more nor less than the prevalence.

    Examples
    --------
    >>> import precisionpain as pp
    >>> images = pp.fusion.ImageEncoder(labels=None, n_epochs=10)
    >>> pp.fusion.late_fusion({"clinic": "clinical", "scan": images}).blocks["scan"]
    ImageEncoder(labels=None, n_epochs=10)
    """

    classes_: np.ndarray
    n_available_: int
    members_: list[Any]
    prevalence_: float
    temperature_: float
    intercept_: float

    def __init__(
        self,
        image: str = "T2w",
        *,
        labels: str | None = "dseg",
        visit: str | None = None,
        run: int | None = None,
        entities: Mapping[str, Any] | None = None,
        allow: Sequence[str] = (),
        box_mm: tuple[float, float, float] = (20.0, 24.0, 20.0),
        spacing_mm: float = 1.0,
        max_spacing_mm: float = 1.2,
        width: int = 8,
        dropout: float = 0.3,
        shift: int = 2,
        n_epochs: int = 20,
        batch_size: int = 8,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.1,
        n_members: int = 3,
        min_people: int = 10,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.image = image
        self.labels = labels
        self.visit = visit
        self.run = run
        self.entities = entities
        self.allow = allow
        self.box_mm = box_mm
        self.spacing_mm = spacing_mm
        self.max_spacing_mm = max_spacing_mm
        self.width = width
        self.dropout = dropout
        self.shift = shift
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.n_members = n_members
        self.min_people = min_people
        self.device = device
        self.random_state = random_state

    def fit(self, X: Cohort, y: Any) -> Self:
        """Train the networks on those who have the scan.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,)
            Two classes, in their order.

        Returns
        -------
        ImageEncoder

        Raises
        ------
        FormatError
            When `X` is no cohort, there are not two classes among those with a scan, or a
            setting makes no sense.
        AlignmentError
            When `y` isn't one outcome for each person, or several scans of a person match.
        MissingModalityError
            When fewer than `min_people` have the scan.
        TrainingError
            When the loss or its gradient isn't finite.
        """
        self._learn(X, y)
        return self

    def fit_transform(self, X: Cohort, y: Any = None, **options: Any) -> pd.DataFrame:
        """Train the networks, and say of everybody what the network says that hadn't seen them.

        Parameters
        ----------
        X : Cohort
            Training people, n of them.
        y : array-like of shape (n,)
            As in `fit`.
        **options
            Ignored.

        Returns
        -------
        pandas.DataFrame of shape (n, 1)
            As `transform` gives it; whatever learns from it doesn't take what the networks
            know by heart for evidence.
        """
        z, has = self._learn(X, y)
        return self._column(X, z, has)

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Compute the log odds of the second class.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, 1)
            Index as ``X.index``; missing for people who lack the scan.
        """
        return self._column(X, *self._evidence(X))

    def decision_function(self, X: Cohort) -> np.ndarray:
        """Compute the log odds of the second class.

        Parameters
        ----------
        X : Cohort
            People, n of them. Who lacks the scan gets the log odds of the `prevalence_`.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        check_is_fitted(self, "members_")
        usual = float(special.logit(self.prevalence_))
        return self.transform(X)["log_odds"].fillna(usual).to_numpy()

    def available(self, X: Cohort) -> np.ndarray:
        """Tell who has the scan and a painful side; nothing has to be fitted.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        numpy.ndarray of bool, shape (n,)

        Raises
        ------
        MissingModalityError
            When the training cohort has no image of the contrast.
        """
        check_cohort(X)
        return (self._given(X) if hasattr(self, "members_") else self._crops(X))[1]

    def features(self, X: Cohort) -> pd.DataFrame:
        """Compute what the last layer of each network sees.

        They were learned with the outcome: of training people they say more than of others.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_members * 4 * width)
            Index as ``X.index``; missing for people who lack the scan.
        """
        from ._deep.image_network import activations

        crops, has = self._given(X)
        names = [f"net{m}:{k}" for m in range(len(self.members_)) for k in range(4 * self.width)]
        found = np.full((len(X), len(names)), np.nan)
        with one_thread():
            if has.any():
                parts = [activations(net, crops, self.shift) for net in self.members_]
                found[has] = np.hstack(parts)
        return pd.DataFrame(found, X.index, names)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the name of the column.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self, "members_")
        return np.array(["log_odds"], dtype=object)

    # -- parts -------------------------------------------------------------------------------

    def _learn(self, X: Cohort, y: Any) -> tuple[np.ndarray, NDArray[np.bool_]]:
        """Return the evidence of those with a scan, out of fold, and who they are."""
        from .._learning.device import pick_device
        from ._deep.image_network import fit_nerves, logits

        check_cohort(X)
        self._check()
        if y is None:
            raise FormatError("the network is trained with the outcome", remedy="give y to fit")
        classes, codes = two_classes(y, X)
        crops, has = self._crops(X)
        n = int(has.sum())
        if n < self.min_people:
            raise MissingModalityError(
                f"{n} of {len(X)} training people have a scan {self.image!r} and a painful side, "
                f"expected {self.min_people}",
                remedy="leave the block out, or use fewer folds",
            )
        if hasattr(self, "members_"):
            del self.members_
        people, target = X[np.flatnonzero(has)], codes[has]
        device = str(pick_device(self.device))
        bases: list[float] = []

        def train(rows: np.ndarray, number: int) -> Any:
            bases.append(float(special.logit(target[rows].mean())))
            return fit_nerves(
                crops[rows], target[rows], bases[-1], margin=self.shift, width=self.width,
                dropout=self.dropout, n_epochs=self.n_epochs, batch_size=self.batch_size,
                learning_rate=self.learning_rate, weight_decay=self.weight_decay,
                seed=seed_of(self.random_state, number), device=device,
            )  # fmt: skip

        def judge(network: Any, rows: np.ndarray) -> np.ndarray:
            return logits(network, crops[rows], self.shift) - bases[-1]

        with one_thread():
            networks, z = cross_fit(people, target, self.n_members, self.random_state, train, judge)
        self.intercept_, self.temperature_ = calibrate(z, target)
        self.classes_, self.prevalence_, self.n_available_ = classes, float(codes.mean()), n
        self._bases, self.members_ = bases, networks
        return z, has

    def _evidence(self, X: Cohort) -> tuple[np.ndarray, NDArray[np.bool_]]:
        """Return log odds less those of the prevalence of those with a scan."""
        from ._deep.image_network import logits

        crops, has = self._given(X)
        z = np.zeros(len(crops))
        with one_thread():
            for network, base in zip(self.members_, self._bases, strict=True):
                z += (logits(network, crops, self.shift) - base) / len(self.members_)
        return z, has

    def _column(self, X: Cohort, z: np.ndarray, has: NDArray[np.bool_]) -> pd.DataFrame:
        column = np.full(len(X), np.nan)
        column[has] = self.intercept_ + z / self.temperature_
        return pd.DataFrame({"log_odds": column}, X.index)

    def _given(self, X: Cohort) -> Crops:
        """Return the boxes of new people; of none where their cohort has no such image."""
        check_is_fitted(self, "members_")
        check_cohort(X)
        known = set(X.images["contrast"])
        absent = [c for c in (self.image, self.labels) if c is not None and c not in known]
        if not absent:
            return self._crops(X)
        warnings.warn(
            f"the cohort has no image {absent[0]!r}: everybody lacks that block",
            DataWarning,
            stacklevel=4,
        )
        return np.zeros((0, 2, *self._settings().shape), np.float32), np.zeros(len(X), bool)

    def _crops(self, X: Cohort) -> Crops:
        from ._deep.crops import nerve_crops

        return nerve_crops(
            X, self._settings(), image=self.image, labels=self.labels, visit=self.visit,
            run=self.run, entities=self.entities or {}, allow=self.allow,
        )  # fmt: skip

    def _settings(self) -> Any:
        from ._deep.crops import CropSettings

        x, y, z = (float(s) for s in self.box_mm)
        return CropSettings((x, y, z), self.spacing_mm, self.shift, self.max_spacing_mm)

    def _check(self) -> None:
        check_counts(self, width=1, shift=0, n_epochs=1, batch_size=1, n_members=2, min_people=4)
        check_shares(self, "dropout")
        if not self.spacing_mm > 0 or min(self.box_mm) < 8 * self.spacing_mm:
            raise FormatError(
                f"expected boxes of 8 voxels at least along each axis, found {self.box_mm} mm "
                f"in voxels of {self.spacing_mm} mm",
                where="box_mm",
            )
