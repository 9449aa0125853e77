"""The Cohort itself: keys, rows by position, freezing, sharing, size."""

from __future__ import annotations

import copy
import io
import pickle
import time

import anndata
import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from precisionpain.cohort import Cohort, Column, Outcome, from_mudata, read_cohort
from precisionpain.errors import (
    AlignmentError,
    FormatError,
    LeakageError,
    MissingModalityError,
)

from .toy import toy_cohort, toy_parts

IMAGES = pd.DataFrame(
    {
        "subject_id": ["p000", "p001", "p001"],
        "visit": ["preop", "preop", "followup"],
        "contrast": ["T1w", "T1w", "T2w"],
        "path": ["/a/0.nii.gz", "/a/1.nii.gz", "/a/2.nii.gz"],
        "present": [True, False, True],
    }
)


def people(*ids: str, **columns) -> pd.DataFrame:
    return pd.DataFrame(columns, index=list(ids))


def spoilt(table: str, change) -> dict:
    """Constructor arguments with the ids of one table changed."""
    parts = toy_parts(8)
    parts["images"] = IMAGES
    if table == "assay":
        obs = parts["assays"]["csf_pea"].obs
        obs["subject_id"] = change(obs["subject_id"])
    elif table == "nerve":
        parts["measurements"]["nerve"]["subject_id"] = change(
            parts["measurements"]["nerve"]["subject_id"]
        )
    else:
        parts[table] = parts[table].assign(subject_id=change(parts[table]["subject_id"]))
    return parts


# --- keys ----------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["visits", "images", "nerve", "assay"])
class TestKeysOfEveryTable:
    def test_unknown_id(self, table):
        with pytest.raises(AlignmentError, match="unknown: 'q999'"):
            Cohort(**spoilt(table, lambda ids: ids.replace("p001", "q999")))

    def test_zero_padding_is_named_never_guessed(self, table):
        with pytest.raises(AlignmentError, match="'p1' equals 'p001' up to zero padding"):
            Cohort(**spoilt(table, lambda ids: ids.replace("p001", "p1")))

    @pytest.mark.parametrize("wrong", [1, 1.0, b"p001", " p001", "p001 ", "p001\n"])
    def test_ids_are_text_without_spaces(self, table, wrong):
        def change(ids):
            return ids.map(lambda one: wrong if one == "p001" else one).astype(object)

        with pytest.raises(AlignmentError, match="text without spaces around it"):
            Cohort(**spoilt(table, change))

    def test_empty_id(self, table):
        with pytest.raises(AlignmentError, match="empty"):
            Cohort(**spoilt(table, lambda ids: ids.replace("p001", "")))

    def test_missing_id(self, table):
        def change(ids):
            return ids.where(ids != "p001", None)

        expected = "no subject_id and are no control samples" if table == "assay" else "None"
        with pytest.raises(AlignmentError, match=expected):
            Cohort(**spoilt(table, change))


def test_the_case_of_an_id_matters():
    with pytest.raises(AlignmentError, match="up to case"):
        Cohort(people("p1"), visits=pd.DataFrame({"subject_id": ["P1"], "visit": ["preop"]}))


def test_padded_ids_are_two_people():
    cohort = Cohort(people("sub-01", "sub-010", "sub-1", age=[1.0, 2.0, 3.0]))
    assert cohort.subject("sub-1").clinical["age"] == 3
    assert cohort.subject("sub-01").clinical["age"] == 1


@pytest.mark.parametrize("ids", [["a", "b", "a"], ["a", "a"]])
def test_a_subject_stands_once(ids):
    with pytest.raises(AlignmentError, match="'a'"):
        Cohort(people(*ids))
    with pytest.raises(AlignmentError, match="'a'"):
        Cohort(pd.DataFrame({"subject_id": ids}))


@pytest.mark.parametrize("index", [[1, 2], [1.5, 2.5], ["a ", "b"], ["", "b"], [None, "b"]])
def test_subject_ids_are_text(index):
    with pytest.raises(AlignmentError):
        Cohort(pd.DataFrame({"age": [1, 2]}, index=index))


def test_several_keys_are_refused():
    index = pd.MultiIndex.from_tuples([("a", "preop"), ("a", "followup")])
    with pytest.raises(FormatError, match="MultiIndex"):
        Cohort(pd.DataFrame({"age": [1, 2]}, index=index))


