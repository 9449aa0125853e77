"""Label the structures of a scan with a network that is trained on labelled scans."""

from __future__ import annotations

import dataclasses
import hashlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import DataWarning, FormatError, list_some
from ._segmentation.settings import as_patch, as_spacing, as_structures, check_settings
from .anatomy import Label

if TYPE_CHECKING:
    import nibabel as nib
    import pandas as pd

    from .._learning.memory import SubjectMemory
    from ._segmentation.scans import Scan

__all__ = ["Segmentation", "TrigeminalSegmenter"]

Array = NDArray[Any]
_VERSION = 1


@dataclasses.dataclass(frozen=True, eq=False)
class Segmentation:
    """What a segmenter found in a scan.

    Parameters
    ----------
    labels : nibabel.Nifti1Image of uint8
        On the grid of the scan.
    probabilities : nibabel.Nifti1Image of float32
        Four-dimensional: of background and of each label in turn, summing to 1. Where the
        network was trained on partial volumes they estimate the share of each voxel.
    spread : nibabel.Nifti1Image of float32
        Largest standard deviation of a probability between the mirrored passes.
    flags : tuple of str
        What a reader should know before trusting it; empty when nothing is amiss.
    checks : pandas.DataFrame
        What was checked: ``value``, ``low`` and ``high`` of the scans that the network knows,
        ``ok``. Empty for a segmenter without such ranges.
    """

    labels: nib.Nifti1Image
    probabilities: nib.Nifti1Image
    spread: nib.Nifti1Image
    flags: tuple[str, ...]
    checks: pd.DataFrame

    def __repr__(self) -> str:
        values, counts = np.unique(np.asanyarray(self.labels.dataobj), return_counts=True)
        voxel = float(np.prod(self.labels.header.get_zooms()[:3]))
        parts = [f"{v}: {n * voxel:.0f} mm³" for v, n in zip(values, counts, strict=True) if v != 0]
        lines = [f"Segmentation ({', '.join(parts) or 'nothing found'})"]
        return "\n".join([*lines, *(f"  flag: {flag}" for flag in self.flags)])


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
    network : {"unet", "dynunet", "basic_unet", "segresnet"}, default "unet"
        Architecture.
    width : int, default 24
        Channels at the finest scale.
    patch : int or tuple of three ints, default 64
        Voxels of a patch; multiples of 16.
    loss : {"dice_ce", "cross_entropy", "dice", "dice_ce_cldice", "dice_ce_boundary"}
        What is minimised; all of them take soft targets.
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

    # An image is what is predicted for, not metadata to be routed.
    __metadata_request__predict: ClassVar[dict[str, str]] = {"image": UNUSED}
    __metadata_request__predict_proba: ClassVar[dict[str, str]] = {"image": UNUSED}

    def __init__(
        self,
        labels: Mapping[str, int | tuple[int, int]] | None = None,
        *,
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

        from .._learning.device import pick_device
        from .._learning.loop import Recipe, train
        from .._learning.memory import SubjectMemory
        from ._segmentation.inference import fast_half, sound_half
        from ._segmentation.losses import build_loss
        from ._segmentation.networks import coarsest_size
        from ._segmentation.sampling import PatchSampler

        check_settings(self.get_params(deep=False))
        structures = self._structures()
        patch = as_patch(self.patch)
        coarsest = coarsest_size(self.network, patch)
        loss = build_loss(self.loss)
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
        members, held = _split(scans.subject_ids, self.validation, self.random_state)
        if hasattr(self, "network_"):
            del self.network_  # what fails from here on leaves nothing that looks fitted
        self.structures_, self.localiser_ = structures, localiser
        self.memory_ = memory | SubjectMemory.of(people)
        self.temperature_, self.ranges_ = 1.0, {}
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
        return {name: getattr(self, name) for name in chosen} | {"labels": self._structures()}

    def _training_scans(self, X: Any, y: Any, structures: Mapping[str, tuple[int, ...]]) -> Any:
        """Return the scans to learn from, and the people that a model must remember."""
        from ._segmentation.scans import LabelledScans
        from ._segmentation.simulation import SimulatedCisterns

        if callable(getattr(X, "draw", None)):
            if isinstance(X, SimulatedCisterns):
                self._check_simulated(X, structures)
            return X, []
        if isinstance(X, Cohort):
            pairs, keys = self._of_cohort(X)
        else:
            pairs = list(X)
            if y is not None:
                if len(pairs) != len(y):
                    raise FormatError(
                        f"expected a label image for each of the {len(pairs)} images, found "
                        f"{len(y)}",
                        where="y",
                    )
                pairs = list(zip(pairs, y, strict=True))
            keys = [f"scan {i}" for i in range(len(pairs))]
        if not pairs:
            raise FormatError("expected labelled scans to learn from, found none")
        for i, pair in enumerate(pairs):
            if not isinstance(pair, tuple | list) or len(pair) != 2:
                raise FormatError(
                    "expected pairs of image and label image", where=f"scan {i}",
                    remedy="pass a Cohort, pairs, or images as X and label images as y",
                )  # fmt: skip
        scans = LabelledScans(
            pairs, labels=structures, spacing_mm=self._spacing(), n_channels=len(self.channels),
            max_spacing_mm=self.max_spacing_mm, keys=keys,
        )  # fmt: skip
        return scans, keys if isinstance(X, Cohort) else []

    def _check_simulated(self, X: Any, structures: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse simulated scans that the network would misread in silence."""
        spacing = self._spacing()
        if spacing is not None and not np.allclose(spacing, X.spacing_mm):
            raise FormatError(
                f"the simulated scans have voxels of {X.spacing_mm:g} mm, the network works at "
                f"{self.spacing_mm} mm",
                where="spacing_mm",
                remedy="give both the same voxel size",
            )
        if len(X.contrasts) != len(self.channels):
            raise FormatError(
                f"the simulated scans have {len(X.contrasts)} channels, the network takes "
                f"{len(self.channels)}",
                where="channels",
                remedy="name a channel for each of the simulated contrasts",
            )
        unknown = sorted({v for own in structures.values() for v in own} - set(map(int, Label)))
        if unknown:
            raise FormatError(
                f"the simulated scans have no label {list_some(unknown)}", where="labels",
                remedy=f"labels are {list_some(map(int, Label), 12)}, see Label",
            )  # fmt: skip

    def _of_cohort(self, X: Cohort) -> tuple[list[tuple[Any, Any]], list[str]]:
        from ._nerve_scans import find_scans

        scans = find_scans(
            X, labels=self.label_image, probabilities=None, image=self.channels[0],
            visit=self.visit, run=self.run, entities=self.entities or {}, channels=self.channels,
        )  # fmt: skip
        if len(scans.unmeasurable):
            people = list_some(scans.unmeasurable["subject_id"].unique(), 3)
            warnings.warn(
                DataWarning(
                    f"{len(scans.unmeasurable)} scans lack an image or a label image and aren't "
                    f"learned from (people: {people}); "
                    f"{scans.unmeasurable['message'].iloc[0]}"
                ),
                stacklevel=4,
            )
        pairs, keys = [], []
        for scan in scans.table.index:
            subject = scans.cohort.subject(scan)
            images = [subject.image(f"channel_{k}") for k in range(len(self.channels))]
            pairs.append((images, subject.image("labels")))
            keys.append(str(scans.table.loc[scan, "subject_id"]))
        return pairs, keys

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
        """Return the Dice of each structure in the scans that are watched, and their mean."""
        import torch

        from ._segmentation.inference import logits_of

        names = list(self.structures_)
        both = np.zeros(len(names))
        each = np.zeros(len(names))
        for image, target in watched:
            tensor = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
            logits = logits_of(
                network, tensor, patch=as_patch(self.patch), overlap=self.overlap, amp=self._amp
            )
            found, truth = logits.argmax(0).cpu().numpy(), target.argmax(axis=0)
            for k in range(len(names)):
                own, true = found == k + 1, truth == k + 1
                both[k] += (own & true).sum()
                each[k] += own.sum() + true.sum()
        dice = 2 * both / np.maximum(each, 1)
        return {"dice": float(dice.mean())} | {
            f"dice_{name}": float(value) for name, value in zip(names, dice, strict=True)
        }

    def _calibrate(self, scans: Any, held: Sequence[int]) -> None:
        """Fit the temperature, and learn what is usual, on scans that were held out."""
        import torch

        from ._segmentation.checks import describe, known_ranges
        from ._segmentation.inference import fit_temperature, infer, logits_of

        def draw(i: int) -> tuple[Array, Array]:
            rng = np.random.default_rng([self.random_state, i])
            found: tuple[Array, Array] = scans.draw(i, rng, classes=self._classes())
            return found

        logits, targets, rows = [], [], []
        for i in held:
            image, target = draw(i)
            tensor = torch.from_numpy(np.ascontiguousarray(image)).to(self._device)
            found = logits_of(
                self.network_, tensor, patch=as_patch(self.patch), overlap=self.overlap,
                amp=self._amp,
            ).cpu()  # fmt: skip
            # Voxels that are background beyond doubt tell nothing of the temperature.
            unsure = (found.softmax(0)[0] < 0.999).flatten() | torch.from_numpy(
                target[0] < 0.999
            ).flatten()
            logits.append(found.flatten(1)[:, unsure])
            targets.append(torch.from_numpy(target).flatten(1)[:, unsure])
        self.temperature_ = fit_temperature(logits, targets)
        for i in held:  # as `segment` will see them
            image, _ = draw(i)
            probabilities, spread = infer(
                self.network_, image, patch=as_patch(self.patch), overlap=self.overlap,
                flips=self._passes(), temperature=self.temperature_, device=self._device,
                amp=self._amp,
            )  # fmt: skip
            rows.append(
                describe(image[0], probabilities, spread, scans.grids[i], list(self.structures_))
            )
        self.ranges_ = known_ranges(rows)

    def _passes(self) -> list[tuple[int, ...]]:
        """Return the test-time flips: as it is, and mirrored along each axis of `flips`."""
        return [(), *((axis,) for axis in self.flips)]

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
        from ._segmentation.scans import read_scan

        scan = read_scan(image, len(self.channels), self.max_spacing_mm, names=list(self.channels))
        probabilities, spread, checks, flags = self._infer(scan)
        labels, shares = self._by_value(probabilities, scan)
        flags += self._missing(labels)

        def back(data: Array) -> nib.Nifti1Image:
            return _in_order_of(data, scan)

        return Segmentation(back(labels), back(shares), back(spread), tuple(flags), checks)

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

    def _infer(self, scan: Scan) -> tuple[Array, Array, pd.DataFrame, list[str]]:
        """Return probabilities by class and their spread on the grid of the scan."""
        from ._segmentation.checks import describe, judge
        from ._segmentation.grids import normalise, resample, working_grid
        from ._segmentation.inference import infer

        part, (start, shape), flags = self._located(scan)
        grid = working_grid(part.grid, self._spacing())
        image = np.stack([
            normalise(resample(channel, part.grid, grid, order=3)) for channel in part.channels
        ])  # fmt: skip
        fine, fine_spread = infer(
            self.network_, image, patch=as_patch(self.patch), overlap=self.overlap,
            flips=self._passes(), temperature=self.temperature_, device=self._device, amp=self._amp,
        )  # fmt: skip
        names = list(self.structures_)
        checks, found = judge(describe(image[0], fine, fine_spread, grid, names), self.ranges_)
        whole = np.zeros((len(fine), *scan.grid.shape), dtype=np.float32)
        whole[0] = 1
        spread = np.zeros(scan.grid.shape, dtype=np.float32)
        box = tuple(slice(a, a + n) for a, n in zip(start, shape, strict=True))
        inner = np.stack([resample(one, grid, part.grid) for one in fine])
        whole[:, *box] = inner / np.maximum(inner.sum(axis=0), 1e-6)
        spread[box] = resample(fine_spread, grid, part.grid)
        return whole, spread, checks, [*flags, *found]

    def _located(
        self, scan: Scan
    ) -> tuple[Scan, tuple[tuple[int, ...], tuple[int, ...]], list[str]]:
        """Return the part of a scan that holds the structures, and where that begins."""
        from ._segmentation.localise import crop_box, find_cistern
        from ._segmentation.scans import Scan

        extent = scan.grid.spacing * scan.grid.shape
        if self.localiser_ is None or (extent <= np.array(_BOX_MM) + _SLACK_MM).all():
            return scan, ((0, 0, 0), scan.grid.shape), []
        centre, confidence = find_cistern(self.localiser_, scan.channels[0], scan.grid)
        start, shape = crop_box(scan.grid, centre, _BOX_MM)
        box = tuple(slice(int(a), int(a) + n) for a, n in zip(start, shape, strict=True))
        part = Scan([c[box] for c in scan.channels], scan.grid.cut(start, shape), scan.original)
        flags = []
        if confidence < 0.5:
            flags = [
                f"the cistern of the trigeminal nerves isn't where it is expected (confidence "
                f"{confidence:.2f}): it may lie outside the field of view, or the scan may be of "
                "another kind"
            ]
        x, y, z = (int(a) for a in start)
        return part, ((x, y, z), shape), flags

    def _by_value(
        self, probabilities: Array, scan: Scan
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """Tell the sides apart; return labels, and probabilities by label (last axis)."""
        from ._segmentation.sides import keep_largest, left_of_midline

        values = sorted(value for own in self.structures_.values() for value in own)
        place = {value: k for k, value in enumerate(values, start=1)}
        shares = np.zeros((*scan.grid.shape, len(values) + 1), dtype=np.float32)
        pairs = [own for own in self.structures_.values() if len(own) == 2]
        left: Array = np.zeros(scan.grid.shape, dtype=bool)
        if pairs:
            left = left_of_midline(probabilities[1], scan.grid)
        for k, own in enumerate(self.structures_.values(), start=1):
            if len(own) == 1:
                shares[..., place[own[0]]] = probabilities[k]
            else:
                shares[..., place[own[0]]] = np.where(left, probabilities[k], 0)
                shares[..., place[own[1]]] = np.where(left, 0, probabilities[k])
        shares[..., 0] = 1 - shares[..., 1:].sum(axis=-1)
        lookup = np.array([0, *values], dtype=np.uint8)
        # Of equals the structure wins over the background, as in the simulated labels.
        best = lookup[(shares.shape[-1] - 1 - shares[..., ::-1].argmax(axis=-1))]
        for value in (value for own in pairs for value in own):
            stray = keep_largest(best, value)
            best[stray] = 0
            shares[stray, 0] += shares[stray, place[value]]
            shares[stray, place[value]] = 0
        return best, np.clip(shares, 0, 1)

    def _missing(self, labels: Array) -> list[str]:
        there = set(np.unique(labels).tolist())
        flags = []
        for name, own in self.structures_.items():
            words = [name] if len(own) == 1 else [f"left {name}", f"right {name}"]
            if name in ("artery", "vein"):
                continue  # not everybody has one near
            flags += [
                f"no {word} was found: it may lie outside the field of view, or the scan may be "
                "of another kind than the network knows"
                for word, value in zip(words, own, strict=True)
                if value not in there
            ]
        return flags

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
            "parameters": {name: _plain(getattr(self, name)) for name in _SAVED},
            "structures": {name: list(own) for name, own in self.structures_.items()},
            "temperature": self.temperature_,
            "ranges": {name: list(ends) for name, ends in self.ranges_.items()},
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
        from .._learning.device import pick_device
        from .._learning.memory import SubjectMemory
        from .._learning.weights import load_into, load_weights
        from ._segmentation.inference import fast_half

        tensors, about = load_weights(folder, kind=_KIND, version=_VERSION)
        try:
            parameters = {**about["parameters"], "device": device}
            structures = as_structures(about["structures"])
            for name in ("spacing_mm", "patch", "channels", "flips"):
                if isinstance(parameters[name], list):
                    parameters[name] = tuple(parameters[name])
            loaded = cls(
                {name: own if len(own) == 2 else own[0] for name, own in structures.items()},
                **parameters,
            )
            loaded.structures_ = structures
            loaded.temperature_ = float(about["temperature"])
            loaded.ranges_ = {name: (low, high) for name, (low, high) in about["ranges"].items()}
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
# The box that holds both nerves, along the axes of the scan; a scan not much larger is taken whole.
_BOX_MM = (72.0, 58.0, 50.0)
_SLACK_MM = 12.0
# Held-out scans whose Dice is watched during training.
_WATCHED = 6
# What a saved segmenter needs to work and to be fine-tuned.
_SAVED = (
    "channels", "label_image", "spacing_mm", "max_spacing_mm", "network", "width", "patch", "loss",
    "n_steps", "batch_size", "per_scan", "learning_rate", "weight_decay", "flips", "augment",
    "validation", "overlap", "amp", "random_state",
)  # fmt: skip


def _split(keys: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Return the scans to learn from, and those held out; people stay together."""
    people = list(dict.fromkeys(keys))
    n = round(share * len(people)) if share > 0 else 0
    n = min(max(n, 1 if share > 0 and len(people) > 1 else 0), len(people) - 1)
    order = np.random.default_rng([seed, 77]).permutation(len(people))
    held = {people[i] for i in order[:n]}
    return (
        [i for i, key in enumerate(keys) if key not in held],
        [i for i, key in enumerate(keys) if key in held],
    )


def _in_order_of(data: Array, scan: Scan) -> nib.Nifti1Image:
    """Bring an array in canonical axis order back into that of the scan as it was given."""
    import nibabel as nib
    from nibabel.orientations import apply_orientation, io_orientation, ornt_transform

    original = scan.original
    # The inverse of what made it canonical, also where two axes are equally close at 45°.
    canonical = [(axis, 1) for axis in range(3)]
    turned = apply_orientation(data, ornt_transform(canonical, io_orientation(original.affine)))
    image = nib.Nifti1Image(np.ascontiguousarray(turned), original.affine)
    image.header.set_xyzt_units("mm")
    return image


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
