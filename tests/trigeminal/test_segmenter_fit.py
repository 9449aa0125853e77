"""Training a segmenter: what it learns from, that it can be repeated, resumed and kept."""

from __future__ import annotations

import inspect
import json
import pickle
import sys

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from precisionpain._learning import loop
from precisionpain._learning.checkpoint import TrainingError
from precisionpain.cohort import Cohort
from precisionpain.errors import DataWarning, FormatError
from precisionpain.trigeminal import SimulatedCisterns, TrigeminalSegmenter
from precisionpain.trigeminal._segmentation import training_scans
from precisionpain.trigeminal._segmentation.borders import Border
from precisionpain.trigeminal._segmentation.training_scans import split_people

from .small_scans import LABELS, data, oblique, same_weights, segmenter, small_scan, weights


@pytest.fixture(scope="module")
def pairs():
    return [small_scan(seed) for seed in range(1, 5)]


@pytest.fixture(scope="module")
def fitted(pairs):
    return segmenter(validation=0.25, spacing_mm=(1.0, 0.9, 1.0)).fit(pairs)


def cohort_of(folder, people, *, channels=("T2w",), order=None) -> Cohort:
    """A person for each of `people`; who comes twice has two visits."""
    rows = []
    for k, person in enumerate(people):
        image, labels = small_scan(k + 1)
        visit = f"v{people[:k].count(person)}"
        for contrast in (*channels, "dseg"):
            path = folder / f"{k}-{contrast}.nii.gz"
            nibabel.save(labels if contrast == "dseg" else image, path)
            key = {"subject_id": person, "visit": visit, "contrast": contrast}
            rows.append({**key, "path": str(path), "present": True})
    images = pd.DataFrame(rows)
    return Cohort(
        pd.DataFrame(index=list(dict.fromkeys(people))),
        images=images if order is None else images.iloc[order],
    )


# --- what it learns from -----------------------------------------------------------------


def test_pairs_paths_and_two_lists_are_the_same_scans(pairs, tmp_path):
    paths = []
    for k, pair in enumerate(pairs):
        own = [tmp_path / f"{k}-{what}.nii.gz" for what in ("image", "labels")]
        for image, path in zip(pair, own, strict=True):
            nibabel.save(image, path)
        paths.append((str(own[0]), own[1]))
    one = segmenter().fit(pairs)
    images, labels = zip(*pairs, strict=True)
    assert same_weights(one, segmenter().fit(images, labels))
    assert same_weights(one, segmenter().fit(paths))
    assert same_weights(one, segmenter().fit([([image], truth) for image, truth in pairs]))


def test_a_cohort_gives_the_scans_of_its_people(pairs, tmp_path):
    cohort = cohort_of(tmp_path, ["p1", "p2", "p3", "p4"])
    found = segmenter().fit(cohort)
    assert same_weights(found, segmenter().fit(pairs))


def test_the_order_of_the_images_table_changes_nothing(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = segmenter().fit(cohort_of(tmp_path / "a", ["p1", "p2"]))
    other = segmenter().fit(cohort_of(tmp_path / "b", ["p1", "p2"], order=[3, 0, 2, 1]))
    assert same_weights(one, other)


def test_who_lacks_labels_is_named_and_left_out(tmp_path):
    cohort = cohort_of(tmp_path, ["p1", "p2", "p3"])
    images = cohort.images
    lacking = (images["subject_id"] == "p2") & (images["contrast"] == "dseg")
    part = Cohort(cohort.subjects, images=images[~lacking])
    with pytest.warns(DataWarning, match=r"1 scans lack.*'p2'"):
        found = segmenter().fit(part)
    assert found.saw(["p1", "p2", "p3"]).tolist() == [True, False, True]


def test_two_channels_of_a_cohort(tmp_path):
    cohort = cohort_of(tmp_path, ["p1", "p2"], channels=("T2w", "angio"))
    found = segmenter(channels=("T2w", "angio")).fit(cohort)
    image, _ = small_scan(9)
    assert found.segment([image, image]).labels.shape == image.shape
    with pytest.raises(FormatError, match=r"expected 2 images \('?T2w.*found 1"):
        found.segment(image)


def test_simulated_scans_are_learned_from(tmp_path):
    scans = SimulatedCisterns(2, 0, spacing_mm=1.5, n_jobs=1)
    settings = {"labels": None, "spacing_mm": 1.5, "max_spacing_mm": 1.6, "validation": 0.5}
    found = segmenter(**settings).fit(scans)
    assert list(found.structures_) == ["brainstem", "nerve", "artery", "vein"]
    assert "val_dice_nerve" in found.history_
    # Nobody's scans were seen.
    assert not found.saw(scans.subject_ids).any()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"spacing_mm": 0.5}, "voxels of 1.5 mm, the network works at 0.5"),
        ({"channels": ("T2w", "angio")}, "have 1 channels, the network takes 2"),
        ({"labels": {"stem": 1, "hippocampus": 9}}, r"no label 9.*labels are 0, 1, 2, 3, 4, 5"),
    ],
)
def test_simulated_scans_that_would_be_misread_are_refused(settings, text):
    scans = SimulatedCisterns(1, 0, spacing_mm=1.5, n_jobs=1)
    with pytest.raises(FormatError, match=text):
        segmenter(**{"labels": None, "spacing_mm": 1.5, **settings}).fit(scans)


