"""The command ``segment``: what it writes, what it says, and what it leaves alone."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import precisionpain
from precisionpain.cli import main
from precisionpain.errors import StorageError
from precisionpain.trigeminal import Label, TrigeminalSegmenter, simulate_cistern
from precisionpain.trigeminal._scan import job as scans
from precisionpain.trigeminal._scan import pictures
from precisionpain.trigeminal._scan.files import staged
from precisionpain.trigeminal._scan.pictures import PICTURES
from precisionpain.trigeminal.morphometry import MEASURES, measure_compression
from precisionpain.trigeminal.segmentation import Segmentation

TABLES = {"dseg.nii.gz", "probseg.nii.gz", "measures.csv", "measures.json"}
MAIN = list(MEASURES)
FLAG = "noise is 9, scans that the network knows have 1 to 2"
SHA = "c0ffee" * 10 + "c0de"


@pytest.fixture(scope="module")
def cistern():
    return simulate_cistern(
        3, spacing=1.0, oversample=2, plaque=False, tumour=None, semi_major_mm=2.0,
        semi_minor_mm=1.5, atrophy=0.0,
    )  # fmt: skip


class Known:
    """Answers with labels that are known to be right."""

    channels = ("T2w",)

    def __init__(self, labels, fractions) -> None:
        self.labels, self.fractions = labels, fractions

    def segment(self, image) -> Segmentation:
        checks = pd.DataFrame(
            {"value": [9.0], "low": [1.0], "high": [2.0], "ok": [False]},
            index=pd.Index(["noise"], name="check"),
        )
        return Segmentation(self.labels, self.fractions, self.labels, (FLAG,), checks)


def without(cistern, *gone: Label) -> Known:
    labels = np.asarray(cistern.labels.dataobj).copy()
    shares = np.asarray(cistern.fractions.dataobj).copy()
    for label in gone:
        labels[labels == label] = 0
        shares[..., 0] += shares[..., label]
        shares[..., label] = 0
    affine = cistern.labels.affine
    return Known(nibabel.Nifti1Image(labels, affine), nibabel.Nifti1Image(shares, affine))


def put(folder: Path, name: str, image) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    nibabel.save(image, folder / name)
    return folder / name


def use(patch: pytest.MonkeyPatch, segmenter) -> None:
    weights = scans.Weights("default", SHA, "simulated scans alone, none of a real person")
    patch.setattr(scans, "load_segmenter", lambda folder=None, device="auto": (segmenter, weights))


@pytest.fixture
def known(monkeypatch, cistern) -> Known:
    segmenter = Known(cistern.labels, cistern.fractions)
    use(monkeypatch, segmenter)
    return segmenter


@pytest.fixture
def blank(monkeypatch) -> list:
    """Measure nothing and write empty files in place of pictures, for tests of all else.

    Return what was passed to be measured.
    """
    asked = []

    def measure(labels, **options):
        asked.append((labels, options))
        table = pd.DataFrame(np.nan, index=pd.Index(["left", "right"], name="side"), columns=MAIN)
        return table.assign(vessel=None, flags="")

    def draw(image, labels, probabilities, start):
        for ending in PICTURES:
            Path(f"{start}_{ending}").write_bytes(b"")
        return {}

    monkeypatch.setattr(scans, "measure_compression", measure)
    monkeypatch.setattr(scans, "draw_pictures", draw)
    return asked


@pytest.fixture
def scan(tmp_path, cistern) -> Path:
    return put(tmp_path / "in", "sub-01_acq-ciss_T2w.nii.gz", cistern.image)


def contents(folder: Path) -> dict[str, bytes]:
    """Return all that a folder holds, hidden files too."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- all of it, once ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(cistern, tmp_path_factory) -> tuple[Path, str, dict[str, list[str]]]:
    """Run it on a scan in a folder with a person's name; keep the words in the pictures."""
    top = tmp_path_factory.mktemp("whole")
    path = put(top / "Mueller_Anna_1950", "sub-01_acq-ciss_T2w.nii.gz", cistern.image)
    words: dict[str, list[str]] = {}
    save = Figure.savefig

    def listening(figure, where, **options):
        words[Path(where).name] = [text.get_text() for text in figure.findobj(Text)]
        save(figure, where, **options)

    with pytest.MonkeyPatch.context() as patch:
        use(patch, Known(cistern.labels, cistern.fractions))
        patch.setattr(Figure, "savefig", listening)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            assert main(["segment", str(path), "--out", str(top / "out")]) == 0
    return top / "out", said.getvalue(), words


