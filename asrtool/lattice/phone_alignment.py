"""Phones in time: lattices with one phone an arc."""

from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.align_words import Aligned, AlignOptions, cut_strings
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice


def align_phones(
    lattice: CompactLattice | Lattice,
    transition_model: TransitionModel,
    replace_output_symbols: bool = False,
    reorder: bool = True,
) -> Aligned:
    """The lattice with the transition-ids of one phone on every arc.

    Words stay in their order, at most one an arc, and do not lie where their phones do; with `replace_output_symbols` the labels
    are the phones instead. As Kaldi's lattice-align-phones (kaldi/src/lat/phone-align-lattice.cc), but that there arcs without a
    word are joined with the next ones.

    Raises:
        AsrtoolError: transition-ids of another model.
    """
    from asrtool.lattice.align_words_rules_kernels import BY_PHONE

    return cut_strings(lattice, transition_model, BY_PHONE, None, AlignOptions(reorder=reorder), replace_output_symbols)
