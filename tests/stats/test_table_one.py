from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from precisionpain.errors import FormatError
from precisionpain.stats import (
    chi_square,
    format_p,
    rank_sum,
    standardized_mean_difference,
    table_one,
)


@pytest.fixture(scope="module")
def people() -> pd.DataFrame:
    """128 people with the published group sizes and sexes, and made-up values."""
    rng = np.random.default_rng(0)
    n = 128
    return pd.DataFrame(
        {
            "group": ["chronic"] * 55 + ["recovered"] * 73,
            "sex": ["F"] * 27 + ["M"] * 28 + ["F"] * 30 + ["M"] * 43,
            "age": rng.normal(36.6, 11.5, size=n),
            "pain": np.where(np.arange(n) % 16 == 0, np.nan, rng.exponential(20, size=n)),
            "smoker": rng.random(n) < 0.3,
            "bni": rng.integers(1, 6, size=n),
        },
        index=[f"s{i}" for i in range(n)],
    )


def row(table, variable, level=None):
    frame = table.frame[table.frame["variable"] == variable]
    if level is not None:
        frame = frame[frame["level"] == level]
    return frame.iloc[0]


def test_published_counts_and_p(people):
    table = table_one(people, "group", columns=["sex"])
    assert list(table.frame.columns) == [
        "variable", "level", "chronic (n = 55)", "recovered (n = 73)", "overall (n = 128)",
        "missing", "statistic", "p_value", "smd", "test",
    ]  # fmt: skip
    first = row(table, "sex", "F")
    assert first["chronic (n = 55)"] == "27 (49.1%)"
    assert first["recovered (n = 73)"] == "30 (41.1%)"
    assert first["overall (n = 128)"] == "57 (44.5%)"
    assert (first["p_value"], first["test"]) == ("0.471", "chi-square, Yates")
    assert row(table, "sex", "M")["p_value"] == ""


def test_numbers_agree_with_the_functions_behind_them(people):
    table = table_one(people, "group", columns=["age", "sex"])
    chronic = people.loc[people["group"] == "chronic", "age"]
    recovered = people.loc[people["group"] == "recovered", "age"]
    text = row(table, "age")
    assert text["chronic (n = 55)"] == f"{chronic.mean():.1f} ± {chronic.std():.1f}"
    assert text["level"] == "mean ± SD"
    test = rank_sum(chronic, recovered)
    result = table.tests.loc["age"]
    assert (result["statistic"], result["p_value"]) == (test.w, test.p_value)
    assert result["smd"] == pytest.approx(abs(standardized_mean_difference(chronic, recovered)))
    assert table.tests.loc["sex", "p_value"] == chi_square([[27, 28], [30, 43]]).p_value
    raw = table.raw.query("variable == 'age' and group == 'recovered'").iloc[0]
    assert raw["mean"] == pytest.approx(recovered.mean())
    assert raw["sd"] == pytest.approx(recovered.std())
    assert raw[["q1", "median", "q3"]].tolist() == pytest.approx(
        recovered.quantile([0.25, 0.5, 0.75]).tolist()
    )
    assert (raw["n"], raw["missing"]) == (73, 0)


def test_missing_values_have_a_line_and_shares_are_of_the_known(people):
    people = people.assign(side=["left", "right", None, "left"] * 32)
    table = table_one(people, "group", columns=["pain", "side"])
    assert row(table, "pain", "missing")["overall (n = 128)"] == "8"
    assert row(table, "pain")["missing"] == 8
    assert row(table, "side", "missing")["overall (n = 128)"] == "32"
    assert row(table, "side", "left")["overall (n = 128)"] == "64 (66.7%)"
    share = table.raw.query("variable == 'side' and level == 'left' and group == 'overall'")
    assert share[["n", "missing", "count"]].iloc[0].tolist() == [96, 32, 64]
    assert share["share"].iloc[0] == pytest.approx(64 / 96)