def test_a_visit_stands_once_for_each_person():
    visits = pd.DataFrame({"subject_id": ["p1", "p1"], "visit": "preop", "day": [-3, -1]})
    with pytest.raises(AlignmentError, match="p1 / preop"):
        Cohort(people("p1"), visits=visits)


def test_samples_and_features_stand_once():
    obs = pd.DataFrame({"subject_id": ["p1", "p1"]}, index=["s", "s"])
    with pytest.warns(UserWarning, match="not unique"):
        twice = anndata.AnnData(np.zeros((2, 1)), obs=obs)
    with pytest.raises(AlignmentError, match="samples"):
        Cohort(people("p1"), assays={"a": twice})
    one = anndata.AnnData(np.zeros((1, 2)), obs=obs.iloc[:1], var=pd.DataFrame(index=["v", "w"]))
    one.var_names = ["v", "v"]
    with pytest.raises(AlignmentError, match="features"):
        Cohort(people("p1"), assays={"a": one})


def test_an_image_file_stands_once():
    with pytest.raises(AlignmentError, match=r"0\.nii\.gz"):
        toy_cohort(images=pd.concat([IMAGES, IMAGES.iloc[:1]]))


def test_columns_stand_once():
    frame = pd.DataFrame([[1, 2]], index=["p1"], columns=["age", "age"])
    with pytest.raises(AlignmentError, match="'age'"):
        Cohort(frame)
    keyed = pd.DataFrame([["p1", 1, 2]], columns=["subject_id", "v", "v"])
    with pytest.raises(AlignmentError, match="'v'"):
        Cohort(people("p1"), measurements={"m": keyed})


def test_names_that_availability_could_not_tell_apart():
    table = pd.DataFrame({"subject_id": ["p000"], "snr": [1.0]})
    with pytest.raises(AlignmentError, match="'T1w'"):
        toy_cohort(images=IMAGES, measurements={"T1w": table})


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("subjects", {"age": [1]}),
        ("visits", [("p000", "preop", 0)]),
        ("images", "images.csv"),
        ("measurements", {"m": [1, 2]}),
        ("assays", {"a": pd.DataFrame({"subject_id": ["p000"]})}),
    ],
)
def test_tables_of_the_wrong_type(part, value):
    with pytest.raises(FormatError, match=r"expected|DataFrame"):
        toy_cohort(**{part: value})


def test_lacking_key_columns():
    with pytest.raises(FormatError, match="'visit'"):
        toy_cohort(visits=pd.DataFrame({"subject_id": ["p000"]}))
    with pytest.raises(FormatError, match="'contrast', 'path'"):
        toy_cohort(images=IMAGES[["subject_id", "visit"]])
    table = pd.DataFrame({"subject_id": ["p000"]}, index=pd.Index(["x"], name="subject_id"))
    with pytest.raises(FormatError, match="both index and column"):
        toy_cohort(measurements={"m": table})
    with pytest.raises(FormatError, match="subject_id"):
        toy_cohort(assays={"a": anndata.AnnData(np.zeros((1, 1)))})


@pytest.mark.parametrize("present", ["False", 2, "yes"])
def test_present_is_true_or_false(present):
    with pytest.raises(FormatError, match="column 'present'"):
        toy_cohort(images=IMAGES.assign(present=[present, True, True]))


@pytest.mark.parametrize("run", ["a", 1.5])
def test_a_run_is_a_whole_number(run):
    with pytest.raises(FormatError, match="column 'run'"):
        toy_cohort(images=IMAGES.assign(run=[run, 1, 1]))


def test_an_image_on_disk_has_a_path():
    with pytest.raises(FormatError, match="marked present but have no path"):
        toy_cohort(images=IMAGES.assign(path=[None, "/b", "/c"]))


@pytest.mark.parametrize("side", ["X", "L", "Left", "both", ""])
def test_sides(side):
    with pytest.raises(FormatError, match="'left', 'right', 'bilateral' or missing") as caught:
        Cohort(people("p1", "p2", affected_side=["left", side]))
    assert "subject 'p2'" in str(caught.value)
    assert "levels=" in str(caught.value)
    table = pd.DataFrame({"subject_id": ["p1"], "side": [side], "v": [1.0]})
    with pytest.raises(FormatError, match="'left' or 'right'"):
        Cohort(people("p1"), measurements={"m": table})


