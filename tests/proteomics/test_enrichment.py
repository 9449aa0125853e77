"""Gene sets: enumerated chance, the assayed universe, files, and the optional package."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from precisionpain.errors import AlignmentError, DataWarning, FormatError, MissingModalityError
from precisionpain.proteomics import enrich, enrich_ranking, read_gmt

UNIVERSE = [f"G{i}" for i in range(9)]


def test_chance_is_enumerated():
    row = enrich(UNIVERSE[:4], {"S": UNIVERSE[1:6]}, universe=UNIVERSE).loc["S"]
    draws = [len(set(draw) & set(UNIVERSE[1:6])) for draw in itertools.combinations(UNIVERSE, 4)]
    assert row["n_shared"] == 3
    assert row["p_value"] == pytest.approx(np.mean([k >= 3 for k in draws]))
    assert row["expected"] == pytest.approx(np.mean(draws))
    assert row["genes"] == ["G1", "G2", "G3"]


def test_only_assayed_genes_count():
    sets = {"big": [*UNIVERSE[:3], *(f"X{i}" for i in range(1000))], "small": UNIVERSE[:2]}
    table = enrich(UNIVERSE[:3], sets, universe=UNIVERSE)
    assert table.index.tolist() == ["big"]
    assert table.loc["big", ["n_universe", "n_set"]].tolist() == [9, 3]
    assert table.attrs == {"n_sets": 2, "n_tested": 1}


def test_a_panel_full_of_a_set_isn_t_enriched_for_it():
    table = enrich(UNIVERSE[:4], {"panel": UNIVERSE}, universe=UNIVERSE)
    assert table.loc["panel", "p_value"] == 1
    assert table.loc["panel", "ratio"] == 1


def test_a_result_tells_hits_and_universe():
    result = pd.DataFrame(
        {"gene": ["a", "B", "C;D", "E", None, "A"], "q_value": [0.01, 0.5, 0.02, np.nan, 0.01, 0.9]}
    )
    table = enrich(result, {"S": ["A", "C", "Z"]}, min_size=1)
    # E wasn't testable, one has no gene, C;D is C, and A counts once.
    assert table.loc["S", ["n_universe", "n_hits", "n_set", "n_shared"]].tolist() == [3, 2, 2, 2]


def test_false_discoveries_are_controlled():
    rng = np.random.default_rng(0)
    genes = np.array([f"G{i}" for i in range(400)])
    sets = {f"S{i}": rng.choice(genes, 25, replace=False) for i in range(30)}
    found = [
        (enrich(rng.choice(genes, 60, replace=False), sets, universe=genes)["q_value"] < 0.05).any()
        for _ in range(60)
    ]
    # At most 5%; 9 or more of 60 would have a probability of 0.3%.
    assert sum(found) < 9
    table = enrich(genes[:60], sets, universe=genes)
    np.testing.assert_allclose(table["q_value"], stats.false_discovery_control(table["p_value"]))


def test_gmt(tmp_path):
    path = tmp_path / "x.gmt"
    path.write_text("\ufeffS1\thttp://x\tNefl\tTBCB\tNEFL\t\n\nS2\t\tA\n", encoding="utf-8")
    assert read_gmt(path) == {"S1": ["NEFL", "TBCB"], "S2": ["A"]}
    assert enrich(["NEFL"], path, universe=["NEFL", "TBCB", "Q"], min_size=2).index[0] == "S1"
    for text, message in (("S1 A B\n", "separated by tabs"), ("S\t\tA\nS\t\tB\n", "twice")):
        path.write_text(text)
        with pytest.raises(FormatError, match=message) as caught:
            read_gmt(path)
        assert "line" in str(caught.value)


def test_bad_hits():
    with pytest.raises(FormatError, match="universe"):
        enrich(["A"], {})
    with pytest.raises(AlignmentError, match="'Z'"):
        enrich(["Z"], {}, universe=["A"])
    with pytest.raises(FormatError, match="'q_value'"):
        enrich(pd.DataFrame({"gene": ["A"]}), {})
    assert enrich(["A"], {}, universe=["A"]).empty


def test_without_the_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gseapy", None)
    with pytest.raises(MissingModalityError, match=r"precisionpain\[enrichment\]"):
        enrich_ranking(pd.Series([1.0], ["A"]), {"S": ["A"]})


def test_a_set_at_the_top_is_found():
    pytest.importorskip("gseapy")
    rng = np.random.default_rng(1)
    t = pd.Series(np.sort(rng.normal(size=300))[::-1], [f"G{i}" for i in range(300)])
    sets = {"top": [f"G{i}" for i in range(20)], "bottom": [f"G{i}" for i in range(280, 300)],
            "any": [f"G{i}" for i in range(5, 300, 15)]}  # fmt: skip
    table = enrich_ranking(t.sample(frac=1, random_state=0), sets)
    assert table.loc["top", "nes"] > 1.5
    assert table.loc["bottom", "nes"] < -1.5
    assert table.loc["any", "p_value"] > 0.05
    with pytest.warns(DataWarning, match="1 further assays"):
        again = enrich_ranking(pd.concat([t, pd.Series([0.0], ["G0"])]), sets)
    assert again.loc["top", "es"] == pytest.approx(table.loc["top", "es"])
    with pytest.raises(FormatError, match="no set has"):
        enrich_ranking(t, {"S": ["Q1", "Q2"]})