def test_summary_by_skewness_and_kind(people):
    table = table_one(people, "group", columns=["age", "pain", "bni"], kinds={"bni": "ordinal"})
    levels = table.frame.groupby("variable")["level"].first()
    assert levels.to_dict() == {
        "age": "mean ± SD",
        "pain": "median [quartiles]",
        "bni": "median [quartiles]",
    }
    pain = people["pain"].dropna()
    assert abs(scipy_stats.skew(pain, bias=False)) > 1
    q1, median, q3 = pain.quantile([0.25, 0.5, 0.75])
    assert row(table, "pain")["overall (n = 128)"] == f"{median:.1f} [{q1:.1f}, {q3:.1f}]"
    forced = table_one(people, columns=["pain"], summary="mean", digits=2)
    assert row(forced, "pain")["overall (n = 128)"] == f"{pain.mean():.2f} ± {pain.std():.2f}"
    assert table_one(people, columns=["age"], summary="median").frame["level"].tolist() == [
        "median [quartiles]"
    ]


def test_flags_show_one_line(people):
    people = people.assign(yes=people["smoker"].astype(float))
    table = table_one(people, "group", columns=["smoker", "yes"])
    assert table.frame["level"].tolist() == ["yes", "yes"]
    expected = f"{people['smoker'].sum()} ({people['smoker'].mean():.1%})"
    assert table.frame["overall (n = 128)"].tolist() == [expected, expected]
    assert table.tests.loc["smoker", "p_value"] == table.tests.loc["yes", "p_value"]
    nullable = people.assign(smoker=people["smoker"].astype("boolean"))
    nullable.loc["s0", "smoker"] = pd.NA
    lines = table_one(nullable, "group", columns=["smoker"]).frame["level"].tolist()
    assert lines == ["yes", "missing"]


@pytest.mark.parametrize("case", ["exact", "ties", "large", "tiny"])
def test_more_groups_are_compared_as_kruskal_test_does(golden, golden_data, case):
    data = golden_data("groups").query("case == @case")
    table = table_one(data, "group", columns=["value"])
    result = table.tests.loc["value"]
    assert result["test"] == "Kruskal-Wallis (H)"
    assert result["statistic"] == pytest.approx(golden[f"kruskal.{case}.h"], rel=1e-10)
    assert result["p_value"] == pytest.approx(golden[f"kruskal.{case}.p"], rel=1e-10)
    parts = {name: part["value"] for name, part in data.groupby("group")}
    largest = max(
        abs(standardized_mean_difference(parts[a], parts[b]))
        for a, b in (("x", "y"), ("x", "z"), ("y", "z"))
    )
    assert result["smd"] == pytest.approx(largest)


def test_small_counts_use_fisher_or_say_so():
    two = pd.DataFrame({"g": ["a"] * 10 + ["b"] * 10, "flag": [1] + [0] * 9 + [1] * 7 + [0] * 3})
    table = table_one(two, "g")
    assert table.tests.loc["flag", "test"] == "Fisher exact"
    expected = chi_square([[1, 9], [7, 3]]).fisher_p
    assert table.tests.loc["flag", "p_value"] == pytest.approx(expected, rel=1e-12)
    assert row(table, "flag")["statistic"] == ""
    three = two.assign(flag=None, kind=["x", "y", "z", "x", "y"] * 4)
    table = table_one(three, "g", columns=["kind"])
    assert table.tests.loc["kind", "test"] == "chi-square"
    assert "kind: an expected count is below 5: p is doubtful." in table.notes