def test_a_nerve_is_not_bilateral():
    table = pd.DataFrame({"subject_id": ["p1"], "side": ["bilateral"]})
    with pytest.raises(FormatError, match="'left' or 'right'"):
        Cohort(people("p1"), measurements={"m": table})


def test_columns_that_describe_nothing():
    with pytest.raises(FormatError, match="'agee'"):
        Cohort(people("p1", age=[1]), columns={"agee": Column()})


# --- joined by key, never by row ---------------------------------------------------------


def shuffled(parts: dict, seed: int) -> dict:
    """The same facts with the rows of every table in another order."""
    rng = np.random.default_rng(seed)

    def mix(table):
        return table.iloc[rng.permutation(len(table))]

    csf = parts["assays"]["csf_pea"]
    return parts | {
        "subjects": mix(parts["subjects"]),
        "visits": mix(parts["visits"]),
        "images": mix(parts["images"]),
        "measurements": {n: mix(t) for n, t in parts["measurements"].items()},
        "assays": {"csf_pea": csf[rng.permutation(csf.n_obs)].copy()},
    }


def everything(cohort: Cohort) -> dict[str, pd.DataFrame]:
    """What a cohort says of its people, by key, in the order of the keys."""
    nerves, visits = cohort.per_nerve(), cohort.per_visit()
    assay = cohort.assays["csf_pea"]
    found = {
        "subjects": cohort.subjects,
        "predictors": cohort.predictor_frame(),
        "response": cohort.outcome("response").to_frame(),
        "recurrence": cohort.outcome("recurrence"),
        "scores": cohort.measurement("scores"),
        "availability": cohort.availability,
        "followup seen": cohort.has("followup").to_frame(),
        "nerve": nerves.measurement("nerve", visit="preop"),
        "nerve roles": nerves.rows,
        "nerve response": nerves.outcome("response").to_frame(),
        "visit scores": visits.measurement("scores"),
        "visit days": visits.rows,
        "visit predictors": visits.predictor_frame(),
        "visits": cohort.visits.set_index(["subject_id", "visit"]),
        "images": cohort.images.set_index("path"),
        "assay": assay.to_df(),
        "assay owners": assay.obs.astype(object).where(assay.obs.notna(), None),
    }
    return {name: table.sort_index().sort_index(axis=1) for name, table in found.items()}


def assert_same(one: Cohort, two: Cohort) -> None:
    first, second = everything(one), everything(two)
    for name, table in first.items():
        pd.testing.assert_frame_equal(table, second[name], check_names=False, obj=name)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shuffled_rows_change_nothing(seed):
    parts = toy_parts(12) | {"images": IMAGES}
    assert_same(Cohort(**parts), Cohort(**shuffled(parts, seed)))


@settings(max_examples=3, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shuffled_rows_change_nothing_on_disk_or_in_mudata(tmp_path_factory, seed):
    parts = toy_parts(8) | {"images": IMAGES.assign(present=False)}
    mixed = Cohort(**shuffled(parts, seed))
    folder = tmp_path_factory.mktemp("cohort") / "c"
    assert_same(Cohort(**parts), read_cohort(mixed.save(folder, checksum=False)))
    assert_same(Cohort(**parts), from_mudata(mixed.to_mudata()))


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(12)), st.integers(0, 12))
def test_rows_by_position_follow_the_ids(order, n):
    cohort = toy_cohort(12)
    chosen = order[:n]
    part = cohort[chosen]
    ids = [f"p{i:03d}" for i in chosen]
    assert list(part.index) == list(part.groups) == list(part.subject_ids) == ids
    assert list(part.subjects.index) == list(part.outcome("response").index) == ids
    pd.testing.assert_frame_equal(part.subjects, cohort.subjects.loc[ids])
    pd.testing.assert_series_equal(part.outcome("response"), cohort.outcome("response")[ids])
    whole = cohort.measurement("scores")
    pd.testing.assert_frame_equal(part.measurement("scores"), whole.loc[ids], check_dtype=False)
    assert set(part.visits["subject_id"]) == set(ids)
    owners = part.assays["csf_pea"].obs["subject_id"]
    assert set(owners.dropna()) == set(ids) & {f"p{i:03d}" for i in range(6)}
    assert owners.isna().sum() == 1  # the control sample stays


