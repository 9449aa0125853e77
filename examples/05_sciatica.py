"""Sciatica: the painful root by level and side, scanners of three sites, and fusion (synthetic)."""

# %%
import precisionpain as pp
from precisionpain.evaluation import clinical_model, cross_validate, leave_site_out
from precisionpain.fusion import FeatureBlock, Harmonized, early_fusion

cohort = pp.datasets.sample_sciatica(n_subjects=260, random_state=1).require("response")
print(cohort)

# %% [markdown]
# A table with rows by level and side becomes one row per person: the painful root, and how it
# differs from the same root of the other side.

# %%
roots = FeatureBlock("root_measures").fit(cohort)
print(roots.columns_)

# %% [markdown]
# Each hospital has its scanner. `Harmonized` takes its marks out, within each training fold, and
# keeps what age and sex do. A hospital that it hasn't seen is judged by its own unlabelled people.

# %%
scan = {"covariates": ["age", "sex"], "unknown": "estimate"}
blocks = {
    "clinic": "clinical",
    "roots": Harmonized("root_measures", **scan),
    "canal": Harmonized("canal", **scan),
    "texture": Harmonized("root_texture", **scan),
    "proteins": pp.proteomics.ProteinFeatures("plasma_pea", proteins="sciatica"),
}
clinic = cross_validate(
    clinical_model("logistic"), cohort, "response", baseline=None, name="clinic"
)
fused = cross_validate(early_fusion(blocks), cohort, "response", cv=clinic, baseline=clinic)
print(fused)
print(fused.increment)

# %% [markdown]
# Does it travel? Each hospital in turn, from a model of the others.

# %%
print(leave_site_out(early_fusion(blocks), cohort, "response", baseline=None))
