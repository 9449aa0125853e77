"""What the figures of proteins show, read from their artists."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from scipy import stats
from scipy.cluster.hierarchy import leaves_list, linkage

from precisionpain.datasets import sample_tn
from precisionpain.errors import AlignmentError, DataWarning, FormatError
from precisionpain.proteomics import figures
from precisionpain.proteomics._figures.look import place_labels
from precisionpain.proteomics._layout import make_adata
from precisionpain.proteomics.figures import (
    plot_abundance,
    plot_bridge,
    plot_bridgeability,
    plot_distribution,
    plot_heatmap,
    plot_lod,
    plot_missing,
    plot_panel_forest,
    plot_panel_radar,
    plot_pca,
    plot_sample_qc,
    plot_umap,
    plot_volcano,
)

PANELS = ("Inflammation", "Neurology")


def _assay(n=20, k=30, *, seed=0, missing=0.0, controls=2, kind="npx", offset=0.0):
    """Two visits of n/2 people, then control samples whose values are far away."""
    rng = np.random.default_rng(seed)
    x = offset + rng.normal(3, 1.5, k) + rng.normal(0, 1, (n, k))
    x[rng.uniform(size=x.shape) < missing] = np.nan
    x = np.vstack([x, np.full((controls, k), 40.0)])
    total = n + controls
    obs = pd.DataFrame({
        "subject_id": [f"S{i // 2:02d}" if i < n else None for i in range(total)],
        "visit": ["preop" if i % 2 == 0 else "followup" for i in range(total)],
        "specimen": "CSF",
        "plate": [f"plate{1 + i % 3}" for i in range(total)],
        "sample_type": ["SAMPLE"] * n + ["CONTROL"] * controls,
        "group": ["TN" if (i // 2) % 2 else "control" for i in range(total)],
        "age": np.linspace(40, 80, total),
    }, index=[f"person-{i}" for i in range(total)])  # fmt: skip
    var = pd.DataFrame({
        "gene": [f"GENE{j}" for j in range(k)], "uniprot": [f"P{j:05d}" for j in range(k)],
        "panel": [PANELS[j % 2] for j in range(k)],
    }, index=[f"OID{j:05d}" for j in range(k)])  # fmt: skip
    layers = {"lod": np.broadcast_to(np.linspace(0, 6, k), x.shape)} if kind == "npx" else {}
    return make_adata(x, obs, var, layers=layers, kind=kind)


def _results(k=200, untested=5, seed=1, strong=20):
    rng = np.random.default_rng(seed)
    se = rng.uniform(0.2, 0.4, k)
    effect = np.where(np.arange(k) < strong, rng.normal(0, 2, k), 0) + rng.normal(0, se)
    p = 2 * stats.norm.sf(np.abs(effect / se))
    table = pd.DataFrame({
        "log_fc": effect, "ci_low": effect - 2 * se, "ci_high": effect + 2 * se,
        "p_value": p, "q_value": stats.false_discovery_control(p), "testable": True,
        "below_lod": np.where(np.arange(k) % 10 == 0, 0.8, 0.1),
        "gene": [f"GENE{j}" for j in range(k)], "uniprot": [f"P{j:05d}" for j in range(k)],
    }, index=[f"OID{j:05d}" for j in range(k)])  # fmt: skip
    numbers = ["log_fc", "ci_low", "ci_high", "p_value", "q_value"]
    table.iloc[k - untested :, [table.columns.get_loc(c) for c in numbers]] = np.nan
    table.iloc[k - untested :, table.columns.get_loc("testable")] = False
    return table


def _scores(n=12, seed=2):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"subject_id": [f"S{i}" for i in range(n)], "control": np.arange(n) < 5},
        index=[f"person-{i}" for i in range(n)],
    )
    for axis in ("inflammatory", "stress", "axonal", "glial_wnt", "overall"):
        table[axis] = rng.normal(0, 1, n)
        table[f"{axis}_low"], table[f"{axis}_high"] = -2.5, 2.5
    table.attrs = {"panel": "trigeminal", "confidence": 0.95}
    return table


def _points(ax: Axes, gid: str) -> np.ndarray:
    """Return the points of the scatters with a name, shape (n, 2)."""
    found = [c for c in ax.collections if isinstance(c, PathCollection) and c.get_gid() == gid]
    return np.vstack([np.asarray(c.get_offsets()) for c in found]) if found else np.empty((0, 2))


def _segments(ax: Axes, gid: str) -> np.ndarray:
    (found,) = (c for c in ax.collections if c.get_gid() == gid)
    return np.array([path.vertices for path in found.get_paths()])


def _caption(ax: Axes) -> str:
    return next(t.get_text() for t in ax.texts if t.get_gid() == "caption").replace("\n", " ")


def _labels(ax: Axes) -> list[str]:
    return [t.get_text() for t in ax.texts if t.get_gid() == "label"]


def _words(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def _everything(ax: Axes) -> str:
    """Return all that is written in a figure."""
    from matplotlib.text import Text

    return " ".join(t.get_text() for t in ax.figure.findobj(Text))


# -- volcano and forest --------------------------------------------------------------------------


def test_volcano_draws_each_tested_assay_once_and_counts_the_others():
    table = _results()
    ax = plot_volcano(table, alpha=0.01, min_log_fc=0.8)
    drawn = {name: _points(ax, name) for name in ("no", "up", "down")}
    known = table[table["testable"]]
    found = (known["q_value"] <= 0.01) & (known["log_fc"].abs() >= 0.8)
    expected = {"up": known[found & (known["log_fc"] > 0)],
                "down": known[found & (known["log_fc"] < 0)], "no": known[~found]}  # fmt: skip
    for name, part in expected.items():
        assert len(part)
        want = np.column_stack([part["log_fc"], -np.log10(part["p_value"])])
        np.testing.assert_allclose(
            drawn[name][np.argsort(drawn[name][:, 0])], want[np.argsort(want[:, 0])]
        )
    assert f"195 assays tested: {len(expected['up'])} up, {len(expected['down'])} down" in (
        _caption(ax)
    )
    assert "5 not testable, not drawn" in _caption(ax)


def test_volcano_threshold_tells_apart_what_passes_and_what_does_not():
    table = _results()
    ax = plot_volcano(table)
    (line,) = (line for line in ax.get_lines() if line.get_gid() == "threshold")
    passed = table["q_value"] <= 0.05
    height = -np.log10(table["p_value"])
    assert height[~passed].max() < line.get_ydata()[0] < height[passed].min()
    none = plot_volcano(table.assign(q_value=1.0))
    assert "0 up, 0 down" in _caption(none)
    assert not [line for line in none.get_lines() if line.get_gid() == "threshold"]


def test_volcano_marks_p_of_zero_and_hardly_detected_assays():
    table = _results()
    table.iloc[0, table.columns.get_loc("p_value")] = 0.0
    table.iloc[0, table.columns.get_loc("q_value")] = 0.0
    ax = plot_volcano(table)
    assert "triangle: p = 0 (1)" in _caption(ax)
    assert "below LOD in more than half (20)" in _caption(ax)
    top = np.vstack([_points(ax, name) for name in ("up", "down")])[:, 1].max()
    assert np.isfinite(top)
    assert top < ax.get_ylim()[1]
    white = sum(
        (c.get_facecolors()[:, :3] == 1).all(axis=1).sum()
        for c in ax.collections if isinstance(c, PathCollection)
    )  # fmt: skip
    assert white == 20
    flagged = plot_volcano(table.assign(below_lod=table["below_lod"] > 0.5))
    assert "below LOD in more than half (20)" in _caption(flagged)


def test_volcano_names_the_strongest_or_those_asked_for():
    table = _results()
    strongest = table.sort_values("p_value").head(4)["gene"]
    assert _labels(plot_volcano(table, labels=4)) == list(strongest)
    assert _labels(plot_volcano(table, labels=0)) == []
    assert _labels(plot_volcano(table, labels=["OID00050", "GENE7", "P00003"])) == [
        "GENE50", "GENE7", "GENE3",
    ]  # fmt: skip
    with pytest.raises(FormatError, match="no id, gene or accession"):
        plot_volcano(table, labels=["GENE199"])  # there, but not testable
    twice = table.assign(gene="IL6")
    assert _labels(plot_volcano(twice, labels=["OID00001", "OID00002"])) == [
        "IL6 (OID00001)", "IL6 (OID00002)",
    ]  # fmt: skip
    with pytest.raises(FormatError, match="expected one assay of 'IL6'"):
        plot_volcano(twice, labels=["IL6"])


def test_volcano_of_5000_is_rasterised_and_its_labels_keep_apart():
    ax = plot_volcano(_results(5000, 12, seed=5, strong=600), labels=15)
    assert all(c.get_rasterized() for c in ax.collections)
    figure = ax.figure
    figure.draw_without_rendering()
    boxes = [t for t in ax.texts if t.get_gid() == "label"]
    assert len(boxes) == 15
    from matplotlib.text import Text

    extents = [Text.get_window_extent(t) for t in boxes]  # without the line
    frame = ax.get_window_extent()
    for i, a in enumerate(extents):
        assert a.x0 >= frame.x0
        assert a.x1 <= frame.x1
        assert a.y1 <= frame.y1
        assert not any(a.overlaps(b) for b in extents[:i])


@pytest.mark.parametrize(("table", "says"), [
    ({"log_fc": [1.0]}, "expected the table of `differential`"),
    (pd.DataFrame({"log_fc": [1.0]}), "expected the column 'p_value' and|expected the column"),
    (pd.concat([_results(3, 0), _results(3, 0)]), "one row per assay"),
    (_results(3, 0).assign(p_value="small"), "found text in 'p_value'"),
    (_results(3, 0).assign(p_value=3.0), "from 0 to 1"),
    (_results(3, 3), "found none among 3"),
])  # fmt: skip
def test_volcano_refuses_other_tables(table, says):
    with pytest.raises(FormatError, match=says):
        plot_volcano(table)


def test_forest_keeps_a_row_for_what_was_asked():
    table = _results(50, 5)
    ax = plot_panel_forest(table, ["GENE3", "NOPE", "GENE49", "P00001", "OID00002"])
    names = [tick.get_text() for tick in ax.get_yticklabels()]
    want = table.loc[["OID00003", "OID00001", "OID00002"]].sort_values("log_fc", ascending=False)
    assert names == [*want["gene"], *[n for n in names if n in ("NOPE", "GENE49")]]
    assert set(names[3:]) == {"NOPE", "GENE49"}
    effects = [line for line in ax.get_lines() if line.get_gid() == "effect"]
    np.testing.assert_allclose([e.get_xdata()[0] for e in effects], want["log_fc"])
    intervals = [line.get_xdata() for line in ax.get_lines() if line.get_gid() == "interval"]
    np.testing.assert_allclose(intervals, want[["ci_low", "ci_high"]])
    said = [t.get_text() for t in ax.texts if t.get_gid() == "row"]
    assert dict(zip(names, said, strict=True))["NOPE"] == "not measured"
    assert dict(zip(names, said, strict=True))["GENE49"] == "not testable"
    assert "1 not measured · 1 not testable" in _caption(ax)


def test_forest_order_limits_and_level():
    table = _results(70, 0)
    asked = ["GENE5", "GENE1", "GENE9"]
    ax = plot_panel_forest(table, asked, sort=False)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == asked
    table.attrs = {"confidence": 0.9, "contrast": "group[TN] - group[control]"}
    ax = plot_panel_forest(table, asked)
    assert ax.get_xlabel() == "Difference, log2 (90% CI): group[TN] - group[control]"
    with pytest.raises(FormatError, match="1 to 60 proteins, found 70"):
        plot_panel_forest(table)
    with pytest.raises(FormatError, match="1 to 60 proteins, found 0"):
        plot_panel_forest(table, [])
    with pytest.raises(FormatError, match="'ci_low'"):
        plot_panel_forest(table.drop(columns="ci_low"), asked)
    assert plot_panel_forest(table, ["NOPE"]).get_xlim()[1] > 0  # nothing to draw is no crash


# -- one protein ---------------------------------------------------------------------------------


def test_abundance_draws_every_sample_at_its_value_and_joins_people():
    adata = _assay()
    ax = plot_abundance(adata, "GENE0", group="group")  # its limit of detection is 0
    x = adata.X[:20, 0]
    drawn = np.concatenate([_points(ax, "samples")[:, 1], _points(ax, "samples below")[:, 1]])
    np.testing.assert_allclose(np.sort(drawn), np.sort(x))
    assert len(_points(ax, "samples below")) == (x < 0).sum()
    lines = _segments(ax, "people")
    assert len(lines) == 10
    ends = {tuple(np.round(line[:, 1], 9)) for line in lines}
    assert ends == {tuple(np.round(x[i : i + 2], 9)) for i in range(0, 20, 2)}
    medians = [ln.get_ydata()[0] for ln in ax.get_lines() if ln.get_gid() == "median"]
    kinds, visits = adata.obs["group"].to_numpy()[:20], adata.obs["visit"].to_numpy()[:20]
    want = [
        np.median(x[(kinds == g) & (visits == v)])
        for g in ("TN", "control") for v in ("preop", "followup")
    ]  # fmt: skip
    np.testing.assert_allclose(medians, want)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["preop\nn = 5", "followup\nn = 5"] * 2
    assert _words(ax) == ["TN", "control"]
    assert "20 samples · 10 people joined across visits" in _caption(ax)
    assert "2 control samples left out" in _caption(ax)


def test_abundance_follows_subjects_not_rows():
    adata = _assay()
    groups = pd.Series({f"S{i:02d}": "A" if i < 3 else "B" for i in range(10)}, name="arm")
    shuffled = adata[np.random.default_rng(3).permutation(adata.n_obs)]
    visits = ["preop", "followup"]
    ax, other = (plot_abundance(a, "GENE1", group=groups, visits=visits)
                 for a in (adata, shuffled))  # fmt: skip
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    assert ticks == [t.get_text() for t in other.get_xticklabels()]
    assert ticks == ["preop\nn = 3", "followup\nn = 3", "preop\nn = 7", "followup\nn = 7"]
    first, second = (np.sort(_segments(a, "people")[:, :, 1], axis=0) for a in (ax, other))
    np.testing.assert_allclose(first, second)


def test_abundance_counts_what_it_does_not_show():
    adata = _assay(missing=0.2, seed=4)
    missing = int(np.isnan(adata.X[:20, 3]).sum())
    assert missing
    ax = plot_abundance(adata, "GENE3")
    assert f"{missing} not measured" in _caption(ax)
    ax = plot_abundance(adata, "GENE3", visits=["preop"])
    assert len(ax.get_xticklabels()) == 1
    assert "of no group or visit shown here" in _caption(ax)


def test_abundance_limit_is_a_line_or_a_word():
    adata = _assay()
    near, far = plot_abundance(adata, "GENE12"), plot_abundance(adata, "GENE29")
    (line,) = (ln for ln in near.get_lines() if ln.get_gid() == "lod")
    assert line.get_ydata()[0] == pytest.approx(adata.layers["lod"][0, 12])
    adata.layers["lod"] = np.full(adata.shape, -30.0)
    far = plot_abundance(adata, "GENE29")
    assert "LOD −30.00, below the axis" in _caption(far)
    assert far.get_ylim()[0] > -20


def test_abundance_refuses_what_it_cannot_draw():
    adata = _assay()
    mixed = adata.copy()
    mixed.obs["specimen"] = ["CSF", "plasma"] * 11
    with pytest.raises(FormatError, match="expected one specimen, found 'CSF', 'plasma'"):
        plot_abundance(mixed, "GENE1")
    assert isinstance(plot_abundance(mixed, "GENE1", group="specimen"), Axes)
    for wrong, says in (
        ({"protein": "NOPE"}, "no id, gene or accession"),
        ({"protein": "GENE1", "group": "arm"}, "expected the column 'arm'"),
        ({"protein": "GENE1", "group": "age"}, "expected groups, found"),
        ({"protein": "GENE1", "visits": ["later"]}, "expected each of the visits"),
    ):
        with pytest.raises(FormatError, match=says):
            plot_abundance(adata, **wrong)
    with pytest.raises(AlignmentError, match="expected groups by subject_id"):
        plot_abundance(adata, "GENE1", group={"X1": "a"})
    twice = pd.Series(["a", "b"], index=["S00", "S00"])
    with pytest.raises(AlignmentError, match="several groups for 'S00'"):
        plot_abundance(adata, "GENE1", group=twice)
    nothing = adata.copy()
    nothing.X[:] = np.nan
    with pytest.raises(FormatError, match="found none"):
        plot_abundance(nothing, "GENE1")


# -- samples -------------------------------------------------------------------------------------


def test_distribution_draws_quantiles_by_plate():
    adata = _assay(missing=0.1)
    ax = plot_distribution(adata)
    order = np.argsort(adata.obs["plate"].to_numpy()[:20], kind="stable")
    q = np.array([np.quantile(row[~np.isnan(row)], [0.05, 0.25, 0.5, 0.75, 0.95])
                  for row in adata.X[:20][order]])  # fmt: skip
    whiskers = _segments(ax, "whiskers")
    np.testing.assert_allclose(whiskers[:, :, 1], q[:, [0, 4]])
    np.testing.assert_allclose(whiskers[:, 0, 0], np.arange(20))
    np.testing.assert_allclose(_segments(ax, "medians")[:, 0, 1], q[:, 2])
    boxes = _segments(ax, "quartiles")
    np.testing.assert_allclose(boxes[:, :, 1].min(axis=1), q[:, 1])
    np.testing.assert_allclose(boxes[:, :, 1].max(axis=1), q[:, 3])
    assert [t.get_text() for t in ax.get_xticklabels()] == ["plate1", "plate2", "plate3"]
    assert "2 control samples left out" in _caption(ax)


def test_distribution_of_one_panel_and_its_plates():
    adata = _assay()
    values = adata.X[:20, ::2]
    ax = plot_distribution(adata, panel="Inflammation", group="group")
    order = np.argsort(adata.obs["plate"].to_numpy()[:20], kind="stable")
    np.testing.assert_allclose(_segments(ax, "medians")[:, 0, 1],
                               np.median(values, axis=1)[order])  # fmt: skip
    assert _words(ax) == ["TN (10)", "control (10)"]
    plates = adata.obs["plate"].to_numpy()
    adata.obsm["plate"] = pd.DataFrame(
        {"Inflammation": plates, "Neurology": plates[::-1]}, index=adata.obs_names
    )
    del adata.obs["plate"]
    with pytest.raises(FormatError, match="panels differ in it"):
        plot_distribution(adata)
    assert len(plot_distribution(adata, panel="Neurology").get_xticklabels()) == 3
    with pytest.raises(FormatError, match="expected one of the panels"):
        plot_distribution(adata, panel="Cardiology")


def test_distribution_leaves_out_empty_samples_and_counts_them():
    adata = _assay()
    adata.X[3] = np.nan
    ax = plot_distribution(adata)
    assert len(_segments(ax, "whiskers")) == 19
    assert "1 sample without a value left out" in _caption(ax)
    adata.X[:20] = np.nan
    with pytest.raises(FormatError, match="all are missing"):
        plot_distribution(adata)


def test_sample_qc_rings_who_is_beyond_the_limits():
    adata = _assay(40, 60)
    adata.X[5] += 9
    adata.X[8] = (adata.X[8] - 3) * 8 + 3
    ax = plot_sample_qc(adata, panel="Neurology", labels="outliers")
    x = adata.X[:40, 1::2]
    median = np.median(x, axis=1)
    iqr = np.subtract(*np.quantile(x, [0.75, 0.25], axis=1))
    points = _points(ax, "panel Neurology")
    np.testing.assert_allclose(points, np.column_stack([median, iqr]))
    outlying = np.zeros(40, dtype=bool)
    edges = []
    for y in (median, iqr):
        low, high = y.mean() - 3 * y.std(ddof=1), y.mean() + 3 * y.std(ddof=1)
        edges += [low, high]
        outlying |= (y < low) | (y > high)
    assert list(np.flatnonzero(outlying)) == [5, 8]
    np.testing.assert_allclose(_points(ax, "outliers"), points[outlying])
    limits = [ln for ln in ax.get_lines() if ln.get_gid() == "limit"]
    drawn = [ln.get_xdata()[0] for ln in limits[:2]] + [ln.get_ydata()[0] for ln in limits[2:]]
    np.testing.assert_allclose(drawn, edges)
    assert sorted(_labels(ax)) == ["person-5", "person-8"]
    assert "2 samples of 40 beyond ± 3 SD" in _caption(ax)


def test_sample_qc_of_several_panels_is_in_their_sds():
    adata = _assay(40, 60)
    adata.X[5] += 9
    ax = plot_sample_qc(adata, labels="outliers")
    for number, panel in enumerate(PANELS):
        median = np.median(adata.X[:40, number::2], axis=1)
        want = (median - median.mean()) / median.std(ddof=1)
        np.testing.assert_allclose(_points(ax, f"panel {panel}")[:, 0], want)
    assert len(_points(ax, "outliers")) == 2
    assert _labels(ax) == ["person-5"]  # once, though on both panels
    assert "1 sample of 40" in _caption(ax)
    adata.X[7] = np.nan
    assert "nothing measured in 2 (sample, panel)" in _caption(plot_sample_qc(adata))
    with pytest.raises(FormatError, match="above 0 SD"):
        plot_sample_qc(adata, n_sd=0)


def test_sample_qc_of_one_sample_has_no_outlier():
    ax = plot_sample_qc(_assay(1, 10, controls=0), panel="Neurology")
    assert "0 samples of 1" in _caption(ax)


# -- embeddings ----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [True, False])
def test_pca_places_are_the_singular_vectors(scale):
    adata = _assay(20, 30)
    ax = plot_pca(adata, components=(2, 3), scale=scale)
    x = adata.X[:20] - adata.X[:20].mean(axis=0)
    if scale:
        x = x / x.std(axis=0, ddof=1)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    drawn = _points(ax, "samples")
    for column, c in enumerate((1, 2)):
        want = u[:, c] * s[c]
        np.testing.assert_allclose(drawn[:, column] * np.sign(drawn[0, column]),
                                   want * np.sign(want[0]), atol=1e-8)  # fmt: skip
    assert ax.get_xlabel() == f"Component 2 ({100 * s[1] ** 2 / (s**2).sum():.1f}% of the variance)"


def test_pca_states_what_became_of_missing_values():
    adata = _assay(20, 30, missing=0.02, seed=7)
    adata.X[:20, 4] = np.nan
    adata.X[:20, 5] = 1.0
    adata.X[6] = np.nan
    gaps = np.isnan(np.delete(adata.X[:20], 6, axis=0))
    ax = plot_pca(adata)
    lost = int(gaps.any(axis=0).sum())
    assert f"{lost} proteins with missing values left out" in _caption(ax)
    assert f"19 samples, {30 - lost - 1} proteins, scaled" in _caption(ax)
    assert "1 constant protein left out" in _caption(ax)
    assert "1 sample without a value left out" in _caption(ax)
    ax = plot_pca(adata, missing="mean")
    filled = int(np.delete(gaps, 4, axis=1).sum())
    assert f"{filled} missing values set to the protein's mean" in _caption(ax)
    assert "1 protein never measured left out" in _caption(ax)
    assert "19 samples, 28 proteins" in _caption(ax)


def test_pca_groups_numbers_and_the_unknown():
    adata = _assay()
    groups = {f"S{i:02d}": "A" if i < 4 else "B" for i in range(8)}  # two people of no group
    ax = plot_pca(adata, group=groups)
    assert _words(ax) == ["not known (4)", "A (8)", "B (8)"]
    assert len(_points(ax, "A")) == 8
    assert len(_points(ax, "unknown")) == 4
    ax = plot_pca(adata, group="age")
    (drawn,) = (c for c in ax.collections if c.get_gid() == "samples")
    np.testing.assert_allclose(drawn.get_array(), adata.obs["age"][:20])
    adata.obs["grade"] = pd.Categorical(["low", "high"] * 11, categories=["low", "high"])
    assert _words(plot_pca(adata, group="grade")) == ["low (10)", "high (10)"]
    with pytest.raises(FormatError, match="at most 24 groups"):
        plot_pca(_assay(60), group="subject_id")


def test_embeddings_refuse():
    adata = _assay()
    for wrong, says in (
        ({"components": (1, 1)}, "two different components"),
        ({"components": (1, 99)}, "from 1 to 19"),
        ({"components": "PC1"}, "two different components"),
        ({"missing": "zero"}, r"'drop', 'mean'\], found 'zero'"),
        ({"labels": "all"}, "expected labels"),
        ({"group": 3}, "name of a column, or a Series"),
    ):
        with pytest.raises(FormatError, match=says):
            plot_pca(adata, **wrong)
    gappy = adata.copy()
    gappy.X[np.arange(20), np.arange(20)] = np.nan
    gappy.X[np.arange(10), np.arange(20, 30)] = np.nan
    with pytest.raises(FormatError, match="missing='mean'"):
        plot_pca(gappy)
    linear = adata.copy()
    linear.X[:20] = 2.0 ** (linear.X[:20] + 8)
    with pytest.raises(FormatError, match="log2 scale"):
        plot_pca(linear)
    with pytest.raises(FormatError, match="expected an AnnData"):
        plot_pca(adata.X)
    adata.obs["sample_type"] = "CONTROL"
    with pytest.raises(FormatError, match="found 0 samples"):
        plot_pca(adata)


def test_umap_draws_the_one_that_is_there():
    adata = _assay()
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(22, 2))
    adata.obsm["X_umap"][2] = np.nan
    ax = plot_umap(adata)
    np.testing.assert_allclose(_points(ax, "samples"),
                               np.delete(adata.obsm["X_umap"][:20], 2, axis=0))  # fmt: skip
    assert "1 sample without a place left out" in _caption(ax)


@pytest.mark.slow
def test_umap_by_scanpy_tells_two_clusters_apart():
    adata = _assay(60, 40, missing=0.01)
    adata.X[:30] += 3
    before = adata.copy()
    ax = plot_umap(adata, missing="mean")
    xy = _points(ax, "samples")
    inner = np.linalg.norm(xy[:30] - xy[:30].mean(axis=0), axis=1).mean()
    assert np.linalg.norm(xy[:30].mean(axis=0) - xy[30:60].mean(axis=0)) > 2 * inner
    np.testing.assert_allclose(xy, _points(plot_umap(adata, missing="mean"), "samples"))
    np.testing.assert_array_equal(adata.X, before.X)
    assert list(adata.obsm) == []


# -- heatmap -------------------------------------------------------------------------------------


def test_heatmap_shows_z_in_the_order_of_the_clustering():
    adata = _assay(20, 30, missing=0.05, seed=8)
    adata.X[:20, 9] = 2.0
    ax = plot_heatmap(adata, group="group")
    x = np.delete(adata.X[:20], 9, axis=1)
    z = (x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0, ddof=1)
    full = np.nan_to_num(z)
    rows = leaves_list(linkage(full.T, "average"))
    columns = leaves_list(linkage(full, "average"))
    image, strip = ax.images
    drawn = np.ma.filled(image.get_array().astype(float), np.nan)
    np.testing.assert_allclose(drawn, z[np.ix_(columns, rows)].T)
    genes = np.delete(adata.var["gene"].to_numpy(), 9)
    assert [t.get_text() for t in ax.get_yticklabels()] == list(genes[rows])
    kinds = adata.obs["group"].to_numpy()[:20][columns]
    tints = [to_hex(c) for c in np.asarray(strip.get_array())[0]]
    assert tints == [figures_colour(kind) for kind in kinds]
    assert _words(ax) == ["TN (10)", "control (10)"]
    assert "1 protein constant or never measured left out" in _caption(ax)
    assert f"{int(np.isnan(x).sum())} missing values grey" in _caption(ax)


def figures_colour(kind: str) -> str:
    """Blue and orange of Okabe and Ito."""
    return {"TN": "#0072b2", "control": "#d55e00"}[kind]


def test_heatmap_by_group_keeps_groups_together():
    adata = _assay()
    ax = plot_heatmap(adata, group="group", by_group=True)
    tints = [to_hex(c) for c in np.asarray(ax.images[1].get_array())[0]]
    assert tints == ["#0072b2"] * 10 + ["#d55e00"] * 10
    with pytest.raises(FormatError, match="expected a group to sort by"):
        plot_heatmap(adata, by_group=True)


def test_heatmap_of_5000_has_no_illegible_names():
    ax = plot_heatmap(_assay(12, 5000), labels="samples")
    assert ax.images[0].get_array().shape == (5000, 12)
    assert len(ax.get_yticklabels()) == 0
    assert ax.get_ylabel() == "5,000 proteins"
    assert len(ax.get_xticklabels()) == 12


def test_heatmap_refuses():
    adata = _assay()
    for wrong, says in (
        ({"proteins": ["GENE1", "NOPE"]}, "found 'NOPE'"),
        ({"proteins": []}, "found none"),
        ({"group": "age"}, "at most 6 groups"),
        ({"limit": 0}, "above 0 SD"),
    ):
        with pytest.raises(FormatError, match=says):
            plot_heatmap(adata, **wrong)
    adata.X[:] = 1.0
    with pytest.raises(FormatError, match="proteins that vary"):
        plot_heatmap(adata)


# -- detection -----------------------------------------------------------------------------------


def test_lod_shares_are_sorted_within_panels():
    adata = _assay(20, 30, missing=0.1, seed=9)
    adata.layers["lod"] = adata.layers["lod"].copy()
    adata.layers["lod"][:, 29] = np.nan
    ax = plot_lod(adata)
    x, lod = adata.X[:20], adata.layers["lod"][:20]
    for number, panel in enumerate(PANELS):
        own = [j for j in range(number, 30, 2) if j != 29]
        share = [100 * np.mean((x[:, j] < lod[:, j])[~np.isnan(x[:, j])]) for j in own]
        (line,) = (ln for ln in ax.get_lines() if ln.get_gid() == f"panel {panel}")
        np.testing.assert_allclose(line.get_ydata(), sorted(share, reverse=True))
        many = int(np.sum(np.array(share) > 50))
        assert f"{panel}: {many} of {len(own)}" in _words(ax)
    assert "1 assay without a limit or a value, not drawn" in _caption(ax)
    worst = max(range(29), key=lambda j: np.mean((x[:, j] < lod[:, j])[~np.isnan(x[:, j])]))
    assert _labels(plot_lod(adata, labels=1)) == [f"GENE{worst}"]


def test_lod_refuses():
    with pytest.raises(FormatError, match="layers\\['lod'\\] or var\\['lod'\\]"):
        plot_lod(_assay(kind="lfq"))
    with pytest.raises(FormatError, match="share from 0 to 1"):
        plot_lod(_assay(), flag=50)


def test_missing_places_each_protein_and_bins_hold_them_all():
    adata = _assay(20, 60, missing=0.3, seed=10, kind="lfq")
    adata.X[:20, 11] = np.nan
    ax = plot_missing(adata, bins=4)
    x = np.delete(adata.X[:20], 11, axis=1)
    want = np.column_stack([np.nanmean(x, axis=0), 100 * np.isnan(x).mean(axis=0)])
    np.testing.assert_allclose(_points(ax, "proteins"), want)
    (line,) = (ln for ln in ax.get_lines() if ln.get_gid() == "bins")
    assert len(line.get_xdata()) == 4
    sizes = [len(part) for part in np.array_split(np.arange(59), 4)]
    assert np.dot(line.get_ydata(), sizes) == pytest.approx(want[:, 1].sum())
    assert "1 never measured, not drawn" in _caption(ax)
    with pytest.raises(FormatError, match="at least 1 bin"):
        plot_missing(adata, bins=0)
    adata.X[:] = np.nan
    with pytest.raises(FormatError, match="found none"):
        plot_missing(adata)


# -- bridges -------------------------------------------------------------------------------------


def _projects(n=10, k=24, shift=0.8):
    first, second = _assay(20, k), _assay(20, k, seed=6)
    rng = np.random.default_rng(11)
    second.X[:n] = first.X[:n] - shift - np.linspace(0, 1, k) + rng.normal(0, 0.05, (n, k))
    second.X[2, 3] = np.nan
    names = [*first.obs_names[:n], *[f"other-{i}" for i in range(second.n_obs - n)]]
    second.obs_names = names
    order = rng.permutation(second.n_obs)
    return first, second[order].copy(), names[:n]


def test_bridge_samples_before_and_after():
    first, second, ids = _projects()
    ax = plot_bridge(first, second, ids)
    before = first[ids].X - second[ids].X
    added = np.nanmedian(before, axis=0)
    order = np.argsort(np.nanmedian(before, axis=1))
    for word, values in (("before", before), ("after", before - added)):
        q = np.nanquantile(values[order], [0.05, 0.25, 0.5, 0.75, 0.95], axis=1)
        np.testing.assert_allclose(_points(ax, f"{word} medians")[:, 1], q[2])
        np.testing.assert_allclose(_segments(ax, f"{word} quartiles")[:, :, 1], q[[1, 3]].T)
        np.testing.assert_allclose(_segments(ax, f"{word} reach")[:, :, 1], q[[0, 4]].T)
    then, now = np.nanmedian(np.abs(before)), np.nanmedian(np.abs(before - added))
    assert f"median |difference| {then:.2f} before, {now:.2f} after" in _caption(ax)


def test_bridge_assays_show_what_was_added():
    first, second, ids = _projects()
    ax = plot_bridge(first, second, ids, kind="assays")
    before = first[ids].X - second[ids].X
    added = np.nanmedian(before, axis=0)
    order = np.argsort(added)
    np.testing.assert_allclose(_points(ax, "added")[:, 1], added[order])
    np.testing.assert_allclose(_segments(ax, "quartiles")[:, :, 1],
                               np.nanquantile(before, [0.25, 0.75], axis=0).T[order])  # fmt: skip


def test_bridge_warns_and_refuses_as_the_normalisation_does():
    first, second, ids = _projects()
    fewer = second[[name for name in second.obs_names if name not in ids[5:]]]
    with pytest.warns(DataWarning, match="fewer than the 8 to 16"):
        plot_bridge(first, fewer, ids[:5])
    with pytest.raises(AlignmentError, match="'nobody'"):
        plot_bridge(first, second, [*ids, "nobody"])
    with pytest.raises(FormatError, match="expected kind"):
        plot_bridge(first, second, ids, kind="all")


def test_bridgeability_counts_each_recommendation():
    rng = np.random.default_rng(12)
    table = pd.DataFrame({
        "range_difference": rng.gamma(2, 0.4, 40), "r2": rng.uniform(0.2, 1, 40),
        "recommendation": ["median"] * 20 + ["quantile"] * 12 + ["not_bridgeable"] * 8,
        "gene": [f"GENE{j}" for j in range(40)],
    }, index=[f"OID{j}" for j in range(40)])  # fmt: skip
    table.iloc[0, 1] = np.nan
    ax = plot_bridgeability(table, labels=2)
    assert _words(ax) == ["a shift is enough (19)", "quantiles are mapped (12)",
                          "not bridgeable (8)"]  # fmt: skip
    np.testing.assert_allclose(_points(ax, "not_bridgeable"), table.iloc[32:, :2])
    assert "1 without numbers, not drawn" in _caption(ax)
    assert _labels(ax) == list(table.iloc[32:].nsmallest(2, "r2")["gene"])
    with pytest.raises(FormatError, match="table of `bridgeability`"):
        plot_bridgeability(table.drop(columns="r2"))
    with pytest.raises(FormatError, match="found 'maybe'"):
        plot_bridgeability(table.assign(recommendation="maybe"))


# -- radar ---------------------------------------------------------------------------------------


def _line(ax: Axes, name: str) -> np.ndarray:
    (line,) = (ln for ln in ax.get_lines() if ln.get_gid() == f"line {name}")
    return np.asarray(line.get_xydata())


def test_radar_draws_medians_of_groups_within_the_limits():
    scores = _scores()
    ax = plot_panel_radar(scores)
    names = ["inflammatory", "stress", "axonal", "glial_wnt"]
    assert [t.get_text() for t in ax.get_xticklabels()] == [*names[:3], "glial wnt"]
    for word, part in (("controls, median of 5", scores[scores["control"]]),
                       ("others, median of 7", scores[~scores["control"]])):  # fmt: skip
        xy = _line(ax, word)
        np.testing.assert_allclose(xy[:4, 1], part[names].median())
        np.testing.assert_allclose(xy[:, 0], np.linspace(0, 2 * np.pi, 5))
        np.testing.assert_allclose(xy[-1, 1], xy[0, 1])
    assert "shaded: 95% of controls lie there" in _caption(ax)
    corners = np.vstack(
        [p.vertices for p in next(c for c in ax.collections if c.get_gid() == "limits").get_paths()]
    )
    assert (corners[:, 1].min(), corners[:, 1].max()) == (-2.5, 2.5)
    assert ax.get_ylim()[0] < -2.5
    assert ax.get_ylim()[1] > 2.5


def test_radar_of_samples_by_name_and_with_gaps():
    scores = _scores()
    scores.loc["person-3", "stress"] = np.nan
    ax = plot_panel_radar(scores, samples=["person-7", "person-3"], axes=["stress", "axonal",
                                                                         "overall"])  # fmt: skip
    np.testing.assert_allclose(
        _line(ax, "sample 1")[:3, 1],
        scores.loc["person-7", ["stress", "axonal", "overall"]].astype(float),
    )
    assert np.isnan(_line(ax, "sample 2")[0, 1])
    assert "1 value missing, a gap" in _caption(ax)
    named = plot_panel_radar(scores, samples=["person-7"], labels="samples")
    assert "person-7" in _words(named)
    arms = {f"S{i}": "left" if i < 6 else "right" for i in range(12)}
    assert _words(plot_panel_radar(scores, group=arms))[1:] == ["left, median of 6",
                                                                "right, median of 6"]  # fmt: skip


def test_radar_refuses():
    scores = _scores()
    with pytest.raises(FormatError, match="expected polar axes, found 'rectilinear'"):
        plot_panel_radar(scores, Figure().add_subplot())
    with pytest.raises(FormatError, match="axes with limits"):
        plot_panel_radar(scores, axes=["stress", "axonal", "pain"])
    with pytest.raises(FormatError, match="at least 3 axes"):
        plot_panel_radar(scores, axes=["stress", "axonal"])
    with pytest.raises(FormatError, match="at least 3 axes"):
        plot_panel_radar(pd.DataFrame({"a": [1.0]}))
    with pytest.raises(AlignmentError, match="'person-99'"):
        plot_panel_radar(scores, samples=["person-99"])
    with pytest.raises(FormatError, match="1 to 6 groups"):
        plot_panel_radar(scores, group="subject_id")
    empty = scores.assign(**dict.fromkeys(
        [c for c in scores if c.split("_")[0] in ("inflammatory", "stress", "axonal", "glial")],
        np.nan,
    ))  # fmt: skip
    with pytest.raises(FormatError, match="all are missing"):
        plot_panel_radar(empty)


# -- all -----------------------------------------------------------------------------------------


def _draw_all(adata, ax=None, **options):
    """Return every figure by name; of each as it comes by default."""
    first, second, ids = _projects()
    adata.obsm["X_umap"] = adata.X[:, :2]
    table = pd.DataFrame({"range_difference": [0.5], "r2": [0.9], "recommendation": ["median"]})
    results = _results()
    drawn = {
        "plot_abundance": lambda ax: plot_abundance(adata, "GENE1", ax, **options),
        "plot_bridge": lambda ax: plot_bridge(first, second, ids, ax, **options),
        "plot_bridgeability": lambda ax: plot_bridgeability(table, ax, **options),
        "plot_panel_forest": lambda ax: plot_panel_forest(results, ["GENE1"], ax, **options),
        "plot_panel_radar": lambda ax: plot_panel_radar(_scores(), ax, **options),
        "plot_volcano": lambda ax: plot_volcano(results, ax, **options),
        **{
            f.__name__: lambda ax, f=f: f(adata, ax, **options)
            for f in (plot_distribution, plot_heatmap, plot_lod, plot_missing, plot_pca,
                      plot_sample_qc, plot_umap)
        },
    }  # fmt: skip
    assert sorted(drawn) == figures.__all__
    return drawn


NAMES = sorted(figures.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_draws_on_the_given_axes_names_nobody_and_changes_nothing(name):
    before = dict(matplotlib.rcParams)
    adata = _assay()
    draw = _draw_all(adata)[name]
    kept = adata.copy()
    polar = {"projection": "polar"} if name == "plot_panel_radar" else {}
    figure = Figure(figsize=(5, 4))
    ax = figure.add_subplot(**polar)
    assert draw(ax) is ax
    own = draw(None)
    assert isinstance(own, Axes)
    assert own.figure is not figure
    own.figure.draw_without_rendering()
    for drawn in (ax, own):
        assert "person" not in _everything(drawn)
        assert "S0" not in _everything(drawn)
        assert "SYNTHETIC" not in _everything(drawn)
    assert "SYNTHETIC DATA" in _everything(_draw_all(adata, synthetic=True)[name](None))
    assert dict(matplotlib.rcParams) == before
    np.testing.assert_array_equal(adata.X, kept.X)
    pd.testing.assert_frame_equal(adata.obs, kept.obs)


def test_no_words_leave_the_figure():
    """Captions, ticks and legends lie within the picture, at the sizes by default."""
    cohort = sample_tn()
    csf, lfq = cohort.assays["csf_pea"], cohort.assays["csf_lfq"]
    for ax in (
        plot_abundance(csf, "NEFL"), plot_distribution(csf), plot_sample_qc(csf), plot_lod(csf),
        plot_pca(csf, group="visit"), plot_missing(lfq), plot_heatmap(lfq, group="plate"),
        plot_volcano(_results()), plot_panel_forest(_results(), ["GENE1", "NOPE"]),
    ):  # fmt: skip
        figure = ax.figure
        figure.draw_without_rendering()
        box, (wide, high) = figure.get_tightbbox(), figure.get_size_inches()  # inches
        title = ax.get_title(loc="left")
        assert box.x0 >= -0.02, title
        assert box.y0 >= -0.02, title
        assert box.x1 <= wide + 0.02, title
        assert box.y1 <= high + 0.02, title


def test_labels_of_one_place_keep_apart():
    ax = Figure(figsize=(4, 3), layout="constrained").add_subplot()
    ax.set(xlim=(0, 1), ylim=(0, 1))
    xy = np.full((6, 2), 0.5)
    place_labels(ax, xy, [f"protein {i}" for i in range(6)], xy)
    from matplotlib.text import Text

    boxes = [Text.get_window_extent(t) for t in ax.texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    corner = ax.transData.transform((0.5, 0.5))
    assert not any(b.contains(*corner) for b in boxes)


def test_figures_need_no_pyplot_and_no_scanpy():
    code = (
        "import sys\n"
        "from precisionpain.proteomics import figures\n"
        "print('matplotlib.pyplot' in sys.modules, 'scanpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