def test_table_one_counts_people_by_key():
    cohort = toy_cohort(40)
    by = cohort.subjects["sex"].sort_values().rename("by")
    parts = toy_parts(40)
    expected = parts["subjects"].groupby("sex")["age"].mean()
    text = cohort.table_one(by, ["age"]).frame.to_string()
    for mean in expected:
        assert f"{mean:.1f}" in text
    with pytest.raises(AlignmentError, match="unknown"):
        cohort.table_one(pd.Series("a", index=["stranger"]))


# --- a scikit-learn X --------------------------------------------------------------------


def test_every_way_to_index():
    cohort = toy_cohort(6)

    def ids(key):
        return list(cohort[key].subject_ids)

    assert ids(0) == ids(np.int64(0)) == ids(-6) == ["p000"]
    assert ids(-1) == ["p005"]
    assert ids(slice(1, 5, 2)) == ["p001", "p003"]
    assert ids(slice(None, None, -1)) == [f"p{i:03d}" for i in range(5, -1, -1)]
    assert ids([3, 1]) == ids(np.array([3, 1])) == ids(pd.Series([3, 1])) == ["p003", "p001"]
    assert ids(range(2)) == ids(np.array([0, 1], dtype=np.uint8)) == ["p000", "p001"]
    assert ids([-1, 0]) == ["p005", "p000"]
    assert ids([]) == ids(np.array([], dtype=float)) == ids(slice(0, 0)) == []
    mask = np.arange(6) % 2 == 0
    assert ids(mask) == ids(mask.tolist()) == ["p000", "p002", "p004"]
    assert ids(pd.array(mask.tolist(), dtype="boolean").to_numpy(bool)) == ids(mask)
    assert ids(cohort.subjects["age"] > -1) == list(cohort.subject_ids)
    assert ids((cohort.subjects["age"] > -1).astype("boolean")) == list(cohort.subject_ids)
    assert list(cohort[[4, 2]][1].subject_ids) == ["p002"]
    for rest in (Ellipsis, slice(None)):
        assert list(cohort[[3, 1], rest].subject_ids) == ["p003", "p001"]


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (6, IndexError),
        (-7, IndexError),
        ([0, 99], IndexError),
        (np.array([[0, 1], [2, 3]]), IndexError),
        ([True, False], IndexError),
        (np.array([], dtype=bool), IndexError),
        ((0, "age"), IndexError),
        ((0, np.array([1, 2])), IndexError),
        ((0, 1, 2), IndexError),
        ([1, 1], AlignmentError),
        ([0, -6], AlignmentError),
        ("p000", TypeError),
        (["p000"], TypeError),
        (1.0, TypeError),
        ([0.0, 1.0], TypeError),
        (None, TypeError),
        ({"a": 1}, TypeError),
    ],
)
def test_positions_that_make_no_sense(key, error):
    with pytest.raises(error):
        toy_cohort(6)[key]


def test_text_points_to_the_methods_for_ids():
    with pytest.raises(TypeError, match=r"cohort.subject\(id\).*cohort.select\(ids\)"):
        toy_cohort(4)["p001"]


def test_a_mask_in_another_order_is_refused():
    cohort = toy_cohort(6)
    mask = (cohort.subjects["age"] > 50).iloc[::-1]
    with pytest.raises(AlignmentError, match=r"reindex\(cohort.index\)"):
        cohort[mask]
    with pytest.raises(AlignmentError, match="other rows"):
        cohort.per_nerve()[mask]
    with pytest.raises(TypeError, match="gaps"):
        cohort[pd.Series([True, None] * 3, index=cohort.index, dtype="boolean")]


def test_a_cohort_is_no_matrix():
    with pytest.raises(TypeError, match="ClinicalFeatures"):
        np.asarray(toy_cohort(4))


def test_shape_and_iteration():
    cohort = toy_cohort(6)
    assert cohort.shape == (6, len(cohort.predictors))
    assert [person.id for person in cohort] == list(cohort.subject_ids)
    assert [person.id for person in cohort[[4, 2]].per_nerve()] == ["p004", "p002"]


def through_joblib(cohort):
    buffer = io.BytesIO()
    joblib.dump(cohort, buffer)
    buffer.seek(0)
    return joblib.load(buffer)


