"""The search for subtypes: found where they are, and only there."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import adjusted_rand_score

from precisionpain.cohort import Cohort
from precisionpain.datasets import sample_tn
from precisionpain.errors import DataWarning, FormatError, MissingModalityError, SampleSizeWarning
from precisionpain.fusion import (
    SubtypeFactors,
    SubtypeModel,
    SubtypeNamer,
    check_subtype_classifier,
    find_subtypes,
)

from .people import names

BLOCKS = {"blood": "blood", "scan": "scan"}
CHEAP = {"n_null": 19, "n_resamples": 10}


def grouped(
    n: int = 120, seed: int = 0, *, apart: float = 3.0, by_site: float = 0.0, missing: float = 0.2
) -> tuple[Cohort, np.ndarray]:
    """Three groups in two blocks of five columns; `by_site` moves all columns of a site."""
    rng = np.random.default_rng([seed, 9])
    index = pd.Index(names(n), name="subject_id")
    group, site = rng.integers(0, 3, n), rng.integers(0, 3, n)
    centres = np.array([[-1, -0.6], [1, -0.6], [0, 1.2]])
    z = apart * centres[group] / 2 + by_site * centres[site] + 0.5 * rng.standard_normal((n, 2))
    tables = {}
    for name in BLOCKS:
        weights = np.array([[1, 0.8, 0, 0, 0.5], [0, 0, 1, 0.9, 0.5]])
        x = pd.DataFrame(z @ weights + 0.5 * rng.standard_normal((n, 5)), index, list("abcde"))
        tables[name] = x[rng.random(n) >= missing].reset_index()
    subjects = pd.DataFrame(
        {"site": np.array(["A", "B", "C"])[site], "age": rng.normal(60, 9, n)}, index
    )
    columns = {"site": {"role": "note", "reason": "a hospital"}}
    return Cohort(subjects, measurements=tables, columns=columns), group


@pytest.fixture(scope="module")
def found():
    cohort, group = grouped()
    return cohort, group, find_subtypes(cohort, BLOCKS, n_factors=2, **CHEAP)


def test_groups_are_found_with_people_who_lack_a_block(found):
    cohort, group, result = found
    assert result.found
    assert result.n_clusters == 3
    assigned = (result.labels != "unassigned").to_numpy()
    assert assigned.mean() > 0.9
    assert adjusted_rand_score(group[assigned], result.labels[assigned]) > 0.85
    assert result.one_cluster_p == pytest.approx(0.05)
    assert result.stability > 0.8
    assert result.pac < 0.2
    assert result.labels.index.equals(cohort.index)


def test_the_result_says_what_it_is(found):
    cohort, _, result = found
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1)
    assert set(result.names) == set(result.labels) - {"unassigned"}
    # Nothing here speaks of a mechanism.
    assert all("undetermined" in name for name in result.names)
    table = result.summary()
    assert table["n"].sum() == (result.labels != "unassigned").sum()
    assert (np.diff(table["n"]) <= 0).all()
    assert "3 subtypes" in repr(result)
    assert "SYNTHETIC" not in repr(result)
    assert set(result.profile.columns) == set(result.names)
    assert set(result.consensus.index) <= set(cohort.index)


def test_who_lacks_everything_is_unassigned(found):
    cohort, _, result = found
    nobody = Cohort(
        pd.DataFrame({"site": ["A"], "age": [50.0]}, pd.Index(["new"], name="subject_id")),
        measurements={name: t.iloc[:0] for name, t in cohort.measurements.items()},
    )
    p = result.model.predict_proba(nobody)
    assert result.model.predict(nobody).tolist() == ["unassigned"]
    np.testing.assert_allclose(p[0], result.model.mixture_.shares, atol=1e-9)


def test_new_people_are_assigned_like_the_old(found):
    cohort, _, result = found
    turned = cohort[::-1]
    said = pd.Series(result.model.predict(turned), turned.index)
    agree = (said.reindex(cohort.index) == result.labels).mean()
    assert agree > 0.97
    new, group = grouped(200, 5)
    said = result.model.predict(new)
    known = said != "unassigned"
    assert adjusted_rand_score(group[known], said[known]) > 0.8


@pytest.mark.parametrize("method", ["snf", "consensus"])
def test_other_methods_find_them_too(method):
    cohort, group = grouped(90, 1, apart=3.0, missing=0.1)
    result = find_subtypes(
        cohort, BLOCKS, method=method, n_factors=2, n_clusters=3, n_null=19, n_resamples=6
    )
    assert result.found
    known = (result.labels != "unassigned").to_numpy()
    assert adjusted_rand_score(group[known], result.labels[known]) > 0.8


def test_one_cluster_is_enough_for_a_blob():
    cohort, _ = grouped(100, 2, apart=0.0)
    result = find_subtypes(cohort, BLOCKS, n_factors=2, **CHEAP)
    assert not result.found
    assert result.n_clusters == 1
    assert result.names == ("one cluster",)
    assert "one cluster is enough" in " ".join(result.reasons)
    assert np.isnan(result.pac)
    assert result.consensus is None
    np.testing.assert_allclose(result.probabilities, 1)
    with pytest.raises(FormatError, match="one cluster was enough"):
        result.plot("consensus")


def test_hospitals_are_no_subtypes():
    cohort, _ = grouped(90, 3, apart=0.0, by_site=1.6)
    with pytest.warns(DataWarning, match="follow site"):
        raw = find_subtypes(
            cohort, BLOCKS, n_factors=2, n_clusters=3, adjust_for=(), n_null=19, n_resamples=5
        )
    assert not raw.found
    assert "site" in " ".join(raw.reasons)
    assert raw.site_test.loc["site", "cramers_v"] > 0.8
    # With the sites taken out there is nothing left.
    adjusted = find_subtypes(cohort, BLOCKS, n_factors=2, n_clusters=3, n_null=19, n_resamples=5)
    assert not adjusted.found


def test_groups_are_found_across_hospitals():
    cohort, group = grouped(150, 4, by_site=1.0)
    result = find_subtypes(cohort, BLOCKS, n_factors=2, n_clusters=3, **CHEAP)
    known = (result.labels != "unassigned").to_numpy()
    assert result.found
    assert adjusted_rand_score(group[known], result.labels[known]) > 0.8
    assert result.site_test["adjusted_for"].all()


@pytest.fixture(scope="module")
def patients():
    return sample_tn(200, 0, subtype_shift=6.0).where(diagnosis="TN")


def test_mechanisms_are_found_and_named(patients):
    result = find_subtypes(patients, n_clusters=5, **CHEAP)
    truth = patients.subjects["latent_subtype"]
    known = (result.labels != "unassigned").to_numpy()
    assert result.found
    assert set(result.names) == set(truth)
    assert (result.labels[known] == truth[known]).mean() > 0.8
    assert "SYNTHETIC" in repr(result)
    # What each is named for is what was raised in it.
    profile = result.mechanism_profile
    assert (profile.idxmax(axis=1) == profile.index).all()
    for kind in ("profile", "factors", "consensus"):
        ax = result.plot(kind)
        assert any("SYNTHETIC" in text.get_text() for text in ax.texts)


def test_labels_can_teach(patients):
    train, test = patients[:100], patients[100:]
    truth = patients.subjects["latent_subtype"]
    with pytest.warns(SampleSizeWarning):
        namer = SubtypeNamer().fit(train, truth[:100])
    assert (namer.predict(test) == truth[100:].to_numpy()).mean() > 0.75
    assert namer.explain(test).index.equals(test.index)
    with pytest.raises(FormatError, match="expected the subtypes"):
        SubtypeNamer().fit(train)


def test_factors_are_those_of_the_mechanisms(patients):
    factors = SubtypeFactors().fit(patients)
    z = factors.transform(patients)
    truth = patients.subjects["latent_subtype"].to_numpy()
    for name in z:
        assert z.loc[truth == name, name].mean() > z.loc[truth != name, name].mean() + 0.5
    axonal = factors.loadings_["axonal"].xs("axonal", level="mechanism")
    # Every piece of evidence is signed, so that all speak for their mechanism.
    assert (axonal > 0).all()
    assert factors.information(patients).between(0, 1).all()


def test_nothing_leaks():
    cohort, _ = grouped(75, 6)
    model = SubtypeModel(
        BLOCKS, n_factors=2, n_clusters=3, n_null=19, n_resamples=3, min_information=0.2
    )
    assert "outcomes aren't looked at" in check_subtype_classifier(model, cohort)


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"method": "tsne"}, FormatError, "method is one of"),
        ({"n_clusters": 1}, FormatError, "from 2 to 20"),
        ({"n_null": 3}, FormatError, "n_null of at least 19"),
        ({"adjust_for": ("ward",)}, MissingModalityError, "ward"),
        ({"blocks": {"x": "nowhere"}}, MissingModalityError, "nowhere"),
        ({"blocks": None}, MissingModalityError, "none of the evidence"),
    ],
)
def test_what_makes_no_sense_is_refused(options, kind, text):
    cohort, _ = grouped(60, 7)
    model = SubtypeModel(**{"blocks": BLOCKS, **CHEAP, **options})
    with pytest.raises(kind, match=text):
        clone(model).fit(cohort)


def test_few_people_and_no_cohort_are_refused():
    cohort, _ = grouped(60, 7)
    with pytest.raises(FormatError, match="at least 40"):
        SubtypeModel(BLOCKS).fit(cohort[:30])
    with pytest.raises(FormatError, match="Cohort"):
        SubtypeModel(BLOCKS).fit(np.zeros((50, 3)))
