"""What the figures show, read from their artists."""

from __future__ import annotations

import subprocess
import sys

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from precisionpain import plots
from precisionpain.cohort import Flow
from precisionpain.errors import FormatError
from precisionpain.stats import net_benefit


@pytest.fixture(scope="module")
def predictions() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    y = np.repeat([0, 1], 40)
    p = np.clip(rng.normal(0.4 + 0.2 * y, 0.15), 0.01, 0.99).round(2)  # with ties
    return y, p


def _line(ax: Axes, label: str) -> tuple[np.ndarray, np.ndarray]:
    line = next(line for line in ax.get_lines() if str(line.get_label()).startswith(label))
    return np.asarray(line.get_xdata()), np.asarray(line.get_ydata())


def _words(ax: Axes) -> list[str]:
    legend = ax.get_legend()
    return [text.get_text() for text in legend.get_texts()] if legend else []


def test_roc_is_the_curve_of_sklearn_and_states_its_area(predictions):
    y, p = predictions
    ax = plots.roc({"ridge": (y, p)})
    x, height = _line(ax, "ridge")
    fpr, tpr, _ = roc_curve(y, p, drop_intermediate=False)
    np.testing.assert_allclose(x, fpr)
    np.testing.assert_allclose(height, tpr)
    area = roc_auc_score(y, p)
    assert any(word.startswith(f"ridge: AUC {area:.2f} (") for word in _words(ax))
    assert "chance: AUC 0.50" in _words(ax)


def test_calibration_points_are_shares_of_the_bins():
    p = np.repeat([0.1, 0.3, 0.5, 0.7, 0.9], 20)
    y = np.concatenate([np.arange(20) < k for k in (1, 7, 9, 16, 19)]).astype(int)
    ax = plots.calibration(y, p, name="ridge")
    points = ax.containers[0].lines[0]
    np.testing.assert_allclose(np.asarray(points.get_xdata(orig=False)), [0.1, 0.3, 0.5, 0.7, 0.9])
    np.testing.assert_allclose(
        np.asarray(points.get_ydata(orig=False)), [0.05, 0.35, 0.45, 0.8, 0.95]
    )
    bars = [patch.get_height() for patch in ax.patches]
    assert len(bars) == 2 * 40
    up, down = [h for h in bars if h > 0], [h for h in bars if h < 0]
    assert len(up) == 5  # people without the event stand at the bottom
    assert len(down) == 5


def test_constant_predictions_have_no_smooth_line():
    ax = plots.calibration([0, 1, 0, 1], [0.5] * 4)
    assert "smooth (local linear)" not in _words(ax)


def test_decision_curve_shows_model_and_both_defaults(predictions):
    table = net_benefit(*predictions)
    ax = plots.decision_curve({"ridge": table})
    _, height = _line(ax, "ridge")
    np.testing.assert_allclose(height, table["model"])
    _, everybody = _line(ax, "everybody")
    np.testing.assert_allclose(everybody, table["treat_all"])
    assert "true positives per person" in ax.get_ylabel()


def test_permutation_marks_the_observed_value_and_exact_p():
    null = np.linspace(0.3, 0.7, 99)
    ax = plots.permutation(0.9, null)
    assert ax.texts[0].get_text() == "true labels: 0.90\np = 0.010"
    assert any(np.allclose(np.asarray(line.get_xdata()), 0.9) for line in ax.get_lines())
    assert sum(patch.get_height() for patch in ax.patches) == 99


