"""Modules: groups of proteins that rise and fall together, and one number for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from ..errors import FormatError
from ._transformer import Matrix, ProteinTransformer

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["ProteinModules"]

Array = NDArray[np.float64]


class ProteinModules(ProteinTransformer):
    """Co-abundance modules, learned in the fold; each becomes one feature.

    Proteins are clustered (average linkage) by 1 − similarity, where the similarity of two is
    |r| or, signed, (1 + r) / 2, raised to `power` (soft threshold: weak correlations fade).
    The eigen-protein of a module is the first principal component of its standardised
    proteins, positive where they are high. A missing value counts as the training mean.

    Parameters
    ----------
    n_modules : int, optional
        How many clusters to cut the tree into; by default it is cut at `min_correlation`.
    min_correlation : float, default 0.4
        Mean similarity of the proteins of a module is at least that of two proteins with this
        correlation.
    min_size : int, default 5
        Smaller clusters are no modules; their proteins are in module 0.
    signed : bool, default True
        Whether proteins that move in opposite directions belong apart.
    power : float, default 2.0
        Of the similarity.
    min_n : int, default 10
        Fewest people in which two proteins must both be measured to be called similar.

    Attributes
    ----------
    modules_ : pandas.Series
        Module of each protein (0 for none, 1 the largest), index the proteins.
    loadings_ : pandas.DataFrame
        Of each protein on the eigen-protein of its module; 0 elsewhere.
    explained_ : pandas.Series
        Share of the module's variance that its eigen-protein tells.
    n_samples_ : int
        People learned from.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> cause = rng.normal(size=(60, 2))
    >>> X = np.repeat(cause, 6, axis=1) + 0.5 * rng.normal(size=(60, 12))
    >>> modules = ProteinModules().fit(X)
    >>> modules.modules_.tolist() in ([1] * 6 + [2] * 6, [2] * 6 + [1] * 6)
    True
    >>> modules.transform(X).shape
    (60, 2)
    """

    def __init__(
        self,
        n_modules: int | None = None,
        *,
        min_correlation: float = 0.4,
        min_size: int = 5,
        signed: bool = True,
        power: float = 2.0,
        min_n: int = 10,
    ) -> None:
        self.n_modules = n_modules
        self.min_correlation = min_correlation
        self.min_size = min_size
        self.signed = signed
        self.power = power
        self.min_n = min_n

    def transform(self, X: AnnData | pd.DataFrame | Array) -> pd.DataFrame:
        """Return the eigen-proteins.

        Parameters
        ----------
        X : anndata.AnnData, pandas.DataFrame or ndarray
            Samples × proteins; the proteins of `fit`, in any order.

        Returns
        -------
        pandas.DataFrame
            One row per sample, one column per module; SD 1 in training where nothing was
            missing.
        """
        check_is_fitted(self)
        matrix, names = self._read(X)
        matrix, _ = self._matched(matrix, names)
        index = matrix.obs.index if len(matrix.obs.index) else None
        if isinstance(X, pd.DataFrame):
            index = X.index
        z = np.nan_to_num((matrix.values - self.mean_) / self.sd_)
        scores = z @ self.loadings_.to_numpy()
        return pd.DataFrame(scores, index=index, columns=self.get_feature_names_out())

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the names of the eigen-proteins.

        Parameters
        ----------
        input_features : object
            Ignored.

        Returns
        -------
        numpy.ndarray of str
        """
        check_is_fitted(self)
        return np.array([f"module_{m}" for m in self.loadings_], dtype=object)

    def stability(
        self,
        X: AnnData | pd.DataFrame | Array,
        *,
        n_boot: int = 50,
        random_state: int | np.random.Generator | None = None,
    ) -> pd.Series:
        """Tell how well each module is found again in bootstrap samples of the people.

        Parameters
        ----------
        X : anndata.AnnData, pandas.DataFrame or ndarray
            What the modules were learned from; each row is taken for a person.
        n_boot : int, default 50
            Replicates.
        random_state : int or numpy.random.Generator, optional
            Seed.

        Returns
        -------
        pandas.Series
            Mean over the replicates of the largest Jaccard index with any module found there
            (Hennig, CSDA 52, 258, 2007): below 0.6 a module shouldn't be trusted.
        """
        check_is_fitted(self)
        matrix, names = self._read(X)
        matrix, _ = self._matched(matrix, names)
        values = matrix.values[matrix.sample]
        rng = np.random.default_rng(random_state)
        own = [self.modules_.to_numpy() == m for m in self.loadings_]
        best = np.zeros((n_boot, len(own)))
        for i in range(n_boot):
            drawn = values[rng.integers(0, len(values), len(values))]
            again = self._clusters(drawn)
            others = [again == m for m in np.unique(again[again > 0])]
            for j, members in enumerate(own):
                best[i, j] = max(
                    ((members & other).sum() / (members | other).sum() for other in others),
                    default=0.0,
                )
        return pd.Series(best.mean(axis=0), index=self.get_feature_names_out(), name="stability")

    def _fit(self, matrix: Matrix) -> None:
        values = matrix.values[matrix.sample]
        if len(values) < 3 or values.shape[1] < 2:
            raise FormatError(
                f"expected at least 3 people and 2 proteins, found {values.shape}", where="X"
            )
        self.n_samples_ = len(values)
        known = np.isfinite(values)
        n = known.sum(axis=0)
        self.mean_ = np.where(known, values, 0).sum(axis=0) / np.maximum(n, 1)
        spread = np.where(known, values - self.mean_, 0.0)
        sd = np.sqrt((spread**2).sum(axis=0) / np.maximum(n - 1, 1))
        self.sd_ = np.where(sd > 1e-12, sd, 1.0)
        codes = self._clusters(values)
        self.modules_ = pd.Series(codes, index=pd.Index(self.feature_names_in_), name="module")
        z = np.where(sd > 1e-12, spread / self.sd_, 0.0)
        found = [int(m) for m in np.unique(codes) if m > 0]
        loadings = np.zeros((len(codes), len(found)))
        explained = []
        for j, m in enumerate(found):
            members = codes == m
            own = z[:, members]
            _, s, vt = np.linalg.svd(own - own.mean(axis=0), full_matrices=False)
            weight = vt[0] * (1 if vt[0].sum() >= 0 else -1)
            score = own @ weight
            loadings[members, j] = weight / max(float(score.std(ddof=1)), 1e-12)
            explained.append(float(s[0] ** 2 / (s**2).sum()))
        self.loadings_ = pd.DataFrame(loadings, index=self.modules_.index, columns=found)
        self.explained_ = pd.Series(explained, index=found, name="explained", dtype=float)

    def _clusters(self, values: Array) -> NDArray[np.int64]:
        """Return the module of each protein, 1 the largest, 0 none."""
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import squareform

        r = pd.DataFrame(values).corr(min_periods=self.min_n).to_numpy()
        r = np.nan_to_num(r)
        similarity = self._similarity(r)
        distance = 1 - (similarity + similarity.T) / 2
        np.fill_diagonal(distance, 0)
        tree = linkage(squareform(np.clip(distance, 0, 1), checks=False), "average")
        if self.n_modules is None:
            height = 1 - float(self._similarity(np.array(self.min_correlation)))
            raw = fcluster(tree, height, "distance")
        else:
            raw = fcluster(tree, self.n_modules, "maxclust")
        names, first, sizes = np.unique(raw, return_index=True, return_counts=True)
        kept = sizes >= self.min_size
        # The larger first; of equal size the one whose first protein comes first.
        order = np.lexsort((first[kept], -sizes[kept]))
        codes = np.zeros(len(raw), dtype=np.int64)
        for number, name in enumerate(names[kept][order], 1):
            codes[raw == name] = number
        return codes

    def _similarity(self, r: Array) -> Array:
        similarity: Array = ((1 + r) / 2 if self.signed else np.abs(r)) ** self.power
        return similarity
