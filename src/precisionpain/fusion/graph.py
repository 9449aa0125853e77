"""A graph of similar people, to which new people attach: opt-in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ._deep.ensemble import DeepFusion, check_counts
from ._deep.inputs import Inputs

__all__ = ["GraphFusion", "graph_fusion"]


class GraphFusion(DeepFusion):
    """Graph convolutions over people who are alike in the blocks that both have.

    In each block a person is joined to the nearest training people who have it; over the
    blocks of the person the mean is taken. Each layer mixes the person's own columns with the
    mean of the neighbours'. A new person attaches to the training people alone, so that
    nobody's prediction depends on who else is predicted; outcomes are no part of the graph.
    Networks of several inner folds, each with the graph of its own people, are averaged and
    calibrated on people left out.

    Opt-in: at a few hundred people it is seldom better than `early_fusion`, see
    `compare_fusions`.

    Parameters
    ----------
    blocks : mapping of str to object
        As `graph_fusion` takes them.
    n_neighbors : int, default 10
        In each block.
    width : int, default 16
        Of the layers.
    n_layers : int, default 2
        Of convolution.
    dropout : float, default 0.3
        On columns and in the layers.
    n_epochs : int, default 100
        Steps; each sees all people.
    learning_rate, weight_decay : float, default 3e-3 and 0.1
        Of AdamW.
    n_members : int, default 5
        Networks, one for each inner fold.
    min_people : int, default 20
        A block that fewer training people have is left out, see `blocks_`.
    device : str, default "cpu"
        As torch names it; at this size a GPU is slower.
    random_state : int, default 0
        Seed of folds, weights and dropout. On a CPU the same seed gives the same digits.

    Attributes
    ----------
    classes_ : numpy.ndarray, shape (2,)
        The second is what probabilities are of.
    blocks_ : pandas.DataFrame
        Index ``block``: ``n`` (training people who have it), ``n_columns``, and ``left_out``
        (why, or empty).
    members_ : list
        Networks with their blocks; each holds the columns of its training people.
    temperature_ : float
        Log odds were divided by it: above 1 where the networks were too sure.
    prevalence_ : float
        Of the second class in training; the probability of who has none of the blocks.
    intercept_ : float
        Log odds of a person of whom the networks say neither more nor less than the prevalence.

    References
    ----------
    .. [1] Hamilton WL, Ying R, Leskovec J. Inductive representation learning on large graphs.
       NeurIPS 2017 (GraphSAGE).
    .. [2] Parisot S, et al. Disease prediction using graph convolutional networks. Med Image
       Anal 2018;48:117 (graphs of people).

    Examples
    --------
    >>> import precisionpain as pp
    >>> cohort = pp.datasets.sample_tn(n_subjects=80).require("mvd_response")
    >>> model = pp.fusion.GraphFusion({"clinic": "clinical", "scan": "diffusion"}, n_epochs=5)
    >>> model.fit(cohort, cohort.outcome("mvd_response")).predict_proba(cohort[:3]).shape
    (3, 2)
    """

    def __init__(
        self,
        blocks: Mapping[str, Any],
        *,
        n_neighbors: int = 10,
        width: int = 16,
        n_layers: int = 2,
        dropout: float = 0.3,
        n_epochs: int = 100,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
        n_members: int = 5,
        min_people: int = 20,
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        self.blocks = blocks
        self.n_neighbors = n_neighbors
        self.width = width
        self.n_layers = n_layers
        self.dropout = dropout
        self.n_epochs = n_epochs
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.n_members = n_members
        self.min_people = min_people
        self.device = device
        self.random_state = random_state

    def _check(self) -> None:
        super()._check()
        check_counts(self, n_neighbors=1, width=1, n_layers=1)

    def _train(self, inputs: Inputs, y: np.ndarray, base: float, seed: int) -> Any:
        from ._deep.graph_network import GraphNetwork, graph_loss
        from ._deep.training import as_batch, fit_network, seeded

        rows = np.flatnonzero(inputs.has.any(axis=1))
        graph = as_batch(inputs[rows])
        network = seeded(
            lambda: GraphNetwork(
                graph["values"], graph["has"], base, width=self.width, n_layers=self.n_layers,
                n_neighbors=self.n_neighbors, dropout=self.dropout,
            ),
            seed,
        )  # fmt: skip
        return fit_network(
            network, inputs, y, graph_loss, seed=seed, n_epochs=self.n_epochs, batch_size=None,
            learning_rate=self.learning_rate, weight_decay=self.weight_decay, device=self.device,
        )  # fmt: skip


def graph_fusion(blocks: Mapping[str, Any], **options: Any) -> GraphFusion:
    """Return a fusion of blocks that may be missing: convolutions on a graph of people.

    Parameters
    ----------
    blocks : mapping of str to object
        By name, what each block is made of: the name of a block of the cohort (see
        `available_blocks`), a transformer of a Cohort, or a `FeatureBlock`.
    **options
        Of `GraphFusion`.

    Returns
    -------
    GraphFusion

    Examples
    --------
    >>> import precisionpain as pp
    >>> pp.fusion.graph_fusion({"clinic": "clinical", "nerves": "nerve_measures"})
    GraphFusion(blocks={'clinic': 'clinical', 'nerves': 'nerve_measures'})
    """
    return GraphFusion(blocks, **options)