def test_forest_draws_each_interval_and_the_published_value():
    table = pd.DataFrame(
        {"name": ["ridge", "canary"], "auc": [0.7, 0.5], "ci_low": [0.6, 0.4],
         "ci_high": [0.8, 0.6], "kind": ["model", "canary"]}
    )  # fmt: skip
    ax = plots.auc_forest(table, published=("Sindou 2007", 0.65))
    spans = [np.asarray(line.get_xdata()).tolist() for line in ax.get_lines()]
    assert [0.6, 0.8] in spans
    assert [0.4, 0.6] in spans
    assert [0.5, 0.5] in spans
    assert [0.65, 0.65] in spans
    texts = [text.get_text() for text in ax.texts]
    assert texts == ["0.70 (0.60 to 0.80)", "0.50 (0.40 to 0.60)", "Sindou 2007: 0.65"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["ridge", "canary"]
    squares = [line for line in ax.get_lines() if line.get_marker() == "s"]
    assert squares[0].get_markerfacecolor() != "white"
    assert squares[1].get_markerfacecolor() == "white"


def test_fold_auc_leaves_out_folds_without_one():
    first = pd.DataFrame({"auc": [0.6, np.nan, 0.8]})
    second = pd.DataFrame({"auc": [0.5, 0.7, 0.9]})
    ax = plots.fold_auc({"ridge": first, "forest": second})
    dots = [np.asarray(line.get_ydata()) for line in ax.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[0], [0.6, 0.8])
    np.testing.assert_allclose(dots[1], [0.5, 0.7, 0.9])
    assert [text.get_text() for text in ax.texts] == ["0.70", "0.70"]


def test_shap_summary_ranks_features_and_greys_missing_values():
    values = pd.DataFrame({"small": [0.1, -0.1, 0.1], "large": [1.0, -2.0, 1.5], "none": [0.0] * 3})
    data = pd.DataFrame(
        {"small": [1.0, 2.0, 3.0], "large": [1.0, np.nan, 3.0], "none": [np.nan] * 3}
    )
    ax = plots.shap_summary(values, data, unit="log odds", max_features=2)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["large", "small"]
    assert "log odds" in ax.get_xlabel()
    grey, coloured = ax.collections[:2]
    assert grey.get_offsets()[:, 0].tolist() == [-2.0]
    assert coloured.get_offsets()[:, 0].tolist() == [1.0, 1.5]
    all_missing = plots.shap_summary(values[["none"]], data[["none"]], unit="probability")
    assert len(all_missing.collections[1].get_offsets()) == 0


def test_shap_summary_refuses_other_features():
    one = pd.DataFrame({"a": [0.1]})
    with pytest.raises(FormatError, match="the same features"):
        plots.shap_summary(one, one.rename(columns={"a": "b"}), unit="log odds")


def test_availability_fills_as_much_as_people_have():
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"T1w": rng.random(30) < 0.8, "csf": rng.random(30) < 0.4, "none": False},
        index=[f"sub-{i:03d}" for i in range(30)],
    )
    ax = plots.availability(frame)
    filled = [
        sum(path.get_extents().width for path in bars.get_paths())
        for bars in ax.collections[1::2]
    ]  # fmt: skip
    order = [tick.get_text() for tick in ax.get_yticklabels()]
    assert order == ["T1w", "csf", "none"]
    assert filled == [frame[name].sum() for name in order]
    assert [text.get_text() for text in ax.texts] == [f"{frame[n].sum()} of 30" for n in order]
    assert not any("sub-" in text.get_text() for text in ax.findobj(matplotlib.text.Text))


def test_availability_of_nothing_is_empty():
    ax = plots.availability(pd.DataFrame(index=["a", "b"]))
    assert not ax.texts


def test_flow_names_numbers_and_reasons():
    steps = Flow(20).then("no MVD", 12).then("no outcome", 11)
    texts = [text.get_text() for text in plots.flow(steps.frame()).texts]
    assert texts == [
        "20 recruited", "8 excluded:\nno MVD", "12 remain", "1 excluded:\nno outcome", "11 analysed"
    ]  # fmt: skip
    assert [t.get_text() for t in plots.flow(Flow(5).frame()).texts] == ["5 recruited and analysed"]


def test_axes_that_are_given_are_used_and_nothing_global_changes(predictions):
    before = dict(matplotlib.rcParams)
    ax = Figure().add_subplot()
    assert plots.roc({"ridge": predictions}, ax=ax) is ax
    assert plots.mark_synthetic(ax) is ax
    assert dict(matplotlib.rcParams) == before
    assert [text.get_text() for text in ax.texts] == ["SYNTHETIC DATA"]


def test_pyplot_is_never_imported():
    code = (
        "import sys\nfrom precisionpain import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.permutation(0.6, [0.5, 0.4])\nassert 'matplotlib.pyplot' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_palette_stays_apart_in_grey():
    from matplotlib.colors import to_rgb

    weights = np.array([0.2126, 0.7152, 0.0722])
    first_three = sorted(float(weights @ to_rgb(colour)) for colour in plots.PALETTE[:3])
    assert len(set(plots.PALETTE)) == 6
    assert np.diff(first_three).min() > 0.01