@pytest.mark.parametrize(
    "clone", [lambda c: pickle.loads(pickle.dumps(c)), through_joblib, copy.deepcopy, copy.copy]
)
@pytest.mark.parametrize("unit", ["subject", "nerve", "visit"])
def test_round_trip_of_the_object(clone, unit):
    cohort = toy_cohort(12)[[5, 3, 8]]
    cohort = {"subject": cohort, "nerve": cohort.per_nerve(), "visit": cohort.per_visit()}[unit]
    other = clone(cohort)
    assert other.unit == unit
    assert other.index.equals(cohort.index)
    assert other.flow == cohort.flow
    pd.testing.assert_frame_equal(other.subjects, cohort.subjects)
    pd.testing.assert_frame_equal(other.rows, cohort.rows)
    pd.testing.assert_series_equal(other.outcome("response"), cohort.outcome("response"))
    np.testing.assert_array_equal(other.assays["csf_pea"].X, cohort.assays["csf_pea"].X)


# --- frozen, and shared ------------------------------------------------------------------


def test_attributes_cannot_be_set():
    cohort = toy_cohort(4)
    for name in ("subjects", "name", "anything", "_store"):
        with pytest.raises(AttributeError, match="with_"):
            setattr(cohort, name, 1)


@pytest.mark.filterwarnings("error")  # nor does pandas or anndata warn about views
@pytest.mark.parametrize("part", [slice(None), [3, 1, 2]])
def test_edits_of_what_is_returned_stay_outside(part):
    parts = toy_parts(8) | {"images": IMAGES}
    csf = parts["assays"]["csf_pea"]
    csf.layers["raw"] = csf.X.copy()
    csf.var["gene"] = "g"
    csf.varm["pc"] = np.ones((6, 2))
    csf.uns["steps"] = {"list": [1]}
    parts["meta"] = {"deep": {"a": 1}}
    cohort = Cohort(**parts)[part]
    before = everything_frozen(cohort)
    subjects = cohort.subjects
    subjects.iloc[0, 0] = "spoilt"
    subjects["age"] = -1.0
    subjects.loc[:, "site"] = "spoilt"
    subjects["new"] = 1
    subjects.index.name = "spoilt"
    for table in (cohort.visits, cohort.images, cohort.measurements["nerve"]):
        table.iloc[:, 1] = "spoilt"
        table["new"] = 1
    availability = cohort.availability
    availability.iloc[:] = False
    assay = cohort.assays["csf_pea"]
    assay.X[:] = -99
    assay.layers["raw"][:] = -99
    assay.obs["subject_id"] = "spoilt"
    assay.obs.iloc[:, 1] = "spoilt"
    assay.var.iloc[:, 0] = "spoilt"
    assay.varm["pc"][:] = -99
    assay.uns["steps"]["list"].append(2)
    assay.var_names = list("uvwxyz")
    cohort.meta["deep"]["a"] = 2
    cohort.columns.clear()
    cohort.outcomes.clear()
    cohort.predictors.clear()
    cohort.provenance["n"] = -1
    cohort.groups[:] = "spoilt"
    response = cohort.outcome("response")
    response[:] = -1
    predictors = cohort.predictor_frame()
    predictors.iloc[:] = np.nan
    assert everything_frozen(cohort) == before


def everything_frozen(cohort: Cohort) -> dict[str, str]:
    assay = cohort.assays["csf_pea"]
    found = {name: table.to_json() for name, table in everything(cohort).items()}
    found["layers"] = str(assay.layers["raw"])
    found["var"] = assay.var.to_json() + str(assay.varm["pc"]) + str(assay.uns)
    found["rest"] = f"{cohort.meta} {cohort.columns} {cohort.outcomes} {cohort.predictors}"
    found["provenance"] = cohort.provenance.to_json()
    return found


def test_later_edits_of_the_given_tables_stay_outside():
    parts = toy_parts(8) | {"images": IMAGES.copy(), "meta": {"deep": {"a": 1}}}
    cohort = Cohort(**parts)
    before = {n: t.to_json() for n, t in everything(cohort).items()}
    parts["subjects"].loc["p001", "age"] = -1
    parts["subjects"]["new"] = 1
    for table in (parts["visits"], parts["images"], *parts["measurements"].values()):
        table.iloc[:, 0] = "spoilt"
    parts["meta"]["deep"]["a"] = 2
    parts["provenance"][0]["n"] = -1
    parts["columns"].clear()
    parts["outcomes"].clear()
    assert {n: t.to_json() for n, t in everything(cohort).items()} == before
    assert cohort.meta == {"deep": {"a": 1}}
    assert cohort.provenance["n"].tolist() == [8]


