"""The documentation: complete, in step with the code, and free of slips."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

import precisionpain
from precisionpain.cohort.columns import Kind, Role

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"
ROOMS = (
    "cohort",
    "datasets",
    "errors",
    "evaluation",
    "fusion",
    "imaging",
    "mtbi",
    "plots",
    "proteomics",
    "report",
    "stats",
    "trigeminal",
)

FOLDERS = ("tutorials", "howto", "explanation", "reference")
PAGES = sorted(
    [DOCS / "index.md", *(p for f in FOLDERS for p in (DOCS / f).iterdir() if p.is_file())]
)
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
PROSE = [
    *PAGES, *EXAMPLES, DOCS / "conf.py",
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
]  # fmt: skip

_CELL = re.compile(
    r"^```\{code-cell\}[^\n]*\n(?::[^\n]*\n)*(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FORBIDDEN = re.compile(
    r"\b(?:TODO|FIXME|XXX|TBD)\b|lorem ipsum"
    r"|(?<![\w.])/(?:work|home|root|tmp|Users|mnt)/|[A-Z]:\\Users"
)


def entries(room: str) -> set[str]:
    """Names that the reference page of a room lists."""
    text = (REFERENCE / f"{room}.rst").read_text(encoding="utf-8")
    listed = set(re.findall(r"^   (\w+)$", text, re.MULTILINE))
    return listed | set(re.findall(r"^\.\. autodata:: (\w+)$", text, re.MULTILINE))


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_every_room_has_a_page():
    rooms = {
        name
        for name in precisionpain.__all__
        if getattr(getattr(precisionpain, name), "__name__", "") == f"precisionpain.{name}"
    }
    assert rooms == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_in_the_reference(room):
    public = set(getattr(precisionpain, room).__all__)
    assert public
    assert entries(room) == public


def test_shortcuts_are_named_in_the_reference():
    text = (REFERENCE / "index.md").read_text(encoding="utf-8")
    shortcuts = set(precisionpain.__all__) - set(ROOMS) - {"__version__"}
    assert [name for name in sorted(shortcuts) if f"pp.{name}" not in text] == []


@pytest.mark.parametrize("words", [get_args(Kind), get_args(Role)], ids=["kinds", "roles"])
def test_every_kind_and_role_is_explained(words):
    text = (REFERENCE / "columns.md").read_text(encoding="utf-8")
    assert [word for word in words if f"\n`{word}`\n: " not in text] == []


def test_every_command_is_in_the_reference():
    from precisionpain.cli import _parser

    text = (REFERENCE / "command_line.md").read_text(encoding="utf-8")
    actions = _parser()._subparsers._group_actions  # argparse has no public way to list them
    commands = list(actions[0].choices)
    assert commands
    assert [name for name in commands if f"`precisionpain {name} " not in text] == []


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_cells_are_python(path):
    text = path.read_text(encoding="utf-8")
    cells = [found["code"] for found in _CELL.finditer(text)]
    assert len(cells) == text.count("```{code-cell}")
    for code in cells:
        ast.parse(re.sub(r"^%.*$", "", code, flags=re.MULTILINE))


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_pages_with_made_up_people_say_so(path):
    text = path.read_text(encoding="utf-8")
    code = "\n".join(found["code"] for found in _CELL.finditer(text))
    if "datasets.sample_" in code:
        assert "synthetic" in text.lower()


@pytest.mark.parametrize("path", EXAMPLES, ids=relative)
def test_examples_begin_with_what_they_show(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", PROSE, ids=relative)
def test_no_slips(path):
    text = path.read_text(encoding="utf-8")
    assert _FORBIDDEN.findall(text) == []


def test_slips_would_be_found():
    for slip in ("TODO: write", "see /mnt/checkout", "in /home/me/data", "C:\\Users\\me"):
        assert _FORBIDDEN.search(slip)
    for fine in ("https://x.org/work/1", "docs/work/", "method", "tmp_path"):
        assert not _FORBIDDEN.search(fine)
