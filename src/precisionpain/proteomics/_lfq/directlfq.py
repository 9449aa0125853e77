"""The package directlfq, called without files, logs and processes."""

from __future__ import annotations

import logging
import warnings
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...errors import FormatError

__all__ = ["estimate"]


def estimate(frame: pd.DataFrame, groups: NDArray[Any], *, normalize: bool) -> pd.DataFrame:
    """Return samples × proteins by the package directlfq."""
    try:
        with warnings.catch_warnings():
            # It tells at import that dask, which this doesn't use, is absent.
            warnings.simplefilter("ignore")
            config = import_module("directlfq.config")
            normalization = import_module("directlfq.normalization")
            estimation = import_module("directlfq.protein_intensity_estimation")
    except ImportError as error:
        raise FormatError(
            "the package directlfq is not installed",
            where="roll_up(method='directlfq')",
            remedy='pip install "precisionpain[lfq]"',
        ) from error
    config.set_global_protein_and_ion_id(protein_id="protein", quant_id="ion")
    config.set_log_processed_proteins(log_processed_proteins=False)
    config.set_compile_normalized_ion_table(compile_normalized_ion_table=False)
    config.check_wether_to_copy_numpy_arrays_derived_from_pandas()
    table = frame.T
    table.index = pd.MultiIndex.from_arrays([groups, table.index], names=["protein", "ion"])
    table = table.sort_index().dropna(how="all")
    level = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        if normalize:
            table = normalization.NormalizationManagerSamplesOnSelectedProteins(
                table, num_samples_quadratic=50, selected_proteins_file=None
            ).complete_dataframe
        found, _ = estimation.estimate_protein_intensities(
            table, min_nonan=1, num_samples_quadratic=10, num_cores=1
        )
    finally:
        logging.disable(level)
    linear = found.set_index("protein").reindex(columns=frame.index).astype(np.float64)
    return np.log2(linear.where(linear > 0)).T