def test_it_learns(pairs):
    """A fresh scan of the same kind; the levels alone tell the structures apart."""
    image, truth = small_scan(11)
    found = segmenter(n_steps=120, learning_rate=1e-2, random_state=1).fit(pairs)
    labels = data(found.segment(image).labels)
    for value in (1, 2, 3):
        own, true = labels == value, data(truth) == value
        assert 2 * (own & true).sum() / (own.sum() + true.sum()) > 0.8
    assert found.history_["loss"].iloc[-1] < 0.5 * found.history_["loss"].iloc[0]


# --- a scikit-learn estimator ------------------------------------------------------------


def test_clone_get_and_set_params(fitted):
    made = clone(fitted)
    assert (
        made.get_params(deep=False).keys()
        == inspect.signature(TrigeminalSegmenter).parameters.keys()
    )
    assert made.get_params() == fitted.get_params()
    assert not hasattr(made, "network_")
    assert made.set_params(n_steps=7, patch=(16, 32, 16)).get_params()["n_steps"] == 7
    with pytest.raises(ValueError, match="Invalid parameter"):
        made.set_params(steps=7)
    settings = {"labels": {"stem": 1}, "channels": ["a"], "flips": (), "spacing_mm": None}
    again = clone(segmenter(**settings))
    assert {name: again.get_params()[name] for name in settings} == settings


def test_fitting_changes_no_parameter_and_no_global_state(pairs):
    model = segmenter(labels=dict(LABELS), channels=["T2w"], flips=[0])
    before = repr(model.get_params())
    states = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    assert model.fit(pairs) is model
    assert repr(model.get_params()) == before
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]  # noqa: NPY002


def test_the_same_seed_gives_the_same_weights_bit_for_bit(pairs):
    one = segmenter(random_state=3).fit(pairs)
    torch.rand(5)
    assert same_weights(one, segmenter(random_state=3).fit(pairs))
    assert not same_weights(one, segmenter(random_state=4).fit(pairs))
    # A second fit begins anew.
    first = {name: tensor.clone() for name, tensor in weights(one).items()}
    one.fit(pairs)
    assert all(torch.equal(first[name], tensor) for name, tensor in weights(one).items())


def test_an_unfitted_one_says_so(tmp_path):
    image, _ = small_scan()
    model = segmenter()
    for call in (model.predict, model.predict_proba, model.segment):
        with pytest.raises(NotFittedError):
            call(image)
    with pytest.raises(NotFittedError):
        model.save(tmp_path)
    with pytest.raises(NotFittedError):
        model.saw(["p1"])