def test_building_leaves_the_given_tables_as_they_are():
    parts = toy_parts(8) | {"images": IMAGES.copy()}
    parts["subjects"].index.name = None
    before = {n: parts[n].copy() for n in ("subjects", "visits", "images")}
    obs = parts["assays"]["csf_pea"].obs.copy()
    Cohort(**parts).with_measurements("m", parts["measurements"]["nerve"])
    for name, table in before.items():
        pd.testing.assert_frame_equal(parts[name], table)
    pd.testing.assert_frame_equal(parts["assays"]["csf_pea"].obs, obs)


def test_what_a_reader_attached_is_used_and_left_behind():
    frame = people("p1", "p2", age=[50.0, 60.0], bni=[1.0, 4.0])
    frame.attrs = {
        "columns": {"bni": Column(role="outcome"), "age": Column(unit="years")},
        "provenance": [{"step": "read", "n": 2}],
    }
    cohort = Cohort(frame)
    assert cohort.predictors == ["age"]
    assert cohort.columns["age"].unit == "years"
    assert cohort.provenance["step"].tolist() == ["read"]
    assert cohort.subjects.attrs == {}
    assert "columns" in frame.attrs


def test_indexing_copies_no_table():
    cohort = toy_cohort(40)
    parts = [cohort[[1, 5]], cohort[cohort.has("followup").to_numpy()], cohort.per_nerve()[:7]]
    parts += [cohort.require("response"), cohort.where(site="A"), cohort.select(["p003"])]
    parts += [part[:1] for part in parts]
    for part in parts:
        assert part._store is cohort._store
    store = cohort._store
    view = cohort.known_at_index()._store
    assert view.assays["csf_pea"] is not None
    changed = cohort.with_outcome("old", column="age", at_least=60)._store
    for table in ("subjects", "visits", "images", "measurements", "assays"):
        assert getattr(changed, table) is getattr(store, table)


def test_adding_a_table_copies_no_assay():
    cohort = toy_cohort(8)
    table = pd.DataFrame({"subject_id": ["p001"], "v": [1.0]})
    grown = cohort.with_measurements("m", table).with_images(IMAGES)
    mine, theirs = grown._store.assays["csf_pea"].X, cohort._store.assays["csf_pea"].X
    assert np.shares_memory(mine, theirs)


def test_subjects_is_a_copy():
    cohort = toy_cohort(8)
    mine = cohort.subjects["age"].to_numpy()
    assert not np.shares_memory(mine, cohort._store.subjects["age"].to_numpy())


# --- adding ------------------------------------------------------------------------------


def test_with_columns_joins_by_key():
    cohort = toy_cohort(6)[[4, 2, 0]]
    table = pd.DataFrame({"pain": [1, 2], "note": ["x", "y"]}, index=["p000", "p002"])
    grown = cohort.with_columns(table, {"note": Column(role="note")})
    assert grown.subjects["pain"].fillna(-1).tolist() == [-1, 2, 1]
    assert "pain" in grown.predictors
    assert "note" not in grown.predictors
    assert "pain" not in cohort.subjects
    assert list(grown.subjects.columns) == [*cohort.subjects.columns, "pain", "note"]
    same = cohort.with_columns(table.rename_axis("subject_id").reset_index())
    pd.testing.assert_frame_equal(same.subjects, grown.subjects)


@pytest.mark.parametrize("ids", [["p000", "p000"], ["p000", "p009"], ["p000", "p0"], [0, 1]])
def test_with_columns_checks_the_keys(ids):
    with pytest.raises(AlignmentError):
        toy_cohort(4).with_columns(pd.DataFrame({"pain": [1, 2]}, index=ids))


def test_a_replaced_column_keeps_its_role():
    cohort = toy_cohort(8)
    later = cohort.with_columns(pd.DataFrame({"complication": True}, index=cohort.subject_ids))
    assert later.subjects["complication"].all()
    assert "complication" not in later.predictors
    with pytest.raises(LeakageError):
        later.predictor_frame(["complication"])
    freed = cohort.with_columns(
        pd.DataFrame({"complication": True}, index=cohort.subject_ids),
        {"complication": Column(kind="flag")},
    )
    assert "complication" in freed.predictors
    found = cohort.with_columns(pd.DataFrame({"empty": 1.0}, index=cohort.subject_ids))
    assert found.columns["empty"].role == "predictor"


