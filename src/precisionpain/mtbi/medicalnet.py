"""Weights of MedicalNet from a file, without running code from it, and counted."""

from __future__ import annotations

import dataclasses
import hashlib
import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FormatError, StorageError, list_some

if TYPE_CHECKING:
    import torch

    from .networks import ResNet3D

__all__ = ["LoadReport", "load_medicalnet"]

_HEADS = ("conv_seg.", "fc.")
# Blocks per stage, and whether they are bottlenecks: what the names in a file tell.
_DEPTHS: dict[tuple[tuple[int, ...], bool], int] = {
    ((1, 1, 1, 1), False): 10, ((2, 2, 2, 2), False): 18, ((3, 4, 6, 3), False): 34,
    ((3, 4, 6, 3), True): 50, ((3, 4, 23, 3), True): 101, ((3, 8, 36, 3), True): 152,
    ((3, 24, 36, 3), True): 200,
}  # fmt: skip
_BLOCK = re.compile(r"layer([1-4])\.(\d+)\.")
_GROWING = "layer2.0.downsample.0.weight"  # every shortcut B has it, none of kind A
# What torch.load raises for files that are cut off, changed or of another kind.
_DAMAGED = (
    pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, TypeError,
    AttributeError, AssertionError, ArithmeticError, MemoryError, ImportError,
)  # fmt: skip
_SOURCE = "the files that MedicalNet's own README links to"


@dataclasses.dataclass(frozen=True)
class LoadReport:
    """What `load_medicalnet` loaded, and what not.

    Parameters
    ----------
    path : str
        The file.
    sha256 : str
        Its hash, to be recorded with the results.
    depth : int
        Of the network in the file.
    matched : tuple of str
        Tensors that were loaded.
    unmatched : tuple of str
        Tensors of the network's trunk that the file hasn't, or not in this shape; they are
        as they were.
    unused : tuple of str
        Tensors of the file that the network has no place for, other than the head.
    head : tuple of str
        Tensors of the file's head, left out: it belongs to another task.

    Examples
    --------
    >>> report = LoadReport("resnet_18.pth", "8f3a", 18, ("conv1.weight",), (), (),
    ...                     ("conv_seg.0.weight",))
    >>> print(report)
    ResNet-18 from resnet_18.pth: 1 of 1 tensors loaded; head left out (1 tensor)
    """

    path: str
    sha256: str
    depth: int
    matched: tuple[str, ...]
    unmatched: tuple[str, ...]
    unused: tuple[str, ...]
    head: tuple[str, ...]

    @property
    def share(self) -> float:
        """Tensors of the trunk that were loaded, of all."""
        return len(self.matched) / (len(self.matched) + len(self.unmatched))

    def __str__(self) -> str:
        total = len(self.matched) + len(self.unmatched)
        parts = [f"{len(self.matched)} of {total} tensors loaded"]
        if self.unmatched:
            parts.append(f"as they were: {list_some(self.unmatched, 3)}")
        if self.unused:
            parts.append(f"no place for {list_some(self.unused, 3)}")
        if self.head:
            noun = "tensor" if len(self.head) == 1 else "tensors"
            parts.append(f"head left out ({len(self.head)} {noun})")
        return f"ResNet-{self.depth} from {Path(self.path).name}: {'; '.join(parts)}"