def test_a_fit_that_failed_does_not_look_fitted(pairs, monkeypatch):
    model = segmenter().fit(pairs)

    def fail(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", fail)
    with pytest.raises(KeyboardInterrupt):
        model.fit(pairs)
    with pytest.raises(NotFittedError):
        model.segment(pairs[0][0])


# --- killed and taken up again -----------------------------------------------------------


@pytest.fixture
def often(monkeypatch):
    """Checkpoints every 3 steps; `kill` ends a training after a step."""
    whole = loop.train

    class Often:
        kill = None

        def train(self, *arguments, **options):
            def on_step(step, _):
                if step == self.kill:
                    raise KeyboardInterrupt

            return whole(*arguments, **options, checkpoint_every=3, on_step=on_step)

    often = Often()
    monkeypatch.setattr(loop, "train", often.train)
    return often


@pytest.mark.parametrize("kill", [0, 4, 8, 10])
def test_a_killed_training_goes_on_to_the_same_weights(pairs, tmp_path, often, kill):
    settings = {"n_steps": 11, "validation": 0.25, "validate_every": 4, "patience": 2}
    whole = segmenter(**settings, log=tmp_path / "whole.csv").fit(pairs)
    files = {"checkpoint": tmp_path / "checkpoint", "log": tmp_path / "log.csv"}
    often.kill = kill
    with pytest.raises(KeyboardInterrupt):
        segmenter(**settings, **files).fit(pairs)
    often.kill = None
    resumed = segmenter(**settings, **files).fit(pairs)
    assert same_weights(whole, resumed)
    assert whole.temperature_ == resumed.temperature_
    pd.testing.assert_frame_equal(
        whole.history_.drop(columns="seconds"), resumed.history_.drop(columns="seconds")
    )
    logs = [
        pd.read_csv(tmp_path / name).drop(columns="seconds") for name in ("whole.csv", "log.csv")
    ]
    pd.testing.assert_frame_equal(*logs)
    # A third call has nothing to do.
    often.kill = 0
    assert same_weights(whole, segmenter(**settings, **files).fit(pairs))


@pytest.mark.parametrize(
    "change",
    [{"learning_rate": 1e-2}, {"labels": {"stem": 1, "blob": (3, 2)}}, {"augment": False},
     {"validation": 0.5}, {"loss": "dice"}, {"spacing_mm": 0.9}, {"random_state": 1},
     {"as_one": (("stem", "blob"),)}],
)  # fmt: skip
def test_a_checkpoint_of_other_settings_is_refused(pairs, tmp_path, change):
    settings = {"checkpoint": tmp_path, "validation": 0.25, "n_steps": 2}
    segmenter(**settings).fit(pairs)
    with pytest.raises(TrainingError, match="delete the folder"):
        segmenter(**(settings | change)).fit(pairs)


def test_a_checkpoint_of_other_scans_or_another_start_is_refused(pairs, tmp_path, fitted):
    model = segmenter(checkpoint=tmp_path, n_steps=2).fit(pairs)
    with pytest.raises(TrainingError, match="other settings"):
        clone(model).fit([*pairs[:-1], small_scan(77)])  # as many, but others
    with pytest.raises(TrainingError, match="other settings"):
        clone(model).set_params(init=fitted).fit(pairs)


# --- held-out scans ----------------------------------------------------------------------


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=30),
    st.floats(0, 0.99),
    st.integers(0, 1000),
)
def test_the_split_keeps_people_together(people, share, seed):
    keys = [f"p{k}" for k in people]
    train, held = split_people(keys, share, seed)
    assert sorted([*train, *held]) == list(range(len(keys)))
    learned, watched = ({keys[i] for i in part} for part in (train, held))
    assert not learned & watched
    assert learned
    assert bool(watched) == (share > 0 and len(set(keys)) > 1)
    assert abs(len(watched) - share * len(set(keys))) <= 1
    assert split_people(keys, share, seed) == (train, held)


def test_visits_of_a_person_stay_on_one_side(tmp_path, monkeypatch):
    people = ["p1", "p1", "p2", "p2", "p3", "p3"]
    split = []

    def kept(keys, *arguments):
        split.append((list(keys), *split_people(keys, *arguments)))
        return split[-1][1:]

    monkeypatch.setattr(training_scans, "split_people", kept)
    found = segmenter(validation=0.34).fit(cohort_of(tmp_path, people))
    [(keys, train, held)] = split
    assert sorted(keys) == people
    assert len(held) == 2
    assert {keys[i] for i in held}.isdisjoint(keys[i] for i in train)
    # Those that were held out had a say in the temperature.
    assert found.saw(["p1", "p2", "p3"]).all()


