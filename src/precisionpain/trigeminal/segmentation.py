"""Label the structures of a scan with a network that is trained on labelled scans."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ..errors import DataWarning, FormatError
from ._segmentation.result import Segmentation
from ._segmentation.settings import (
    as_patch,
    as_spacing,
    as_structures,
    as_units,
    check_settings,
)
from ._segmenters import as_estimate
from .anatomy import Label

if TYPE_CHECKING:
    import nibabel as nib

    from .._learning.memory import SubjectMemory
    from ._segmentation.borders import Border, Classes

__all__ = ["Segmentation", "TrigeminalSegmenter"]

Array = NDArray[Any]
_VERSION = 2  # 2: borders hold errors along a stretch


class TrigeminalSegmenter(BaseEstimator):
    """A U-Net that finds brainstem, trigeminal nerves and vessels, and labels scans with them.

    `load_default` gives one that is trained on simulated scans; `fit` trains one on labelled
    scans of your own, from the start or from there. With other `labels` it learns any other
    small structure.

    Scans are resampled to one voxel size, normalised one by one, and learned in patches.
    A pair of labels, left and right, is one structure to the network: which side it is on is
    told by where it lies, so that no mirrored copy can teach it a wrong side.

    Parameters
    ----------
    labels : mapping of str to int or pair of int, optional
        Structures and their values in the label image; a pair is (left, right). The first
        structure is what the midline goes through, when there are pairs. None stands for
        brainstem, nerve (a pair), artery and vein with the values of `Label`.
    as_one : sequence of sequences of str, optional
        Structures that also count as one: when it is open which of them a voxel is, training and
        labels still say that it is one of them. None stands for artery and vein, which look alike
        in such scans, where `labels` is None, else for none.
    channels : sequence of str, default ("T2w",)
        Contrasts of a Cohort that the network takes, in this order; all on the grid of the
        first.
    label_image : str, default "dseg"
        Contrast of the label images of a Cohort.
    visit, run, entities : optional
        Which scans of a Cohort, as in `NerveFeatures`.
    spacing_mm : float, tuple of three floats or None, default 0.5
        Voxel size that the network works at; None takes the scans as they are.
    max_spacing_mm : float, default 1.2
        Coarser scans are refused.
    network : {"unet", "dynunet", "deep_dynunet", "basic_unet", "segresnet"}, default "unet"
        Architecture.
    width : int, default 24
        Channels at the finest scale.
    patch : int or tuple of three ints, default 64
        Voxels of a patch; multiples of 16.
    loss : {"dice_ce", "dice_ce_thin", "dice_ce_cldice", "dice_ce_boundary", "dice", \
            "cross_entropy"}
        What is minimised; all of them take soft targets. "thin" weighs voxels in and round
        structures by how thin these are.
    n_steps : int, default 2000
        Batches to learn from.
    batch_size : int, default 4
        Patches in a batch.
    per_scan : int, default 8
        Patches cut from a scan before the next; 1 for scans not larger than a patch.
    learning_rate : float, default 4e-3
        The highest; it rises and falls (cosine) during training.
    weight_decay : float, default 0.01
        Of AdamW.
    flips : sequence of int, default (0,)
        Axes of mirroring, in training and at test time; (0,) is left-right.
    augment : bool, default True
        Turn, stretch, bend and re-colour patches.
    validation : float, default 0.1
        Share of the people (not scans) that are held out to watch the training and to
        calibrate the probabilities; 0 for none.
    patience : int, optional
        Stop after so many validations without a better Dice, and keep the best.
    validate_every : int, default 250
        Steps.
    overlap : float, default 0.25
        Of neighbouring windows at prediction.
    init : str, Path or fitted segmenter, optional
        Where to start from: a saved or fitted segmenter with the same structures; "default"
        is the packaged one of a class that has it. None starts at random.
    device : str, default "auto"
        "auto", "cpu", "cuda", "cuda:1", "mps".
    amp : {"auto", True, False}, default "auto"
        Mixed precision (bfloat16), where it is faster.
    checkpoint, log : path, optional
        Folder of checkpoints, from which a killed training goes on; CSV file or TensorBoard
        folder of the losses.
    random_state : int, default 0
        Seed of weights, patches and split.
    progress : bool, default True
        Show a bar on a terminal.

    Attributes
    ----------
    network_ : torch.nn.Module
        Trained.
    history_ : pandas.DataFrame
        Loss by step, Dice of the held-out scans.
    temperature_ : float
        Divides the logits, so that probabilities of held-out scans are calibrated.
    borders_ : dict
        Structures, counted from 1 and in tuples, whose border voxels are settled between the
        network's probability and the share that the intensity tells, and the standard
        deviations of either on held-out scans.
    n_parameters_ : int
        Of the network.

    Examples
    --------
    >>> import numpy as np, nibabel
    >>> rng = np.random.default_rng(0)
    >>> truth = np.zeros((16, 16, 16), dtype=np.uint8)
    >>> truth[5:11, 5:11, 5:11] = 1
    >>> def scan(array):
    ...     return nibabel.Nifti1Image(array, np.eye(4))
    >>> pairs = [
    ...     (scan((truth + rng.normal(0, 0.1, truth.shape)).astype(np.float32)), scan(truth))
    ...     for _ in range(2)]
    >>> segmenter = TrigeminalSegmenter(
    ...     {"cube": 1}, spacing_mm=None, network="unet", width=4, patch=16, n_steps=2, per_scan=1,
    ...     validation=0, progress=False)
    >>> labels = segmenter.fit(pairs).predict(pairs[0][0])
    >>> labels.shape
    (16, 16, 16)
    """

    network_: Any
    localiser_: Any
    memory_: SubjectMemory
    ranges_: dict[str, tuple[float, float]]
    borders_: dict[Classes, Border]

    # An image is what is predicted for, not metadata to be routed.
    __metadata_request__predict: ClassVar[dict[str, str]] = {"image": UNUSED}
    __metadata_request__predict_proba: ClassVar[dict[str, str]] = {"image": UNUSED}

    def __init__(
        self,
        labels: Mapping[str, int | tuple[int, int]] | None = None,
        *,
        as_one: Sequence[Sequence[str]] | None = None,
        channels: Sequence[str] = ("T2w",),
        label_image: str = "dseg",
        visit: str | Sequence[str] | None = None,
        run: int | None = None,
        entities: Mapping[str, Any] | None = None,
        spacing_mm: float | tuple[float, float, float] | None = 0.5,
        max_spacing_mm: float = 1.2,
        network: str = "unet",
        width: int = 24,
        patch: int | tuple[int, int, int] = 64,
        loss: str = "dice_ce",
        n_steps: int = 2000,
        batch_size: int = 4,
        per_scan: int = 8,
        learning_rate: float = 4e-3,
        weight_decay: float = 0.01,
        flips: Sequence[int] = (0,),
        augment: bool = True,
        validation: float = 0.1,
        patience: int | None = None,
        validate_every: int = 250,
        overlap: float = 0.25,
        init: Any = None,
        device: str = "auto",
        amp: bool | str = "auto",
        checkpoint: str | Path | None = None,
        log: str | Path | None = None,
        random_state: int = 0,
        progress: bool = True,
    ) -> None:
        self.labels = labels
        self.as_one = as_one
        self.channels = channels
        self.label_image = label_image
        self.visit = visit
        self.run = run
        self.entities = entities
        self.spacing_mm = spacing_mm
        self.max_spacing_mm = max_spacing_mm
        self.network = network
        self.width = width
        self.patch = patch
        self.loss = loss
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.per_scan = per_scan
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.flips = flips
        self.augment = augment
        self.validation = validation
        self.patience = patience
        self.validate_every = validate_every
        self.overlap = overlap
        self.init = init
        self.device = device
        self.amp = amp
        self.checkpoint = checkpoint
        self.log = log
        self.random_state = random_state
        self.progress = progress

    def __sklearn_clone__(self) -> Self:
        # The start is an input: a copy of it without its weights would be none.
        settings = self.get_params(deep=False)
        return type(self)(**{
            name: value if name == "init" else clone(value, safe=False)
            for name, value in settings.items()
        })  # fmt: skip

    # -- training ----------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn from labelled scans.

        Parameters
        ----------
        X : Cohort, sequence or SimulatedCisterns
            People with images and label images; or pairs of image and label image (paths or
            nibabel images; an image may be a list of channels); or images, with `y`.
        y : sequence, optional
            Label images, where `X` holds images only.

        Returns
        -------
        TrigeminalSegmenter

        Raises
        ------
        FormatError, GeometryError, MissingModalityError
            When settings or scans are not what they should be; it says which scan.
        TrainingError
            When the loss isn't finite, memory runs out, or a checkpoint is of another
            training.
        """
        import torch

        from .._learning.device import fast_half, pick_device, sound_half
        from .._learning.loop import Recipe, train
        from .._learning.memory import SubjectMemory
        from ._segmentation.losses import build_loss
        from ._segmentation.networks import coarsest_size
        from ._segmentation.sampling import PatchSampler
        from ._segmentation.training_scans import split_people

        check_settings(self.get_params(deep=False))
        structures = self._structures()
        patch = as_patch(self.patch)
        coarsest = coarsest_size(self.network, patch)
        units = as_units(structures, self._as_one())
        loss = build_loss(self.loss, [unit for unit in units if len(unit) > 1])
        device = pick_device(self.device)
        amp = fast_half(device) if self.amp == "auto" else bool(self.amp)
        trained_in_half = amp and sound_half(device, coarsest)
        if self.amp is True and not trained_in_half:
            raise FormatError(
                f"patches of {' × '.join(map(str, patch))} voxels are too small for mixed "
                "precision on a CPU",
                where="amp",
                remedy="use larger patches along the first axis, or amp=False",
            )
        start = self._start()
        with torch.random.fork_rng(devices=[]):  # the caller's generator stays as it was
            torch.default_generator.manual_seed(self.random_state)
            network = self._built(len(structures) + 1)
        memory, localiser, begun = SubjectMemory(), None, "at random"
        if start is not None:
            network.load_state_dict(start.network_.state_dict())
            memory, localiser, begun = start.memory_, start.localiser_, _digest(network)
        scans, people = self._training_scans(X, y, structures)
        members, held = split_people(scans.subject_ids, self.validation, self.random_state)
        if hasattr(self, "network_"):
            del self.network_  # what fails from here on leaves nothing that looks fitted
        self.structures_, self.localiser_ = structures, localiser
        self.memory_ = memory | SubjectMemory.of(people)
        self.temperature_, self.ranges_, self.borders_ = 1.0, {}, {}
        self._device, self._amp = device, amp
        classes = self._classes()
        watched = [
            scans.draw(i, np.random.default_rng([self.random_state, i]), classes=classes)
            for i in held[:_WATCHED]
        ]

        def loss_of(net: Any, batch: Any) -> Any:
            value, parts = loss(net(batch[0]), batch[1])
            return value, {name: float(part) for name, part in parts.items()}

        sampler = PatchSampler(
            scans, members, classes=classes, patch=patch, batch_size=self.batch_size,
            per_scan=self.per_scan, flips=self.flips, augment=self.augment,
            random_state=self.random_state,
        )  # fmt: skip
        if start is None:
            network.begin_at(sampler(0)[1])
        history = train(
            network,
            sampler,
            loss_of,
            Recipe(
                learning_rate=self.learning_rate, n_steps=self.n_steps, warmup=0.05,
                weight_decay=self.weight_decay, schedule="cosine", ema=0.99,
                amp=trained_in_half, channels_last=True,
            ),
            seed=self.random_state,
            device=device,
            validate=(lambda net: self._dice(net, watched)) if watched else None,
            validate_every=self.validate_every,
            patience=self.patience if watched else None,
            monitor="dice",
            mode="max",
            checkpoint=self.checkpoint,
            fingerprint=f"{self._settings()}, held out {held}, start {begun}, scans "
            f"{scans.fingerprint}",
            log=self.log,
            prefetch=1,
            progress=self.progress,
        )  # fmt: skip
        self.network_ = network
        self.history_ = history.frame()
        self.n_parameters_ = sum(p.numel() for p in network.parameters())
        if held:
            self._calibrate(scans, held)
        return self

    def _structures(self) -> dict[str, tuple[int, ...]]:
        """Return the structures, each with its one or two values."""
        return as_structures(_TRIGEMINAL if self.labels is None else self.labels)

    def _as_one(self) -> Sequence[Sequence[str]]:
        """Return the names of structures that count as one."""
        if self.as_one is not None:
            return self.as_one
        return _ALIKE if self.labels is None else ()

    def _units(self) -> list[Classes]:
        """Return the classes that count as one, and each of the others alone."""
        return as_units(self.structures_, self._as_one())

    def _classes(self) -> list[tuple[int, ...]]:
        return [(0,), *self.structures_.values()]

    def _built(self, n_classes: int) -> Any:
        from ._segmentation.networks import build_network

        return build_network(self.network, len(self.channels), n_classes, self.width)

    def _spacing(self) -> tuple[float, float, float] | None:
        return as_spacing(self.spacing_mm)

    def _settings(self) -> dict[str, Any]:
        """Return what the weights depend on."""
        chosen = ("network", "width", "patch", "loss", "batch_size", "per_scan", "flips", "augment",
                  "spacing_mm", "overlap", "random_state")  # fmt: skip
        return {name: getattr(self, name) for name in chosen} | {
            "labels": self._structures(), "as_one": self._as_one()
        }  # fmt: skip

    def _training_scans(
        self, X: Any, y: Any, structures: Mapping[str, tuple[int, ...]]
    ) -> tuple[Any, list[str]]:
        from ._segmentation.training_scans import training_scans

        return training_scans(
            X, y, structures, channels=self.channels, spacing_mm=self._spacing(),
            max_spacing_mm=self.max_spacing_mm, label_image=self.label_image, visit=self.visit,
            run=self.run, entities=self.entities,
        )  # fmt: skip

    def _start(self) -> TrigeminalSegmenter | None:
        """Return the fitted segmenter to start from."""
        if self.init is None:
            return None
        start = self.init
        if isinstance(start, str) and start == "default":
            start = type(self).load_default()
        elif isinstance(start, str | Path):
            start = type(self).load(start)
        if not isinstance(start, TrigeminalSegmenter):
            raise FormatError(
                f"expected a segmenter, the folder of one, 'default' or None, found "
                f"{type(start).__name__}",
                where="init",
            )
        check_is_fitted(start, "network_")
        mine = (self.network, self.width, len(self.channels), list(self._structures()))
        its = (start.network, start.width, len(start.channels), list(start.structures_))
        if mine != its:
            raise FormatError(
                f"expected a start with network, width, channels and structures {mine}, "
                f"found {its}",
                where="init",
                remedy="take the settings of the start: start.get_params()",
            )
        return start

    def _dice(self, network: Any, watched: Sequence[tuple[Array, Array]]) -> dict[str, float]:
        from ._segmentation.validation import dice_of

        return dice_of(
            network, watched, list(self.structures_), self._units(), self._device, **self._windows()
        )

    def _calibrate(self, scans: Any, held: Sequence[int]) -> None:
        """Fit the temperature, and learn what is usual, on scans that were held out."""
        from ._segmentation.validation import borders_of, ranges_of, temperature_of

        def drawn(scans: Any = scans) -> Iterator[tuple[Array, Array]]:
            for i in held:
                rng = np.random.default_rng([self.random_state, i])
                yield scans.draw(i, rng, classes=self._classes())

        self.temperature_ = temperature_of(self.network_, drawn(), self._device, **self._windows())
        names = list(self.structures_)
        how = self._passes()
        # What a blurred scan says of borders isn't what one that is worth measuring does.
        usual = drawn(getattr(scans, "usual", scans))
        self.borders_ = borders_of(self.network_, usual, self._units(), **how)
        grids = [scans.grids[i] for i in held]
        self.ranges_ = ranges_of(self.network_, drawn(), grids, names, **how)

    def _windows(self) -> dict[str, Any]:
        """Return how a scan is cut into windows."""
        return {"patch": as_patch(self.patch), "overlap": self.overlap, "amp": self._amp}

    def _passes(self) -> dict[str, Any]:
        """Return how a scan is run through the network: as it is, and mirrored along `flips`."""
        return {
            **self._windows(),
            "flips": [(), *((axis,) for axis in self.flips)],
            "temperature": self.temperature_,
            "device": self._device,
        }

    # -- prediction --------------------------------------------------------------------------

    def segment(self, image: Any) -> Segmentation:
        """Label a scan, and say how sure that is.

        Parameters
        ----------
        image : path, nibabel image, or a list of them
            The scan, 3-D; one image for each channel.

        Returns
        -------
        Segmentation
            On the grid of the scan. Flags say what a reader should know.

        Raises
        ------
        FormatError, GeometryError
            When it isn't a volume that can be segmented: 4-D, constant, not finite, too
            coarse, on a grid without right angles.
        MissingModalityError
            When the file isn't there.
        """
        check_is_fitted(self, "network_")
        from ._segmentation.labelling import by_value, missing, network_on_scan
        from ._segmentation.result import in_order_of
        from ._segmentation.scans import read_scan

        scan = read_scan(image, len(self.channels), self.max_spacing_mm, names=list(self.channels))
        found = network_on_scan(
            self.network_, scan, localiser=self.localiser_, spacing_mm=self._spacing(),
            structures=self.structures_, units=self._units(), ranges=self.ranges_,
            borders=self.borders_, **self._passes(),
        )  # fmt: skip
        labels, shares = by_value(found.probabilities, scan.grid, self.structures_, self._units())
        flags = [*found.flags, *missing(labels, self.structures_)]
        # What measures them asks their header.
        probabilities = as_estimate(in_order_of(shares, scan))
        return Segmentation(
            in_order_of(labels, scan), probabilities, in_order_of(found.spread, scan),
            tuple(flags), found.checks,
        )  # fmt: skip

    def predict(self, image: Any) -> nib.Nifti1Image:
        """Label a scan.

        Parameters
        ----------
        image : path, nibabel image, or a list of them
            The scan, 3-D; one image for each channel.

        Returns
        -------
        nibabel.Nifti1Image of uint8
            On the grid of the scan.

        Raises
        ------
        FormatError, GeometryError
            As `segment`.

        Warns
        -----
        DataWarning
            For each flag.
        """
        found = self.segment(image)
        _warn(found.flags)
        return found.labels

    def predict_proba(self, image: Any) -> nib.Nifti1Image:
        """Return the probability of background and each label.

        Parameters
        ----------
        image : path, nibabel image, or a list of them
            The scan, 3-D; one image for each channel.

        Returns
        -------
        nibabel.Nifti1Image of float32
            Four-dimensional; the last axis holds background and the labels in order of their
            values, summing to 1.

        Raises
        ------
        FormatError, GeometryError
            As `segment`.

        Warns
        -----
        DataWarning
            For each flag.
        """
        found = self.segment(image)
        _warn(found.flags)
        return found.probabilities

    # -- memory and files --------------------------------------------------------------------

    def saw(self, subject_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Tell whose scans the network learned from.

        Parameters
        ----------
        subject_ids : sequence of str
            People.

        Returns
        -------
        numpy.ndarray of bool
        """
        check_is_fitted(self, "network_")
        return self.memory_.saw(subject_ids)

    def save(self, folder: str | Path, *, half: bool = False) -> None:
        """Write the fitted segmenter: ``weights.safetensors`` and ``model.json``.

        Parameters
        ----------
        folder : str or Path
            Is made when absent; a segmenter in it is replaced when the new one is complete.
        half : bool, default False
            Store weights in 16 bits.

        Raises
        ------
        StorageError
            When it can't be written.
        """
        from .._learning.weights import save_weights

        check_is_fitted(self, "network_")
        tensors = {f"network.{k}": v.cpu() for k, v in self.network_.state_dict().items()}
        if self.localiser_ is not None:
            tensors |= {f"localiser.{k}": v.cpu() for k, v in self.localiser_.state_dict().items()}
        description = {
            "parameters": {name: _plain(getattr(self, name)) for name in _SAVED}
            | {"as_one": [list(group) for group in self._as_one()]},
            "structures": {name: list(own) for name, own in self.structures_.items()},
            "temperature": self.temperature_,
            "ranges": {name: list(ends) for name, ends in self.ranges_.items()},
            "borders": {
                "+".join(map(str, unit)): list(border) for unit, border in self.borders_.items()
            },
            "memory": self.memory_.to_json(),
        }
        save_weights(folder, tensors, description, kind=_KIND, version=_VERSION, half=half)

    @classmethod
    def load(cls, folder: str | Path, *, device: str = "auto") -> Self:
        """Read a segmenter that `save` wrote; no code is run from its files.

        Parameters
        ----------
        folder : str or Path
            Where it is.
        device : str, default "auto"
            Where to compute.

        Returns
        -------
        TrigeminalSegmenter
            Fitted.

        Raises
        ------
        FormatError
            When there is no model, it is of another kind or version, or was changed.
        """
        from .._learning.device import fast_half, pick_device
        from .._learning.memory import SubjectMemory
        from .._learning.weights import load_into, load_weights
        from ._segmentation.borders import Border

        tensors, about = load_weights(folder, kind=_KIND, version=_VERSION)
        try:
            parameters = {**about["parameters"], "device": device}
            structures = as_structures(about["structures"])
            for name in ("spacing_mm", "patch", "channels", "flips"):
                if isinstance(parameters[name], list):
                    parameters[name] = tuple(parameters[name])
            parameters["as_one"] = tuple(map(tuple, parameters.get("as_one", ())))
            loaded = cls(
                {name: own if len(own) == 2 else own[0] for name, own in structures.items()},
                **parameters,
            )
            loaded.structures_ = structures
            loaded.temperature_ = float(about["temperature"])
            loaded.ranges_ = {name: (low, high) for name, (low, high) in about["ranges"].items()}
            loaded.borders_ = {
                tuple(map(int, unit.split("+"))): Border(float(network), float(intensity))
                for unit, (network, intensity) in about["borders"].items()
            }
            if not set(loaded.borders_) <= set(loaded._units()):
                raise ValueError("borders of structures that it doesn't have")
            loaded.memory_ = SubjectMemory.from_json(about["memory"])
            check_settings(loaded.get_params(deep=False))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, FormatError):
                raise
            raise FormatError(
                f"the description of the model is not complete ({error})",
                where=str(folder),
                remedy="copy or download the whole folder again",
            ) from error
        loaded.network_ = loaded._built(len(structures) + 1)
        load_into(loaded.network_, _part(tensors, "network."))
        loaded.localiser_ = None
        if any(name.startswith("localiser.") for name in tensors):
            from ._segmentation.localise import Localiser

            loaded.localiser_ = Localiser()
            load_into(loaded.localiser_, _part(tensors, "localiser."))
            loaded.localiser_.eval()
        loaded._device = pick_device(device)
        loaded._amp = fast_half(loaded._device) if loaded.amp == "auto" else bool(loaded.amp)
        loaded.network_.to(loaded._device).eval()
        loaded.n_parameters_ = sum(p.numel() for p in loaded.network_.parameters())
        return loaded

    @classmethod
    def load_default(cls, *, device: str = "auto") -> Self:
        """Return the segmenter that comes with the package, trained on simulated scans.

        Parameters
        ----------
        device : str, default "auto"
            Where to compute.

        Returns
        -------
        TrigeminalSegmenter
            Fitted.
        """
        return cls.load(Path(__file__).parent / "_segmentation" / "default", device=device)


_KIND = "TrigeminalSegmenter"
_TRIGEMINAL: dict[str, int | tuple[int, int]] = {
    "brainstem": int(Label.BRAINSTEM),
    "nerve": (int(Label.NERVE_LEFT), int(Label.NERVE_RIGHT)),
    "artery": int(Label.ARTERY),
    "vein": int(Label.VEIN),
}
_ALIKE = (("artery", "vein"),)
# Held-out scans whose Dice is watched during training.
_WATCHED = 6
# What a saved segmenter needs to work and to be fine-tuned.
_SAVED = (
    "channels", "label_image", "spacing_mm", "max_spacing_mm", "network", "width", "patch", "loss",
    "n_steps", "batch_size", "per_scan", "learning_rate", "weight_decay", "flips", "augment",
    "validation", "overlap", "amp", "random_state",
)  # fmt: skip


def _warn(flags: Sequence[str]) -> None:
    for flag in flags:
        warnings.warn(DataWarning(flag), stacklevel=3)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _digest(network: Any) -> str:
    """Return a hash of the weights of a network."""
    digest = hashlib.sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()


def _part(tensors: Mapping[str, Any], start: str) -> dict[str, Any]:
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