def test_all_files_are_there_under_the_name_of_the_scan(whole):
    folder, said, _ = whole
    expected = {f"sub-01_acq-ciss_{end}" for end in (*TABLES, *PICTURES)}
    assert {path.name for path in folder.iterdir()} == expected
    for name in expected:
        assert name in said
    assert str(folder) in said


def test_labels_are_those_of_the_segmenter_on_the_grid_of_the_scan(whole, cistern):
    folder, *_ = whole
    for ending, truth in (("dseg", cistern.labels), ("probseg", cistern.fractions)):
        image = nibabel.load(folder / f"sub-01_acq-ciss_{ending}.nii.gz")
        np.testing.assert_array_equal(np.asarray(image.dataobj), np.asarray(truth.dataobj))
        np.testing.assert_allclose(image.affine, cistern.image.affine, atol=1e-5)


def test_the_table_can_be_made_again_from_the_files(whole, cistern):
    folder, *_ = whole
    table = pd.read_csv(folder / "sub-01_acq-ciss_measures.csv", index_col="side")
    again = measure_compression(
        folder / "sub-01_acq-ciss_dseg.nii.gz",
        probabilities=folder / "sub-01_acq-ciss_probseg.nii.gz",
    )
    assert table["flags"].tolist() == [FLAG, FLAG]
    measures = [name for name in again if name not in ("flags", "vessel")]
    found, expected = (frame[measures].to_numpy(dtype=float) for frame in (table, again))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # a header has 32 bits
    assert {"length_mm_low", "length_mm_high"} <= set(table)
    truth = cistern.truth.loc[["left", "right"], "length_mm"]
    assert (table["length_mm"] - truth).abs().max() < 0.5
    assert table["weights_sha256"].unique().tolist() == [SHA]
    assert table["library"].unique().tolist() == [f"precisionpain {precisionpain.__version__}"]
    assert table["note"].str.contains("research use only.*trained on simulated scans alone").all()


def test_the_record_says_what_it_was_made_with(whole, cistern):
    folder, *_ = whole
    record = json.loads((folder / "sub-01_acq-ciss_measures.json").read_text("utf-8"))
    scan = folder.parent / "Mueller_Anna_1950" / "sub-01_acq-ciss_T2w.nii.gz"
    digest = hashlib.sha256(scan.read_bytes()).hexdigest()
    assert record["images"] == [{"name": scan.name, "sha256": digest}]
    assert record["weights"]["sha256"] == SHA
    assert record["written_by"] == f"precisionpain {precisionpain.__version__}"
    notes = " ".join(record["notes"])
    for words in ("research use only", "simulated scans", "errors of the segmentation"):
        assert words in notes
    assert record["flags"] == [FLAG]
    assert record["checks"] == [
        {"check": "noise", "value": 9.0, "low": 1.0, "high": 2.0, "ok": False}
    ]
    assert list(record["measures"]) == ["left", "right"]
    assert record["measures"]["left"]["flags"] == ""
    table = pd.read_csv(folder / "sub-01_acq-ciss_measures.csv", index_col="side")
    for side in ("left", "right"):
        own = record["measures"][side]
        assert own["volume_mm3"] == pytest.approx(table.loc[side, "volume_mm3"], rel=1e-12)
    assert record["labels"]["2"] == "nerve_left"
    written = {path.name for path in folder.iterdir()}
    assert set(record["files"]) | {"sub-01_acq-ciss_measures.json"} == written
    assert record["pictures_not_drawn"] == {}


