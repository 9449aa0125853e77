"""Co-abundance modules: planted ones are found, in the fold, and noise isn't stable."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression
from sklearn.metrics import adjusted_rand_score
from sklearn.pipeline import make_pipeline

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import ProteinModules
from precisionpain.proteomics._layout import make_adata

SIZES = (12, 8, 6)
TRUTH = np.repeat([1, 2, 3, 0], [*SIZES, 14])


def planted(rng, n=80, noise=0.6):
    causes = rng.normal(size=(n, 3))
    values = np.hstack([np.repeat(causes, SIZES, axis=1), np.zeros((n, 14))])
    values += noise * rng.normal(size=values.shape)
    return pd.DataFrame(values * 2 + 5, columns=[f"P{i}" for i in range(40)]), causes


def test_planted_modules_are_found():
    X, causes = planted(np.random.default_rng(0))
    modules = ProteinModules().fit(X)
    assert modules.modules_.to_numpy().tolist() == TRUTH.tolist()
    scores = modules.transform(X)
    for j in range(3):
        assert np.corrcoef(scores.iloc[:, j], causes[:, j])[0, 1] > 0.97
    np.testing.assert_allclose(scores.std(), 1, atol=1e-9)


def test_eigen_proteins_are_principal_components():
    X, _ = planted(np.random.default_rng(1))
    modules = ProteinModules().fit(X)
    members = X.loc[:, modules.modules_ == 2]
    pca = PCA(1).fit((members - members.mean()) / members.std())
    score = pca.transform((members - members.mean()) / members.std())[:, 0]
    own = modules.transform(X)["module_2"]
    assert abs(np.corrcoef(score, own)[0, 1]) == pytest.approx(1)
    assert modules.explained_[2] == pytest.approx(pca.explained_variance_ratio_[0])
    # Positive where the module's proteins are high.
    assert np.corrcoef(members.mean(axis=1), own)[0, 1] > 0.9


def test_columns_rows_and_scale_do_not_matter():
    rng = np.random.default_rng(2)
    X, _ = planted(rng)
    one = ProteinModules().fit(X)
    turned = X.iloc[rng.permutation(80), rng.permutation(40)] * 3 - 1
    two = ProteinModules().fit(turned)
    assert adjusted_rand_score(one.modules_, two.modules_[one.modules_.index]) == 1
    pd.testing.assert_frame_equal(
        one.transform(X), one.transform(X[X.columns[::-1]].iloc[::-1]).loc[X.index]
    )


def test_missing_values_and_flat_proteins_are_borne():
    rng = np.random.default_rng(3)
    X, _ = planted(rng)
    X = X.mask(rng.random(X.shape) < 0.1)
    X["P39"] = 7.0
    X["P38"] = np.nan
    modules = ProteinModules().fit(X)
    assert adjusted_rand_score(modules.modules_, TRUTH) > 0.95
    assert np.isfinite(modules.transform(X)).all().all()
    assert modules.modules_[["P38", "P39"]].tolist() == [0, 0]


def test_opposite_proteins_belong_together_only_unsigned():
    rng = np.random.default_rng(4)
    cause = rng.normal(size=(60, 1))
    X = np.hstack([cause] * 6 + [-cause] * 6) + 0.3 * rng.normal(size=(60, 12))
    assert ProteinModules().fit(X).modules_.nunique() == 2
    assert ProteinModules(signed=False).fit(X).modules_.nunique() == 1


def test_only_training_people_are_learned_from():
    rng = np.random.default_rng(5)
    X, _ = planted(rng)
    obs = pd.DataFrame({"sample_type": ["SAMPLE"] * 70 + ["CONTROL"] * 10},
                       index=[f"s{i}" for i in range(80)])  # fmt: skip
    adata = make_adata(X.to_numpy(), obs, pd.DataFrame(index=X.columns))
    other = adata.copy()
    other.X[70:] = 40.0
    one, two = ProteinModules().fit(adata), ProteinModules().fit(other)
    pd.testing.assert_frame_equal(one.loadings_, two.loadings_)
    assert one.transform(adata).index.tolist() == adata.obs_names.tolist()
    assert one.n_samples_ == 70


def test_stability_tells_modules_from_noise():
    rng = np.random.default_rng(6)
    X, _ = planted(rng)
    modules = ProteinModules().fit(X)
    stable = modules.stability(X, n_boot=20, random_state=0)
    assert (stable > 0.85).all()
    noise = pd.DataFrame(rng.normal(size=(80, 40)))
    forced = ProteinModules(n_modules=4, min_size=2).fit(noise)
    assert forced.stability(noise, n_boot=20, random_state=0).mean() < 0.6


def test_noise_has_no_modules():
    noise = np.random.default_rng(7).normal(size=(60, 50))
    modules = ProteinModules().fit(noise)
    assert (modules.modules_ == 0).all()
    assert modules.transform(noise).shape == (60, 0)


def test_in_a_pipeline():
    X, causes = planted(np.random.default_rng(8))
    model = make_pipeline(ProteinModules(), LinearRegression())
    assert clone(model).fit(X[:50], causes[:50, 0]).score(X[50:], causes[50:, 0]) > 0.9
    with pytest.raises(AlignmentError, match="not in X"):
        ProteinModules().fit(X).transform(X[X.columns[:5]])
    with pytest.raises(FormatError, match="at least 3 people"):
        ProteinModules().fit(X[:2])