def test_what_cannot_be_tested_is_missing_with_its_reason(people):
    people = people.assign(empty=np.nan, same=3.5, site="A", half=people["age"])
    people.loc[people["group"] == "chronic", "half"] = np.nan
    people["word"] = np.where(people["group"] == "chronic", None, "x")
    columns = ["empty", "same", "site", "half", "word"]
    table = table_one(people, "group", columns=columns)
    assert table.tests["p_value"].isna().all()
    notes = table.tests["note"].to_dict()
    assert notes["empty"] == "not tested: fewer than 2 values in 'chronic', 'recovered'"
    assert notes["same"] == "not tested: all values are equal"
    assert notes["site"] == "not tested: everybody has the same value"
    assert notes["half"] == "not tested: fewer than 2 values in 'chronic'"
    assert notes["word"] == "not tested: no values in 'chronic'"
    assert set(table.notes) == {f"{name}: {note}." for name, note in notes.items()}
    assert row(table, "half")["chronic (n = 55)"] == "–"
    assert row(table, "empty", "missing")["overall (n = 128)"] == "128"
    assert "half: not tested" in str(table)
    quiet = table_one(people, "group", columns=columns, p_values=False)
    assert quiet.notes == ()
    assert "p_value" not in quiet.frame
    assert "smd" in quiet.frame


def test_groups_of_one_person_and_single_groups():
    one = pd.DataFrame({"g": ["a", "b", "b"], "age": [1.0, 2.0, 4.0], "sex": ["f", "m", "f"]})
    table = table_one(one, "g")
    assert row(table, "age")["a (n = 1)"] == "1.0 ± –"
    assert np.isnan(table.tests.loc["age", "p_value"])
    assert table.tests.loc["age", "note"] == "not tested: fewer than 2 values in 'a'"
    assert table.tests.loc["sex", "test"] == "Fisher exact"
    single = table_one(one.assign(g="a"), "g")
    assert "a (n = 3)" in single.frame
    assert single.tests["p_value"].isna().all()
    assert single.tests["note"].tolist() == ["not tested: fewer than two groups"] * 2
    empty = table_one(one.iloc[:0], "g", columns=["age"])
    assert list(empty.frame["overall (n = 0)"]) == ["–"]


def test_people_without_a_group_are_counted_in_the_notes(people):
    people = people.copy()
    people.loc[["s0", "s1", "s2"], "group"] = None
    table = table_one(people, "group", columns=["age"])
    assert "chronic (n = 52)" in table.frame
    assert "overall (n = 125)" in table.frame
    assert table.notes[0] == "3 without a value of 'group' left out."


def test_order_of_groups_and_levels(people):
    ordered = people.assign(
        group=pd.Categorical(people["group"], ["recovered", "chronic", "unknown"])
    )
    table = table_one(ordered, "group", columns=["sex", "age"], overall=False)
    assert list(table.frame.columns[2:5]) == [
        "recovered (n = 73)", "chronic (n = 55)", "unknown (n = 0)",
    ]  # fmt: skip
    assert "not tested" in table.tests.loc["age", "note"]
    two = people.assign(group=pd.Categorical(people["group"], ["recovered", "chronic"]))
    turned = table_one(two, "group", columns=["age"]).tests.loc["age", "statistic"]
    plain = table_one(people, "group", columns=["age"]).tests.loc["age", "statistic"]
    assert turned + plain == pytest.approx(55 * 73)
    graded = people.assign(sex=pd.Categorical(people["sex"], ["M", "F", "other"]))
    table = table_one(graded, "group", columns=["sex"])
    assert table.frame["level"].tolist() == ["M", "F", "other"]
    assert table.frame["overall (n = 128)"].iloc[2] == "0 (0.0%)"
    assert table.tests.loc["sex", "p_value"] == pytest.approx(0.471, abs=5e-4)


def test_text_and_dates_are_left_out_visibly(people):
    people = people.assign(
        remark=[f"remark {i}" for i in range(128)], injured=pd.Timestamp("2020-01-01")
    )
    table = table_one(people, "group", columns=["age", "remark", "injured", "sex"])
    assert table.frame["variable"].unique().tolist() == ["age", "sex"]
    assert table.notes == ("'remark' left out: text.", "'injured' left out: date.")
    forced = table_one(people, columns=["sex", "age"], kinds={"sex": "text"})
    assert forced.notes == ("'sex' left out: text.",)


