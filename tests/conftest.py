"""Shared fixtures: where the real data are, and small cohorts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine must not fail a property for being slow.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of openly published real data; the test skips, visibly, where it is absent."""
    folder = Path(os.environ.get("PRECISIONPAIN_DATA", _DEFAULT))
    if not folder.is_dir():
        pytest.skip(f"real data absent: {folder} (set PRECISIONPAIN_DATA)")
    return folder
