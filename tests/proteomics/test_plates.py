"""Layouts: everyone placed once, persons together, groups even, wells as promised."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import plot_plate_layout, randomize_plates


def cohort(sizes, groups=("TN", "MS", "control"), seed=0):
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(len(sizes)), sizes)
    group = rng.choice(groups, len(sizes))
    return pd.DataFrame(
        {"subject_id": [f"S{i}" for i in owner], "group": group[owner]},
        index=pd.Index([f"T{i}" for i in range(len(owner))], name="sample_id"),
    )


@settings(max_examples=30)
@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=120),
    st.sampled_from(["48", "96", "384"]),
    st.integers(0, 2**31),
)
def test_everyone_has_one_well_and_persons_share_a_plate(sizes, plate, seed):
    samples = cohort(sizes)
    table = randomize_plates(samples, plate=plate, balance=["group"], random_state=seed)
    real = table[table["sample_type"] == "SAMPLE"]
    assert sorted(real.index) == sorted(samples.index)
    pd.testing.assert_frame_equal(real.loc[samples.index, list(samples)], samples)
    assert not table.duplicated(["plate", "well"]).any()
    assert (real.groupby("subject_id")["plate"].nunique() == 1).all()
    assert (table["well"] == table["row"] + table["col"].astype(str)).all()
    per_plate = table.groupby("plate")["sample_type"].value_counts().unstack()
    assert (per_plate["PLATE_CONTROL"] == 3).all()
    rows, columns = {"48": (8, 6), "96": (8, 12), "384": (16, 24)}[plate]
    assert table["col"].between(1, columns).all()
    assert table["row"].isin([chr(65 + i) for i in range(rows)]).all()
    assert (per_plate.sum(axis=1) <= rows * columns).all()


@settings(max_examples=30)
@given(st.integers(2, 300), st.integers(0, 1000))
def test_single_samples_are_spread_evenly_in_every_group(n, seed):
    samples = cohort([1] * n, seed=seed)
    table = randomize_plates(samples, balance=["group"], random_state=seed)
    real = table[table["sample_type"] == "SAMPLE"]
    assert real["plate"].nunique() == -(-n // 88)
    counts = pd.crosstab(real["plate"], real["group"])
    assert (counts.max() - counts.min() <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_balance_beats_chance():
    samples = cohort([2] * 150, seed=5)
    samples["site"] = np.repeat(np.random.default_rng(1).choice(list("ABCD"), 150), 2)

    def imbalance(seed, balance):
        table = randomize_plates(samples, balance=balance, random_state=seed)
        real = table[table["sample_type"] == "SAMPLE"]
        found = [pd.crosstab(real["plate"], real[c]) for c in ("group", "site")]
        return sum(float((c.max() - c.min()).sum()) for c in found)

    even = [imbalance(seed, ["group", "site"]) for seed in range(5)]
    chance = [imbalance(seed, []) for seed in range(5)]
    assert max(even) < min(chance)


def test_the_same_seed_gives_the_same_layout_and_another_does_not():
    samples = cohort([2] * 60)
    one = randomize_plates(samples, random_state=1)
    pd.testing.assert_frame_equal(one, randomize_plates(samples, random_state=1))
    assert not one["well"].equals(randomize_plates(samples, random_state=2)["well"])


def test_wells_are_random_within_a_plate():
    """Each sample's row letter is uniform over seeds (chi-square, 7 degrees of freedom)."""
    samples = cohort([1] * 88)
    rows = [randomize_plates(samples, random_state=seed).loc["T0", "row"] for seed in range(120)]
    counts = pd.Series(rows).value_counts().reindex(list("ABCDEFGH"), fill_value=0)
    assert ((counts - 15) ** 2 / 15).sum() < 29.9  # p = 0.0001


def test_controls_take_the_last_wells():
    table = randomize_plates(cohort([1] * 88), random_state=0)
    assert table["plate"].eq("Plate 1").all()
    controls = table[table["sample_type"] != "SAMPLE"]
    assert controls["well"].tolist() == [f"{r}12" for r in "ABCDEFGH"]
    assert controls["sample_type"].value_counts().to_dict() == {
        "NEGATIVE_CONTROL": 3, "PLATE_CONTROL": 3, "CONTROL": 2,
    }  # fmt: skip
    assert len(randomize_plates(cohort([1] * 96), controls={}, random_state=0)) == 96
    own = randomize_plates(cohort([1] * 100), controls={"PLATE_CONTROL": 10}, random_state=0)
    assert own.groupby("plate").size().tolist() == [60, 60]
    assert randomize_plates(cohort([1] * 89), random_state=0)["plate"].nunique() == 2