def test_training_stops_without_a_better_dice_and_keeps_the_best(pairs, monkeypatch):
    values = iter([0.3, 0.6, 0.5, 0.4, 0.9])
    best = {}

    def dice(self, network, _):
        value = next(values)
        best[value] = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return {"dice": value}

    monkeypatch.setattr(TrigeminalSegmenter, "_dice", dice)
    settings = {"n_steps": 40, "validation": 0.25, "validate_every": 2, "patience": 2}
    found = segmenter(**settings).fit(pairs)
    assert found.history_["step"].max() == 8
    assert found.history_["val_dice"].dropna().tolist() == [0.3, 0.6, 0.5, 0.4]
    assert all(torch.equal(best[0.6][name], tensor) for name, tensor in weights(found).items())


def test_the_watched_dice_is_that_of_what_is_predicted(pairs):
    found = segmenter(n_steps=30, learning_rate=1e-2, validation=0.25, validate_every=30, flips=())
    found.fit(pairs)
    _, held = split_people([f"scan {i}" for i in range(4)], 0.25, 0)
    image, truth = pairs[held[0]]
    labels = data(found.segment(image).labels)
    row = found.history_.iloc[-1]
    both, each = (
        ((labels == 1) & (data(truth) == 1)).sum(),
        (labels == 1).sum() + (data(truth) == 1).sum(),
    )
    assert row["val_dice_stem"] == pytest.approx(2 * both / each, abs=1e-6)
    assert row["val_dice"] == pytest.approx((row["val_dice_stem"] + row["val_dice_blob"]) / 2)


def test_a_single_scan_is_learned_from_without_validation(pairs):
    found = segmenter(validation=0.5, patience=3).fit(pairs[:1])
    assert not any(name.startswith("val_") for name in found.history_)
    assert found.temperature_ == 1.0
    assert found.ranges_ == {}


def test_ranges_are_those_of_what_segment_sees():
    """Held-out scans themselves must not be flagged, whatever their voxel size."""
    affine = oblique((0.7, 0.8, 0.9))
    scans = [small_scan(seed, affine=affine) for seed in range(1, 19)]
    found = segmenter(spacing_mm=None, validation=0.5, n_steps=2, overlap=0).fit(scans)
    assert found.temperature_ != 1.0
    _, held = split_people([f"scan {i}" for i in range(18)], 0.5, 0)
    assert len(held) == 9
    assert {"stem_mm3", "blob_mm3", "spread"} <= set(found.ranges_)
    for i in held:
        result = found.segment(scans[i][0])
        # After two steps there may be no background to measure the noise of.
        assert (result.checks["ok"] | result.checks["value"].isna()).all(), result.checks
        assert not any("scans that the network knows" in flag for flag in result.flags)


# --- fine-tuning -------------------------------------------------------------------------


def test_fine_tuning_begins_with_the_weights_of_its_start(pairs, fitted, tmp_path):
    fitted.save(tmp_path)
    still = {"n_steps": 1, "learning_rate": 1e-30, "weight_decay": 0}
    for start in (fitted, tmp_path, str(tmp_path)):
        tuned = segmenter(**still, init=start).fit(pairs)
        assert same_weights(tuned, fitted)
    assert not same_weights(segmenter(**still).fit(pairs), fitted)
    before = {name: tensor.clone() for name, tensor in weights(fitted).items()}
    segmenter(init=fitted).fit(pairs)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(fitted).items())


def test_a_clone_keeps_the_start_with_its_weights(pairs, fitted):
    still = {"n_steps": 1, "learning_rate": 1e-30, "weight_decay": 0}
    copy = clone(segmenter(**still, init=fitted))
    assert same_weights(copy.fit(pairs), fitted)


def test_a_model_can_be_its_own_start(pairs):
    model = segmenter(n_steps=1, learning_rate=1e-30, weight_decay=0).fit(pairs)
    before = {name: tensor.clone() for name, tensor in weights(model).items()}
    model.set_params(init=model, random_state=5).fit(pairs)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights(model).items())


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"width": 8}, r"network, width.*\('unet', 8, 1.*found \('unet', 4"),
        ({"network": "dynunet"}, "dynunet"),
        ({"labels": {"stem": 1}}, "stem"),
        ({"init": 5}, "expected a segmenter.*found int"),
        ({"init": "nowhere"}, "nowhere"),
    ],
)
def test_a_start_that_does_not_fit_is_refused(pairs, fitted, settings, text):
    with pytest.raises(FormatError, match=text):
        segmenter(**({"init": fitted} | settings)).fit(pairs)
    with pytest.raises(NotFittedError):
        segmenter(init=segmenter()).fit(pairs)


