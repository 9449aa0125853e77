"""From a cohort to a verdict: the shortest honest analysis, on synthetic people."""

# %%
import precisionpain as pp
from precisionpain.evaluation import clinical_model, cross_validate

cohort = pp.datasets.sample_tn(n_subjects=240)
print(cohort)

# %% [markdown]
# Choose the people. Who leaves, and why, is kept in the flow.

# %%
operated = cohort.where(diagnosis="TN", index_surgery="MVD").require("mvd_response")
print(operated.flow)
print(operated.table_one("mvd_response", ["age", "sex", "pain_type", "sindou_grade"]))

# %% [markdown]
# A ridge on what was known before surgery; then boosted trees in the same folds.

# %%
ridge = cross_validate(
    clinical_model("logistic"),
    operated,
    "mvd_response",
    baseline=None,
    name="clinical ridge",
)
trees = cross_validate(
    clinical_model("xgboost"),
    operated,
    "mvd_response",
    cv=ridge,
    baseline=ridge,
    name="boosted trees",
)
print(ridge)
print(trees.increment)

# %% [markdown]
# What a careful reader would ask.

# %%
for check, row in ridge.checks.iterrows():
    print("ok  " if row["ok"] else "LOOK", f"{check}: {row['finding']}")