def test_the_summary_tells_both_sides_flags_weights_and_limits(whole):
    folder, said, _ = whole
    table = pd.read_csv(folder / "sub-01_acq-ciss_measures.csv", index_col="side")
    lines = said.splitlines()
    header = next(line for line in lines if line.split() == ["left", "right"])
    row = next(line for line in lines if line.split()[:1] == ["length_mm"])
    place = header.index("right")
    for side, part in (("left", row[:place]), ("right", row[place:])):
        own = table.loc[side]
        interval = f"({own['length_mm_low']:.2f} to {own['length_mm_high']:.2f})"
        assert f"{own['length_mm']:.2f} {interval}" in part
    assert f"flag: {FLAG}" in said
    assert SHA[:12] in said
    assert "trained on simulated scans alone" in said
    assert "Research use only" in said


def test_pictures_name_sides_and_nobody(whole):
    folder, said, words = whole
    assert set(words) == {f"sub-01_acq-ciss_{ending}" for ending in PICTURES}
    for name, texts in words.items():
        text = "\n".join(texts)
        assert "sub-01" not in text
        if name.endswith(("_profile.png", "_scene.png")):
            assert {"L", "R"} <= set(texts)
        else:
            side = name.removesuffix(".png").rpartition("_")[2]
            assert text.count(f"{side.capitalize()} trigeminal nerve") == 1
            assert "patient's" in text
        assert "SYNTHETIC" not in text
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 600
            assert set(picture.info) <= {"dpi", "Software"}
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    for name, content in contents(folder).items():
        assert b"Mueller" not in content, name
    assert "Mueller" not in said


def test_sections_are_shown_where_a_vessel_touches_the_nerve(whole, cistern):
    """On the right an artery lies 0.03 mm off."""
    truth = cistern.truth.loc["right"]
    texts = "\n".join(whole[2]["sub-01_acq-ciss_section_right.png"])
    s = float(texts.partition("section at s = ")[2].partition(" mm")[0])
    assert abs(s - truth["contact_position_mm"]) <= 0.5 * truth["contact_length_mm"]


@pytest.mark.parametrize("synthetic", [False, True])
def test_scans_that_say_that_they_are_simulated_give_marked_pictures(cistern, synthetic):
    image = nibabel.Nifti1Image(np.asarray(cistern.image.dataobj), cistern.image.affine)
    image.header["descrip"] = b"synthetic" if synthetic else b"3T"
    assert pictures._is_synthetic(image) == synthetic


# --- what is missing ---------------------------------------------------------------------


def test_one_nerve_is_missing_and_the_rest_is_written(monkeypatch, cistern, scan, tmp_path, capsys):
    use(monkeypatch, without(cistern, Label.NERVE_LEFT))
    out = tmp_path / "out"
    assert main(["segment", str(scan), "--out", str(out), "--no-intervals"]) == 0
    table = pd.read_csv(out / "sub-01_acq-ciss_measures.csv", index_col="side")
    assert np.isnan(table.loc["left", "length_mm"])
    assert "no voxel is labelled 2" in table.loc["left", "flags"]
    assert table.loc["right", "flags"] == FLAG
    truth = cistern.truth.loc["right", "length_mm"]
    assert table.loc["right", "length_mm"] == pytest.approx(truth, abs=0.5)
    assert not [name for name in table if name.endswith(("_low", "_high"))]
    record = json.loads((out / "sub-01_acq-ciss_measures.json").read_text("utf-8"))
    assert record["measures"]["left"]["length_mm"] is None
    assert sorted(record["pictures_not_drawn"]) == ["reformat_left.png", "section_left.png"]
    assert "an error of the segmentation" not in " ".join(record["notes"])
    drawn = {path.name for path in out.glob("*.png")}
    assert drawn == {
        f"sub-01_acq-ciss_{end}" for end in set(PICTURES) - set(record["pictures_not_drawn"])
    }
    said = capsys.readouterr()
    assert "not drawn: reformat_left.png, section_left.png" in said.out
    assert "flag, left nerve: no voxel is labelled 2" in said.out
    assert said.err == ""


