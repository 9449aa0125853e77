"""Attention over the blocks of a person: a small transformer, opt-in."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from ..cohort import Cohort
from ..errors import FormatError
from ._deep.ensemble import DeepFusion, check_counts, one_thread
from ._deep.inputs import Inputs

__all__ = ["AttentionFusion", "attention_fusion"]


class AttentionFusion(DeepFusion):
    """A small transformer whose tokens are the blocks that a person has.

    Each block becomes one token: a linear map of its columns, and a vector that says which
    block it is. A class token gathers them over a layer of attention, in which the blocks
    that a person lacks are masked. In training blocks are hidden at random, never all, so that
    no block is needed. Several networks, each trained on other inner folds, are averaged and
    their log odds divided by a temperature that is found on people left out.

    Opt-in: at a few hundred people it is seldom better than `early_fusion`, see
    `compare_fusions`.

    Parameters
    ----------
    blocks : mapping of str to object
        As `attention_fusion` takes them.
    width : int, default 16
        Numbers of a token.
    n_layers, n_heads : int, default 1 and 2
        Of attention.
    drop_block : float, default 0.5
        Chance of a block to be hidden in a training step.
    dropout : float, default 0.4
        On tokens and in the layers.
    n_epochs : int, default 150
        Passes through the people; there is no early stopping.
    batch_size : int or None, default None
        People in a step, about; None for all.
    learning_rate, weight_decay : float, default 3e-3 and 0.1
        Of AdamW.
    n_members : int, default 5
        Networks, one for each inner fold.
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
    .. [1] Vaswani A, et al. Attention is all you need. NeurIPS 2017.
    .. [2] Neverova N, et al. ModDrop: adaptive multi-modal gesture recognition. IEEE Trans
       Pattern Anal Mach Intell 2016;38:1692 (hiding whole blocks).
    .. [3] Guo C, et al. On calibration of modern neural networks. ICML 2017.

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80).require("mvd_response")
    >>> model = pp.fusion.AttentionFusion({"clinic": "clinical", "scan": "diffusion"}, n_epochs=5)
    >>> model = model.fit(cohort, cohort.outcome("mvd_response"))
    >>> model.attention(cohort).columns.tolist()
    ['clinic', 'scan']
    """

    def __init__(
        self,
        blocks: Mapping[str, Any],
        *,
        width: int = 16,
        n_layers: int = 1,
        n_heads: int = 2,
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
        self.width = width
        self.n_layers = n_layers
        self.n_heads = n_heads
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

    def attention(self, X: Cohort) -> pd.DataFrame:
        """Tell how much the class token reads from each block.

        These are weights inside of the networks, and no explanation by themselves: a block may
        be read a lot and change nothing. To see what a block changes, leave it out.

        Parameters
        ----------
        X : Cohort
            People, n of them.

        Returns
        -------
        pandas.DataFrame of shape (n, n_used_blocks)
            Index as ``X.index``. From 0 to 1, mean over heads and networks, of the last layer;
            what lacks to 1 the token reads from itself. Missing where the person lacks the
            block.
        """
        from ._deep.training import outputs

        has = self.information(X)
        total = np.zeros(has.shape)
        with one_thread():
            for member in self.members_:
                inputs = member.blocks.transform(X, quiet=True)
                total += outputs(member.network, inputs, self.device)[1]
        return pd.DataFrame(total / len(self.members_), has.index, has.columns).where(has)

    def _check(self) -> None:
        super()._check()
        check_counts(self, width=1, n_layers=1, n_heads=1)
        if self.width % self.n_heads:
            raise FormatError(
                f"expected a width that {self.n_heads} heads can share, found {self.width}",
                where="width",
            )

    def _train(self, inputs: Inputs, y: np.ndarray, base: float, seed: int) -> Any:
        from ._deep.attention_network import AttentionNetwork, attention_loss
        from ._deep.training import fit_network, seeded

        network = seeded(
            lambda: AttentionNetwork(
                inputs.sizes, base, width=self.width, n_layers=self.n_layers,
                n_heads=self.n_heads, dropout=self.dropout,
            ),
            seed,
        )  # fmt: skip
        return fit_network(
            network, inputs, y, partial(attention_loss, drop_block=self.drop_block), seed=seed,
            n_epochs=self.n_epochs, batch_size=self.batch_size,
            learning_rate=self.learning_rate, weight_decay=self.weight_decay, device=self.device,
        )  # fmt: skip


def attention_fusion(blocks: Mapping[str, Any], **options: Any) -> AttentionFusion:
    """Return a fusion of blocks that may be missing: attention over one token for each.

    Parameters
    ----------
    blocks : mapping of str to object
        By name, what each block is made of: the name of a block of the cohort (see
        `available_blocks`), a transformer of a Cohort, or a `FeatureBlock`.
    **options
        Of `AttentionFusion`.

    Returns
    -------
    AttentionFusion

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.fusion.attention_fusion({"clinic": "clinical", "nerves": "nerve_measures"}, width=8)
    AttentionFusion(blocks={'clinic': 'clinical', 'nerves': 'nerve_measures'},
                    width=8)
    """
    return AttentionFusion(blocks, **options)
