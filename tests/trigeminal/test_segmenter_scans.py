"""A segmenter on scans that aren't made for it: real hippocampi, the synthetic cohort."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

import precisionpain as pp

from .small_scans import data, segmenter

HIPPOCAMPUS = {"anterior": 1, "posterior": 2}


def test_other_structures_of_real_scans(shared_data, tmp_path):
    """Intensities from 139 to 358,215, labels as whole or floating numbers."""
    folder = shared_data / "mri" / "hippocampus_seg"
    if not folder.is_dir():
        pytest.skip(f"real data absent: {folder}")
    names = [f"hippocampus_{k}.nii.gz" for k in ("001", "003", "044")]
    pairs = [(folder / "images" / name, folder / "labels" / name) for name in names]
    model = segmenter(
        labels=HIPPOCAMPUS, spacing_mm=None, patch=32, per_scan=1, n_steps=5, flips=()
    ).fit(pairs)
    assert np.isfinite(model.history_["loss"]).all()
    for image, _ in pairs:
        found = model.segment(image)
        assert found.labels.shape == nibabel.load(image).shape
        assert set(np.unique(data(found.labels))) <= {0, 1, 2}
        np.testing.assert_allclose(data(found.probabilities).sum(axis=-1), 1, atol=1e-5)
    model.save(tmp_path)
    again = type(model).load(tmp_path, device="cpu")
    np.testing.assert_array_equal(data(again.segment(pairs[0][0]).labels),
                                  data(model.segment(pairs[0][0]).labels))  # fmt: skip


@pytest.mark.slow
def test_the_synthetic_cohort(tmp_path):
    cohort = pp.datasets.sample_tn(
        n_subjects=8, random_state=7, missing=0.6, root=tmp_path / "tree", progress=False,
        images={"spacing": [1.0, 1.0, 1.0], "oversample": 2},
    )  # fmt: skip
    scanned = set(cohort.images["subject_id"])
    settings = {
        "labels": None,
        "n_steps": 80,
        "patch": 32,
        "validation": 0.3,
        "learning_rate": 1e-2,
    }
    model = segmenter(**settings)
    lacking = sorted(set(cohort.subject_ids) - scanned)
    with pytest.warns(pp.errors.DataWarning, match=f"{len(lacking)} scans lack"):
        model.fit(cohort)
    people = list(cohort.subject_ids)
    assert dict(zip(people, model.saw(people), strict=True)) == {p: p in scanned for p in people}
    assert set(model.structures_) == {"brainstem", "nerve", "artery", "vein"}
    # The brainstem fills a good part of the view: even this little is found.
    assert model.history_["val_dice_brainstem"].iloc[-1] > 0.5
    image = cohort.images.query("contrast == 'T2w'")["path"].iloc[0]
    found = model.segment(image)
    assert found.labels.shape == nibabel.load(image).shape
    assert found.probabilities.shape[-1] == 6