def test_a_scan_in_which_nothing_was_found_is_told_as_such(
    monkeypatch, cistern, scan, tmp_path, capsys
):
    use(monkeypatch, without(cistern, *(label for label in Label if label)))
    out = tmp_path / "out"
    assert main(["segment", str(scan), "--out", str(out)]) == 0
    assert {path.name for path in out.iterdir()} == {f"sub-01_acq-ciss_{end}" for end in TABLES}
    table = pd.read_csv(out / "sub-01_acq-ciss_measures.csv", index_col="side")
    assert table["length_mm"].isna().all()
    assert table["flags"].str.contains("not measured: the label image is empty").all()
    record = json.loads((out / "sub-01_acq-ciss_measures.json").read_text("utf-8"))
    assert set(record["pictures_not_drawn"]) == set(PICTURES)
    assert "not measured" in capsys.readouterr().out


def test_other_labels_are_measured_without_probabilities(
    monkeypatch, cistern, scan, tmp_path, blank
):
    data = np.asarray(cistern.fractions.dataobj)[..., :5].copy()
    labels = np.asarray(cistern.labels.dataobj).copy()
    labels[labels == Label.VEIN] = 0
    data[..., 0] += 1 - data.sum(axis=-1)
    affine = cistern.labels.affine
    few = Known(nibabel.Nifti1Image(labels, affine), nibabel.Nifti1Image(data, affine))
    use(monkeypatch, few)
    out = tmp_path / "out"
    assert main(["segment", str(scan), "--out", str(out), "--no-intervals"]) == 0
    assert blank == [(few.labels, {"probabilities": None, "predicted": True, "intervals": False})]
    table = pd.read_csv(out / "sub-01_acq-ciss_measures.csv", index_col="side")
    assert table["flags"].str.contains("measured without probabilities").all()


# --- files that are there already --------------------------------------------------------


@pytest.mark.usefixtures("known", "blank")
def test_nothing_is_replaced_without_force(scan, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    (out / "sub-01_acq-ciss_section_left.png").write_bytes(b"mine")
    (out / "notes.txt").write_bytes(b"mine too")
    before = contents(out)
    assert main(["segment", str(scan), "--out", str(out)]) == 2
    said = capsys.readouterr()
    assert "files are there already: 'sub-01_acq-ciss_section_left.png'" in said.err
    assert "--force" in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert contents(out) == before


def test_force_replaces_all_of_an_earlier_run(monkeypatch, cistern, known, blank, scan, tmp_path):
    out = tmp_path / "out"
    call = ["segment", str(scan), "--out", str(out)]
    assert main(call) == 0
    (out / "other.txt").write_bytes(b"mine")
    use(monkeypatch, without(cistern, Label.NERVE_LEFT))
    monkeypatch.setattr(scans, "draw_pictures", lambda *_: {})
    assert main([*call, "--force"]) == 0
    # No picture of the earlier run is taken for one of this.
    assert set(contents(out)) == {*(f"sub-01_acq-ciss_{end}" for end in TABLES), "other.txt"}
    labels = nibabel.load(out / "sub-01_acq-ciss_dseg.nii.gz")
    assert not (np.asarray(labels.dataobj) == Label.NERVE_LEFT).any()


@pytest.mark.usefixtures("known", "blank")
@pytest.mark.parametrize("earlier", [False, True])
def test_a_full_disk_leaves_nothing_half_written(monkeypatch, scan, tmp_path, capsys, earlier):
    out = tmp_path / "out"
    if earlier:
        out.mkdir()
        (out / "sub-01_acq-ciss_measures.json").write_bytes(b"earlier")
    before = contents(tmp_path)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scans, "draw_pictures", full)
    assert main(["segment", str(scan), "--out", str(out), "--force"]) == 2
    assert "No space left on device" in capsys.readouterr().err
    assert contents(tmp_path) == before
    assert out.exists() == earlier


@pytest.mark.parametrize("fails_at", range(5))
def test_a_move_that_fails_puts_everything_back(monkeypatch, tmp_path, fails_at):
    """Two files of before and three new ones: any of the five moves may fail."""
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(f"earlier {name}")
    before = contents(tmp_path)
    move, count = os.replace, iter(range(100))

    def replace(source, target):
        if next(count) == fails_at:
            raise OSError(5, "Input/output error")
        move(source, target)

    def write():
        with staged(tmp_path, ["a.txt", "b.txt", "c.txt"], last="a.txt") as folder:
            for name in ("a.txt", "b.txt", "c.txt"):
                (folder / name).write_text("new")
            monkeypatch.setattr(os, "replace", replace)

    with pytest.raises(StorageError, match="Input/output error"):
        write()
    assert contents(tmp_path) == before


