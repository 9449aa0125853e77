"""Lay samples out on plates, so that a plate is not a group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..errors import AlignmentError, FormatError, list_some

__all__ = ["randomize_plates"]

#: Rows and columns by the number of wells.
SHAPES = {48: (8, 6), 96: (8, 12), 384: (16, 24)}
# Sample controls, negative controls, and plate (inter-plate) controls.
_CONTROLS = {"CONTROL": 2, "NEGATIVE_CONTROL": 3, "PLATE_CONTROL": 3}
_TEN = {"CONTROL": 3, "NEGATIVE_CONTROL": 2, "PLATE_CONTROL": 5}
#: Wells of a plate, and those that controls take, by product.
PRODUCTS: dict[str, tuple[int, dict[str, int]]] = {
    "Target 48": (48, _CONTROLS),
    "Target 96": (96, _CONTROLS),
    "Flex": (96, _CONTROLS),
    "Explore 384": (96, _CONTROLS),
    "Explore 3072": (96, _CONTROLS),
    "Explore HT": (96, _TEN),
    "Reveal": (96, _TEN),
}


def randomize_plates(
    samples: pd.DataFrame,
    *,
    plate: str | int | None = None,
    product: str | None = None,
    controls: Mapping[str, int] | None = None,
    keep_together: str | None = "subject_id",
    balance: Sequence[str] = (),
    n_plates: int | None = None,
    random_state: int | np.random.Generator | None = None,
) -> pd.DataFrame:
    """Place samples on plates at random, groups even, a person's samples together.

    Persons with most samples come first, and among them kind after kind (the combination of
    `balance`), each in random order. Each person goes to the plate that has room and, so far,
    fewest samples of that kind, then fewest in the sum over the single columns, then fewest at
    all; ties fall at random. Within a plate the wells are drawn at random.

    Parameters
    ----------
    samples : pandas.DataFrame
        One row per sample, index its id.
    plate : {"48", "96", "384"}, optional
        Wells of a plate. By default those of the product, else 96.
    product : str, optional
        An Olink product, as `read_npx` calls it, for its plate and controls: ``"Target 48"``
        (40 samples on 48 wells), ``"Target 96"``, ``"Flex"``, ``"Explore 384"``, ``"Explore
        3072"`` (88 samples on 96 wells), ``"Explore HT"``, ``"Reveal"`` (86 on 96).
    controls : mapping of str to int, optional
        Wells for controls on each plate, by sample type; they take the last wells, column by
        column. By default those of the product, else 2 sample controls, 3 negative and 3 plate
        controls. Give what your laboratory asks for where it differs. ``{}`` reserves none.
    keep_together : str or None, default "subject_id"
        Column whose equal values share a plate: before and after surgery are then compared
        within a plate. None places each sample by itself.
    balance : sequence of str
        Columns that should be spread evenly over plates, such as ``["group", "site"]``. A
        person whose samples differ in one counts as a kind of its own.
    n_plates : int, optional
        By default as few as hold all samples.
    random_state : int or numpy.random.Generator, optional
        Seed.

    Returns
    -------
    pandas.DataFrame
        The samples and the controls, ordered by plate and well, with the columns of `samples`
        and ``plate`` (``"Plate 1"``…), ``well`` (``"A1"``…), ``row`` (letter), ``col`` (from 1)
        and ``sample_type``. Controls are called ``"Plate 1 CONTROL 1"``….

    Raises
    ------
    FormatError
        When the product is unknown, a column is absent, ids of samples are there twice, a person
        has more samples than a plate has wells, or they don't fit on `n_plates`.

    Notes
    -----
    Of eight controls, six are required and two recommended (Target 96: inter-plate and negative
    controls in triplicate, a pooled sample in duplicate). Explore HT has ten; that they are three
    sample, two negative and five plate controls, and that Reveal has the same, is usual and not
    taken from a document of the vendor: ask the laboratory.

    References
    ----------
    Olink Proteomics. Data normalization and standardization, white paper 1096; plate
    randomization, tutorial of OlinkAnalyze (40 of 48 and 88 of 96 wells; ten controls for HT).
    Pocock SJ, Simon R. Sequential treatment assignment with balancing for prognostic factors.
    Biometrics 1975;31:103–115.

    Examples
    --------
    >>> import pandas as pd
    >>> people = pd.DataFrame({"subject_id": [f"S{i // 2:03d}" for i in range(120)],
    ...                        "group": ["TN", "TN", "control", "control"] * 30})
    >>> table = randomize_plates(people, balance=["group"], random_state=0)
    >>> real = table[table["sample_type"] == "SAMPLE"]
    >>> pd.crosstab(real["plate"], real["group"]).to_numpy().tolist()
    [[30, 30], [30, 30]]
    """
    wells_of, usual = _preset(product)
    shape = _shape(wells_of if plate is None else plate)
    reserved = dict(usual if controls is None else controls)
    room = shape[0] * shape[1] - sum(reserved.values())
    _check(samples, keep_together, balance, reserved, room)
    rng = np.random.default_rng(random_state)
    fewest = -(-len(samples) // room)
    for number in [n_plates] if n_plates is not None else range(fewest, len(samples) + 1):
        of_sample = _assign(samples, number, room, keep_together, balance, rng)
        if of_sample is not None:
            break
    else:
        raise FormatError(
            f"{len(samples)} samples don't fit on {n_plates} plates of {room} free wells with "
            "each person on one plate",
            where="n_plates", remedy="take more plates, or leave n_plates out",
        )  # fmt: skip
    wells = [f"{chr(65 + r)}{c + 1}" for c in range(shape[1]) for r in range(shape[0])]
    parts = []
    for p in range(int(of_sample.max(initial=-1)) + 1):
        own = samples[of_sample == p].copy()
        own["well"] = rng.permutation(np.array(wells[: len(own)], dtype=object))
        if "sample_type" not in own:
            own["sample_type"] = "SAMPLE"
        kinds = [kind for kind, n in reserved.items() for _ in range(n)]
        numbers = [i + 1 for n in reserved.values() for i in range(n)]
        last = wells[len(wells) - len(kinds) :]
        names = [f"Plate {p + 1} {kind} {i}" for kind, i in zip(kinds, numbers, strict=True)]
        ours = pd.DataFrame({"well": last, "sample_type": kinds}, index=names)
        whole = pd.concat([own, ours]) if len(ours) else own
        whole["plate"] = f"Plate {p + 1}"
        whole["row"] = whole["well"].str[0]
        whole["col"] = whole["well"].str[1:].astype(int)
        parts.append(whole.sort_values(["col", "row"]))
    table = pd.concat(parts)
    table.index.name = samples.index.name
    added = ["plate", "well", "row", "col", "sample_type"]
    return table[[*(c for c in samples if c not in added), *added]]


def _preset(product: str | None) -> tuple[int, dict[str, int]]:
    if product is None:
        return 96, _CONTROLS
    if product not in PRODUCTS:
        raise FormatError(
            f"expected one of {list_some(PRODUCTS, 10)}, found {product!r}",
            where="product",
            remedy="give plate= and controls= instead",
        )
    return PRODUCTS[product]


def _shape(plate: str | int) -> tuple[int, int]:
    try:
        return SHAPES[int(plate)]
    except (KeyError, ValueError, TypeError):
        raise FormatError(
            f"expected one of {list_some(map(str, SHAPES))} wells, found {plate!r}", where="plate"
        ) from None


def _check(
    samples: pd.DataFrame,
    keep_together: str | None,
    balance: Sequence[str],
    reserved: Mapping[str, int],
    room: int,
) -> None:
    if not isinstance(samples, pd.DataFrame) or not len(samples):
        raise FormatError("expected a table with at least one sample", where="samples")
    if isinstance(balance, str):
        raise FormatError(f"expected a list of columns, found {balance!r}", where="balance")
    if samples.index.has_duplicates:
        twice = samples.index[samples.index.duplicated()].unique()
        raise AlignmentError(
            f"{len(twice)} ids of samples are there twice: {list_some(twice)}", where="samples"
        )
    wanted = [*([keep_together] if keep_together is not None else []), *balance]
    absent = [name for name in wanted if name not in samples]
    if absent:
        raise FormatError(
            f"expected the columns {list_some(absent)}, found {list_some(samples.columns)}",
            where="samples",
            remedy="name yours in keep_together and balance; keep_together=None places each "
            "sample by itself",
        )
    if any(n < 0 for n in reserved.values()) or room < 1:
        raise FormatError(
            f"{sum(reserved.values())} wells for controls leave {room} for samples",
            where="controls",
        )
    if keep_together is not None:
        if samples[keep_together].isna().any():
            raise FormatError(
                f"{int(samples[keep_together].isna().sum())} samples have no {keep_together}",
                where="samples",
            )
        sizes = samples[keep_together].value_counts()
        if sizes.iloc[0] > room:
            raise FormatError(
                f"{sizes.index[0]!r} has {sizes.iloc[0]} samples, a plate has room for {room}",
                where="samples", remedy="split them by a column of your own",
            )  # fmt: skip


def _assign(
    samples: pd.DataFrame,
    n_plates: int,
    room: int,
    keep_together: str | None,
    balance: Sequence[str],
    rng: np.random.Generator,
) -> NDArray[np.intp] | None:
    """Return the plate of each sample, or None when persons don't fit."""
    owner = (
        np.arange(len(samples))
        if keep_together is None
        else pd.factorize(samples[keep_together])[0]
    )
    n_people = int(owner.max()) + 1
    size = np.bincount(owner, minlength=n_people)
    # What a person is, in each column: all values of the samples, in order.
    traits = np.zeros((n_people, len(balance)), dtype=np.intp)
    for k, name in enumerate(balance):
        text = samples[name].astype(str).to_numpy()
        said = pd.Series(text).groupby(owner).agg(lambda v: "\t".join(sorted(set(v))))
        traits[:, k] = pd.factorize(said)[0]
    kind = pd.factorize(pd.Series(map(tuple, traits)))[0]
    of_kind = np.zeros((n_plates, int(kind.max()) + 1))
    of_trait = [np.zeros((n_plates, int(traits[:, k].max()) + 1)) for k in range(len(balance))]
    used = np.zeros(n_plates, dtype=np.intp)
    plate_of = np.full(n_people, -1, dtype=np.intp)
    # Kind after kind: then each leaves all plates level, up to one, and so does the whole.
    turn = rng.permutation(int(kind.max()) + 1)
    for person in np.lexsort((rng.random(n_people), turn[kind], -size)):
        single = sum((t[:, traits[person, k]] for k, t in enumerate(of_trait)), np.zeros(n_plates))
        best = np.lexsort((rng.random(n_plates), used, single, of_kind[:, kind[person]]))
        free = [p for p in best if used[p] + size[person] <= room]
        if not free:
            return None
        p = free[0]
        plate_of[person] = p
        used[p] += size[person]
        of_kind[p, kind[person]] += size[person]
        for k, table in enumerate(of_trait):
            table[p, traits[person, k]] += size[person]
    return plate_of[owner]
