"""Read a messy clinical table with a column map, and cross-validate (made-up people)."""

# %%
import os
import tempfile
from pathlib import Path

import numpy as np

import precisionpain as pp
from precisionpain.cohort import read_clinical_table
from precisionpain.evaluation import clinical_model, cross_validate

# %% [markdown]
# A table as spreadsheets export it: byte-order mark, semicolons, decimal commas, codes for
# "missing", stray spaces, blank lines.

# %%
rng = np.random.default_rng(0)
lines = ["\ufeffPatient;Age (y);Sex;Side;Duration (months);Pain;Result"]
for i in range(120):
    duration = rng.gamma(2, 40)
    good = rng.random() < 1 / (1 + np.exp(-1.6 + duration / 60))
    cells = [
        f"P{i:03d}",
        "n.d." if rng.random() < 0.05 else f"{rng.normal(58, 12):.1f}".replace(".", ","),
        rng.choice(["F", " f", "M"]),
        rng.choice(["L", "R"]),
        f"{duration:.1f}".replace(".", ","),
        "" if rng.random() < 0.1 else str(rng.integers(3, 11)),
        "good" if good else "poor",
    ]
    lines.append(";".join(cells))
folder = Path(tempfile.mkdtemp())
table = folder / "people.csv"
table.write_text("\n".join([*lines, "", ""]), encoding="utf-8")

# %% [markdown]
# The column map says what each column is, and what it may be used for.

# %%
column_map = folder / "people.yaml"
column_map.write_text(
    """
columns:
  subject_id: Patient
  age: {source: Age (y), kind: number, unit: years, minimum: 18, maximum: 110, missing: [n.d.]}
  sex: {source: Sex, levels: {F: female, M: male}}
  affected_side: {source: Side, levels: {L: left, R: right}}
  disease_duration_years:
    {source: Duration (months), kind: duration, unit: years, factor: 0.0833333333}
  pain_severity: {source: Pain, kind: number, unit: 0-10, minimum: 0, maximum: 10}
  result: {source: Result, levels: [good, poor], role: outcome, visit: discharge}
""",
    encoding="utf-8",
)
people = read_clinical_table(table, column_map, unlisted="error")
for entry in people.attrs["provenance"]:
    print(f"{entry['n']:4d}  {entry['step']}: {entry['detail']}")

# %%
cohort = pp.Cohort(people, name="made-up clinic", synthetic=True).with_outcome(
    "response", column="result", positive="good"
)
print(cohort)

# %%
result = cross_validate(clinical_model(), cohort, "response", name="clinical ridge")
print(result)
print(result.frame()[["n_train", "n_test", "events", "auc"]].round(2))

# %% [markdown]
# A cell that doesn't fit is an error that names file, line, column and person.

# %%
table.write_text("Patient;Age\nP000;61\nP001;sixty\n", encoding="utf-8")
age = {"source": "Age", "kind": "number"}
try:
    read_clinical_table(table, {"subject_id": "Patient", "age": age})
except pp.errors.FormatError as error:
    print(str(error).replace(f"{folder}{os.sep}", ""))