def test_an_input_is_never_replaced(known, blank, cistern, tmp_path, capsys):
    scan = put(tmp_path / "in", "sub-01_dseg.nii.gz", cistern.image)
    before = scan.read_bytes()
    assert main(["segment", str(scan), "--out", str(scan.parent), "--force"]) == 2
    assert "an input has the name of a file to be written" in capsys.readouterr().err
    assert scan.read_bytes() == before


# --- wrong calls -------------------------------------------------------------------------


@pytest.mark.usefixtures("known", "blank")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent_T2w.nii.gz", "--out", "OUT"], "found no such file"),
        (["FOLDER", "--out", "OUT"], "convert DICOM files to NIfTI first"),
        (["SCAN", "--out", "SCAN"], "is no folder"),
        (["SCAN", "--out", "SCAN/deeper"], "is no folder"),
        (["SCAN", "--out", "OUT", "--angio", "SCAN"], "leave --angio out"),
        (["SCAN", "--out", "OUT", "--angio", "absent.nii.gz"], "found no such file"),
        (["SCAN", "absent.nii", "--out", "OUT", "--angio", "SCAN"], "once for each scan"),
        (["SCAN", "SCAN", "--out", "OUT"], "would be written as 'sub-01_acq-ciss'"),
    ],
)
def test_wrong_calls_guide_and_write_nothing(scan, tmp_path, capsys, arguments, words):
    places = {"SCAN": scan, "FOLDER": scan.parent, "OUT": tmp_path / "out",
              "SCAN/deeper": scan / "deeper"}  # fmt: skip
    before = contents(tmp_path)
    assert main(["segment", *(str(places.get(a, a)) for a in arguments)]) == 2
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.startswith("precisionpain: ")
    assert "Traceback" not in said.err
    assert said.out == ""
    assert contents(tmp_path) == before
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("known", "blank")
def test_a_scan_of_two_channels_takes_both(known, cistern, scan, tmp_path, capsys, monkeypatch):
    angio = put(tmp_path / "in", "sub-01_angio.nii.gz", cistern.image)
    known.channels = ("T2w", "angio")
    seen = []
    segment = known.segment
    monkeypatch.setattr(known, "segment", lambda paths: seen.append(paths) or segment(paths))
    call = ["segment", str(scan), "--out", str(tmp_path / "out")]
    assert main(call) == 2
    assert "takes T2w and angio, found 1 image" in capsys.readouterr().err
    assert main([*call, "--angio", str(angio)]) == 0
    assert seen == [[str(scan), str(angio)]]
    record = json.loads((tmp_path / "out" / "sub-01_acq-ciss_measures.json").read_text("utf-8"))
    assert [image["name"] for image in record["images"]] == [scan.name, angio.name]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("sub-01_T2w.nii.gz", "sub-01"),
        ("sub-01_ses-preop_acq-ciss_run-2_T2w.nii", "sub-01_ses-preop_acq-ciss_run-2"),
        ("scan.nii.gz", "scan"),
        ("my scan.v2.nii.gz", "my scan.v2"),
        ("left_T2w.nii.gz", "left_T2w"),
        ("sub-01_left side_T2w.nii.gz", "sub-01_left side_T2w"),
        ("sub-01.nii.gz", "sub-01"),
        ("head.mgz", "head"),
    ],
)
def test_names_keep_their_entities(name, start):
    assert scans.name_of(Path("somewhere") / name) == start


def test_help_says_what_is_written(capsys):
    with pytest.raises(SystemExit) as end:
        main(["segment", "--help"])
    assert end.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("--angio IMAGE", "--no-intervals", "sub-01_probseg.nii.gz", "Research use only",
                  "95% intervals"):  # fmt: skip
        assert words in said


