"""How a model does on held-out utterances: by the sequence criterion, and by the words that it recognises.

Both are given the model in training, whose weights they copy, and the part of the utterances that is this worker's: the parts'
figures add up.
"""

import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from asrtool.criterion.sequence import SequenceOptions
from asrtool.decoder.beam_search import BeamSearchDecoder, BeamSearchOptions
from asrtool.decoder.decode_data import Scorer
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.network import load_network, network_scorer
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.progress import progress
from asrtool.score.edit_distance import ErrorCounts, count_errors
from asrtool.score.preparation import Preparation
from asrtool.sequence.load_module import load_module
from asrtool.sequence.module import SpeechModule
from asrtool.sequence.options import SpeechOptions, SpeechPaths
from asrtool.sequence.parameters import FlatParameters

BATCH_UTTERANCES = 8


@dataclass
class SequenceSums:
    """Sums over held-out utterances that gave a result, and the number of those that did not.

    Attributes:
        objective: of the criterion, to be made large. frames: 10 ms frames.
        silence_frames: denominator posterior on silence, summed over frames.
        rejected_frames, missing_numerator, crossing: see Outer and UtteranceOuter; `crossing` is depth times frames.
    """

    objective: float = 0.0
    frames: float = 0.0
    utterances: float = 0.0
    failed: float = 0.0
    silence_frames: float = 0.0
    rejected_frames: float = 0.0
    missing_numerator: float = 0.0
    crossing: float = 0.0

    def values(self) -> tuple[float, ...]:
        """For adding up over workers; `SequenceSums(*values)` is the inverse."""
        return astuple(self)


class HeldOut:
    """The sequence objective on the utterances of `module.pipeline`; none that fails raises an error.

    Args:
        names: those to evaluate on; default: all that have features and, where the alignments are known, one of them.
    """

    def __init__(self, module: SpeechModule, names: Sequence[str] | None = None) -> None:
        self.module = module
        known = getattr(module.numerators, "alignments", None)
        if names is None:
            names = [name for name in module.pipeline.utterances() if known is None or name in known]
        if not names:
            raise AsrtoolError(f"{module.pipeline.data.path}: no utterance with features and an alignment; align this data")
        lengths = module.pipeline.data.utt2num_frames
        self.names = sorted(names, key=lambda name: (lengths.get(name, 0), name))  # batches of equal lengths
        self._flat = torch.zeros(module.layout.num_elements)
        self._named: set[str] = set()

    @classmethod
    def load(
        cls, options: SpeechOptions, paths: SpeechPaths, criterion_options: SequenceOptions, device: str | torch.device = "cpu"
    ) -> "HeldOut":
        """Of files; `paths.data_dir` and `paths.ali_dir` are those of the held-out data. See `load_module`."""
        return cls(load_module(options, paths, criterion_options, device))

    def __call__(self, model: nn.Module, index: int = 0, count: int = 1) -> SequenceSums:
        """The sums for part `index` of `count`; utterances that fail are named once."""
        self.module.layout.pack(model, self._flat)
        self.module.set_parameters(self._flat, 0)
        sums, mine = SequenceSums(), self.names[index::count]
        batches = [mine[begin : begin + BATCH_UTTERANCES] for begin in range(0, len(mine), BATCH_UTTERANCES)]
        for batch in progress(batches, len(batches), "held-out sequence objective, batches"):
            for result in self.module.outer_gradients([(name, 0) for name in batch]):
                outer = result.outer
                if outer is None:
                    sums.failed += 1
                    if result.name not in self._named:
                        self._named.add(result.name)
                        print(f"WARNING: {result.name}: held out, but not evaluated: {result.message}", file=sys.stderr)
                    continue
                sums.objective += float(outer.objective)
                sums.frames += outer.num_frames
                sums.utterances += 1
                sums.silence_frames += float(outer.silence_share) * outer.num_frames
                sums.rejected_frames += outer.rejected_frames
                sums.missing_numerator += result.numerator_missing
                sums.crossing += float(result.depth) * outer.num_frames
        return sums

    def close(self) -> None:
        self.module.close()


