"""Roll-up: MaxLFQ against its definition, and what must hold for every method."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import precisionpain as pp
from precisionpain.errors import AlignmentError, FormatError
from precisionpain.proteomics import direct_lfq, max_lfq, roll_up
from precisionpain.proteomics._lfq.summaries import median_polish

GOLDEN = Path(__file__).parent / "golden" / "rollup"


def by_definition(values, min_shared=1):
    """MaxLFQ pair by pair, with a general least-squares solver; a profile for each set."""
    n = len(values)
    equations, edges = [], {i: set() for i in range(n)}
    for i, j in itertools.combinations(range(n), 2):
        gaps = [
            b - a
            for a, b in zip(values[i], values[j], strict=True)
            if not (np.isnan(a) or np.isnan(b))
        ]
        if len(gaps) >= min_shared:
            equations.append((i, j, float(np.median(gaps))))
            edges[i].add(j)
            edges[j].add(i)
    profile = np.full(n, np.nan)
    sets, seen = [], set()
    for start in range(n):
        if start in seen or np.isnan(values[start]).all():
            continue
        reached, todo = set(), [start]
        while todo:
            one = todo.pop()
            if one not in reached:
                reached.add(one)
                todo.extend(edges[one])
        seen |= reached
        members = sorted(reached)
        sets.append(members)
        inside = [e for e in equations if e[0] in reached]
        matrix = np.zeros((len(inside) + 1, len(members)))
        right = np.zeros(len(inside) + 1)
        for row, (i, j, gap) in enumerate(inside):
            matrix[row, members.index(j)], matrix[row, members.index(i)] = 1, -1
            right[row] = gap
        # One more equation fixes the mean, which the differences leave open.
        matrix[-1], right[-1] = 1 / len(members), np.nanmean(values[members])
        profile[members] = np.linalg.lstsq(matrix, right, rcond=None)[0]
    return profile, sets


def some_ions(seed, n=12, m=8, missing=0.4):
    rng = np.random.default_rng(seed)
    values = rng.normal(24, 2, m) + rng.normal(0, 1, (n, 1)) + rng.normal(0, 0.3, (n, m))
    values[rng.random((n, m)) < missing] = np.nan
    return values


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("seed", range(10))
def test_max_lfq_is_its_definition(seed, missing):
    values = some_ions(seed, missing=missing)
    expected, _ = by_definition(values)
    np.testing.assert_allclose(max_lfq(values, components="all"), expected, atol=1e-8, rtol=0)


@pytest.mark.parametrize("seed", range(10))
def test_max_lfq_with_two_shared_ions(seed):
    values = some_ions(seed, missing=0.6)
    expected, sets = by_definition(values, min_shared=2)
    for members in sets:
        if len(members) == 1:
            expected[members] = np.nan
    found = max_lfq(values, min_shared=2, components="all")
    np.testing.assert_allclose(found, expected, atol=1e-8, rtol=0)


def test_many_pairs_go_in_pieces(monkeypatch):
    values = some_ions(3, n=30, m=6)
    whole = max_lfq(values)
    monkeypatch.setattr("precisionpain.proteomics._lfq.summaries._CHUNK", 20)
    np.testing.assert_array_equal(max_lfq(values), whole)


def test_sets_that_share_no_ion_are_not_compared():
    # Samples 0–2 have ions 0 and 1, samples 3 and 4 ion 2, sample 5 nothing.
    values = np.full((6, 3), np.nan)
    values[:3, :2] = [[20, 22], [21, 23], [22, 24]]
    values[3:5, 2] = [10, 12]
    everything = max_lfq(values, components="all")
    np.testing.assert_allclose(everything, [21, 22, 23, 10, 12, np.nan])
    np.testing.assert_allclose(max_lfq(values), [21, 22, 23, np.nan, np.nan, np.nan])
    # A shift of one set leaves the other as it is.
    values[3:5] += 7
    np.testing.assert_allclose(max_lfq(values, components="all")[:3], everything[:3])


def test_a_missing_ion_does_not_lower_the_sample():
    ions = np.array([20.0, 25.0, 30.0])
    people = np.array([0.0, 1.0, -1.0, 2.0])
    values = people[:, None] + ions
    values[1, 2] = values[3, 1] = values[2, 0] = np.nan
    profile = max_lfq(values)
    np.testing.assert_allclose(profile - profile[0], people, atol=1e-12)
    # The sum, which is what it stands against, is lowered by more than 4 on the log2 scale.
    assert np.log2(np.nansum(2 ** values[1])) - np.log2(np.nansum(2 ** values[0])) < -3


@given(seed=st.integers(0, 10_000), missing=st.sampled_from([0.0, 0.3, 0.6]))
@settings(max_examples=60)
def test_max_lfq_properties(seed, missing):
    values = some_ions(seed, n=7, m=5, missing=missing)
    rng = np.random.default_rng(seed)
    profile = max_lfq(values)
    rows, columns = rng.permutation(7), rng.permutation(5)
    # Which of two equal sets is kept depends on the order of samples, their profiles don't.
    every = max_lfq(values, components="all")
    again = max_lfq(values[rows][:, columns], components="all")
    np.testing.assert_allclose(again, every[rows], atol=1e-9)
    # A person's shift comes out; an ion's own level doesn't matter for differences.
    shift = rng.normal(size=7)
    gap = max_lfq(values + shift[:, None]) - profile - shift
    np.testing.assert_allclose(gap, np.where(np.isnan(gap), np.nan, np.nanmean(gap)), atol=1e-9)
    raised = max_lfq(values + rng.normal(0, 3, 5))
    np.testing.assert_allclose(
        raised - np.nanmean(raised), profile - np.nanmean(profile), atol=1e-9
    )
    # Nothing appears where nothing was measured.
    assert np.isnan(profile[np.isnan(values).all(axis=1)]).all()


def test_shift_of_samples_comes_out_exactly_without_missing():
    values, shift = some_ions(1, missing=0), np.linspace(-3, 3, 12)
    np.testing.assert_allclose(
        max_lfq(values + shift[:, None]), max_lfq(values) + shift, atol=1e-10
    )


@pytest.mark.parametrize("name", ["full", "holes"])
def test_median_polish_is_that_of_r(name):
    ions = pd.read_csv(GOLDEN / f"{name}.csv")
    expected = pd.read_csv(GOLDEN / "expected.csv").to_numpy()[["full", "holes"].index(name)]
    found = median_polish(ions.T.to_numpy(float))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def long_table(n=6, seed=0):
    """Three proteins of 1, 3 and 5 ions."""
    rng = np.random.default_rng(seed)
    rows = []
    for protein, k in (("P1", 1), ("P2;P3", 3), ("P4", 5)):
        level = rng.normal(24, 1, k)
        for i in range(n):
            for j in range(k):
                value = 0.0 if rng.random() < 0.2 else 2 ** (level[j] + rng.normal())
                rows.append((f"S{i}", protein, f"{protein}-{j}", value, f"gene of {protein}"))
    return pd.DataFrame(rows, columns=["sample_id", "protein_group", "ion", "intensity", "gene"])


def wide_of(table, protein):
    part = table[table["protein_group"] == protein].assign(
        x=lambda t: np.log2(t["intensity"].where(t["intensity"] > 0))
    )
    return part.pivot(index="sample_id", columns="ion", values="x")


@pytest.mark.parametrize("method", ["maxlfq", "sum", "median_polish"])
def test_roll_up_follows_identifiers(method):
    table = long_table()
    adata = roll_up(table, method=method)
    shuffled = roll_up(table.sample(frac=1, random_state=3), method=method)
    assert list(adata.var_names) == ["P1", "P2;P3", "P4"]
    pd.testing.assert_frame_equal(adata.to_df(), shuffled.to_df())
    for protein in adata.var_names:
        wide = wide_of(table, protein)
        expected = {
            "maxlfq": lambda w: by_definition(w.to_numpy())[0],
            "sum": lambda w: np.log2((2**w).sum(axis=1).replace(0, np.nan)).to_numpy(),
            "median_polish": lambda w: median_polish(w.to_numpy()),
        }[method](wide)
        found = adata[wide.index, protein].X[:, 0]
        np.testing.assert_allclose(found, expected, atol=1e-8)
    np.testing.assert_allclose(adata.layers["intensity"], 2**adata.X)
    assert list(adata.var["n_ions"]) == [1, 3, 5]
    assert list(adata.var["uniprot"]) == ["P1", "P2", "P4"]
    assert list(adata.var["gene"]) == ["gene of P1", "gene of P2;P3", "gene of P4"]


def test_roll_up_of_ions_as_anndata_keeps_people():
    ions = pp.proteomics.read_matrix(
        long_table().pivot(index=["protein_group", "ion"], columns="sample_id", values="intensity")
        .reset_index(),
        log2=False, columns="S.", protein="protein_group", ion="ion",
        samples=pd.DataFrame({"sample_id": [f"S{i}" for i in range(6)],
                              "subject_id": [f"p{i // 2}" for i in range(6)],
                              "visit": ["preop", "followup"] * 3}),
    )  # fmt: skip
    adata = roll_up(ions)
    np.testing.assert_allclose(adata.X, roll_up(long_table()).X)
    assert list(adata.obs["subject_id"]) == ["p0", "p0", "p1", "p1", "p2", "p2"]
    assert adata.uns["precisionpain"]["level"] == "protein"
    assert adata.uns["precisionpain"]["roll_up"] == "maxlfq"


def test_values_left_out_are_counted():
    table = pd.DataFrame(
        {
            "sample_id": ["A", "B", "C"], "protein_group": "P1",
            "ion": ["x", "x", "y"], "intensity": [1024.0, 2048.0, 4096.0],
        }
    )  # fmt: skip
    adata = roll_up(table)
    assert adata.uns["precisionpain"]["unconnected"] == 1
    np.testing.assert_allclose(adata.X[:, 0], [10, 11, np.nan])
    np.testing.assert_allclose(roll_up(table, components="all").X[:, 0], [10, 11, 12])


@pytest.mark.slow  # the package compiles at its first call
def test_direct_lfq_finds_the_differences():
    pytest.importorskip("directlfq")
    people = np.array([0.0, 1.0, -1.0, 2.0])
    rng = np.random.default_rng(0)
    rows = [
        (f"S{i}", f"P{p}", f"P{p}-{j}", 2 ** (20 + people[i] + level + rng.normal(0, 0.05)))
        for p in range(5)
        for j, level in enumerate(rng.normal(0, 2, 6))
        for i in range(4)
    ]
    table = pd.DataFrame(rows, columns=["sample_id", "protein_group", "ion", "intensity"])
    table = table.drop(index=table.sample(frac=0.2, random_state=1).index)
    adata = direct_lfq(table)
    gaps = adata.X - adata.X[:1]
    assert np.abs(gaps - people[:, None]).max() < 0.25
    np.testing.assert_allclose(roll_up(table, method="directlfq").X, adata.X)
    # Normalisation takes away what all proteins have in common.
    normalized = direct_lfq(table, normalize=True)
    assert np.abs(normalized.X - normalized.X[:1]).max() < 0.25


def test_direct_lfq_says_which_extra_it_needs(monkeypatch):
    monkeypatch.setitem(sys.modules, "directlfq.config", None)
    with pytest.raises(FormatError, match=r"precisionpain\[lfq\]"):
        direct_lfq(long_table())


def test_errors():
    table = long_table()
    with pytest.raises(AlignmentError, match="repeat a sample and ion"):
        roll_up(pd.concat([table, table[table["intensity"] > 0].head(1)]))
    shared = table.assign(ion=table["ion"].replace("P4-0", "P1-0"))
    shared = shared.drop_duplicates(["sample_id", "ion"])
    shared.loc[(shared["ion"] == "P1-0") & (shared["sample_id"] == "S3"), "protein_group"] = "P4"
    with pytest.raises(AlignmentError, match="several proteins"):
        roll_up(shared)
    with pytest.raises(FormatError, match="'intensity'"):
        roll_up(table.drop(columns="intensity"))
    with pytest.raises(FormatError, match="look like logarithms"):
        roll_up(table.assign(intensity=20.0))
    with pytest.raises(FormatError, match="0 and above"):
        roll_up(table.assign(intensity=-table["intensity"]))
    with pytest.raises(FormatError, match="'top3'"):
        roll_up(table, method="top3")
    with pytest.raises(FormatError, match="min_shared"):
        max_lfq(np.ones((2, 2)), min_shared=0)
    with pytest.raises(FormatError, match="two dimensions"):
        max_lfq(np.ones(3))
    with pytest.raises(FormatError, match="log2 scale"):
        max_lfq(np.full((2, 2), 1e6))
    with pytest.raises(FormatError, match="components"):
        max_lfq(np.ones((2, 2)), components="both")
    with pytest.raises(FormatError, match="level='ion'"):
        roll_up(roll_up(table))