def test_it_knows_whose_scans_it_saw_and_those_of_its_start(pairs, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first = segmenter().fit(cohort_of(tmp_path / "a", ["anna", "ben"]))
    assert first.saw(["anna", "ben", "cleo"]).tolist() == [True, True, False]
    second = segmenter(init=first).fit(cohort_of(tmp_path / "b", ["cleo", "dora"]))
    people = ["anna", "ben", "cleo", "dora", "emil"]
    assert second.saw(people).tolist() == [True, True, True, True, False]
    assert first.saw(people).tolist() == [True, True, False, False, False]
    third = segmenter(init=second).fit(pairs)  # nobody's in particular
    third.save(tmp_path / "model")
    loaded = TrigeminalSegmenter.load(tmp_path / "model")
    assert loaded.saw(people).tolist() == second.saw(people).tolist()
    stored = (tmp_path / "model" / "model.json").read_text()
    assert not any(name in stored for name in people)


# --- files -------------------------------------------------------------------------------


@pytest.fixture
def saved(fitted, tmp_path):
    folder = tmp_path / "model"
    fitted.save(folder)
    return folder


def test_a_loaded_segmenter_is_the_one_that_was_saved(fitted, saved):
    loaded = TrigeminalSegmenter.load(saved)
    assert same_weights(loaded, fitted)
    image, _ = small_scan(21)
    for one, other in (
        (loaded.predict_proba, fitted.predict_proba),
        (lambda scan: loaded.segment(scan).spread, lambda scan: fitted.segment(scan).spread),
    ):
        np.testing.assert_array_equal(data(one(image)), data(other(image)))
    for name in ("structures_", "temperature_", "ranges_", "memory_", "n_parameters_"):
        assert getattr(loaded, name) == getattr(fitted, name)
    kept = ("spacing_mm", "patch", "network", "width", "flips", "channels", "max_spacing_mm")
    for name in kept:
        assert loaded.get_params()[name] == fitted.get_params()[name]
    assert loaded.fit([small_scan(1)]).structures_ == fitted.structures_


def test_a_saved_segmenter_is_saved_again_unchanged(saved, tmp_path):
    TrigeminalSegmenter.load(saved).save(tmp_path / "again")
    for name in ("model.json", "weights.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_half_precision_predicts_nearly_the_same(fitted, saved, tmp_path):
    fitted.save(tmp_path / "half", half=True)
    size = (tmp_path / "half" / "weights.safetensors").stat().st_size
    assert size < 0.6 * (saved / "weights.safetensors").stat().st_size
    image, _ = small_scan(21)
    found = data(TrigeminalSegmenter.load(tmp_path / "half").predict_proba(image))
    np.testing.assert_allclose(found, data(fitted.predict_proba(image)), atol=5e-3)


def test_what_is_loaded_must_be_what_was_saved(saved):
    weights = saved / "weights.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
    with pytest.raises(FormatError, match=r"SHA-256 differs.*copy or download"):
        TrigeminalSegmenter.load(saved)
    weights.write_bytes(whole[:-4])
    with pytest.raises(FormatError, match="cut off"):
        TrigeminalSegmenter.load(saved)


def rewrite(folder, change) -> None:
    path = folder / "model.json"
    model = json.loads(path.read_text())
    change(model)
    path.write_text(json.dumps(model))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda m: m.update(version=99), r"format 99, newer.*update precisionpain"),
        (lambda m: m.update(version=0), r"format 0, older.*train it again"),
        (lambda m: m.update(kind="Other"), r"kind 'TrigeminalSegmenter', found 'Other'"),
        (lambda m: m["description"].pop("structures"), "not complete.*structures"),
        (lambda m: m["description"].update(structures={}), "structures with one value"),
        (lambda m: m["description"].update(structures={"a": []}), "structures with one value"),
        (lambda m: m["description"].update(structures=[1]), "structures with one value"),
        (lambda m: m["description"].update(ranges=3), "not complete"),
        (lambda m: m["description"].update(temperature=None), "not complete"),
        (lambda m: m["description"]["parameters"].update(network="os.system"), "unknown network"),
        (lambda m: m["description"]["parameters"].update(width=8), "weights are of another"),
        (lambda m: m["description"]["parameters"].update(patch="big"), "multiple of 16"),
        (lambda m: m["description"]["parameters"].update(flips=[7]), "axes from 0 to 2"),
        (lambda m: m["description"]["parameters"].update(evil=1), "not complete.*evil"),
        (lambda m: m["description"]["parameters"].update(as_one=[["x", "y"]]), "groups of two"),
        (lambda m: m["description"]["parameters"].update(as_one=3), "not complete"),
        (lambda m: m["description"].update(borders={"1+2": [0.1, 0.1]}), "borders of structures"),
        (lambda m: m["description"].update(borders={"7": [0.1, 0.1]}), "borders of structures"),
        (lambda m: m["description"].update(borders={"a": [0.1, 0.1]}), "not complete"),
    ],
)
def test_a_description_that_is_not_of_this_library_is_refused(saved, change, text):
    rewrite(saved, change)
    with pytest.raises(FormatError, match=text):
        TrigeminalSegmenter.load(saved)


