"""What all sequence-discriminative criteria share: options, tables of the model, the result for an utterance, their choice.

A criterion takes log-likelihoods [T, P] of a batch of utterances, their numerator alignments and denominator lattices, and gives
for each the objective and the outer gradient: the derivative of the objective by the log-likelihoods (Sak et al. 2014, "Sequence
discriminative distributed training of LSTM recurrent neural networks", Equations 2 to 6). All objectives are to be made large.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.posteriors import FramePosteriors

Criterion = Literal["mmi", "smbr", "mpfe", "mpe", "lfmmi"]


@dataclass(frozen=True)
class SequenceOptions:
    """Settings of a criterion.

    Attributes:
        criterion: mmi (boosted where boost > 0), smbr (expected number of frames with the numerator's pdf), mpfe (of frames with
            its phone), mpe (Povey's phone accuracy), lfmmi (MMI over a denominator graph instead of lattices).
        acoustic_scale: kappa, which weighs log-likelihoods against graph costs; the inverse of decoding's language model
            weight (Sak 2014, Equation 2; Kaldi's --acoustic-scale).
        lm_scale: weighs the graph costs of the lattice (Kaldi's --lm-scale).
        boost: b of boosted MMI (Povey et al. 2008): the log weight of a denominator path gains b for each frame whose phone is
            not the numerator's, silence phones excepted (Kaldi's lattice-boost-ali, --max-silence-error=0); neither scale
            applies to it. Only mmi; 0.1 is usual.
        one_silence_class: smbr, mpfe, mpe: all silence phones count as one that is right on the numerator's silence. Where
            false, a silence phone is never right (Kaldi's --one-silence-class, false in its old recipes).
        silence_accuracy: smbr, mpfe: what a frame counts on which silence is right, in [0, 1]. Where the network often misses
            the state or phone of speech but rarely silence, silence is the better bet on a doubtful frame, and words get lost;
            less than 1 takes that advantage away. 1: Kaldi's; 0 is as one_silence_class false.
        frame_rejection: mmi: a frame whose denominator posterior of the numerator's pdf is below rejection_threshold gives
            no gradient (Vesely et al. 2013; Kaldi's --drop-frames).
        rejection_threshold: that of frame_rejection, in [0, 1).
        ce_weight: weight of frame cross-entropy in the trainer's gradient, (1 - ce_weight) x sequence + ce_weight x CE
            (F-smoothing, Su et al. 2013); criteria do not look at it.
    """

    criterion: Criterion = "smbr"
    acoustic_scale: float = 0.1
    lm_scale: float = 1.0
    boost: float = 0.0
    one_silence_class: bool = True
    silence_accuracy: float = 1.0
    frame_rejection: bool = True
    rejection_threshold: float = 1e-20
    ce_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.criterion not in get_args(Criterion):
            raise ValueError(f"criterion must be one of {', '.join(get_args(Criterion))}: {self.criterion}")
        if not 0 < self.acoustic_scale < np.inf:
            raise ValueError(f"acoustic_scale must be a number above 0: {self.acoustic_scale}")
        if not 0 <= self.lm_scale < np.inf:
            raise ValueError(f"lm_scale must be a number, at least 0: {self.lm_scale}")
        if not 0 <= self.boost < np.inf:
            raise ValueError(f"boost must be a number, at least 0: {self.boost}")
        if self.boost and self.criterion != "mmi":
            raise ValueError(f"boost is for criterion=mmi, not {self.criterion}")
        if not 0 <= self.silence_accuracy <= 1:
            raise ValueError(f"silence_accuracy must be between 0 and 1: {self.silence_accuracy}")
        if self.silence_accuracy != 1 and self.criterion not in ("smbr", "mpfe"):
            raise ValueError(f"silence_accuracy is for criterion=smbr and mpfe, not {self.criterion}")
        if not 0 <= self.rejection_threshold < 1:
            raise ValueError(f"rejection_threshold must be at least 0 and below 1: {self.rejection_threshold}")
        if not 0 <= self.ce_weight <= 1:
            raise ValueError(f"ce_weight must be between 0 and 1: {self.ce_weight}")


@dataclass(frozen=True)
class PhoneTables:
    """What a criterion knows of the N transition-ids; entry 0 of each table stands for none.

    Attributes:
        tid_to_pdf, tid_to_phone, tid_to_hmm_state: int32 [N + 1]; entry 0 is -1.
        tid_is_self_loop, tid_is_final: bool [N + 1]; loops; transitions into a phone's final state.
        tid_is_silence: bool [N + 1], those of silence phones.
        silence_phones: int32, ascending.
        num_pdfs: pdfs of the model.
    """

    tid_to_pdf: np.ndarray
    tid_to_phone: np.ndarray
    tid_to_hmm_state: np.ndarray
    tid_is_self_loop: np.ndarray
    tid_is_final: np.ndarray
    tid_is_silence: np.ndarray
    silence_phones: np.ndarray
    num_pdfs: int

    @classmethod
    def from_model(cls, model: TransitionModel, silence_phones: Iterable[int] = ()) -> "PhoneTables":
        """The tables of a transition model; silence_phones as in Kaldi's silence.csl.

        Raises:
            AsrtoolError: a silence phone that the model lacks.
        """
        silence = np.unique(np.array(list(silence_phones), dtype=np.int32))
        if unknown := sorted(set(silence.tolist()) - set(model.phones)):
            raise AsrtoolError(f"{model.name}: silence phone {unknown[0]} is not in the model; give those of its lang directory")
        return cls(
            tid_to_pdf=np.ascontiguousarray(model.tid_to_pdf, np.int32),
            tid_to_phone=np.ascontiguousarray(model.tid_to_phone, np.int32),
            tid_to_hmm_state=np.ascontiguousarray(model.tid_to_hmm_state, np.int32),
            tid_is_self_loop=np.ascontiguousarray(model.tid_is_self_loop, bool),
            tid_is_final=np.ascontiguousarray(model.tid_is_final, bool),
            tid_is_silence=np.isin(model.tid_to_phone, silence),
            silence_phones=silence,
            num_pdfs=model.num_pdfs,
        )

    @property
    def num_transition_ids(self) -> int:
        return len(self.tid_to_pdf) - 1


@dataclass
class Outer:
    """The result for an utterance of T frames. Logs are natural.

    Attributes:
        gradient: labels are pdfs: d objective / d log-likelihood of the pdf at the frame, acoustic_scale included, summed over
            frames (not divided by T). The weights of a frame sum to 0.
        objective: mmi, lfmmi: numerator_loglike - denominator_loglike; smbr, mpfe: expected number of right frames; mpe: of
            phones.
        num_frames: T.
        rejected_frames: mmi: frames without gradient for want of the numerator's pdf (frame_rejection).
        numerator_loglike: log weight of the numerator: acoustic_scale x its log-likelihoods - lm_scale x the graph cost of the
            best path in the lattice that has its pdfs; without the graph's part where there is none (numerator_in_lattice).
        numerator_acoustic: the first part alone. numerator_acoustic - denominator_loglike is what Kaldi's
            nnet-train-mmi-sequential reports as its objective.
        denominator_loglike: log of the sum over the paths of the lattice, boosted ones where boost > 0.
        numerator_in_lattice: whether a path of the lattice has the numerator's pdfs.
        silence_share: share of the frames' denominator posterior that silence phones have, in [0, 1].
    """

    gradient: FramePosteriors
    objective: float
    num_frames: int
    rejected_frames: int = 0
    numerator_loglike: float = 0.0
    numerator_acoustic: float = 0.0
    denominator_loglike: float = 0.0
    numerator_in_lattice: bool = True
    silence_share: float = 0.0


class SequenceCriterion(Protocol):
    def __call__(
        self,
        loglikes: Sequence[np.ndarray],
        numerators: Sequence[np.ndarray],
        lattices: Sequence[Lattice | None],
        names: Sequence[str],
    ) -> list[Outer | AsrtoolError]:
        """The results of a batch of utterances, in their order.

        The lattices' own acoustic costs are not looked at: arcs are scored with `loglikes` (Kaldi's --old-acoustic-scale=0), so
        that stored lattices and fresh ones take one path.

        Args:
            loglikes: float32 [T, P], unscaled log-likelihoods (log posterior - log prior).
            numerators: int32 [T], transition-ids of the right answer.
            lattices: the denominators, as the decoder made them; not looked at by lfmmi (None will do).
            names: of the utterances, for messages.

        Returns:
            For each utterance an Outer, or, where something is wrong with it (log-likelihoods of NaN or +inf, lengths that
            differ, no lattice or none with a path), an AsrtoolError that names it: never raised, so that the others go on.
        """


def make_criterion(
    options: SequenceOptions, tables: PhoneTables, denominator: Any = None, device: str = "cpu"
) -> SequenceCriterion:
    """The criterion that options.criterion names.

    Args:
        denominator: lfmmi: the denominator graph (asrtool.graph.denominator); others take none.
        device: where the criterion works: the kernels of "cpu", or torch's "cuda", "cuda:0".

    Raises:
        AsrtoolError: lfmmi without a denominator graph.
    """
    if options.criterion == "lfmmi":
        if denominator is None:
            raise AsrtoolError("criterion=lfmmi needs a denominator graph; make one with make-den-graph")
        from asrtool.criterion.lattice_free import LatticeFreeCriterion

        return LatticeFreeCriterion(options, tables, denominator, device)
    if device != "cpu":
        from asrtool.criterion.torch_lattice import TorchLatticeCriterion

        return TorchLatticeCriterion(options, tables, device)
    if options.criterion == "mpe":
        from asrtool.criterion.mpe import MpeCriterion

        return MpeCriterion(options, tables)
    from asrtool.criterion.lattice_criterion import LatticeCriterion

    return LatticeCriterion(options, tables)
