from __future__ import annotations

import numpy as np
import pytest

from precisionpain.errors import FormatError
from precisionpain.stats import chi_square, goodness_of_fit

TABLES = {
    "sex": [[27, 28], [30, 43]],
    "small": [[1, 9], [7, 3]],
    "even": [[10, 10], [10, 11]],
    "wide": [[12, 30, 8], [5, 22, 41]],
}


@pytest.mark.parametrize("name", TABLES)
def test_chi_square_matches_chisq_test(golden, name):
    found = chi_square(TABLES[name])
    key = f"chisq.{name}."
    assert found.statistic == pytest.approx(golden[key + "statistic"], abs=1e-12)
    assert found.p_value == pytest.approx(golden[key + "p"], rel=1e-12)
    assert found.df == golden[key + "df"]
    assert found.expected.min() == pytest.approx(golden[key + "least"])
    assert found.yates == (name != "wide")
    plain = chi_square(TABLES[name], yates=False)
    assert plain.statistic == pytest.approx(golden[key + "plain"], abs=1e-12)
    assert not plain.yates
    if name == "small":
        assert found.small_expected
        assert found.fisher_p == pytest.approx(golden[key + "fisher"], rel=1e-10)
    else:
        assert not found.small_expected
        assert np.isnan(found.fisher_p)


def test_published_sex_and_group_sizes():
    assert chi_square([[27, 28], [30, 43]]).p_value == pytest.approx(0.471, abs=5e-4)
    assert goodness_of_fit([55, 73]).p_value == pytest.approx(0.112, abs=5e-4)


def test_small_counts_in_a_larger_table_are_flagged_without_fisher():
    found = chi_square([[1, 2, 3], [4, 5, 6]])
    assert found.small_expected
    assert np.isnan(found.fisher_p)
    assert "expected count below 5" in repr(found)
    assert "Fisher p = 0.0198" in repr(chi_square([[1, 9], [7, 3]]))


def test_goodness_of_fit_matches_chisq_test(golden):
    found = goodness_of_fit([55, 73])
    assert found.statistic == pytest.approx(golden["gof.sizes.statistic"], abs=1e-12)
    assert found.p_value == pytest.approx(golden["gof.sizes.p"], rel=1e-12)
    found = goodness_of_fit([20, 30, 10], [3, 5, 2])
    assert found.statistic == pytest.approx(golden["gof.shares.statistic"], abs=1e-12)
    assert found.p_value == pytest.approx(golden["gof.shares.p"], rel=1e-12)
    assert found.expected.tolist() == pytest.approx([18, 30, 12])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: chi_square([[1, 2]]), r"at least 2 rows and columns, found \(1, 2\)"),
        (lambda: chi_square([[1, 0], [2, 0]]), "a row or column of the table is empty"),
        (lambda: chi_square([[1.5, 2], [2, 3]]), "whole numbers from 0"),
        (lambda: chi_square([[-1, 2], [2, 3]]), "whole numbers from 0"),
        (lambda: chi_square([[1, 2, 3], [2, 3, 4]], yates=True), "for 2 x 2 tables"),
        (lambda: chi_square([1, 2]), "expected 2 dimension"),
        (lambda: goodness_of_fit([5]), "at least two groups"),
        (lambda: goodness_of_fit([0, 0]), "one person"),
        (lambda: goodness_of_fit([5, 5], [1]), "expected 2 positive shares"),
        (lambda: goodness_of_fit([5, 5], [1, 0]), "expected 2 positive shares"),
    ],
)
def test_bad_counts_are_refused(call, message):
    with pytest.raises(FormatError, match=message):
        call()
