"""One kind of data: which columns, on what scale, and who lacks it."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

import precisionpain as pp
from precisionpain.errors import (
    AlignmentError,
    DataWarning,
    FormatError,
    LeakageError,
    MissingModalityError,
)
from precisionpain.evaluation import ClinicalFeatures
from precisionpain.fusion import FeatureBlock, TableFeatures, available_blocks
from precisionpain.fusion._reduction import make_reduction

from .people import cohort_of, names, numbers


class Given(TransformerMixin, BaseEstimator):
    """Features that are what the test says they are."""

    def __init__(self, table=None):
        self.table_ = table
        self.table = "none"

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        found = self.table_
        return found.loc[X.index] if isinstance(found, pd.DataFrame) else found

    def __sklearn_clone__(self):
        return Given(self.table_)


@pytest.fixture(scope="module")
def sample():
    return pp.datasets.sample_tn(n_subjects=120, random_state=3).require("mvd_response")


def outcome_of(cohort):
    return cohort.outcome("mvd_response")


# --- columns and their scale --------------------------------------------------------------


@pytest.mark.parametrize("p", [1, 5, 40])
def test_blocks_of_any_width_weigh_the_same(p):
    scale = 10.0 ** np.random.default_rng(0).uniform(-3, 3, p)
    cohort = cohort_of({"t": numbers(50, p, 1) * scale + 7 * scale}, 50)
    block = FeatureBlock("t").fit_transform(cohort)
    assert block.shape == (50, p)
    np.testing.assert_allclose(block.mean(), 0, atol=1e-12)
    np.testing.assert_allclose((block**2).mean(), 1 / p, rtol=1e-12)
    assert (block**2).mean().sum() == pytest.approx(1, rel=1e-12)


def test_gaps_get_the_training_median_and_people_without_the_block_nothing():
    n = 41
    table = numbers(n, 3, 2)
    table.iloc[:6, 0] = np.nan
    table = table.drop(index=["s0010", "s0011"])
    table.loc["s0012"] = np.nan  # a row without a value is no block
    cohort = cohort_of({"t": table}, n)
    block = FeatureBlock("t")
    out = block.fit_transform(cohort)
    lacking = out.index[out.isna().any(axis=1)]
    assert list(lacking) == ["s0010", "s0011", "s0012"]
    assert out.loc[lacking].isna().all(axis=None)
    assert block.n_available_ == 38
    np.testing.assert_array_equal(block.available(cohort), ~out["x0"].isna())

    known = table.dropna(how="all")
    filled = known.fillna(known.median())
    by_hand = (filled - filled.mean()) / filled.std(ddof=0) / np.sqrt(3)
    pd.testing.assert_frame_equal(out.dropna(), by_hand.sort_index(), check_names=False, rtol=1e-12)
    # New people get what training people had, not what they have among themselves.
    some = FeatureBlock("t").fit(cohort[20:])
    first = some.transform(cohort[:6])["x0"]
    middle = table.loc["s0020":, "x0"].median()
    mean, sd = table.loc["s0020":, "x0"].mean(), table.loc["s0020":, "x0"].std(ddof=0)
    np.testing.assert_allclose(first, (middle - mean) / sd / np.sqrt(3))


def test_columns_that_say_nothing_are_left_out_with_a_reason():
    table = numbers(40, 5, 3)
    table["x1"] = 2.5
    table["x2"] = np.nan
    table.loc[names(40)[:25], "x3"] = np.nan
    block = FeatureBlock(Given(table)).fit(cohort_of({}, 40))
    assert block.columns_ == ["x0", "x4"]
    assert block.left_out_.to_dict()["x1"] == "constant"
    assert set(block.left_out_.index) == {"x1", "x2", "x3"}
    assert block.left_out_["x3"] == "missing in too many"
    assert block.n_features_in_ == 5
    assert list(block.get_feature_names_out()) == ["x0", "x4"]
    lenient = FeatureBlock(Given(table), max_missing=0.7).fit(cohort_of({}, 40))
    assert lenient.columns_ == ["x0", "x3", "x4"]


def test_who_has_only_columns_that_are_left_out_lacks_the_block():
    table = numbers(40, 3, 3)
    table.loc[names(40)[:30], "x2"] = np.nan
    table.loc["s0039", ["x0", "x1"]] = np.nan
    cohort = cohort_of({}, 40)
    block = FeatureBlock(Given(table))
    out = block.fit_transform(cohort)
    assert block.columns_ == ["x0", "x1"]
    assert out.index[out.isna().any(axis=1)].tolist() == ["s0039"]
    assert block.n_available_ == 39 == block.available(cohort).sum()
    assert (out**2).mean().sum() == pytest.approx(1, rel=1e-12)


def test_transform_follows_the_people_and_forgets_nothing(sample):
    block = FeatureBlock("nerve_measures").fit(sample, outcome_of(sample))
    out = block.transform(sample)
    order = np.random.default_rng(0).permutation(len(sample))
    pd.testing.assert_frame_equal(block.transform(sample[order]), out.iloc[order])
    pd.testing.assert_frame_equal(FeatureBlock("nerve_measures").fit_transform(sample), out)
    pd.testing.assert_frame_equal(block.transform(sample[[4]]), out.iloc[[4]])


def test_names_stand_for_the_features_of_their_room(sample):
    kinds = {
        name: type(FeatureBlock(name).fit(sample).features_).__name__
        for name in available_blocks(sample)
    }
    assert kinds == {
        "clinical": "ClinicalFeatures",
        "nerve_measures": "NerveMeasures",
        "diffusion": "NerveMeasures",
        "csf_pea": "ProteinFeatures",
        "plasma_pea": "ProteinFeatures",
        "csf_lfq": "ProteinFeatures",
    }
    assert available_blocks(cohort_of({"t": numbers(3, 1, 0)}, 3)) == ["clinical", "t"]


def test_parameters_clone_and_state(sample):
    features = ClinicalFeatures(["age", "bmi"])
    block = FeatureBlock(features, reduce="pca", n_components=2)
    assert block.get_params(deep=False)["features"] is features
    copy = clone(block)
    assert copy.features is not features
    assert repr(copy) == repr(block)
    assert "pca" in repr(block)
    with pytest.raises(NotFittedError):
        block.transform(sample)
    block.fit(sample)
    assert not hasattr(features, "columns_")  # what was given stays as it was


# --- reductions ----------------------------------------------------------------------------


def test_components_are_those_of_scikit_learn():
    n, p, k = 60, 8, 3
    mix = np.random.default_rng(0).normal(size=(p, p))
    table = numbers(n, p, 4) @ mix
    table.columns = [f"x{j}" for j in range(p)]
    y = (table["x0"] + numbers(n, 1, 5)["x0"] > 0).astype(int).to_numpy()
    cohort = cohort_of({"t": table}, n)
    z = ((table - table.mean()) / table.std(ddof=0)).to_numpy()
    by_hand = {
        "pca": PCA(k, svd_solver="full").fit_transform(z),
        "pls": PLSRegression(k, scale=False).fit(z, y).transform(z),
    }
    for kind, scores in by_hand.items():
        block = FeatureBlock("t", reduce=kind, n_components=k)
        out = block.fit_transform(cohort, y)
        assert list(out) == [f"{kind}1", f"{kind}2", f"{kind}3"]
        np.testing.assert_allclose(out, scores / scores.std(axis=0) / np.sqrt(k), atol=1e-9)
        assert (out**2).mean().sum() == pytest.approx(1)
        pd.testing.assert_frame_equal(block.transform(cohort), out)


def test_more_components_than_there_are_become_as_many_as_there_are():
    cohort = cohort_of({"t": numbers(30, 2, 6)}, 30)
    assert FeatureBlock("t", reduce="pca", n_components=9).fit_transform(cohort).shape == (30, 2)


def slow_shares(z: np.ndarray, y: np.ndarray, q: int, halves: list[np.ndarray]) -> np.ndarray:
    """The share of halves in which each column is among the q most correlated, one by one."""
    counts = [0] * z.shape[1]
    for half in halves:
        r = [abs(np.corrcoef(z[half, j], y[half])[0, 1]) for j in range(z.shape[1])]
        for j in sorted(range(z.shape[1]), key=lambda j: -r[j])[:q]:
            counts[j] += 1
    return np.array(counts) / len(halves)


def test_stability_selection_is_that_of_its_definition():
    n, p = 61, 20
    z = numbers(n, p, 7).to_numpy()
    y = (3 * z[:, 0] - 3 * z[:, 1] + np.random.default_rng(8).normal(size=n) > 0).astype(int)
    model = make_reduction("stability", 3, 5).fit(z, y)
    rng = np.random.default_rng(5)
    halves = []
    for _ in range(50):
        order = rng.permutation(n)
        halves += [order[: n // 2], order[n // 2 :]]
    expected = slow_shares(z, y, 2, halves)  # q² = 0.2 p
    np.testing.assert_allclose(model.share, expected)
    np.testing.assert_array_equal(model.transform(z), z[:, expected >= 0.6])
    assert {"x0", "x1"} <= set(model.names([f"x{j}" for j in range(p)]))


@pytest.mark.parametrize("p", [20, 200])
def test_stability_selection_keeps_at_most_one_column_for_nothing(p):
    """The bound of Meinshausen and Bühlmann, with and without a column that matters."""
    from_noise, beside_signal, found = [], [], 0
    for seed in range(25):
        rng = np.random.default_rng([p, seed])
        z, y = rng.normal(size=(100, p)), rng.permutation(np.arange(100) % 2)
        from_noise.append((make_reduction("stability", 1, seed).fit(z, y).share >= 0.6).sum())
        z[:, 0] += 2 * y
        kept = make_reduction("stability", 1, seed).fit(z, y).kept
        beside_signal.append(kept[1:].sum())
        found += kept[0]
    assert np.mean(from_noise) <= 1
    assert np.mean(beside_signal) <= 1
    assert found == 25


def test_stability_selection_never_keeps_nothing():
    z, y = np.random.default_rng(0).normal(size=(40, 300)), np.arange(40) % 2
    model = make_reduction("stability", 1, 0).fit(z, y)
    assert model.transform(z).shape[1] >= 1


@pytest.mark.parametrize("reduce", ["pls", "stability"])
def test_reductions_by_outcome_take_labels_and_need_them(reduce):
    cohort = cohort_of({"t": numbers(40, 10, 9)}, 40)
    y = np.arange(40) % 2
    block = FeatureBlock("t", reduce=reduce)
    with pytest.raises(FormatError, match="needs the outcome"):
        block.fit(cohort)
    one = block.fit_transform(cohort, y)
    two = block.fit_transform(cohort, np.array(["bad", "good"])[y])
    pd.testing.assert_frame_equal(one, two)


# --- what can't be right ------------------------------------------------------------------


@pytest.mark.parametrize("factor", [10.0, 1000.0, 0.001])
def test_another_unit_is_refused_with_both_ranges(factor):
    n = 60
    table = numbers(n, 3, 10) * 0.05 + 0.8
    other = table.copy()
    other["x1"] *= factor
    block = FeatureBlock("t").fit(cohort_of({"t": table}, n))
    # The columns beside it are as they were.
    wanted = r"of 'x1' lie far outside.*training range, 0\.\d+ to \S+: from \S+ to \S+"
    with pytest.raises(FormatError, match=wanted) as caught:
        block.transform(cohort_of({"t": other}, n)[:20])
    low, high = other["x1"].iloc[:20].min(), other["x1"].iloc[:20].max()
    assert f"{low:.4g} to {high:.4g}" in str(caught.value)
    assert f"{table['x1'].min():.4g} to {table['x1'].max():.4g}" in str(caught.value)
    assert "units" in str(caught.value)


def test_a_single_far_value_counts_as_missing():
    n = 60
    table = numbers(n, 2, 11)
    other = table.copy()
    other.loc["s0003", "x0"] = 5000.0
    block = FeatureBlock("t").fit(cohort_of({"t": table}, n))
    with pytest.warns(DataWarning, match=r"1 values of 'x0'"):
        found = block.transform(cohort_of({"t": other}, n))
    gap = table.copy()
    gap.loc["s0003", "x0"] = np.nan
    pd.testing.assert_frame_equal(found, block.transform(cohort_of({"t": gap}, n)))
    # Nothing else is left of the block: then the person lacks it, and both ways say so.
    alone = FeatureBlock("t").fit(cohort_of({"t": table[["x0"]]}, n))
    others = cohort_of({"t": other[["x0"]]}, n)
    with pytest.warns(DataWarning):
        lacks = alone.transform(others)["x0"].isna()
    assert lacks[lacks].index.tolist() == ["s0003"]
    with pytest.warns(DataWarning):
        np.testing.assert_array_equal(alone.available(others), ~lacks)


def test_values_somewhat_outside_of_training_are_believed():
    n = 60
    table = numbers(n, 2, 11)
    wide = table * 3
    block = FeatureBlock("t").fit(cohort_of({"t": table}, n))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = block.transform(cohort_of({"t": wide}, n))
    np.testing.assert_allclose(
        out, ((wide - table.mean()) / table.std(ddof=0) / np.sqrt(2)), rtol=1e-9
    )


def test_what_are_no_numbers_is_refused():
    cohort = cohort_of({}, 30)
    table = numbers(30, 2, 12)
    infinite = table.copy()
    infinite.loc["s0001", "x1"] = np.inf
    with pytest.raises(FormatError, match="'x1' hold infinite"):
        FeatureBlock(Given(infinite)).fit(cohort)
    fitted = FeatureBlock(Given(table)).fit(cohort)
    fitted.features_ = Given(infinite)
    with pytest.raises(FormatError, match="'x1' hold infinite"):
        fitted.transform(cohort)
    with pytest.raises(FormatError, match=r"not a DataFrame.*as_frame=True"):
        FeatureBlock(ClinicalFeatures(["age"], as_frame=False)).fit(cohort)
    with pytest.raises(FormatError, match="'x1'"):
        FeatureBlock(Given(table.assign(x1="text"))).fit(cohort)


def test_rows_must_be_the_people():
    cohort, table = cohort_of({}, 30), numbers(30, 2, 12)

    class Shuffled(Given):
        def transform(self, X):
            return self.table_

        def __sklearn_clone__(self):
            return Shuffled(self.table_)

    for wrong in (table[::-1], table[:29], table.reset_index(drop=True)):
        with pytest.raises(AlignmentError, match=r"Shuffled returns .*30 people"):
            FeatureBlock(Shuffled(wrong)).fit(cohort)
    with pytest.raises(FormatError, match="columns 'x0' come more than once"):
        FeatureBlock(Given(table[["x0", "x1", "x0"]])).fit(cohort)


def test_nullable_numbers_are_numbers():
    cohort = cohort_of({}, 30)
    plain = numbers(30, 2, 12).round(1)
    plain.iloc[3, 0] = np.nan
    nullable = plain.astype("Float64")
    pd.testing.assert_frame_equal(
        FeatureBlock(Given(plain)).fit_transform(cohort),
        FeatureBlock(Given(nullable)).fit_transform(cohort),
    )


def test_settings_and_names_that_make_no_sense(sample):
    with pytest.raises(MissingModalityError, match=r"nothing called 'proteome'.*'csf_pea'"):
        FeatureBlock("proteome").fit(sample)
    with pytest.raises(FormatError, match=r"reduce is None or one of 'pca'.*found 'umap'"):
        FeatureBlock("clinical", reduce="umap").fit(sample)
    with pytest.raises(FormatError, match=r"a name or a transformer, found list.*'clinical'"):
        FeatureBlock(["age"]).fit(sample)
    with pytest.raises(FormatError, match="n_components of at least 1, found 0"):
        FeatureBlock("clinical", reduce="pca", n_components=0).fit(sample)


def test_too_few_people_or_columns():
    cohort = cohort_of({"t": numbers(30, 2, 0)[:1], "c": numbers(30, 2, 0) * 0}, 30)
    with pytest.raises(MissingModalityError, match="1 of 30 training people have the block 't'"):
        FeatureBlock("t").fit(cohort)
    with pytest.raises(MissingModalityError, match=r"no column is left.*'x0 \(constant\)'"):
        FeatureBlock("c").fit(cohort)


@pytest.mark.parametrize("name", ["diffusion", "csf_pea"])
def test_people_of_whom_nobody_has_the_block(sample, name):
    """A site that doesn't do the measurement lacks it, and is told so."""
    block = FeatureBlock(name, reduce="pca").fit(sample)
    there = pp.Cohort(sample.subjects, columns=sample.columns)
    with pytest.warns(DataWarning, match=f"no {name!r}"):
        out = block.transform(there)
    assert out.shape == (len(sample), 3)
    assert out.isna().all(axis=None)
    with pytest.warns(DataWarning, match=f"no {name!r}"):
        assert not block.available(there).any()


