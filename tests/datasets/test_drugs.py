"""The parser of drugs and daily doses, against doses worked out by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from precisionpain.datasets._ds005713.drugs import (
    CARBAMAZEPINE_PER_MG,
    DRUGS,
    Dose,
    carbamazepine_equivalent,
    daily_dose,
    parse_drugs,
)
from precisionpain.errors import FormatError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CBZ (600)", [("carbamazepine", 600.0)]),
        ("CBZ (1200) + GBP (3600)", [("carbamazepine", 1200.0), ("gabapentin", 3600.0)]),
        ("CBZ (600) + AMT (12,5)", [("carbamazepine", 600.0), ("amitriptyline", 12.5)]),
        (
            "CBZ (700) + GBP (900) +\nAMT (12.5)",
            [("carbamazepine", 700.0), ("gabapentin", 900.0), ("amitriptyline", 12.5)],
        ),
        (
            "TPM (150) + TZD (4) + GBP (600) + NPX (550)",
            [
                ("topiramate", 150.0),
                ("tizanidine", 4.0),
                ("gabapentin", 600.0),
                ("naproxen", 550.0),
            ],
        ),
        (
            "OXCBZ (300) + PGB (75) + DLX(60)",
            [("oxcarbazepine", 300.0), ("pregabalin", 75.0), ("duloxetine", 60.0)],
        ),
        ("carbamazepine (200 mg)", [("carbamazepine", 200.0)]),
        ("No", []),
    ],
)
def test_known_doses(text: str, expected: list[tuple[str, float]]) -> None:
    doses = parse_drugs(text)
    assert doses is not None
    assert [(dose.drug, dose.mg_day) for dose in doses] == expected


@pytest.mark.parametrize("text", ["CBZ", "CBZ ", "cbz"])
def test_a_drug_without_a_dose_has_no_dose_rather_than_zero(text: str) -> None:
    (dose,) = parse_drugs(text) or ()
    assert dose.drug == "carbamazepine"
    assert math.isnan(dose.mg_day)
    assert math.isnan(daily_dose((dose,), "carbamazepine"))
    assert math.isnan(carbamazepine_equivalent((dose,)))


def test_two_drugs_without_doses() -> None:
    assert [dose.drug for dose in parse_drugs("CBZ+ LMTG") or ()] == [
        "carbamazepine",
        "lamotrigine",
    ]


@pytest.mark.parametrize("text", [None, "", "  ", "NA", "n/a"])
def test_unknown_treatment_is_not_no_treatment(text: str | None) -> None:
    doses = parse_drugs(text)
    assert doses is None
    assert math.isnan(daily_dose(doses, "carbamazepine"))
    assert math.isnan(carbamazepine_equivalent(doses))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("XYZ (5)", "unknown drug 'XYZ'"),
        ("CBZ 600", "expected drugs such as"),
        ("CBZ (600) GBP (900)", "expected drugs such as"),
        ("CBZ (-600)", "expected drugs such as"),
        ("CBZ (600) +", "expected drugs such as"),
        ("GBP (1,200)", "decimal comma or a thousands mark"),
    ],
)
def test_what_cannot_be_read_is_an_error_that_names_the_place(text: str, says: str) -> None:
    with pytest.raises(FormatError, match=r"t\.tsv, p1: ") as caught:
        parse_drugs(text, where="t.tsv, p1")
    assert says in str(caught.value)


def test_equivalents_by_the_published_ratio() -> None:
    # 200 mg of carbamazepine are replaced by 300 mg of oxcarbazepine (1 : 1.5).
    assert carbamazepine_equivalent(parse_drugs("OXCBZ (300)")) == pytest.approx(200)
    assert carbamazepine_equivalent(parse_drugs("CBZ (200) + OXCBZ (600)")) == pytest.approx(600)
    assert carbamazepine_equivalent(parse_drugs("GBP (900) + PGB")) == 0
    assert carbamazepine_equivalent(()) == 0
    assert set(CARBAMAZEPINE_PER_MG) == {"carbamazepine", "oxcarbazepine"}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted(DRUGS)), st.one_of(st.none(), st.integers(1, 5000))),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([" + ", "+", " +\n", "\n+ "]),
)
def test_what_is_written_is_read(drugs: list[tuple[str, int | None]], plus: str) -> None:
    text = plus.join(name if dose is None else f"{name} ({dose})" for name, dose in drugs)
    read = parse_drugs(text)
    assert read is not None
    for (name, dose), found in zip(drugs, read, strict=True):
        assert found.drug == DRUGS[name]
        assert math.isnan(found.mg_day) if dose is None else found.mg_day == dose


def test_doses_of_one_drug_add_up() -> None:
    doses = (Dose("gabapentin", 300.0), Dose("gabapentin", 600.0))
    assert daily_dose(doses, "gabapentin") == 900
    assert daily_dose(doses, "pregabalin") == 0
