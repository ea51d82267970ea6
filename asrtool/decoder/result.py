"""What decoding an utterance gives."""

from dataclasses import dataclass

import numpy as np


@dataclass
class DecodeResult:
    """The best path: word ids and transition-ids (int32), graph cost (final cost included), acoustic cost (unscaled).

    reached_final: False where no final state of the graph was alive at the end, and the path is the best of the others.
    """

    words: np.ndarray
    transition_ids: np.ndarray
    graph_cost: float
    acoustic_cost: float
    reached_final: bool
