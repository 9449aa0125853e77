"""dcm2niix as a subprocess."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from ...errors import FormatError, MissingModalityError

__all__ = ["convert"]

# A conversion takes seconds; what takes this long hangs.
_TIMEOUT_S = 3600
# Only what the series number says: names of patients and protocols stay out of file names.
_NAME = "%s"
_NO_DICOM = 2  # dcm2niix's exit status when it finds none


def _program() -> str:
    try:
        import dcm2niix  # type: ignore[import-untyped]
    except ImportError:
        found = shutil.which("dcm2niix")
        if found is None:
            raise MissingModalityError(
                "reading DICOM needs the converter dcm2niix, which is not installed",
                remedy="pip install dcm2niix",
            ) from None
        return found
    return str(dcm2niix.bin)


def convert(source: Path, output: Path, where: str) -> list[tuple[str | None, str]]:
    """Convert a folder or one file; return warnings as (image, text)."""
    command = [_program(), "-b", "y", "-ba", "y", "-z", "n", "-f", _NAME, "-w", "2"]
    command += ["-g", "i", "-d", "9", "-c", ""]  # no defaults file of the user, no comment
    if source.is_file():
        command += ["-s", "y"]
    command += ["-o", str(output), str(source)]
    try:
        done = subprocess.run(  # a list, no shell: paths are never interpreted
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise FormatError(
            f"the conversion didn't end within {_TIMEOUT_S / 60:.0f} minutes", where=where
        ) from None
    except OSError as error:
        raise MissingModalityError(
            f"the converter dcm2niix can't be started ({error.strerror})",
            remedy="pip install --force-reinstall dcm2niix",
        ) from error
    text = f"{done.stdout}\n{done.stderr}"
    produced = any(output.glob("*.nii"))
    if done.returncode == _NO_DICOM or re.search(r"Unable to find any DICOM images", text):
        raise FormatError("there are no DICOM images", where=where)
    if done.returncode != 0 and not produced:
        reasons = "; ".join(note for _, note in _notes(text, source, output)[:3])
        raise FormatError(
            f"the conversion failed (dcm2niix exit status {done.returncode})"
            + (f": {reasons}" if reasons else ""),
            where=where,
        )
    notes = _notes(text, source, output)
    if done.returncode != 0:
        notes.append((None, f"dcm2niix ended with exit status {done.returncode}"))
    return notes


def _notes(text: str, source: Path, output: Path) -> list[tuple[str | None, str]]:
    """Return the lines that warn or report an error, each with the image that follows it.

    The program says what is odd about a series, then that it converts it. File names, which
    may hold names of people, are taken out.
    """
    notes: list[tuple[str | None, str]] = []
    pending: list[str] = []
    for line in text.splitlines():
        done = re.match(r"Convert \d+ DICOM as (.*) \(", line)
        if done:
            key = Path(done.group(1)).name
            notes += [(key, note) for note in pending]
            pending = []
        elif re.match(r"\s*(Warning|Error)\b", line, re.IGNORECASE):
            pending.append(_without_paths(line.strip(), source, output))
    notes += [(None, note) for note in pending]
    seen: dict[tuple[str | None, str], None] = dict.fromkeys(notes)
    return list(seen)


def _without_paths(line: str, source: Path, output: Path) -> str:
    for folder in (str(source), str(output)):
        # The rest of the path goes too, up to the end or a quote: names may have spaces.
        line = re.sub(re.escape(folder) + r"[^'\"\n]*", "<file>", line)
    return re.sub(r"(?:[A-Za-z]:)?[/\\][^\s'\"]+", "<file>", line)