def load_medicalnet(network: ResNet3D, path: str | Path, *, min_share: float = 0.9) -> LoadReport:
    """Put MedicalNet's weights into a network: all that fit, and never none in silence.

    MedicalNet's files hold ``{"state_dict": …}`` with names that begin with ``module.``.
    Where those names are compared as they are, none matches and the network stays random
    without a word; so what was loaded is counted here, and too little is an error. When
    anything is refused the network stays as it was.

    Files of ``torch.save`` are read with ``weights_only=True``, which makes tensors and
    plain containers and nothing else: no code of the file runs. safetensors files are read
    too.

    The head stays random. With ``norm="group"`` the weights and biases of the
    normalisation are loaded, for they have the same shapes; the file's running statistics
    have no place, so the features differ from those of MedicalNet until they are trained
    (the report lists them under ``unused``). ``stem="paper"`` has the same weights at twice
    the resolution.

    Parameters
    ----------
    network : ResNet3D
        Changed in place.
    path : str or Path
        For example ``resnet_18_23dataset.pth``.
    min_share : float, default 0.9
        Least share, in (0, 1], of the trunk's tensors that must be loaded; counters of
        batches don't count.

    Returns
    -------
    LoadReport
        Print it; keep it with the results.

    Raises
    ------
    FormatError
        When there is no such file; it holds anything but weights, was changed or cut off;
        it is of a network of another depth or shortcut; fewer tensors than `min_share`
        fit; or a value is not finite.
    StorageError
        When the file is there and can't be read.

    References
    ----------
    .. [1] Chen S, Ma K, Zheng Y. Med3D: transfer learning for 3D medical image analysis.
       arXiv:1904.00625, 2019. Code and weights under the MIT licence.

    Examples
    --------
    >>> import tempfile, torch
    >>> from pathlib import Path
    >>> import precisionpain as pp
    >>> donor = pp.mtbi.resnet3d(10, width=8, random_state=0)
    >>> weights = {f"module.{name}": tensor for name, tensor in donor.state_dict().items()}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "resnet_10.pth")
    ...     torch.save({"state_dict": weights}, file)
    ...     print(pp.mtbi.load_medicalnet(pp.mtbi.resnet3d(10, width=8), file))
    ResNet-10 from resnet_10.pth: 60 of 60 tensors loaded; head left out (2 tensors)
    """
    import torch

    if not 0 < min_share <= 1:
        raise FormatError(f"expected a share in (0, 1], found {min_share!r}", where="min_share")
    where = str(path)
    content, digest = _read(Path(path))
    tensors = _without_prefix(content, where)
    depth = _depth_of(tensors, where)
    if depth != network.settings["depth"]:
        raise FormatError(
            f"the file holds a ResNet-{depth}, and the network is a "
            f"ResNet-{network.settings['depth']}",
            where=where,
            remedy=f"make the network with depth={depth}, or take the file for depth "
            f"{network.settings['depth']}",
        )
    own = network.state_dict()
    if (_GROWING in tensors) != (_GROWING in own):
        kind = "B" if _GROWING in tensors else "A"
        raise FormatError(
            f"the file holds a network with shortcuts {kind}, and the network has the other kind",
            where=where,
            remedy=f"make the network with shortcut={kind!r}",
        )
    trunk = [name for name in own if not name.startswith(_HEADS)]
    fits = [name for name in trunk if name in tensors and tensors[name].shape == own[name].shape]
    counted = [name for name in trunk if not name.endswith("num_batches_tracked")]
    matched = tuple(name for name in counted if name in fits)
    unmatched = tuple(name for name in counted if name not in fits)
    if not matched or len(matched) < min_share * len(counted):
        raise _too_little(tensors, own, matched, unmatched, min_share, where)
    _check_values({name: tensors[name] for name in fits}, where)
    with torch.no_grad():
        for name in fits:
            own[name].copy_(tensors[name])
    head = tuple(name for name in tensors if name.startswith(_HEADS))
    unused = tuple(name for name in tensors if name not in own and name not in head)
    return LoadReport(where, digest, depth, matched, unmatched, unused, head)


def _read(path: Path) -> tuple[Any, str]:
    """Return what the file holds, and its hash."""
    where = str(path)
    try:
        with path.open("rb") as file:
            head = file.read(16)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            # The length of the header in 8 bytes, then JSON.
            if head[8:9] == b"{" and head[:2] != b"PK":
                from .._learning.weights import read_tensors

                return read_tensors(file.read(), where), digest
            return _load_safely(file, where), digest
    except FileNotFoundError:
        raise FormatError(
            "the file is not there", where=where, remedy=f"download one of {_SOURCE}"
        ) from None
    except OSError as error:
        raise StorageError(f"the file can't be read ({error.strerror})", where=where) from error


