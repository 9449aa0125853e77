"""The real trigeminal neuralgia cohort ds005713, where a copy of it is at hand."""

# %%
import os
import sys
import tempfile
from pathlib import Path

import precisionpain as pp
from precisionpain.evaluation import clinical_model, cross_validate

data = Path(
    os.environ.get("PRECISIONPAIN_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)
mirror = data / "tn_ds005713"
if not mirror.is_dir():
    print(
        "The real cohort is not at hand. Fetch it with precisionpain.datasets.fetch_ds005713, or "
        "set PRECISIONPAIN_DATA to the folder that holds tn_ds005713."
    )
    sys.exit(0)

# %%
cohort = pp.datasets.fetch_ds005713(tempfile.mkdtemp(), mirror=mirror, progress=False)
print(cohort)
print(pp.datasets.accounting(cohort)["role"].value_counts().to_string())

# %% [markdown]
# Response to microvascular decompression, from what was known before it. The pain reduction after
# surgery is the outcome in other words, so that it can't predict.

# %%
mvd = cohort.where(diagnosis="TN", surgery="MVD").require("mvd_response")
print(mvd.flow)
try:
    cross_validate(clinical_model(columns=["pain_reduction_percent"]), mvd, "mvd_response")
except pp.errors.LeakageError as error:
    print(error)

# %%
clinical = cross_validate(
    clinical_model(), mvd, "mvd_response", baseline=None, name="clinical ridge"
)
sindou = cross_validate(
    clinical_model(columns=["sindou_grade"]),
    mvd,
    "mvd_response",
    cv=clinical,
    baseline=clinical,
    name="Sindou grade only",
)
print(clinical, sindou, clinical.permutation, sindou.increment, sep="\n")
print(clinical.sample_size)
