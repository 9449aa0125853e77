"""Complex regional pain syndrome: who responds to immune therapy, from blood (synthetic)."""

# %%
import precisionpain as pp
from precisionpain.evaluation import clinical_model, cross_validate
from precisionpain.fusion import Harmonized, early_fusion

everybody = pp.datasets.sample_crps(n_subjects=330, random_state=1)
print(everybody)
print(pp.proteomics.panels["crps_cytokines"].to_frame()[["axis", "implication"]])

# %% [markdown]
# The outcome is known of treated patients only; controls leave, and the flow says so.

# %%
cohort = everybody.require("response")
print(cohort.flow)

# %%
cytokines = pp.proteomics.ProteinFeatures("plasma_pea", proteins="crps_cytokines")
blocks = {
    "clinic": "clinical",
    "antibodies": "antibodies",
    "cytokines": Harmonized(cytokines, covariates=["age", "sex"]),
}
clinic = cross_validate(
    clinical_model("logistic"), cohort, "response", baseline=None, name="clinic"
)
fused = cross_validate(early_fusion(blocks), cohort, "response", cv=clinic, baseline=clinic)
print(fused)
print(fused.increment)
print(fused.sample_size or clinic.sample_size)

# %% [markdown]
# What a perfect model would reach, which only made-up people tell.

# %%
y = cohort.outcome("response")
print(pp.stats.delong(y, cohort.truth["true_response_probability"]))
