"""What can be wrong with an utterance before a criterion looks at it."""

import numpy as np

from asrtool.criterion.sequence import PhoneTables
from asrtool.errors import AsrtoolError
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.convert import to_lattice
from asrtool.lattice.lattice import Lattice


def check_scores(name: str, loglikes: np.ndarray, tables: PhoneTables) -> None:
    """Refuses log-likelihoods [T, P] that no sum over paths can take: -inf may stand in them, NaN and +inf may not.

    Raises:
        AsrtoolError: names the utterance.
    """
    if loglikes.ndim != 2 or len(loglikes) == 0:
        raise AsrtoolError(f"{name}: log-likelihoods of shape {loglikes.shape}, expected [frames, pdfs]; has it any features?")
    if loglikes.shape[1] < tables.num_pdfs:
        raise AsrtoolError(
            f"{name}: log-likelihoods of {loglikes.shape[1]} pdfs, but the alignments' model has {tables.num_pdfs}; "
            "train the network on alignments of that model"
        )
    if not loglikes.max() < np.inf:  # NaN compares false
        frame = int(np.flatnonzero(~(loglikes.max(1) < np.inf))[0])
        raise AsrtoolError(f"{name}: frame {frame} has a log-likelihood of NaN or +inf; lower the learning rate")


def check_numerator(name: str, numerator: np.ndarray, num_frames: int, tables: PhoneTables) -> None:
    """Refuses an alignment that has not a transition-id of the model for each frame.

    Raises:
        AsrtoolError: names the utterance.
    """
    if numerator.shape != (num_frames,):
        raise AsrtoolError(f"{name}: the alignment has {numerator.size} frames, its log-likelihoods {num_frames}; align it again")
    if numerator.min() < 1 or numerator.max() > tables.num_transition_ids:
        worst = int(numerator.min() if numerator.min() < 1 else numerator.max())
        raise AsrtoolError(
            f"{name}: transition-id {worst} in the alignment, but the model has 1 to {tables.num_transition_ids}; "
            "align with the model that the graph was made of"
        )


def check_lattice(name: str, lattice: Lattice | CompactLattice | None, num_frames: int) -> Lattice:
    """The lattice with an arc a frame, where it has states and as many frames as the log-likelihoods.

    Raises:
        AsrtoolError: names the utterance.
    """
    if lattice is None:
        raise AsrtoolError(f"{name}: no denominator lattice; decode with a wider beam")
    if lattice.num_states == 0:
        raise AsrtoolError(f"{name}: its denominator lattice is empty; decode with a wider beam")
    if lattice.num_frames != num_frames:
        raise AsrtoolError(
            f"{name}: its lattice has {lattice.num_frames} frames, its log-likelihoods {num_frames}; make the lattices again"
        )
    try:
        return to_lattice(lattice)
    except ValueError as error:
        raise AsrtoolError(f"{name}: bad lattice: {error}; make the lattices again") from None
