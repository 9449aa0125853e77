"""Plates brought to one level: the truth comes back, nothing unseen passes in silence."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from precisionpain.errors import AlignmentError, DataWarning, FormatError
from precisionpain.proteomics import (
    MedianNormalizer,
    bridge_normalize,
    plate_normalize,
    read_npx,
)

from .projects import people, project


def on_plates(seed=0, n=60, effect=1.0):
    adata = project(people(0, n), seed=seed, controls=4, plates=3)
    rng = np.random.default_rng(7)
    shift = pd.DataFrame(rng.normal(0, effect, (3, 12)), index=["P1", "P2", "P3"])
    moved = shift.loc[adata.obs["plate"]].to_numpy()
    adata.X = adata.X + moved
    adata.layers["lod"] = adata.layers["lod"] + moved
    return adata, shift


def medians_of(adata, by="plate"):
    real = adata[adata.obs["sample_type"] == "SAMPLE"]
    return real.to_df().groupby(real.obs[by]).median()


def test_every_plate_has_the_level_of_all():
    adata, _ = on_plates()
    before = medians_of(adata)
    out = plate_normalize(adata)
    overall = adata[adata.obs["sample_type"] == "SAMPLE"].to_df().median()
    for _, row in medians_of(out).iterrows():
        np.testing.assert_allclose(row, overall, rtol=0, atol=1e-12)
    assert (before.max() - before.min()).min() > 0.01
    np.testing.assert_allclose(medians_of(plate_normalize(adata, reference="zero")), 0, atol=1e-12)
    given = dict.fromkeys(adata.var_names, 3.0)
    np.testing.assert_allclose(medians_of(plate_normalize(adata, reference=given)), 3.0)


def test_controls_and_limits_move_with_their_plate_and_are_not_learned_from():
    adata, _ = on_plates()
    adata.var["lod"] = 0.0
    out = plate_normalize(adata)
    moved = out.X - adata.X
    np.testing.assert_allclose(out.layers["lod"] - adata.layers["lod"], moved, atol=1e-12)
    for plate in ("P1", "P2", "P3"):
        rows = (adata.obs["plate"] == plate).to_numpy()
        assert np.ptp(moved[rows], axis=0).max() < 1e-12
    np.testing.assert_allclose(out.var["lod"], out.layers["lod"].max(axis=0))
    far = adata.copy()
    far.X[-4:] -= 200
    np.testing.assert_allclose(plate_normalize(far).X[:60], out.X[:60], rtol=0, atol=1e-12)
    step = out.uns["precisionpain"]["normalization"]["1"]
    assert (step["n_used"], step["n_left_out"], step["n_plates"]) == (60, 4, 3)


def test_what_was_added_is_kept_and_the_input_stays(tmp_path):
    adata, _ = on_plates()
    copy = adata.copy()
    out = plate_normalize(adata)
    added = out.varm["plate_adjustment"]
    for i in (0, 1, 2, 63):
        np.testing.assert_allclose(
            out.X[i] - adata.X[i], added[adata.obs["plate"].iloc[i]], atol=1e-12
        )
    np.testing.assert_array_equal(adata.X, copy.X)
    assert adata.uns == copy.uns
    out.write_h5ad(tmp_path / "plates.h5ad")
    again = anndata.read_h5ad(tmp_path / "plates.h5ad")
    assert again.uns["precisionpain"]["normalization"]["1"]["method"] == "plate_median"


def test_panels_with_plates_of_their_own():
    adata, _ = on_plates()
    rng = np.random.default_rng(1)
    adata.obsm["plate"] = pd.DataFrame(
        {
            "Neurology": adata.obs["plate"].to_numpy(),
            "Inflammation": rng.permutation(["X1"] * 32 + ["X2"] * 32),
        },
        index=adata.obs_names,
    )
    del adata.obs["plate"]
    out = plate_normalize(adata)
    real = adata.obs["sample_type"] == "SAMPLE"
    for panel in ("Neurology", "Inflammation"):
        own = (adata.var["panel"] == panel).to_numpy()
        level = out[real, own].to_df().groupby(adata.obsm["plate"][panel][real]).median()
        assert (level.max() - level.min()).max() < 1e-12
    assert len(out.varm["plate_adjustment"].columns) == 5
    assert out.uns["precisionpain"]["normalization"]["1"]["n_used"] == 60


def test_samples_that_did_not_pass_are_left_out_and_counted():
    adata, _ = on_plates()
    adata.obs.loc[["S000", "S003"], "qc"] = ["WARN", "FAIL"]
    out = plate_normalize(adata)
    passed = adata[(adata.obs["sample_type"] == "SAMPLE") & (adata.obs["qc"] == "PASS")]
    medians = passed.to_df().groupby(passed.obs["plate"]).median()
    expected = passed.to_df().median() - medians.loc["P1"]
    np.testing.assert_allclose(out.varm["plate_adjustment"]["P1"], expected, atol=1e-12)
    assert out.uns["precisionpain"]["normalization"]["1"]["n_left_out"] == 6


def test_two_projects_with_a_plate_of_one_name():
    first = project(people(0, 30), plates=1)
    second = project([*people(0, 10), *people(30, 50)], plates=1, shift=2.0)
    both = bridge_normalize(first, second, people(0, 10))
    out = plate_normalize(both)
    assert sorted(out.varm["plate_adjustment"]) == ["new / P1", "reference / P1"]
    assert len(out.uns["precisionpain"]["normalization"]) == 2
    assert list(out.varm["adjustment"]) == ["reference", "new"]


def test_a_row_without_plate_and_a_plate_without_people():
    adata, _ = on_plates()
    adata.obs.loc["S005", "plate"] = None
    with pytest.raises(FormatError, match="1 samples have no plate: 'S005'"):
        plate_normalize(adata)
    adata, _ = on_plates()
    adata.obs.loc["NC0", "plate"] = "P9"
    with pytest.raises(AlignmentError, match="'P9'"):
        plate_normalize(adata)
    del adata.obs["plate"]
    with pytest.raises(FormatError, match="'plate'"):
        plate_normalize(adata)


def test_an_assay_missing_on_a_plate_and_control_assays_stay():
    adata, _ = on_plates()
    adata.X[(adata.obs["plate"] == "P1").to_numpy(), 0] = np.nan
    adata.var.loc["OID00001", "assay_type"] = "INCUBATION_CONTROL"
    out = plate_normalize(adata)
    np.testing.assert_array_equal(out.X[:, 1], adata.X[:, 1])
    assert np.isnan(out.X[(adata.obs["plate"] == "P1").to_numpy(), 0]).all()
    assert np.isfinite(out.X[(adata.obs["plate"] == "P2").to_numpy(), 0]).all()


# --- the estimator -------------------------------------------------------------------------


def test_it_learns_from_training_samples_alone():
    adata, _ = on_plates()
    train, test = adata[:40].copy(), adata[40:].copy()
    model = MedianNormalizer().fit(train)
    expected = train.to_df().groupby(train.obs["plate"]).median()
    np.testing.assert_allclose(model.medians_.sort_index(), expected, atol=1e-12)
    alone = model.transform(test)
    changed = test.copy()
    changed.X[1:] += 5
    np.testing.assert_array_equal(model.transform(changed).X[0], alone.X[0])
    moved = train.to_df().median() - expected.loc[test.obs["plate"].iloc[0]]
    np.testing.assert_allclose(alone.X[0] - test.X[0], moved, atol=1e-12)


def test_an_unseen_plate_is_an_error_never_silence():
    adata, _ = on_plates()
    train = adata[adata.obs["plate"] != "P3"].copy()
    model = MedianNormalizer().fit(train)
    with pytest.raises(AlignmentError, match=r"1 groups had no samples .*'P3'.*learned were"):
        model.transform(adata)
    lenient = MedianNormalizer(unseen="reference").fit(train)
    with pytest.warns(DataWarning, match="21 rows of 1 unseen groups"):
        out = lenient.transform(adata)
    unseen = (adata.obs["plate"] == "P3").to_numpy()
    np.testing.assert_array_equal(out.X[unseen], adata.X[unseen])
    assert np.abs(out.X[~unseen] - adata.X[~unseen]).max() > 0.1


def test_a_table_with_a_column_of_plates():
    adata, _ = on_plates()
    real = adata[adata.obs["sample_type"] == "SAMPLE"].copy()
    frame = real.to_df().assign(plate=real.obs["plate"])
    out = MedianNormalizer().fit_transform(frame)
    assert list(out.columns) == list(adata.var_names)
    np.testing.assert_allclose(out, plate_normalize(real).X, atol=1e-12)
    shuffled = frame.sample(frac=1, random_state=0).sample(frac=1, axis=1, random_state=1)
    np.testing.assert_allclose(
        MedianNormalizer().fit(frame).transform(shuffled).loc[frame.index], out, atol=1e-12
    )
    with pytest.raises(FormatError, match="an array has no column"):
        MedianNormalizer().fit(frame.drop(columns="plate").to_numpy())
    frame.loc["S001", "plate"] = None
    with pytest.raises(FormatError, match="1 rows have no plate: 'S001'"):
        MedianNormalizer().fit(frame)


def test_parameters():
    model = MedianNormalizer(("plate", "panel"), reference="zero", unseen="reference")
    assert clone(model).get_params() == model.get_params()
    adata, _ = on_plates()
    np.testing.assert_array_equal(
        MedianNormalizer(("plate", "panel")).fit_transform(adata).X,
        MedianNormalizer("plate").fit_transform(adata).X,
    )
    for wrong, message in (
        ({"unseen": "identity"}, "'error' or 'reference'"),
        ({"reference": "mean"}, "'overall', 'zero'"),
        ({"by": ("panel",)}, "found none"),
        ({"exclude_qc": ("BAD",)}, "exclude_qc"),
    ):
        with pytest.raises(FormatError, match=message):
            MedianNormalizer(**wrong).fit(adata)
    with pytest.raises(AlignmentError, match="11 assays have no reference"):
        MedianNormalizer(reference={"OID00000": 1.0}).fit(adata)


def test_small_plates_warn():
    adata, _ = on_plates(n=20)
    with pytest.warns(DataWarning, match=r"3 plates have fewer than 8 .*'P1 \(7\)'"):
        plate_normalize(adata)


# --- real exports --------------------------------------------------------------------------


def test_the_vendor_s_intensity_normalisation_comes_back(shared_data):
    """An export whose plates the vendor has brought to one level, disturbed plate by plate."""
    path = shared_data / "olink" / "target96_wide" / "target96_2panels_plasma_NPX_wide.xlsx"
    adata = read_npx(path)
    assert adata.var["normalization"].str.contains("Intensity").all()
    moved = adata.copy()
    rng = np.random.default_rng(0)
    for panel, plates in adata.obsm["plate"].items():
        own = np.flatnonzero(adata.var["panel"] == panel)
        assert plates.nunique() == 4
        for plate in plates.unique():
            cell = np.ix_(np.flatnonzero(plates == plate), own)
            shift = rng.normal(0, 1, len(own))
            moved.X[cell] += shift
            moved.layers["lod"][cell] += shift
    out = plate_normalize(moved, exclude_qc=())
    # Plates differ by one number per assay from the vendor's; its medians are rounded to 1e-5.
    for found, truth in ((out.X, adata.X), (out.layers["lod"], adata.layers["lod"])):
        off = found - truth
        np.testing.assert_array_equal(np.isnan(off), np.isnan(truth))
        assert (np.nanmax(off, axis=0) - np.nanmin(off, axis=0)).max() < 2e-5
    disturbed = moved.X - adata.X
    assert (np.nanmax(disturbed, axis=0) - np.nanmin(disturbed, axis=0)).min() > 0.1
