"""Maps on the template: as a file, and as a figure with the right sides."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from precisionpain.errors import FormatError, GeometryError, StorageError
from precisionpain.mtbi import plot_saliency, save_map, slab

SHAPE = (79, 95, 79)
SPM = np.array([[-2.0, 0, 0, 78], [0, 2, 0, -112], [0, 0, 2, -70], [0, 0, 0, 1]])
AFFINES = {
    "axial": np.array([[0.0, 0, -2, 78], [0, 2, 0, -112], [2, 0, 0, -22], [0, 0, 0, 1]]),
    "coronal": np.array([[0.0, 0, -2, 78], [2, 0, 0, -48], [0, 2, 0, -70], [0, 0, 0, 1]]),
    "sagittal": np.array([[-2.0, 0, 0, 30], [0, 2, 0, -112], [0, 0, 2, -70], [0, 0, 0, 1]]),
}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.mark.parametrize("plane", AFFINES)
def test_a_slab_comes_back_to_where_it_was_cut(rng, tmp_path, plane):
    volume = rng.random(SHAPE).astype("float32") + 1
    path = save_map(slab(volume, plane), AFFINES[plane], tmp_path / "map.nii.gz")
    image = nibabel.load(path)
    back = np.asarray(image.dataobj)
    np.testing.assert_allclose(image.affine, SPM)
    assert back.shape == SHAPE
    assert back.dtype == np.float32
    inside = back != 0
    assert inside.sum() == slab(volume, plane).size
    np.testing.assert_array_equal(back[inside], volume[inside])
    np.testing.assert_array_equal(slab(image, plane), slab(volume, plane))


def test_a_template_of_another_orientation(rng, tmp_path):
    map = rng.random((30, 95, 79)).astype("float32") + 1
    template = nibabel.Nifti1Image(np.zeros(SHAPE, dtype="uint8"), SPM)
    turned = template.as_reoriented(nibabel.orientations.axcodes2ornt(("P", "R", "S")))
    path = save_map(map, AFFINES["axial"], tmp_path / "map.nii", turned)
    image = nibabel.load(path)
    assert nibabel.aff2axcodes(image.affine) == nibabel.aff2axcodes(turned.affine)
    np.testing.assert_array_equal(slab(image, "axial"), map)


def test_files_that_would_be_wrong_are_refused(rng, tmp_path):
    map = rng.random((30, 95, 79))
    shifted = AFFINES["axial"].copy()
    shifted[0, 3] += 1  # half a voxel
    with pytest.raises(GeometryError, match="between those of the template"):
        save_map(map, shifted, tmp_path / "map.nii")
    fine = nibabel.Nifti1Image(np.zeros((157, 189, 156), dtype="uint8"), np.diag([1, 1, 1, 1.0]))
    with pytest.raises(GeometryError, match="beyond the template"):
        save_map(map, AFFINES["axial"], tmp_path / "map.nii", fine)
    coarse = nibabel.Nifti1Image(
        np.zeros((40, 48, 40), dtype="uint8"), SPM @ np.diag([2.0, 2.0, 2.0, 1.0])
    )
    with pytest.raises(GeometryError, match="between those of the template"):
        save_map(map, AFFINES["axial"], tmp_path / "map.nii", coarse)
    with pytest.raises(FormatError, match=r"ends in \.nii"):
        save_map(map, AFFINES["axial"], tmp_path / "map.png")
    with pytest.raises(FormatError, match="an image or a path"):
        save_map(map, AFFINES["axial"], tmp_path / "map.nii", np.zeros(SHAPE))
    with pytest.raises(FormatError, match="not finite"):
        save_map(map * np.nan, AFFINES["axial"], tmp_path / "map.nii")
    with pytest.raises(StorageError, match="can't be written"):
        save_map(map, AFFINES["axial"], tmp_path / "nowhere" / "map.nii")
    assert not list(tmp_path.iterdir())


# --- the figure -----------------------------------------------------------------------------


def spot(place_mm):
    """One bright voxel on the axial slab."""
    map = np.zeros((30, 95, 79))
    x, y, z = place_mm
    map[(z + 22) // 2, (y + 112) // 2, (78 - x) // 2] = 1
    return map


def where_shown(inner):
    """Centre of the coloured pixels in the picture, 0 to 1 from left to right and bottom to top."""
    (image,) = [each for each in inner.get_images() if each.get_gid() == "map"]
    values = np.ma.getmaskarray(image.get_array())
    rows, columns = np.nonzero(~values)
    left, right, bottom, top = image.get_extent()
    shape = values.shape
    mm = np.array(
        [left + (columns.mean() + 0.5) / shape[1] * (right - left),
         bottom + (rows.mean() + 0.5) / shape[0] * (top - bottom)]
    )  # fmt: skip
    return inner.transAxes.inverted().transform(inner.transData.transform(mm)), mm


def test_frame_is_the_edge_of_the_slab():
    """Voxel centres from −22 to 36 mm, of 2 mm each."""
    ax = plot_saliency(spot((0, 0, 0)), nibabel.Nifti1Image(np.ones(SHAPE), SPM), AFFINES["axial"])
    (frame,) = [each for each in ax.child_axes[1].patches if each.get_gid() == "slab"]
    np.testing.assert_allclose((frame.get_y(), frame.get_y() + frame.get_height()), (-23, 37))
    np.testing.assert_allclose((frame.get_x(), frame.get_x() + frame.get_width()), (-79, 79))


@pytest.mark.parametrize("convention", ["radiological", "neurological"])
@pytest.mark.parametrize("x", [40, -40])
def test_sides_of_the_picture(convention, x):
    ax = plot_saliency(spot((x, 20, -4)), None, AFFINES["axial"], convention=convention)
    axial, coronal, sagittal = ax.child_axes[:3]
    seen_left = (x > 0) == (convention == "radiological")  # the patient's right is drawn left
    for inner, up in ((axial, 20), (coronal, -4)):
        (across, _), mm = where_shown(inner)
        assert (across < 0.5) == seen_left
        np.testing.assert_allclose(mm, (x, up), atol=1)
        ends = {text.get_gid(): text.get_text() for text in inner.texts}
        expected = ("R", "L") if convention == "radiological" else ("L", "R")
        assert (ends["left end"], ends["right end"]) == expected
    (_, _), mm = where_shown(sagittal)
    np.testing.assert_allclose(mm, (20, -4), atol=1)
    assert [text.get_text() for text in sagittal.texts] == ["P", "A"]
    assert f"x = {x}, y = 20, z = -4 mm" in ax.get_title(loc="left")


def test_orientation_of_the_background_changes_nothing(rng):
    volume = rng.random(SHAPE)
    image = nibabel.Nifti1Image(volume, SPM)
    turned = image.as_reoriented(nibabel.orientations.axcodes2ornt(("A", "S", "L")))
    shown = []
    for each in (image, turned):
        ax = plot_saliency(spot((40, 20, -4)), each, AFFINES["axial"])
        shown.append([inner.get_images()[0].get_array() for inner in ax.child_axes[:3]])
    for one, other in zip(*shown, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    # 1 mm pixels of a 2 mm grid from −78 mm on: this one is a voxel's centre.
    axial = shown[0][0]
    assert axial[20 + 112, 40 + 78] == pytest.approx(volume[(78 - 40) // 2, 132 // 2, 66 // 2])


def test_only_what_passes_the_threshold_is_shown():
    map = spot((40, 20, -4))
    map[9, 66, 30] = 0.4
    for threshold, n in ((0.5, 1), (0.3, 2)):
        ax = plot_saliency(map, None, AFFINES["axial"], threshold=threshold)
        (image,) = [i for i in ax.child_axes[0].get_images() if i.get_gid() == "map"]
        assert np.ma.count(image.get_array()) == 4 * n


def test_axes_in_and_out():
    from matplotlib.figure import Figure

    given = Figure().add_subplot()
    ax = plot_saliency(spot((0, 0, 0)), None, AFFINES["axial"], given, synthetic=True)
    assert ax is given
    assert any("SYNTHETIC" in text.get_text() for text in ax.texts)
    plain = plot_saliency(spot((0, 0, 0)), None, AFFINES["axial"])
    assert not any("SYNTHETIC" in text.get_text() for text in plain.texts)


def test_figures_that_would_mislead_are_refused():
    map = spot((0, 0, 0))
    with pytest.raises(FormatError, match="normalize=True"):
        plot_saliency(3 * map, None, AFFINES["axial"])
    with pytest.raises(FormatError, match="'radiological' or 'neurological'"):
        plot_saliency(map, None, AFFINES["axial"], convention="left")
    with pytest.raises(GeometryError, match="outside the picture"):
        plot_saliency(map, None, AFFINES["axial"], position=(0, 0, 300))
    with pytest.raises(GeometryError, match="background of the map's shape"):
        plot_saliency(map, np.zeros((3, 3, 3)), AFFINES["axial"])
    with pytest.raises(FormatError, match="a threshold from 0"):
        plot_saliency(map, None, AFFINES["axial"], threshold=1)