def test_with_images_measurements_and_assay():
    cohort = toy_cohort(6)
    grown = cohort.with_images(IMAGES.iloc[:1]).with_images(IMAGES.iloc[1:])
    assert grown.images["path"].tolist() == IMAGES["path"].tolist()
    assert grown.images["present"].tolist() == [True, False, True]
    with pytest.raises(AlignmentError, match="files stand twice"):
        grown.with_images(IMAGES.iloc[:1])
    table = pd.DataFrame({"subject_id": ["p003"], "v": [2.0]})
    assert cohort.with_measurements("m", table).measurement("m")["v"].count() == 1
    with pytest.raises(AlignmentError, match="unknown"):
        cohort.with_measurements("m", table.assign(subject_id="p3"))
    plasma = cohort.assays["csf_pea"]
    assert set(cohort.with_assay("plasma", plasma).assays) == {"csf_pea", "plasma"}
    with pytest.raises(FormatError, match="add the table first"):
        cohort.per_nerve().with_measurements("m", table)


def test_an_outcome_bars_its_sources():
    frame = people("p1", "p2", age=[50.0, 60.0], bni=[1.0, 4.0], days=[9.0, 8.0], back=[0, 1])
    rule = Outcome(column="bni", at_most=2)
    survival = Outcome(kind="survival", time="days", event="back")
    for cohort in (
        Cohort(frame, outcomes={"response": rule, "recurrence": survival}),
        Cohort(frame, outcomes={"response": rule.to_dict(), "recurrence": survival.to_dict()}),
        Cohort(frame).with_outcome("response", rule).with_outcome("recurrence", survival),
        Cohort(frame, columns={"bni": Column(role="note")})
        .with_outcome("response", column="bni", at_most=2)
        .with_outcome("recurrence", kind="survival", time="days", event="back"),
    ):
        assert cohort.predictors == ["age"]
        with pytest.raises(LeakageError, match="it defines response") as caught:
            cohort.predictor_frame(["age", "bni"])
        assert "allow=['bni']" in str(caught.value)
        assert list(cohort.predictor_frame(["bni"], allow=["bni"])["bni"]) == [1, 4]
        assert cohort.outcome("response").tolist() == [1, 0]
        assert cohort.outcome("recurrence").columns.tolist() == ["time", "event"]


def test_hidden_truth_stays_hidden_truth():
    frame = people("p1", "p2", age=[50.0, 60.0], risk=[0.1, 0.9])
    cohort = Cohort(frame, columns={"risk": Column(role="truth")}, synthetic=True)
    assert cohort.truth.columns.tolist() == ["risk"]
    barred = cohort.without_predictors(["risk"], "why").with_outcome(
        "high", column="risk", at_least=0.5
    )
    assert barred.columns["risk"].role == "truth"
    with pytest.raises(LeakageError, match="hidden truth"):
        barred.predictor_frame(["risk"])


# --- outcomes on the fly -----------------------------------------------------------------


def test_outcome_rules_on_the_fly():
    cohort = toy_cohort(12, outcomes={"pain": Outcome(column="age", kind="number")})
    age = cohort.subjects["age"]
    assert cohort.outcome("pain").tolist() == age.tolist()
    assert cohort.outcome("pain", at_least=60).tolist() == (age >= 60).astype(float).tolist()
    assert cohort.outcome("age", at_most=60).tolist() == (age <= 60).astype(float).tolist()
    women = cohort.outcome("sex", positive="female", where={"site": "A"})
    assert women.notna().tolist() == (cohort.subjects["site"] == "A").tolist()
    with pytest.raises(FormatError, match="needs a rule"):
        cohort.outcome("sex")
    with pytest.raises(MissingModalityError, match="'pain'"):
        cohort.outcome("response")
    with pytest.raises(FormatError, match="survival"):
        toy_cohort(8).outcome("recurrence", at_least=3)


# --- pandas, empty, alone ----------------------------------------------------------------


