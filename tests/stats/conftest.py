"""Reference values that R and pROC computed; golden/golden.R made them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> dict[str, float]:
    table = pd.read_csv(FOLDER / "golden.csv", index_col="key", float_precision="round_trip")
    return table["value"].to_dict()


@pytest.fixture(scope="session")
def golden_data() -> Callable[[str], pd.DataFrame]:
    return lambda name: pd.read_csv(FOLDER / f"{name}.csv", float_precision="round_trip")