def test_a_column_that_is_gone_is_still_an_error():
    n = 30
    block = FeatureBlock("t").fit(cohort_of({"t": numbers(n, 3, 0)}, n))
    with pytest.raises(MissingModalityError, match="lacks the column 'x2'"):
        block.transform(cohort_of({"t": numbers(n, 2, 0)}, n))


# --- one row per person -------------------------------------------------------------------


def test_table_features_join_by_key_and_keep_the_order():
    table = numbers(12, 3, 0).sample(frac=1, random_state=0).drop(index=["s0002"])
    cohort = cohort_of({"t": table.assign(note="x", flag=True)}, 12)
    features = TableFeatures("t", exclude=["x1"])
    out = features.fit_transform(cohort[::-1])
    assert list(out) == ["x0", "x2", "flag"]
    assert out.index.tolist() == names(12)[::-1]
    assert out.loc["s0002"].isna().all()
    expected = table[["x0", "x2"]].sort_index()[::-1]
    pd.testing.assert_frame_equal(out.dropna()[["x0", "x2"]], expected, check_names=False)
    assert features.get_feature_names_out().tolist() == list(out)
    assert clone(features).get_params() == features.get_params()


def test_table_features_refuse_what_they_cannot_take():
    cohort = cohort_of({"t": numbers(6, 2, 0).assign(note="x")}, 6)
    with pytest.raises(MissingModalityError, match="no column 'x9'"):
        TableFeatures("t", columns=["x9"]).fit(cohort)
    with pytest.raises(FormatError, match="'note' of 't' hold no numbers"):
        TableFeatures("t", columns=["x0", "note"]).fit(cohort)
    with pytest.raises(MissingModalityError, match="no column is left"):
        TableFeatures("t", columns=["x0"], exclude=["x0"]).fit(cohort)


