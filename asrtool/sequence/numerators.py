"""The right answers: transition-ids of an utterance's frames, read or found anew with the present network."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from asrtool.decoder.aligner import align
from asrtool.errors import AsrtoolError
from asrtool.graph.training_graph import TrainingGraphCompiler, add_costs
from asrtool.hmm.transition_model import TransitionModel
from asrtool.sequence.failures import UtteranceError
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.tree.context_dependency import ContextDependency

Numerators = Callable[[str, np.ndarray], np.ndarray]
"""(utterance, log-likelihoods float32 [T, P]) -> int32 [T] transition-ids; raises UtteranceError."""

_KEPT_GRAPHS = 4096  # training graphs: some ten kilobytes each


def check_numerator(alignment: np.ndarray | None, num_frames: int, num_transition_ids: int) -> np.ndarray:
    """The alignment as criteria take it, int32 [T].

    Raises:
        UtteranceError: there is none, it is of another length, or has transition-ids that the model lacks.
    """
    if alignment is None:
        raise UtteranceError("alignment", "no alignment; align this data")
    if len(alignment) != num_frames:
        raise UtteranceError(
            "length", f"{num_frames} frames of features but an alignment of {len(alignment)}; align these features"
        )
    if len(alignment) and not 1 <= alignment.min() <= alignment.max() <= num_transition_ids:
        raise UtteranceError("alignment", f"transition-id {alignment.max()} in its alignment, the model has {num_transition_ids}")
    return np.ascontiguousarray(alignment, np.int32)


class Alignments:
    """Numerators "alignment": those of an alignment directory, as they are."""

    def __init__(self, alignments: Mapping[str, np.ndarray], num_transition_ids: int) -> None:
        self.alignments, self.num_transition_ids = alignments, num_transition_ids

    def __call__(self, utterance: str, loglikes: np.ndarray) -> np.ndarray:
        return check_numerator(self.alignments.get(utterance), len(loglikes), self.num_transition_ids)


class Realigner:
    """Numerators "realign": Viterbi through the utterance's training graph, as steps/nnet/align.sh does it.

    Args:
        text: words of the utterances.
    """

    def __init__(
        self,
        compiler: TrainingGraphCompiler,
        text: Mapping[str, list[str]],
        tid_to_pdf: np.ndarray,
        acoustic_scale: float,
        beam: float,
        retry_beam: float,
    ) -> None:
        self.compiler, self.text, self.tid_to_pdf = compiler, text, tid_to_pdf
        self.acoustic_scale, self.beam, self.retry_beam = acoustic_scale, beam, retry_beam
        self._costs = compiler.model.scaled_costs(1.0, 0.1).astype(np.float32)
        self._graphs: dict = {}

    @classmethod
    def load(
        cls,
        options: SpeechOptions,
        paths: SpeechPaths,
        model: TransitionModel,
        text: Mapping[str, list[str]],
        acoustic_scale: float,
    ) -> "Realigner":
        """With the tree of the alignment directory and the lexicon of the lang directory.

        Raises:
            AsrtoolError: a file is missing or damaged, or tree, lexicon and model do not fit.
        """
        compiler = TrainingGraphCompiler(paths.lang_dir, ContextDependency.read_file(Path(paths.ali_dir) / "tree"), model)
        return cls(compiler, text, model.tid_to_pdf, acoustic_scale, options.align_beam, options.align_retry_beam)

    def __call__(self, utterance: str, loglikes: np.ndarray) -> np.ndarray:
        graph = self._graphs.get(utterance)
        if graph is None:
            if utterance not in self.text:
                raise UtteranceError("realign", "no text")
            try:
                graph = add_costs(self.compiler.compile(self.text[utterance]), self._costs)
            except AsrtoolError as error:
                raise UtteranceError("realign", str(error)) from None
            if len(self._graphs) >= _KEPT_GRAPHS:
                self._graphs.clear()
            self._graphs[utterance] = graph
        found = align(graph, loglikes, self.tid_to_pdf, self.acoustic_scale, self.beam, self.retry_beam)
        if found is None:
            raise UtteranceError("realign", "no path survives the beam; do its text and recording belong together?")
        return found.transition_ids