def test_dtypes_of_pandas_come_through():
    frame = pd.DataFrame(
        {
            "level": pd.Categorical(["x", None, "y"], categories=["z", "y", "x"], ordered=True),
            "many": pd.Categorical(
                [f"c{i}" for i in range(3)], categories=[f"c{i}" for i in range(30)]
            ),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "count": pd.array([1, None, 3], dtype="Int64"),
            "yes": np.array([True, None, False], dtype=object),
            "when": pd.to_datetime(["2020-01-01", None, "2021-01-01"]),
            "text": pd.array(["a", None, "b"], dtype="string"),
            "odd": [1, "a", None],
            "none": [None] * 3,
        },
        index=pd.Index(["a", "b", "c"], name="patient"),
    )
    cohort = Cohort(frame)
    pd.testing.assert_frame_equal(cohort.subjects, frame, check_names=False)
    kinds = {name: column.kind for name, column in cohort.columns.items()}
    assert kinds == {
        "level": "category",
        "many": "category",
        "flag": "flag",
        "count": "number",
        "yes": "flag",
        "when": "date",
        "text": "category",
        "odd": "category",
        "none": "category",
    }
    assert cohort.subject_ids.name == "subject_id"
    assert cohort.outcome("flag").fillna(-1).tolist() == [1, -1, 0]
    assert cohort.where(level="x").n_subjects == 1
    assert "when" not in cohort.predictors


@pytest.mark.parametrize("dtype", [object, "string", "category"])
def test_ids_of_any_text_type(dtype):
    ids = pd.Series(["a", "b", "c"], dtype=dtype)
    visits = pd.DataFrame({"subject_id": ids, "visit": "preop", "day": -1.0})
    cohort = Cohort(pd.DataFrame({"subject_id": ids, "age": [1, 2, 3]}), visits=visits)
    assert cohort.subject_ids.tolist() == ["a", "b", "c"]
    kept = cohort.where(age=2)
    assert kept.visits["subject_id"].tolist() == ["b"]
    assert kept.visits["subject_id"].dtype == object  # a category would name the others


@pytest.mark.parametrize(
    "cohort",
    [
        Cohort(pd.DataFrame()),
        Cohort(pd.DataFrame({"subject_id": [], "age": []})),
        Cohort(pd.DataFrame({"age": []}, index=[])),
        toy_cohort(4)[[]],
        toy_cohort(4).select([]),
    ],
)
def test_nobody(cohort, tmp_path):
    assert len(cohort) == cohort.n_subjects == 0
    assert cohort.predictor_frame().shape == (0, len(cohort.predictors))
    assert len(cohort.availability) == len(cohort.visits) == len(cohort.images) == 0
    assert len(cohort.per_nerve()) == len(cohort.per_visit()) == 0
    assert list(cohort) == []
    assert cohort.dictionary.index.tolist() == list(cohort.columns)
    assert "0 subjects" in repr(cohort)
    assert len(cohort[[]]) == len(cohort[:]) == 0
    assert cohort.map(len, progress=False).results == {}
    assert len(cohort.known_at_index()) == 0
    assert len(read_cohort(cohort.save(tmp_path / "c"))) == 0


def test_one_person():
    cohort = toy_cohort(12)[7]
    assert cohort.n_subjects == 1
    assert cohort.outcome("response").shape == (1,)
    assert cohort.per_nerve().index.tolist() == [("p007", "left"), ("p007", "right")]
    assert "1 subjects" in repr(cohort)


# --- size --------------------------------------------------------------------------------


def test_a_hundred_thousand_people():
    n = 100_000
    rng = np.random.default_rng(0)
    ids = np.array([f"sub-{i:06d}" for i in range(n)], dtype=object)
    frame = pd.DataFrame({f"x{i}": rng.normal(size=n) for i in range(35)}, index=ids)
    for i in range(14):
        frame[f"c{i}"] = rng.choice(np.array(["a", "b", None], dtype=object), n)
    frame["remark"] = ids
    visits = pd.DataFrame({"subject_id": ids, "visit": "preop", "day": -3.0})
    start = time.perf_counter()
    cohort = Cohort(frame, visits=visits)
    built = time.perf_counter() - start
    assert cohort.columns["remark"].kind == "text"
    folds = [np.flatnonzero(np.arange(n) % 8 != k) for k in range(8)]
    start = time.perf_counter()
    parts = [cohort[fold] for fold in folds]
    indexed = time.perf_counter() - start
    start = time.perf_counter()
    frame = parts[0].predictor_frame()
    framed = time.perf_counter() - start
    assert len(frame) == n - n // 8
    start = time.perf_counter()
    text = repr(cohort)
    shown = time.perf_counter() - start
    assert "100000 subjects" in text
    assert built < 3
    assert indexed < 0.25
    assert framed < 1
    assert shown < 1