def test_labels_and_units(people):
    table = table_one(people, columns=["age"], labels={"age": "Age"}, units={"age": "years"})
    assert table.frame["variable"].tolist() == ["Age, years"]
    assert list(table.frame.columns) == ["variable", "level", "overall (n = 128)", "missing"]


def test_output_formats(people):
    people = people.assign(**{"a|b <i>": people["age"]})
    table = table_one(people, "group", columns=["age", "sex", "a|b <i>"])
    read = pd.read_csv(io.StringIO(table.to_csv()), dtype=str, keep_default_na=False)
    assert read["chronic (n = 55)"].tolist() == table.frame["chronic (n = 55)"].tolist()
    lines = table.to_markdown().splitlines()
    assert len(lines) == 2 + len(table.frame)
    assert "a\\|b <i>" in lines[-1]
    html = table._repr_html_()
    assert "a|b &lt;i&gt;" in html
    assert "<i>" not in html
    assert repr(table) == str(table)
    assert "27 (49.1%)" in str(table)


def test_csv_file(people, tmp_path):
    path = tmp_path / "table.csv"
    table = table_one(people, columns=["age"])
    assert table.to_csv(path) is None
    assert path.read_text(encoding="utf-8") == table.to_csv()


@pytest.mark.parametrize(
    ("p", "text"),
    [(0.0349, "0.035"), (0.00099, "<0.001"), (0.001, "0.001"), (1.0, "1.000"), (np.nan, "")],
)
def test_p_is_written_as_journals_do(p, text):
    assert format_p(p) == text


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b", "c"]),
            st.one_of(st.none(), st.integers(-3, 3)),
            st.one_of(st.none(), st.sampled_from(["x", "y"])),
            st.one_of(st.none(), st.booleans()),
        ),
        min_size=1,
        max_size=15,
    )
)
def test_no_small_table_crashes_and_everybody_is_counted(rows):
    frame = pd.DataFrame(rows, columns=["g", "number", "word", "flag"])
    frame["number"] = frame["number"].astype(float)
    table = table_one(frame, "g")
    totals = table.raw.groupby(["variable", "level", "group"])[["n", "missing"]].sum().sum(axis=1)
    sizes = frame["g"].value_counts().to_dict() | {"overall": len(frame)}
    assert all(total == sizes[group] for (_, _, group), total in totals.items())
    untested = table.tests["p_value"].isna()
    assert (table.tests.loc[untested, "note"] != "").all(), "no p without a reason"
    assert (table.tests.loc[~untested, "test"] != "").all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "arm"}, "lacks the column 'arm'"),
        ({"columns": ["agee"]}, "lacks the columns 'agee'"),
        ({"kinds": {"agee": "number"}}, "lacks the columns 'agee'"),
        ({"kinds": {"age": "numeric"}}, "a kind is one of .* found 'numeric'"),
        ({"kinds": {"sex": "number"}}, "column 'sex': expected numbers, found 'F'"),
        ({"kinds": {"bni": "flag"}}, "column 'bni': a flag is true or false"),
        ({"summary": "mode"}, "summary is 'auto', 'mean' or 'median'"),
        ({"labels": {"age": "X", "pain": "X"}}, "two columns are labelled 'X'"),
    ],
)
def test_bad_arguments_are_refused(people, arguments, message):
    with pytest.raises(FormatError, match=message):
        table_one(people, **arguments)


def test_bad_tables_are_refused(people):
    twice = pd.concat([people[["age"]], people[["age"]]], axis=1)
    with pytest.raises(FormatError, match="two columns of the table have the same name"):
        table_one(twice)
    with pytest.raises(FormatError, match="group names must differ"):
        table_one(people.assign(group=["overall"] + ["b"] * 127), "group")
    with pytest.raises(FormatError, match="column 'age': 1 of 128 values are missing or infinite"):
        table_one(people.assign(age=[np.inf] + [1.5] * 127), columns=["age"])
