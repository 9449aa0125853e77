"""Diabetic neuropathy: neurography, nerve conduction and proteins beside the clinic (synthetic)."""

# %%
import precisionpain as pp
from precisionpain.evaluation import clinical_model, cross_validate, site_predictability
from precisionpain.fusion import Harmonized, TableFeatures, late_fusion

cohort = pp.datasets.sample_neuropathy(n_subjects=260, random_state=1)
print(cohort)

# %% [markdown]
# What the diagnosis rests on can't predict it: the scores are barred, whatever a model asks for.

# %%
print(sorted(set(cohort.subjects) - set(cohort.predictors)))

# %% [markdown]
# Neurography comes from three scanners, which can be told from the numbers until they are
# harmonised.

# %%
images = Harmonized("neurography", covariates=["age", "sex"])
check = site_predictability({"before": TableFeatures("neurography"), "after": images}, cohort)
print(check)

# %%
blocks = {
    "clinic": "clinical",
    "neurography": images,
    "conduction": "conduction",
    "proteins": pp.proteomics.ProteinFeatures(
        "plasma_pea", proteins="diabetic_neuropathy_proteins"
    ),
}
clinic = cross_validate(
    clinical_model("logistic"), cohort, "neuropathy", baseline=None, name="clinic"
)
model = late_fusion(blocks)
fused = cross_validate(model, cohort, "neuropathy", cv=clinic, baseline=clinic, n_permutations=5)
print(fused)
print(fused.increment)
print(model.fit(cohort, cohort.outcome("neuropathy")).blocks_)