@dataclass
class DevOptions:
    """How held-out data are decoded and scored.

    Attributes:
        lm_weight: the inverse of the acoustic scale, one for all evaluations, so that they compare.
        word_insertion_penalty: cost of a word.
        metric: "wer" counts words, "cer" characters.
        ignored: words that are taken out of both sides, as <UNK> or [SIL].
    """

    lm_weight: float = 10.0
    word_insertion_penalty: float = 0.0
    beam: float = 13.0
    max_active: int = 5000
    min_active: int = 200
    metric: str = "wer"
    ignored: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.lm_weight > 0 or not self.beam > 0:
            raise ValueError("lm_weight and beam must be above 0")
        if self.metric not in ("wer", "cer"):
            raise ValueError(f"metric must be wer or cer: {self.metric}")


class DevDecoding:
    """Decodes a development set with a model in memory and counts errors against its text.

    Args:
        graph_dir: HCLG.fst and words.txt, of the language model that one would recognise with.
        data_dir: features and text.
        model: a model file, for all but the weights; ali_dir: with its final.mdl.

    Raises:
        AsrtoolError: files that are missing, damaged, or do not fit each other; data without a text.
    """

    def __init__(
        self,
        graph_dir: str | Path,
        data_dir: str | Path,
        model: str | Path,
        ali_dir: str | Path,
        options: DevOptions | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        options = options or DevOptions()
        final_mdl = Path(ali_dir) / "final.mdl"
        transition_model = TransitionModel.read_file(final_mdl)
        self.bundle = load_network(model, transition_model.num_pdfs, final_mdl)
        self.bundle.model.to(device)
        pipeline = self.bundle.pipeline(data_dir)
        self.preparation = Preparation(ignored=frozenset(options.ignored), metric=options.metric)
        self.references = self.preparation.references(pipeline.data.text)
        lengths = pipeline.data.utt2num_frames
        self.names = sorted(self.references, key=lambda name: (lengths.get(name, 0), name))
        if not self.names:
            raise AsrtoolError(f"{data_dir}/text: no utterances; word errors need a text")
        graph, self.words = load_graph(graph_dir, transition_model)
        search = BeamSearchOptions(
            beam=options.beam,
            max_active=options.max_active,
            min_active=options.min_active,
            acoustic_scale=1.0 / options.lm_weight,
            word_insertion_penalty=options.word_insertion_penalty,
        )
        self.decoder = BeamSearchDecoder(graph, options=search)
        self.scorer: Scorer = network_scorer(self.bundle, pipeline)
        self._layout = FlatParameters(self.bundle.model)
        self._flat = torch.zeros(self._layout.num_elements)
        self._named: set[str] = set()

    def __call__(self, model: nn.Module, index: int = 0, count: int = 1) -> "WordErrors":
        """The errors in part `index` of `count`. An utterance that cannot be decoded is named once, and its words are missing."""
        self._layout.pack(model, self._flat)
        self._layout.unpack(self._flat, self.bundle.model)
        total, failed, mine = ErrorCounts(), 0, self.names[index::count]
        batches = [mine[begin : begin + BATCH_UTTERANCES] for begin in range(0, len(mine), BATCH_UTTERANCES)]
        for batch in progress(batches, len(batches), "held-out decoding, batches"):
            hypotheses = {}
            for name, loglikes in zip(batch, self.scorer(batch), strict=True):
                hypotheses[name], good = self._decode(name, loglikes)
                failed += not good
            for name, words in self.preparation.hypotheses(hypotheses).items():
                tokens = self.preparation.tokens(self.references[name]), self.preparation.tokens(words)
                total += count_errors(*tokens)
        return WordErrors(total.insertions, total.deletions, total.substitutions, total.total, len(mine), failed)

    def _decode(self, name: str, loglikes: np.ndarray | AsrtoolError) -> tuple[list[str], bool]:
        """The words, and whether it worked."""
        try:
            if isinstance(loglikes, AsrtoolError):
                raise loglikes
            return [self.words.symbol(word) for word in self.decoder.decode(loglikes).words], True
        except AsrtoolError as error:
            if name not in self._named:
                self._named.add(name)
                print(f"WARNING: {name}: held out, but not decoded: {error}", file=sys.stderr)
            return [], False


@dataclass
class WordErrors:
    """Sums over utterances; `words` of the references (characters for "cer"); failed: utterances without a hypothesis."""

    insertions: float = 0.0
    deletions: float = 0.0
    substitutions: float = 0.0
    words: float = 0.0
    utterances: float = 0.0
    failed: float = 0.0

    def values(self) -> tuple[float, ...]:
        """For adding up over workers; `WordErrors(*values)` is the inverse."""
        return astuple(self)

    @property
    def rate(self) -> float:
        """A fraction of the words."""
        return (self.insertions + self.deletions + self.substitutions) / max(self.words, 1.0)
