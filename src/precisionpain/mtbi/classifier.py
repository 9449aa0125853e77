"""The classifier of scans: a cohort with T1 images in, a probability for each person out."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import DataWarning, FormatError, GeometryError
from .medicalnet import LoadReport, load_medicalnet
from .scaling import ZScore
from .volumes import Plane

if TYPE_CHECKING:
    import pandas as pd

    from .._learning.memory import SubjectMemory
    from .networks import ResNet3D

__all__ = ["ChronicPainClassifier"]

Array = NDArray[Any]
_KIND, _VERSION = "ChronicPainClassifier", 1


class ChronicPainClassifier(ClassifierMixin, BaseEstimator):
    """A 3-D residual network that tells two outcomes apart by the middle slices of a T1 scan.

    The defaults are those of the published study where it states them: AdamW, two learning
    rates, binary cross-entropy, batches of six, a constant rate. What it doesn't state is
    chosen here: 30 epochs without stopping, and a scaling that the test people have no say in.

    Each image is scaled to 0 to 1 by itself; then, by default, the mean and the standard
    deviation of the training people's slabs are brought to 0 and 1.

    Parameters
    ----------
    plane : {"axial", "coronal", "sagittal"}, default "axial"
        Of the slab; see `slab` and, for what it doesn't show, `slab_coverage`.
    depth, variant, stem, shortcut_grad, norm, width
        Of the network, as `resnet3d` takes them.
    n_slices : int, default 30
        Of the slab.
    contrast : str, default "T1w"
        Of the images in ``cohort.images``, which are on the grid of SPM12.
    visit, run, entities : optional
        Which image, where people have several: a visit, a run, and further columns of
        ``cohort.images`` with their values, such as ``{"space": "MNI152"}``.
    weights : str or Path, optional
        What to begin with: a file of MedicalNet, or a folder that `save` wrote, with the same
        network. None begins at random.
    freeze : bool, default False
        Leave the trunk as it is and train the head alone, on features that are computed once
        and, for the same people and the same scaling, remembered from fit to fit.
    scaling : {"train", "dataset", "image"}, default "train"
        Whose mean and standard deviation: of the training people, of everybody in `dataset`
        (as published; it leaks, and says so), or none beyond the scaling of each image.
    dataset : Cohort, optional
        All people, for ``scaling="dataset"``.
    n_epochs : int, default 30
        Passes through the training people; the most of them with early stopping.
    batch_size : int, default 6
        People in a step. The last batch of an epoch is what is left, except that one person
        alone joins the batch before.
    learning_rate, head_learning_rate : float, default 1e-4 and 1e-3
        Of the trunk and of the last layer.
    weight_decay : float, default 0.01
        Of AdamW.
    pos_weight : float, optional
        Of the positives in the loss.
    threshold : float, default 0.5
        Probability from which on `predict` says the second class.
    augmentation : {None, "paper", "anatomical"}, default None
        "paper": horizontal flips, which swap left and right in axial and coronal slabs, and
        noise. "anatomical": small turns, stretches and shifts, contrast, brightness and noise;
        no side is swapped unless `swap_sides`.
    swap_sides : bool, default False
        Of "anatomical": mirror left and right at random. The disease then has no side.
    early_stopping : float, optional
        Share of the training people to hold out, stratified; training stops after `patience`
        epochs without a smaller loss in them, and the best weights count.
    patience : int, default 5
        Epochs.
    precise_bn : bool, default False
        Recompute the statistics of batch normalisation on the training people at the end (of
        a frozen trunk: before its features).
    device : str, default "auto"
        As torch names it; "auto" is a CUDA GPU where there is one.
    amp : {"auto", True, False}, default "auto"
        Train in bfloat16 where it is faster and sound; predictions are in 32 bits always.
    memory : {"auto", "cpu", "device"}, default "auto"
        Where the training slabs are kept.
    checkpoint : path, optional
        Folder. Each training has a folder of its own in it, named by data and settings, so
        that the folds of a cross-validation don't meet; a killed one goes on when called again.
    log : path, optional
        Folder for the learning curves, one CSV file for each training, named in the same way.
    random_state : int, default 0
        Seed of weights, batches, augmentation and held-out people.
    progress : bool, default True
        Show a bar on a terminal.

    Attributes
    ----------
    network_ : ResNet3D
        Trained, with one logit.
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.
    history_ : pandas.DataFrame
        One row per epoch: ``epoch``, ``step``, ``loss`` (of the last batch), ``mean_loss``
        (of about 50 steps), and ``val_loss``, ``val_auc``, ``val_accuracy`` of those who were
        held out or given as `validation`.
    validation_p_ : pandas.DataFrame
        Probability of each person given as `validation` (columns) after each epoch (rows).
    held_out_ : pandas.Index
        Whom early stopping watched.
    scaler_ : ZScore or None
    slab_affine_ : numpy.ndarray, shape (4, 4)
        From (depth, height, width) of the inputs to mm of MNI space.
    memory_ : SubjectMemory
        Whom it has seen; see `saw`.
    load_report_ : LoadReport or None
        What came from a file of MedicalNet.
    n_parameters_ : int
        Of the network.

    References
    ----------
    .. [1] Attias M, et al. Deep learning modeling of structural brain MRI in chronic head and
       neck pain following mild TBI. Pain 2025. doi:10.1097/j.pain.0000000000003587.

    Examples
    --------
    Four made-up scans on a coarse grid, and a network that learns from them for two epochs:

    >>> import pathlib, tempfile
    >>> import nibabel, numpy as np, pandas as pd
    >>> import precisionpain as pp
    >>> affine = np.diag([-8.0, 8.0, 8.0, 1.0])
    >>> affine[:3, 3] = 78, -112, -70
    >>> rng = np.random.default_rng(0)
    >>> paths = {name: pathlib.Path(tempfile.mkdtemp()) / "T1w.nii" for name in "abcd"}
    >>> for path in paths.values():
    ...     data = rng.normal(size=(21, 25, 20)).astype("float32")
    ...     nibabel.Nifti1Image(data, affine).to_filename(path)
    >>> images = pd.DataFrame({"subject_id": list(paths), "visit": "baseline",
    ...                        "contrast": "T1w", "path": list(paths.values())})
    >>> cohort = pp.Cohort(pd.DataFrame(index=list(paths)), images=images)
    >>> model = pp.mtbi.ChronicPainClassifier(
    ...     depth=10, stem="medicalnet", width=4, n_slices=12, n_epochs=2, progress=False)
    >>> model.fit(cohort, pd.Series({"a": 0, "b": 1, "c": 0, "d": 1})).predict_proba(cohort).shape
    (4, 2)
    """

    network_: ResNet3D
    classes_: Array
    history_: pd.DataFrame
    validation_p_: pd.DataFrame
    held_out_: pd.Index
    scaler_: ZScore | None
    slab_affine_: Array
    memory_: SubjectMemory
    load_report_: LoadReport | None
    n_parameters_: int

    # People to watch are no metadata to be routed.
    __metadata_request__fit: ClassVar[dict[str, str]] = {"validation": UNUSED}

    def __init__(
        self,
        plane: Plane = "axial",
        depth: int = 18,
        *,
        variant: Literal["dilated", "strided"] = "dilated",
        stem: Literal["paper", "medicalnet"] = "paper",
        shortcut_grad: Literal["cut", "full"] = "cut",
        norm: Literal["batch", "group"] = "batch",
        width: int = 64,
        n_slices: int = 30,
        contrast: str = "T1w",
        visit: str | None = None,
        run: int | None = None,
        entities: Mapping[str, Any] | None = None,
        weights: str | Path | None = None,
        freeze: bool = False,
        scaling: Literal["train", "dataset", "image"] = "train",
        dataset: Cohort | None = None,
        n_epochs: int = 30,
        batch_size: int = 6,
        learning_rate: float = 1e-4,
        head_learning_rate: float = 1e-3,
        weight_decay: float = 0.01,
        pos_weight: float | None = None,
        threshold: float = 0.5,
        augmentation: Literal["paper", "anatomical"] | None = None,
        swap_sides: bool = False,
        early_stopping: float | None = None,
        patience: int = 5,
        precise_bn: bool = False,
        device: str = "auto",
        amp: bool | Literal["auto"] = "auto",
        memory: Literal["auto", "cpu", "device"] = "auto",
        checkpoint: str | Path | None = None,
        log: str | Path | None = None,
        random_state: int = 0,
        progress: bool = True,
    ) -> None:
        self.plane = plane
        self.depth = depth
        self.variant = variant
        self.stem = stem
        self.shortcut_grad = shortcut_grad
        self.norm = norm
        self.width = width
        self.n_slices = n_slices
        self.contrast = contrast
        self.visit = visit
        self.run = run
        self.entities = entities
        self.weights = weights
        self.freeze = freeze
        self.scaling = scaling
        self.dataset = dataset
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.head_learning_rate = head_learning_rate
        self.weight_decay = weight_decay
        self.pos_weight = pos_weight
        self.threshold = threshold
        self.augmentation = augmentation
        self.swap_sides = swap_sides
        self.early_stopping = early_stopping
        self.patience = patience
        self.precise_bn = precise_bn
        self.device = device
        self.amp = amp
        self.memory = memory
        self.checkpoint = checkpoint
        self.log = log
        self.random_state = random_state
        self.progress = progress

    def __sklearn_clone__(self) -> Self:
        # A cohort never changes, so a copy of it would only take memory.
        parameters = self.get_params(deep=False)
        dataset = parameters.pop("dataset")
        copies = {name: clone(value, safe=False) for name, value in parameters.items()}
        return type(self)(**copies, dataset=dataset)

    # -- training ----------------------------------------------------------------------------

    def fit(self, X: Cohort, y: Any, *, validation: tuple[Cohort, Any] | None = None) -> Self:
        """Learn from people with scans and known outcomes.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.
        y : pandas.Series or array-like
            Two classes; a Series goes by its index of subject ids, all else by order.
        validation : tuple of Cohort and labels, optional
            Other people, to watch after each epoch (`history_`, `validation_p_`). They have
            no influence on what is learned.

        Returns
        -------
        ChronicPainClassifier

        Raises
        ------
        FormatError, AlignmentError
            When settings, labels or scans make no sense, or there is one class only.
        MissingModalityError
            When people lack the scan.
        GeometryError
            When scans aren't on SPM's grid, or on different ones.
        TrainingError
            When the loss isn't finite or memory runs out; it says what to lower.

        Warns
        -----
        DataWarning
            With ``scaling="dataset"``: test people have a say in the scaling.
        """
        from .._learning.device import pick_device
        from .._learning.memory import SubjectMemory
        from ._classifier.fitting import Fitting
        from ._classifier.labels import as_codes, as_labels, hold_out
        from ._classifier.settings import check_settings, train_in_half

        check_settings(self.get_params(deep=False))
        device = pick_device(self.device)
        amp = train_in_half(
            self.amp, device, self.n_slices, variant=self.variant, stem=self.stem
        )  # fmt: skip
        network, memory, report = self._start()
        slabs, affine = self._slabs(X)
        classes, codes = as_codes(as_labels(X, y))
        members, held = hold_out(codes, self.early_stopping, self.random_state)
        if hasattr(self, "network_"):
            del self.network_  # what fails from here on leaves nothing that looks fitted
        self.classes_, self.slab_affine_, self.load_report_ = classes, affine, report
        self._shape = slabs.shape[1:]
        self.held_out_ = X.index[held]
        self.scaler_ = self._fitted_scaler(slabs[members])
        self.memory_ = memory | SubjectMemory.of([str(one) for one in X.index])
        watched = self._watched(validation)
        fitting = Fitting(self.get_params(deep=False), network, device, amp)
        inputs = self._scaled(slabs)
        history = fitting.run(inputs, codes, members, held, watched)
        frame = history.frame()
        frame.insert(0, "epoch", (frame["step"] / fitting.steps_per_epoch).astype(int))
        personal = [name for name in frame if str(name).startswith("val_p_")]
        if validation is not None:
            self.validation_p_ = frame.set_index("epoch")[personal]
            self.validation_p_.columns = validation[0].index
        self.history_ = frame.drop(columns=personal)
        self.network_ = network
        self.n_parameters_ = sum(p.numel() for p in network.parameters())
        return self

    def _start(self) -> tuple[ResNet3D, SubjectMemory, LoadReport | None]:
        """Return the network to begin with, whom it has seen, and what was loaded."""
        from .._learning.memory import SubjectMemory
        from .networks import resnet3d

        network = resnet3d(
            self.depth, self.variant, stem=self.stem, shortcut_grad=self.shortcut_grad,
            norm=self.norm, width=self.width, random_state=self.random_state,
        )  # fmt: skip
        if self.weights is None:
            return network, SubjectMemory(), None
        if not isinstance(self.weights, str | Path):
            raise FormatError(
                f"expected a file or a folder, found {type(self.weights).__name__}", where="weights"
            )
        if not Path(self.weights).is_dir():
            return network, SubjectMemory(), load_medicalnet(network, self.weights)
        start = type(self).load(self.weights, device="cpu")
        differing = [
            f"{name} {start.network_.settings[name]!r} there, {value!r} here"
            for name, value in network.settings.items()
            if name != "shortcut_grad" and start.network_.settings[name] != value
        ]
        if differing:
            raise FormatError(
                f"the weights are of another network: {'; '.join(differing)}",
                where="weights",
                remedy="use the settings of that classifier, see ChronicPainClassifier.load",
            )
        network.load_state_dict(start.network_.state_dict())
        return network, start.memory_, start.load_report_

    def _fitted_scaler(self, slabs: Array) -> ZScore | None:
        if self.scaling == "image":
            return None
        if self.scaling == "dataset":
            assert self.dataset is not None
            warnings.warn(
                DataWarning(
                    "scaling='dataset': mean and standard deviation come from all "
                    f"{len(self.dataset)} people, those to be tested included. This is the "
                    "published way, and it leaks"
                ),
                stacklevel=3,
            )
            slabs = self._slabs(self.dataset)[0]
        return ZScore().fit(slabs)

    def _watched(self, validation: Any) -> tuple[Array, Array] | None:
        """Return inputs and codes of the people to watch."""
        from ._classifier.labels import as_codes, as_labels

        if validation is None:
            return None
        if self.early_stopping is not None:
            raise FormatError(
                "early stopping watches people of its own",
                where="validation",
                remedy="give one of validation and early_stopping",
            )
        people, labels = validation
        codes = as_codes(as_labels(people, labels), self.classes_)[1]
        return self._inputs(people), codes

    # -- inputs ------------------------------------------------------------------------------

    def _slabs(self, X: Cohort) -> tuple[Array, Array]:
        from ._classifier.inputs import read_slabs

        return read_slabs(
            X, plane=self.plane, n_slices=self.n_slices, contrast=self.contrast,
            visit=self.visit, run=self.run, entities=self.entities,
        )  # fmt: skip

    def _scaled(self, slabs: Array) -> Array:
        return (slabs if self.scaler_ is None else self.scaler_.transform(slabs))[:, None]

    def _inputs(self, X: Cohort) -> Array:
        slabs, affine = self._slabs(X)
        if slabs.shape[1:] != tuple(self._shape) or not np.allclose(affine, self.slab_affine_):
            raise GeometryError(
                f"expected slabs of {tuple(self._shape)} voxels, as in training, found "
                f"{slabs.shape[1:]}, or at another place",
                remedy="bring all scans to one grid first, with normalize_t1",
            )
        return self._scaled(slabs)

    def inputs(self, X: Cohort) -> NDArray[np.float32]:
        """Return the slabs exactly as the network sees them.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.

        Returns
        -------
        numpy.ndarray of float32, shape (n, 1, depth, height, width)
            In the order of ``X.index``; `slab_affine_` says where each voxel is.

        Raises
        ------
        FormatError, AlignmentError, MissingModalityError, GeometryError
            As `fit`.
        """
        check_is_fitted(self, "network_")
        return self._inputs(X)

    # -- prediction --------------------------------------------------------------------------

    def decision_function(self, X: Cohort) -> NDArray[np.float64]:
        """Compute the logit of the second class.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.

        Returns
        -------
        numpy.ndarray of float64, shape (n,)
        """
        from ._classifier.training import logits

        inputs = self.inputs(X)  # says when nothing is fitted yet
        return logits(self.network_, inputs, self.batch_size)

    def predict_proba(self, X: Cohort) -> NDArray[np.float64]:
        """Compute the probability of each class.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.

        Returns
        -------
        numpy.ndarray of float64, shape (n, 2)
            Columns as `classes_`.
        """
        p = 1 / (1 + np.exp(-self.decision_function(X)))
        return np.stack([1 - p, p], axis=1)

    def predict(self, X: Cohort) -> Array:
        """Tell the class: the second one from `threshold` on.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        positive = self.predict_proba(X)[:, 1] >= self.threshold
        return self.classes_[positive.astype(int)]

    def features(self, X: Cohort) -> NDArray[np.float32]:
        """Compute what the head sees.

        Parameters
        ----------
        X : Cohort
            People, each with one scan.

        Returns
        -------
        numpy.ndarray of float32, shape (n, n_features)
        """
        from ._classifier.training import features

        inputs = self.inputs(X)
        return features(self.network_, inputs, self.batch_size)

    # -- memory and files --------------------------------------------------------------------

    def saw(self, subject_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Tell whose scans the network learned from.

        Before `fit` this is about `weights`, where they are of this class: so
        `cross_validate` refuses to test them on people whom they know.

        Parameters
        ----------
        subject_ids : sequence of str
            People.

        Returns
        -------
        numpy.ndarray of bool
        """
        if hasattr(self, "network_"):
            return self.memory_.saw(subject_ids)
        if self.weights is None or not Path(self.weights).is_dir():
            raise NotFittedError("this classifier has learned from nobody yet; call fit first")
        return type(self).load(self.weights, device="cpu").memory_.saw(subject_ids)

    def save(self, folder: str | Path) -> None:
        """Write the fitted classifier: ``weights.safetensors`` and ``model.json``.

        Parameters
        ----------
        folder : str or Path
            Is made when absent; a classifier in it is replaced when the new one is complete.

        Raises
        ------
        StorageError
            When it can't be written.
        """
        import dataclasses

        from .._learning.weights import save_weights

        check_is_fitted(self, "network_")
        parameters = {n: v for n, v in self.get_params(deep=False).items() if n not in _UNSAVED}
        report = self.load_report_
        description = {
            "parameters": json.loads(json.dumps(parameters, default=_plain)),
            "network": self.network_.settings,
            "classes": self.classes_.tolist(),
            "scaler": None
            if self.scaler_ is None
            else {"mean": self.scaler_.mean_, "scale": self.scaler_.scale_,
                  "n_volumes": self.scaler_.n_volumes_},
            "shape": list(self._shape),
            "slab_affine": self.slab_affine_.tolist(),
            "load_report": None
            if report is None
            else dataclasses.asdict(report) | {"path": Path(report.path).name},
            "memory": self.memory_.to_json(),
        }  # fmt: skip
        save_weights(
            folder, self.network_.state_dict(), description, kind=_KIND, version=_VERSION
        )  # fmt: skip

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> Self:
        """Read a classifier that `save` wrote; no code is run from its files.

        Parameters
        ----------
        folder : str or Path
            Where it is.
        device : str, default "auto"
            Where to compute.

        Returns
        -------
        ChronicPainClassifier
            Fitted.

        Raises
        ------
        FormatError
            When there is no model, it is of another kind or version, or was changed.
        """
        from .._learning.device import pick_device
        from .._learning.memory import SubjectMemory
        from .._learning.weights import load_into, load_weights
        from ._classifier.training import settle
        from .networks import ResNet3D

        tensors, about = load_weights(folder, kind=_KIND, version=_VERSION)
        try:
            loaded = cls(**about["parameters"], device=device)
            loaded.classes_ = np.array(about["classes"])
            loaded.slab_affine_ = np.array(about["slab_affine"], dtype=float)
            loaded._shape = tuple(about["shape"])
            loaded.scaler_ = _scaler_from(about["scaler"], loaded._shape)
            loaded.memory_ = SubjectMemory.from_json(about["memory"])
            loaded.load_report_ = _report_from(about["load_report"])
            network = ResNet3D(**about["network"])
        except (LookupError, TypeError, ValueError) as error:
            raise FormatError(
                f"the description of the model is not complete ({error})",
                where=str(folder),
                remedy="copy or download the whole folder again",
            ) from error
        load_into(network, tensors)
        settle(network, pick_device(device))
        loaded.network_ = network.eval()
        loaded.n_parameters_ = sum(p.numel() for p in network.parameters())
        return loaded


# Where a machine keeps its files, and people, are no part of a saved model.
_UNSAVED = ("device", "checkpoint", "log", "weights", "dataset", "progress")


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def _scaler_from(about: Mapping[str, Any] | None, shape: tuple[int, ...]) -> ZScore | None:
    if about is None:
        return None
    scaler = ZScore()
    scaler.mean_, scaler.scale_ = float(about["mean"]), float(about["scale"])
    scaler.n_volumes_, scaler.shape_ = int(about["n_volumes"]), shape
    return scaler


def _report_from(about: Mapping[str, Any] | None) -> LoadReport | None:
    if about is None:
        return None
    plain: dict[str, Any] = {
        n: tuple(value) if isinstance(value, list) else value for n, value in about.items()
    }
    return LoadReport(**plain)
