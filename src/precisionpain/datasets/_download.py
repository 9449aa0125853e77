"""Download files that a registry pins by size and SHA-256: resumed, verified, never half there."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..errors import StorageError
from ._ds005713.registry import RegisteredFile, Verified, WrongContentError, install

__all__ = ["download", "download_all"]

_CHUNK = 1 << 20
_TRANSIENT_STATUS = {408, 416, 425, 429, 500, 502, 503, 504}


def download(
    url: str,
    target: Path,
    file: RegisteredFile,
    *,
    retries: int = 4,
    wait: float = 0.5,
    timeout: float = 30.0,
) -> None:
    """Download one registered file.

    It is written to ``<name>.part``, taken up where an interrupted download ended (from the
    start where the server can't do that), checked, and only then given its name.

    Parameters
    ----------
    url : str
        Where the file is.
    target : pathlib.Path
        Where it goes; its folder is made.
    file : RegisteredFile
        Size and checksum that it must have.
    retries : int, default 4
        Further attempts after a failure that may pass.
    wait : float, default 0.5
        Seconds before the first of them; doubled every time.
    timeout : float, default 30.0
        Seconds without an answer that count as a failure.

    Raises
    ------
    WrongContentError
        When the source holds something else.
    StorageError
        When the file can't be had or can't be written.
    """
    part = target.with_name(target.name + ".part")
    with _writing(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
    attempt, pieced = 0, False
    while True:
        try:
            pieced = _transfer(url, part, file, timeout) or pieced
        except StorageError:
            raise
        except (OSError, http.client.HTTPException) as error:
            status = error.code if isinstance(error, urllib.error.HTTPError) else None
            if status is not None and status not in _TRANSIENT_STATUS:
                raise StorageError(f"the server answers {status} ({error})", where=url) from error
            if status == 416:
                part.unlink(missing_ok=True)
            if attempt >= retries:
                raise StorageError(
                    f"no complete answer in {attempt + 1} attempts ({error or repr(error)})",
                    where=url,
                    remedy="check the connection and call again, which takes up where it ended; "
                    "or read from a local copy of the data set with mirror=",
                ) from error
            time.sleep(wait * 2**attempt)
            attempt += 1
            continue
        try:
            install(part, target, file, url)
        except WrongContentError:
            if not pieced:
                raise
            # The pieces may stem from different versions of the file: try once in one go.
            pieced = False
            continue
        return


def _transfer(url: str, part: Path, file: RegisteredFile, timeout: float) -> bool:
    """Fetch what the part file lacks; return whether it had something before."""
    start = part.stat().st_size if part.is_file() else 0
    if start >= file.bytes > 0:
        return True
    headers = {"Accept-Encoding": "identity", "User-Agent": "precisionpain"}
    if start:
        headers["Range"] = f"bytes={start}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=timeout) as response:
        if response.status != 206:
            start = 0
        total = _total(response)
        if total is not None and total != file.bytes:
            part.unlink(missing_ok=True)
            raise WrongContentError(
                f"expected a file of {file.bytes} bytes, the server has one of {total}",
                where=url,
                remedy="the source holds another version of the file; use another source",
            )
        received = start
        with _writing(part):
            stream = part.open("ab" if start else "wb")
        with stream:
            # A server that never ends must not fill the disk.
            while received <= file.bytes and (chunk := response.read(_CHUNK)):
                with _writing(part):
                    stream.write(chunk)
                received += len(chunk)
    if received < file.bytes:
        raise ConnectionError(f"the connection ended after {received} of {file.bytes} bytes")
    return start > 0


def _total(response: http.client.HTTPResponse) -> int | None:
    if response.status == 206:
        match = re.fullmatch(r"bytes \d+-\d+/(\d+)", response.headers.get("Content-Range", ""))
        return int(match[1]) if match else None
    length = response.headers.get("Content-Length")
    return int(length) if length is not None else None


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    # Failures of the disk must not pass for failures of the network, which are tried again.
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"can't write ({error})", where=str(path), remedy="check permissions and free space"
        ) from error


def download_all(
    wanted: Sequence[tuple[str, RegisteredFile]],
    verified: Verified,
    *,
    jobs: int = 1,
    progress: bool = True,
    retries: int = 4,
    wait: float = 0.5,
) -> None:
    """Download files into the root of `verified`.

    Parameters
    ----------
    wanted : sequence of (str, RegisteredFile)
        URL and file.
    verified : Verified
        Remembers what is done, also when a later file fails.
    jobs : int, default 1
        How many at a time.
    progress : bool, default True
        Show a bar.
    retries, wait
        As in `download`.

    Raises
    ------
    StorageError
        At the first file that can't be had, or when the disk lacks the space; what is done
        stays.
    """
    from tqdm import tqdm

    needed = sum(file.bytes for _, file in wanted)
    free = shutil.disk_usage(verified.root).free
    if needed > free:
        raise StorageError(
            f"{needed / 1e9:.1f} GB are to be fetched and {free / 1e9:.1f} GB are free",
            where=str(verified.root),
            remedy="free space, name another root, or fetch fewer subjects or contrasts",
        )
    with tqdm(
        total=needed, unit="B", unit_scale=True, disable=not progress, desc="download"
    ) as bar:

        def one(item: tuple[str, RegisteredFile]) -> RegisteredFile:
            url, file = item
            download(url, verified.root / file.path, file, retries=retries, wait=wait)
            verified.add(file)
            return file

        try:
            for file in _each(one, wanted, jobs):
                bar.update(file.bytes)
        finally:
            verified.save()


def _each(
    one: Callable[[tuple[str, RegisteredFile]], RegisteredFile],
    wanted: Sequence[tuple[str, RegisteredFile]],
    jobs: int,
) -> Iterator[RegisteredFile]:
    if jobs == 1:
        yield from map(one, wanted)
        return
    with ThreadPoolExecutor(max_workers=jobs) as executor:
        try:
            yield from executor.map(one, wanted)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