def _load_safely(file: Any, where: str) -> Any:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of storages of old files; they are read all the same
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise FormatError(
            "the file is damaged, or holds more than weights; nothing of it was run "
            f"({_first_line(error)})",
            where=where,
            remedy=f"take one of {_SOURCE}; don't open this one in another way",
        ) from error
    except _DAMAGED as error:
        raise FormatError(
            f"the file is no file of torch.save, or was changed or cut off ({_first_line(error)})",
            where=where,
            remedy="compare its size and checksum with the source, and download it again",
        ) from error


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")[:200] or type(error).__name__


def _without_prefix(content: Any, where: str) -> dict[str, torch.Tensor]:
    import torch

    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    is_state = (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(name, str) for name in content)
        and all(isinstance(tensor, torch.Tensor) for tensor in content.values())
    )
    if not is_state:
        raise FormatError(
            f"expected named tensors, alone or under 'state_dict', found {_describe(content)}",
            where=where,
            remedy=f"take one of {_SOURCE}",
        )
    return {name.removeprefix("module."): tensor for name, tensor in content.items()}


def _describe(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a mapping of {list_some(content, 3)}" if content else "an empty mapping"
    return f"a {type(content).__name__}"


def _depth_of(tensors: Mapping[str, torch.Tensor], where: str) -> int:
    """Tell the depth by the blocks that the names count."""
    found = {match.groups() for name in tensors if (match := _BLOCK.match(name))}
    blocks = tuple(len({block for stage, block in found if stage == s}) for s in "1234")
    bottleneck = any(re.match(r"layer\d\.\d+\.conv3\.", name) for name in tensors)
    depth = _DEPTHS.get((blocks, bottleneck))
    if depth is None:
        kind = "bottleneck" if bottleneck else "basic"
        raise FormatError(
            f"expected the weights of a ResNet, found {len(tensors)} tensors with {blocks} "
            f"{kind} blocks in layers 1 to 4: {list_some(tensors, 3)}",
            where=where,
            remedy=f"take one of {_SOURCE}",
        )
    return depth


def _too_little(
    tensors: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    matched: tuple[str, ...],
    unmatched: tuple[str, ...],
    min_share: float,
    where: str,
) -> FormatError:
    absent = [name for name in unmatched if name not in tensors]
    shapes = [
        f"{name} {tuple(tensors[name].shape)} for {tuple(own[name].shape)}"
        for name in unmatched
        if name in tensors
    ]
    parts = [f"absent: {list_some(absent, 3)}"] if absent else []
    parts += [f"of another shape: {list_some(shapes, 3)}"] if shapes else []
    return FormatError(
        f"{len(matched)} of the {len(matched) + len(unmatched)} tensors of the network's trunk "
        f"fit, fewer than min_share={min_share:g} of them; {'; '.join(parts)}",
        where=where,
        remedy="make the network with the width of the file (MedicalNet's is 64)",
    )


def _check_values(tensors: Mapping[str, torch.Tensor], where: str) -> None:
    import torch

    for name, tensor in tensors.items():
        if name.endswith("num_batches_tracked"):
            continue
        if not tensor.is_floating_point() or tensor.layout != torch.strided or tensor.is_meta:
            raise FormatError(
                f"expected plain floating-point numbers in {name!r}, found {tensor.dtype}, "
                f"{tensor.layout} on {tensor.device}",
                where=where,
            )
        wrong = int((~tensor.isfinite()).sum())
        if name.endswith("running_var"):
            wrong += int((tensor < 0).sum())
        if wrong:
            raise FormatError(
                f"{wrong} values of {name!r} are not finite, or are negative variances",
                where=where,
                remedy="the file is damaged: download it again",
            )
