"""What a network calls nerve beyond the nerve's wall goes to the vessel that it belongs to."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
from scipy import ndimage

from precisionpain.errors import DataWarning
from precisionpain.trigeminal import Label, measure_compression, simulate_cistern
from precisionpain.trigeminal._morphometry import trace


@pytest.fixture(scope="module")
def cistern():
    """A thin artery that touches the right nerve."""
    return simulate_cistern(4, spacing=0.5, compression="contact", gap_mm=0.0)


@pytest.fixture(scope="module")
def torn(cistern):
    """Shares as of a network that takes for nerve what of the artery is within 1.1 mm of it."""
    shares = np.array(cistern.fractions.dataobj)
    nerve = np.asarray(cistern.labels.dataobj) == Label.NERVE_RIGHT
    near = ndimage.distance_transform_edt(~nerve) * 0.5 <= 1.1
    shares[near, Label.NERVE_RIGHT] += shares[near, Label.ARTERY]
    shares[near, Label.ARTERY] = 0
    return shares


def measured(cistern, shares):
    affine = cistern.labels.affine
    table = measure_compression(
        nibabel.Nifti1Image(shares.argmax(axis=-1).astype(np.uint8), affine),
        probabilities=nibabel.Nifti1Image(shares, affine),
        predicted=True,
        intervals=False,
    )
    assert table.loc["left", "flags"] == ""
    return table.loc["right"]


def test_a_vessel_half_of_which_is_called_nerve_is_found_whole(cistern, torn, monkeypatch):
    truth = cistern.truth.loc["right"]
    found = measured(cistern, torn)
    assert found["flags"] == ""
    assert found["gap_mm"] < 0.05
    assert found["vessel_diameter_mm"] == pytest.approx(truth["vessel_diameter_mm"], abs=0.15)
    assert found["mean_area_mm2"] == pytest.approx(truth["mean_area_mm2"], rel=0.01)
    # Left with the nerve, what is called so would be missed.
    monkeypatch.setattr(trace, "excess_to_vessels", lambda *_: None)
    assert measured(cistern, torn)["vessel_diameter_mm"] < truth["vessel_diameter_mm"] - 0.25


def test_a_bump_beside_no_vessel_is_one_that_was_missed_and_is_flagged(cistern, torn, monkeypatch):
    truth = cistern.truth.loc["right"]
    alone = without_vessels(torn)
    with pytest.warns(DataWarning, match="stick out of the nerve where no vessel was found"):
        found = measured(cistern, alone)
    assert "stick out" in found["flags"]
    assert found["gap_mm"] < 0.05
    assert found["mean_area_mm2"] == pytest.approx(truth["mean_area_mm2"], rel=0.02)
    monkeypatch.setattr(trace, "excess_to_vessels", lambda *_: None)
    assert measured(cistern, alone)["vessel"] is None


def test_a_nerve_without_a_bump_gets_no_vessel(cistern):
    found = measured(cistern, without_vessels(np.array(cistern.fractions.dataobj)))
    assert found["vessel"] is None
    assert found["flags"] == ""


def without_vessels(shares):
    """Shares in which every vessel is background."""
    alone = shares.copy()
    for kind in (Label.ARTERY, Label.VEIN):
        alone[..., Label.BACKGROUND] += alone[..., kind]
        alone[..., kind] = 0
    return alone
