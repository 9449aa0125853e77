"""How far the leading cause of a synthetic patient is raised."""

from __future__ import annotations

import numpy as np
import pytest

from precisionpain.datasets import sample_tn
from precisionpain.errors import FormatError


def test_two_is_the_default():
    one, two = sample_tn(40, 1), sample_tn(40, 1, subtype_shift=2.0)
    assert one.subjects.equals(two.subjects)
    np.testing.assert_array_equal(one.assays["csf_pea"].X, two.assays["csf_pea"].X)
    assert one.meta == two.meta


def test_a_larger_shift_sets_the_groups_further_apart():
    def apart(shift: float) -> float:
        cohort = sample_tn(300, 2, subtype_shift=shift)
        adata = cohort.assays["csf_pea"]
        seen = (adata.obs["visit"] == "preop").to_numpy()
        nefl = np.asarray(adata.X)[seen][:, (adata.var["gene"] == "NEFL").to_numpy()].ravel()
        owner = adata.obs["subject_id"][seen].astype(str)
        cause = owner.map(cohort.subjects["latent_subtype"]).to_numpy()
        return nefl[cause == "axonal"].mean() - nefl[cause == "stress"].mean()

    # 0.68 of a log2 unit for each SD of axonal injury; the noise of the people is the same.
    assert apart(6.0) - apart(2.0) == pytest.approx(0.68 * 4, abs=0.15)
    assert sample_tn(40, subtype_shift=6.0).meta["generator"]["parameters"]["subtype_shift"] == 6.0


def test_margins_of_the_clinic_stay():
    near, far = sample_tn(400, 3), sample_tn(400, 3, subtype_shift=6.0)
    for name in ("hads_anxiety", "pcs_total"):
        a, b = (c.subjects[name].astype(float).dropna() for c in (near, far))
        assert a.mean() == pytest.approx(b.mean(), abs=1.2)


def test_out_of_range_is_refused():
    with pytest.raises(FormatError, match="subtype_shift"):
        sample_tn(40, subtype_shift=-1.0)