# --- a true network ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(cistern, tmp_path_factory) -> Path:
    """Two steps of a tiny network: it labels something, wherever that lies."""
    labels = np.asarray(cistern.labels.dataobj).copy()
    labels[2:5, 2:5, 2:5] = Label.VEIN  # so that every label is there
    pair = (cistern.image, nibabel.Nifti1Image(labels, cistern.labels.affine))
    segmenter = TrigeminalSegmenter(
        network="unet", width=4, patch=16, n_steps=2, batch_size=1, per_scan=1, spacing_mm=None,
        flips=(), validation=0, progress=False, device="cpu",
    ).fit([pair])  # fmt: skip
    folder = tmp_path_factory.mktemp("weights") / "mine"
    segmenter.save(folder)
    return folder


def test_several_scans_with_weights_of_ones_own(trained, cistern, blank, tmp_path, capsys):
    inside = tmp_path / "in"
    data = np.asarray(cistern.image.dataobj)
    affine = cistern.image.affine
    holed = data.copy()
    holed[0, 0, 0] = np.nan
    good = put(inside, "sub-01_T2w.nii.gz", cistern.image)
    also = put(inside, "plain.nii.gz", cistern.image)
    bad = {
        put(inside, "sub-02_T2w.nii.gz", nibabel.Nifti1Image(data[..., None], affine)): "4-D",
        put(inside, "sub-03_T2w.nii.gz", nibabel.Nifti1Image(holed, affine)): "not finite",
        put(inside, "sub-04_T2w.nii.gz",
            nibabel.Nifti1Image(data, np.diag([3.0, 3, 3, 1]))): "too coarse",
        inside / "sub-05_T2w.nii.gz": "no such file",
    }  # fmt: skip
    out = tmp_path / "out"
    code = main([
        "segment", str(good), *map(str, bad), str(also), "--out", str(out), "--weights",
        str(trained), "--device", "cpu", "--no-intervals",
    ])  # fmt: skip
    said = capsys.readouterr()
    assert code == 2
    assert "4 of 6 images failed" in said.err
    for path, words in bad.items():
        line = next(line for line in said.err.splitlines() if str(path) in line)
        assert words in line
    assert said.err.count("\n") == 5
    names = {f"{name}_{end}" for name in ("sub-01", "plain") for end in (*TABLES, *PICTURES)}
    assert set(contents(out)) == names
    sha = json.loads((trained / "model.json").read_text("utf-8"))["sha256"]
    assert sha == hashlib.sha256((trained / "weights.safetensors").read_bytes()).hexdigest()
    for name in ("sub-01", "plain"):
        record = json.loads((out / f"{name}_measures.json").read_text("utf-8"))
        assert record["weights"]["sha256"] == sha
        assert record["weights"]["name"] == "mine"
        assert "simulated" not in json.dumps(record["notes"])
        expected = TrigeminalSegmenter.load(trained, device="cpu").segment(good)
        labels = nibabel.load(out / f"{name}_dseg.nii.gz")
        np.testing.assert_array_equal(labels.dataobj, expected.labels.dataobj)
        assert record["flags"][: len(expected.flags)] == list(expected.flags)


def test_weights_must_be_of_the_nerves_and_whole(trained, scan, tmp_path, capsys):
    call = ["segment", str(scan), "--out", str(tmp_path / "out"), "--weights"]
    assert main([*call, str(tmp_path / "none")]) == 2
    assert "is not there" in capsys.readouterr().err
    model = json.loads((trained / "model.json").read_text("utf-8"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "weights.safetensors").write_bytes((trained / "weights.safetensors").read_bytes())
    (other / "model.json").write_text(json.dumps({**model, "sha256": "0" * 64}))
    assert main([*call, str(other)]) == 2
    assert "SHA-256 differs" in capsys.readouterr().err
    cubes = [
        (nibabel.Nifti1Image(np.indices((16, 16, 16))[0].astype(np.float32), np.eye(4)),
         nibabel.Nifti1Image((np.indices((16, 16, 16))[0] > 8).astype(np.uint8), np.eye(4)))
    ]  # fmt: skip
    TrigeminalSegmenter(
        {"cube": 1}, network="unet", width=4, patch=16, n_steps=1, batch_size=1, per_scan=1,
        spacing_mm=None, flips=(), validation=0, progress=False, device="cpu",
    ).fit(cubes).save(tmp_path / "cube")  # fmt: skip
    assert main([*call, str(tmp_path / "cube")]) == 2
    assert "a segmenter of the nerves, found one of 'cube'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