def test_several_runs_of_a_person_are_refused_or_averaged():
    people = pd.DataFrame({"age": [50, 60, 70]}, pd.Index(["a", "b", "c"], name="subject_id"))
    runs = pd.DataFrame({
        "subject_id": ["b", "a", "b", "a"], "visit": "preop", "run": [1, 1, 2, 2],
        "snr": [10.0, 7.0, 20.0, np.nan],
    })  # fmt: skip
    visits = pd.DataFrame({"subject_id": ["a", "b", "c"], "visit": "preop", "day": -3.0})
    cohort = pp.Cohort(people, visits=visits, measurements={"quality": runs})
    with pytest.raises(AlignmentError, match="several rows for one subject"):
        TableFeatures("quality").fit(cohort)
    found = TableFeatures("quality", repeats="mean").fit_transform(cohort)
    assert found.columns.tolist() == ["snr"]
    assert found["snr"].tolist()[:2] == [7.0, 15.0]
    assert np.isnan(found.loc["c", "snr"])
    with pytest.raises(FormatError, match="repeats is"):
        TableFeatures("quality", repeats="first").fit(cohort)
    with pytest.raises(MissingModalityError, match="no measurement 'u'"):
        TableFeatures("u").fit(cohort)
    with pytest.raises(FormatError, match="Cohort of subjects, found a cohort of nerves"):
        TableFeatures("t").fit(cohort.per_nerve())
    with pytest.raises(FormatError, match="found DataFrame"):
        TableFeatures("t").fit(numbers(6, 2, 0))


def test_what_comes_after_the_landmark_is_not_seen():
    from ..cohort.toy import toy_cohort

    with pytest.raises(LeakageError):
        FeatureBlock("scores").fit(toy_cohort())
    later = FeatureBlock(TableFeatures("scores", allow=["scores"])).fit(toy_cohort())
    assert later.columns_ == ["pain"]
