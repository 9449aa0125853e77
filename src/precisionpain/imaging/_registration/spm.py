"""Normalisation by a user's own SPM12 standalone, through its batch interface."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import FormatError, MissingModalityError
from ..grids import BOX_MM

__all__ = ["spm_normalise"]

# SPM12's own defaults for Normalise: Estimate & Write, but for the bounding box and the voxels.
_BATCH = """\
matlabbatch{{1}}.spm.spatial.normalise.estwrite.subj.vol = {{'{scan},1'}};
matlabbatch{{1}}.spm.spatial.normalise.estwrite.subj.resample = {{'{scan},1'}};
matlabbatch{{1}}.spm.spatial.normalise.estwrite.eoptions.biasreg = 0.0001;
matlabbatch{{1}}.spm.spatial.normalise.estwrite.eoptions.biasfwhm = 60;
matlabbatch{{1}}.spm.spatial.normalise.estwrite.eoptions.tpm = \
{{fullfile(spm('Dir'), 'tpm', 'TPM.nii')}};
matlabbatch{{1}}.spm.spatial.normalise.estwrite.eoptions.affreg = 'mni';
matlabbatch{{1}}.spm.spatial.normalise.estwrite.eoptions.reg = [0 0.001 0.5 0.05 0.2];
matlabbatch{{1}}.spm.spatial.normalise.estwrite.eoptions.fwhm = 0;
matlabbatch{{1}}.spm.spatial.normalise.estwrite.eoptions.samp = 3;
matlabbatch{{1}}.spm.spatial.normalise.estwrite.woptions.bb = [{low}; {high}];
matlabbatch{{1}}.spm.spatial.normalise.estwrite.woptions.vox = [{vox} {vox} {vox}];
matlabbatch{{1}}.spm.spatial.normalise.estwrite.woptions.interp = 4;
matlabbatch{{1}}.spm.spatial.normalise.estwrite.woptions.prefix = 'w';
"""


def spm_normalise(image: Any, spacing_mm: float, executable: str | Path | None) -> Any:
    """Return the scan as SPM12 normalises it."""
    import nibabel

    program = _find(executable)
    with tempfile.TemporaryDirectory(prefix="precisionpain-") as folder:
        scan, batch = Path(folder) / "scan.nii", Path(folder) / "batch.m"
        data = np.asarray(image.dataobj, dtype=np.float32)
        nibabel.save(nibabel.Nifti1Image(data, image.affine), scan)
        low, high = (" ".join(f"{box[end]:g}" for box in BOX_MM) for end in (0, 1))
        batch.write_text(_BATCH.format(scan=scan, low=low, high=high, vox=f"{spacing_mm:g}"))
        done = subprocess.run(
            [program, "batch", str(batch)], cwd=folder, capture_output=True, text=True, check=False
        )
        written = Path(folder) / "wscan.nii"
        if done.returncode or not written.exists():
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise FormatError(
                f"SPM12 ended with status {done.returncode} and "
                f"{'a' if written.exists() else 'no'} normalised scan"
                + (f"; its last words: {said[-1]}" if said else ""),
                where=program,
                remedy="run it by hand with 'batch' and a batch file",
            )
        moved: Any = nibabel.load(written)
        return nibabel.Nifti1Image(np.asarray(moved.dataobj, dtype=np.float32), moved.affine)


def _find(executable: str | Path | None) -> str:
    named = os.fspath(executable) if executable else os.environ.get("SPM12_STANDALONE", "")
    found = shutil.which(named) if named else None
    if found is None:
        raise MissingModalityError(
            f"there is no program {named!r} to run" if named else "SPM12 standalone isn't named",
            remedy="give its executable with spm=..., or in the environment variable "
            "SPM12_STANDALONE",
        )
    return found