def test_what_counts_as_one_is_kept(pairs, tmp_path):
    found = segmenter(as_one=[["blob", "stem"]], validation=0.25, n_steps=2).fit(pairs)
    assert {"val_dice_stem", "val_dice_stem+blob"} <= set(found.history_)
    last = found.history_.iloc[-1]
    assert last["val_dice"] == last["val_dice_stem+blob"]  # one unit, so the mean is its own
    found.borders_ = {(1, 2): Border(0.1, 0.05)}
    found.save(tmp_path)
    loaded = TrigeminalSegmenter.load(tmp_path)
    assert (loaded.as_one, loaded.borders_) == ((("blob", "stem"),), found.borders_)
    image, _ = small_scan(21)
    np.testing.assert_array_equal(data(loaded.predict(image)), data(found.predict(image)))


def test_arteries_and_veins_count_as_one_unless_told_otherwise():
    scans = SimulatedCisterns(2, 0, spacing_mm=1.5)
    how = {"spacing_mm": 1.5, "patch": 32, "width": 4, "n_steps": 1, "per_scan": 1,
           "validation": 0.5, "progress": False}  # fmt: skip
    assert "val_dice_artery+vein" in TrigeminalSegmenter(**how).fit(scans).history_
    assert "val_dice_artery+vein" not in TrigeminalSegmenter(**how, as_one=()).fit(scans).history_


def test_a_model_from_before_groups_has_none(saved):
    rewrite(saved, lambda m: m["description"]["parameters"].pop("as_one"))
    assert TrigeminalSegmenter.load(saved).as_one == ()


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return exec, ("import sys; sys.segmenter_bomb = True",)


def test_loading_runs_no_code(saved):
    code = pickle.dumps(Bomb())
    pickle.loads(code)
    assert sys.segmenter_bomb  # it would
    del sys.segmenter_bomb
    for name in ("weights.safetensors", "model.json"):
        kept = (saved / name).read_bytes()
        (saved / name).write_bytes(code)
        with pytest.raises(FormatError, match=r"pickle.*could run anything"):
            TrigeminalSegmenter.load(saved)
        (saved / name).write_bytes(kept)
    torch.save({"network": Bomb()}, saved / "weights.safetensors")
    with pytest.raises(FormatError, match="zip archive"):
        TrigeminalSegmenter.load(saved)
    assert not hasattr(sys, "segmenter_bomb")


def test_loading_imports_nothing_that_the_files_name(saved):
    unpickled = []
    sys.addaudithook(
        lambda event, _: unpickled.append(event) if event == "pickle.find_class" else None
    )
    TrigeminalSegmenter.load(saved)
    assert unpickled == []


def test_nothing_to_load_says_where(tmp_path, saved):
    with pytest.raises(FormatError, match=r"absent.*not there"):
        TrigeminalSegmenter.load(tmp_path / "absent")
    with pytest.raises(FormatError, match="finds 0 of this kind"):
        TrigeminalSegmenter.load(saved, device="mps")
