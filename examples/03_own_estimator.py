"""Write features of your own, put them beside the clinic, and see what they add (synthetic)."""

# %%
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import StandardScaler

import precisionpain as pp
from precisionpain.evaluation import ClinicalFeatures, clinical_model, cross_validate


# %%
class AffectedNerve(TransformerMixin, BaseEstimator):
    """Measures of the affected nerve before surgery, in SD of the training people."""

    def __init__(self, measures=("min_area_mm2", "volume_mm3")):
        self.measures = measures

    def fit(self, X, y=None):
        """Learn mean and SD in the training people."""
        raw = self._measure(X)
        self.mean_, self.sd_ = raw.mean(), raw.std()
        return self

    def transform(self, X):
        """Return the measures, one row per person."""
        return (self._measure(X) - self.mean_) / self.sd_

    def get_feature_names_out(self, input_features=None):
        """Return the names of the features."""
        return np.asarray(self.mean_.index, dtype=object)

    def _measure(self, X):
        # Joined by key: whose nerve it is, and on which side, never depends on the row order.
        nerves = X.per_nerve()
        table = nerves.measurement("nerve_measures")[list(self.measures)]
        affected = table[(nerves.rows["nerve"] == "affected").to_numpy()]
        return affected.droplevel("side").reindex(X.index)


# %%
cohort = pp.datasets.sample_tn(n_subjects=300).require("mvd_response", "nerve_measures")
cohort = cohort.where(affected_side=["left", "right"])
clinic = clinical_model("logistic")
ridge = cross_validate(clinic, cohort, "mvd_response", baseline=None, name="clinic")

both = make_pipeline(
    FeatureUnion([("clinic", ClinicalFeatures()), ("nerve", AffectedNerve())]),
    SimpleImputer(),
    StandardScaler(),
    LogisticRegression(C=0.1, max_iter=1000),
)
result = cross_validate(
    both, cohort, "mvd_response", cv=ridge, baseline=ridge, name="clinic + nerve"
)
print(result)
print(result.increment)
print(result.permutation)

# %% [markdown]
# The contract: changing the test people changes nothing that was fitted on the training people.

# %%
train, test = ridge.splits[0]
table = cohort.measurements["nerve_measures"]
strangers = table["subject_id"].isin(cohort.index[test])
table.loc[strangers, ["min_area_mm2", "volume_mm3"]] = 1e6
spoilt = cohort.with_measurements("nerve_measures", table)
one = AffectedNerve().fit(cohort.known_at_index()[train])
two = AffectedNerve().fit(spoilt.known_at_index()[train])
pd.testing.assert_series_equal(one.mean_, two.mean_)
print("fitted on the training people only")
