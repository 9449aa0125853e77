"""A multimodal variational auto-encoder with a head for the outcome: opt-in."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import special
from sklearn.utils.validation import check_is_fitted

from ..cohort import Cohort
from ..errors import DataWarning, FormatError
from ._deep.ensemble import DeepFusion, check_counts, one_thread, seed_of
from ._deep.inputs import Inputs
from ._targets import check_cohort

__all__ = ["VAEFusion", "vae_fusion"]


class VAEFusion(DeepFusion):
    """A few hidden numbers behind all blocks, from which blocks and outcome are predicted.

    Each block has an encoder, which gives a normal density of the latent; that of a person is
    the product over the blocks the person has, and the prior. Each has a decoder with normal
    errors of its own for every column, and only values that were measured count. The outcome
    is linear in the latent mean, and learned together with the rest. In training blocks are
    hidden at random and have to be decoded from the others. Networks of several inner folds
    are averaged and calibrated on people left out.

    Opt-in: at a few hundred people it is seldom better than `early_fusion`, see
    `compare_fusions`.

    Parameters
    ----------
    blocks : mapping of str to object
        As `vae_fusion` takes them.
    n_latent : int, default 8
        Hidden numbers.
    width : int, default 16
        Of the hidden layers.
    beta : float, default 0.02
        Weight of the divergence from the prior, beside the mean loss of a value in each block.
    supervision : float, default 10.0
        Weight of the outcome; 0 learns the blocks alone.
    drop_block : float, default 0.5
        Chance of a block to be hidden in a training step.
    dropout : float, default 0.4
        On what the encoders see.
    n_epochs : int, default 150
        Passes through the people.
    batch_size : int or None, default None
        People in a step, about; None for all.
    learning_rate, weight_decay : float, default 3e-3 and 0.1
        Of AdamW.
    n_members : int, default 5
        Networks, one for each inner fold. One more learns from everybody, for `transform` and
        `impute`.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.
    device : str, default "cpu"
        As torch names it; at this size a GPU is slower.
    random_state : int, default 0
        Seed of folds, weights, batches and dropout. On a CPU the same seed gives the same
        digits.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.
    blocks_ : pandas.DataFrame
        Index ``block``: ``n`` (training people who have it), ``n_columns``, and ``left_out``
        (why, or empty).
    members_ : list
        Networks with their blocks.
    temperature_ : float
        Log odds were divided by it: above 1 where the networks were too sure.
    prevalence_ : float
        Of the second class in training; the probability of who has none of the blocks.
    intercept_ : float
        Log odds of a person of whom the networks say neither more nor less than the prevalence.

    References
    ----------
    .. [1] Wu M, Goodman N. Multimodal generative models for scalable weakly-supervised
       learning. NeurIPS 2018 (product of experts).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80).require("mvd_response")
    >>> blocks = {"clinic": "clinical", "scan": "diffusion"}
    >>> model = pp.fusion.VAEFusion(blocks, n_latent=3, n_epochs=5)
    >>> model = model.fit(cohort, cohort.outcome("mvd_response"))
    >>> model.transform(cohort).columns.tolist()
    ['latent1', 'latent2', 'latent3']
    >>> int(model.impute(cohort)["scan"].isna().sum().sum())
    0
    """

    network_: Any

    def __init__(
        self,
        blocks: Mapping[str, Any],
        *,
        n_latent: int = 8,
        width: int = 16,
        beta: float = 0.02,
        supervision: float = 10.0,
        drop_block: float = 0.5,
        dropout: float = 0.4,
        n_epochs: int = 150,
        batch_size: int | None = None,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
        n_members: int = 5,
        min_people: int = 20,
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.n_latent = n_latent
        self.width = width
        self.beta = beta
        self.supervision = supervision
        self.drop_block = drop_block
        self.dropout = dropout
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.n_members = n_members
        self.min_people = min_people
        self.device = device
        self.random_state = random_state

    def transform(self, X: Cohort) -> pd.DataFrame:
        """Compute the latent mean, by the network that learned from everybody.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_latent)
            Index as ``X.index``; 0, the mean of the prior, for who has none of the blocks.
        """
        latent = self._outputs(X)[1]
        return pd.DataFrame(latent, X.index, [f"latent{k + 1}" for k in range(self.n_latent)])

    def impute(self, X: Cohort) -> dict[str, pd.DataFrame]:
        """Fill what is missing with what the decoders expect.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        dict of str to pandas.DataFrame, shape (n, n_columns)
            Index as ``X.index``; columns and units of each block. What was measured is left as
            it is; the rest is a mean, with less spread than real values have. Blocks with
            `reduce` aren't there, for their columns can't be told from components.
        """
        decoded = self._outputs(X)[2:]
        filled = {}
        for (name, block), values in zip(self._everybody.members.items(), decoded, strict=True):
            if block.reduce is not None:
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DataWarning)  # it has been said above
                measured = block._believed(block._features(X))[block.columns_]
            z = values * np.sqrt(values.shape[1])
            expected = z * block.spreads_.to_numpy() + block.means_.to_numpy()
            filled[name] = measured.where(
                measured.notna(), pd.DataFrame(expected, measured.index, measured.columns)
            )
        return filled

    def _outputs(self, X: Cohort) -> tuple[np.ndarray, ...]:
        from ._deep.training import outputs

        check_is_fitted(self, "members_")
        check_cohort(X)
        with one_thread():
            inputs = self._everybody.transform(X)
            return outputs(self.network_, inputs, self.device)

    def _check(self) -> None:
        super()._check()
        check_counts(self, n_latent=1, width=1)
        for name in ("beta", "supervision"):
            if not getattr(self, name) >= 0:
                raise FormatError(f"expected 0 or more, found {getattr(self, name)!r}", where=name)

    def _finish(self, inputs: Inputs, y: np.ndarray) -> None:
        base = float(special.logit(y.mean()))
        self.network_ = self._train(inputs, y, base, seed_of(self.random_state, self.n_members))

    def _train(self, inputs: Inputs, y: np.ndarray, base: float, seed: int) -> Any:
        from ._deep.training import fit_network, seeded
        from ._deep.vae_network import VAENetwork, vae_loss

        network = seeded(
            lambda: VAENetwork(
                inputs.sizes, base, n_latent=self.n_latent, width=self.width,
                dropout=self.dropout,
            ),
            seed,
        )  # fmt: skip
        loss = partial(
            vae_loss, drop_block=self.drop_block, beta=self.beta, supervision=self.supervision
        )
        return fit_network(
            network, inputs, y, loss, seed=seed, n_epochs=self.n_epochs,
            batch_size=self.batch_size, learning_rate=self.learning_rate,
            weight_decay=self.weight_decay, device=self.device,
        )  # fmt: skip


def vae_fusion(blocks: Mapping[str, Any], **options: Any) -> VAEFusion:
    """Return a fusion of blocks that may be missing: a variational auto-encoder of all.

    Parameters
    ----------
    blocks : mapping of str to object
        By name, what each block is made of: the name of a block of the cohort (see
        `available_blocks`), a transformer of a Cohort, or a `FeatureBlock`.
    **options
        Of `VAEFusion`.

    Returns
    -------
    VAEFusion

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.fusion.vae_fusion({"clinic": "clinical", "nerves": "nerve_measures"}, n_latent=2)
    VAEFusion(blocks={'clinic': 'clinical', 'nerves': 'nerve_measures'}, n_latent=2)
    """
    return VAEFusion(blocks, **options)