@pytest.mark.parametrize(
    ("product", "wells", "room"),
    [("Target 48", 48, 40), ("Target 96", 96, 88), ("Flex", 96, 88), ("Explore 384", 96, 88),
     ("Explore 3072", 96, 88), ("Explore HT", 96, 86), ("Reveal", 96, 86)],
)  # fmt: skip
def test_plates_of_a_product(product, wells, room):
    table = randomize_plates(cohort([1] * room), product=product, random_state=0)
    assert len(table) == wells
    assert set(table["plate"]) == {"Plate 1"}
    assert (table["sample_type"] == "SAMPLE").sum() == room
    assert set(table["sample_type"]) == {
        "SAMPLE", "CONTROL", "NEGATIVE_CONTROL", "PLATE_CONTROL",
    }  # fmt: skip
    more = randomize_plates(cohort([1] * (room + 1)), product=product, random_state=0)
    assert more["plate"].nunique() == 2
    # What is said comes before the preset.
    own = randomize_plates(cohort([1] * 48), product=product, plate=48, controls={})
    assert len(own) == 48


def test_unknown_product():
    with pytest.raises(FormatError, match=r"'Explore HT'.*found 'Explore9000'.*give plate="):
        randomize_plates(cohort([1]), product="Explore9000")


def test_samples_without_persons():
    samples = cohort([1] * 30).drop(columns="subject_id")
    with pytest.raises(FormatError, match=r"'subject_id'.*keep_together=None"):
        randomize_plates(samples)
    assert len(randomize_plates(samples, keep_together=None, controls={})) == 30


def test_wrong_input():
    samples = cohort([2] * 20)
    for changes, message in (
        ({"plate": "97"}, "wells, found '97'"),
        ({"balance": "group"}, "expected a list of columns"),
        ({"balance": ["sex"]}, "expected the columns 'sex'"),
        ({"controls": {"CONTROL": 96}}, "leave 0 for samples"),
        ({"plate": 48, "n_plates": 0}, "don't fit on 0 plates"),
    ):
        with pytest.raises(FormatError, match=message):
            randomize_plates(samples, **changes)
    with pytest.raises(FormatError, match="'S0' has 90 samples, a plate has room for 88"):
        randomize_plates(cohort([90, 1]))
    with pytest.raises(FormatError, match="don't fit on 1 plates of 88"):
        randomize_plates(cohort([1] * 100), n_plates=1)
    twice = pd.concat([samples, samples])
    with pytest.raises(AlignmentError, match="there twice"):
        randomize_plates(twice)
    samples.loc["T3", "subject_id"] = None
    with pytest.raises(FormatError, match="1 samples have no subject_id"):
        randomize_plates(samples)


# --- drawing -------------------------------------------------------------------------------


def drawn(axis):
    """Points that stand for samples, without the empty wells."""
    return np.concatenate([c.get_offsets() for c in axis.collections[1:]])


def test_each_well_is_drawn_where_it_lies():
    table = randomize_plates(cohort([1] * 100), balance=["group"], random_state=0)
    axes = plot_plate_layout(table, "group")
    assert [a.get_title(loc="left") for a in axes] == ["Plate 1", "Plate 2"]
    for axis, (_, own) in zip(axes, table.groupby("plate"), strict=True):
        expected = {(c - 1, ord(r) - 65) for r, c in zip(own["row"], own["col"], strict=True)}
        assert {tuple(p) for p in drawn(axis).astype(int)} == expected
        assert len(axis.collections[0].get_offsets()) == 96
        # The first row of a plate is on top.
        assert axis.get_ylim()[0] > axis.get_ylim()[1]
    legend = axes[0].figure.legends[0]
    assert {t.get_text() for t in legend.get_texts()} == {"TN", "MS", "control", "not said"}


def test_no_sample_is_named():
    table = randomize_plates(cohort([1] * 10), random_state=0)
    axis = plot_plate_layout(table)[0]
    texts = {t.get_text() for t in axis.figure.findobj(lambda a: hasattr(a, "get_text"))}
    assert not texts & {*table.index, *table["subject_id"].dropna()}


def test_axes_that_are_given():
    table = randomize_plates(cohort([1] * 100), random_state=0)
    figure = Figure()
    given_axes = figure.subplots(1, 2)
    assert plot_plate_layout(table, ax=given_axes)[1] is given_axes[1]
    with pytest.raises(FormatError, match="expected 2 axes"):
        plot_plate_layout(table, ax=figure.add_subplot())


def test_many_values_have_colours_that_differ():
    table = randomize_plates(cohort([1] * 30), controls={}, random_state=0)
    table["age"] = np.arange(30)
    axis = plot_plate_layout(table, "age")[0]
    colours = {tuple(c.get_facecolor()[0]) for c in axis.collections[1:]}
    assert len(colours) == 30
    assert len(axis.figure.legends[0].get_texts()) == 10


def test_wrong_tables():
    table = randomize_plates(cohort([1] * 30), random_state=0)
    with pytest.raises(FormatError, match="'colour'"):
        plot_plate_layout(table, "colour")
    with pytest.raises(FormatError, match="such as 'A1', found '1A'"):
        plot_plate_layout(table.assign(well=["1A", *table["well"][1:]]))
    with pytest.raises(AlignmentError, match="2 wells are taken twice: 'A1'"):
        plot_plate_layout(table.assign(well=["A1", "A1", "A1", *table["well"][3:]]))
