"""From samples or features to words with times: the toolkit's recogniser as a Python object."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.decoder.beam_search import BeamSearchOptions
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.make_decoder import make_decoder
from asrtool.decoder.network import load_network
from asrtool.decoder.threads import outcomes
from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import cmvn_stats
from asrtool.feat.extraction_options import FbankOptions
from asrtool.feat.fbank import FeatureExtractor
from asrtool.feat.pipeline import process_features
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.audio import read_wav
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.ctm import WordAligner
from asrtool.lattice.determinize import determinize
from asrtool.lattice.lattice import best_path
from asrtool.nnet.forward import loglikes

Audio = str | Path | np.ndarray
"""A file; samples [N], integers on the 16-bit scale or floats between -1 and 1; or features [T, D]."""

_USUAL = BeamSearchOptions()


@dataclass(frozen=True)
class Word:
    """A recognised word, its place, and how sure it is (0 to 1; 1 where no confidences were asked for)."""

    word: str
    start_s: float
    duration_s: float
    confidence: float = 1.0


@dataclass
class Recognition:
    """What was said.

    Attributes:
        words: without silence; text is their symbols.
        graph_cost, acoustic_cost: of the best path, negative natural logs; the acoustic one is not scaled.
        transition_ids: int32 [T], its alignment.
        reached_final: False where no path ended a sentence, and the best of the others is given.
        lattice: where it was asked for.
    """

    words: list[Word]
    graph_cost: float
    acoustic_cost: float
    transition_ids: np.ndarray
    reached_final: bool
    lattice: CompactLattice | None = None

    @property
    def text(self) -> str:
        return " ".join(word.word for word in self.words)


class Recognizer:
    """A graph, a network and the features it takes; its methods may be called from several threads.

        recognizer = Recognizer("exp/tri/graph", "exp/lstm/final_ema.pt", fbank="conf/fbank28.conf")
        result = recognizer.decode("question.wav")
        print(result.text)
        for word in result.words:
            print(f"{word.start_s:.2f} {word.duration_s:.2f} {word.word}")

    Args:
        graph: what utils/mkgraph.sh makes.
        model: a network that steps/nnet/train.sh made.
        transition_model: final.mdl of the alignments; the default is the one beside `model`.
        fbank: conf file or options that the training's features were made with; without it only features can be decoded.
        options: of the search; the acoustic scale is also that of the confidences.
        language_models: the one that the graph was made of and a larger one, as asrtool build-lm-binary makes them: the larger
            one corrects the graph's costs during the search.

    Raises:
        AsrtoolError: a file is missing or damaged, or graph, network and features do not fit.
    """

    def __init__(
        self,
        graph: str | Path,
        model: str | Path,
        transition_model: str | Path | None = None,
        fbank: str | Path | FbankOptions | None = None,
        options: BeamSearchOptions = _USUAL,
        language_models: Sequence[str | Path] = (),
    ) -> None:
        mdl = Path(transition_model or Path(model).with_name("final.mdl"))
        self.transition_model = TransitionModel.read_file(mdl)
        packed, self.words = load_graph(graph, self.transition_model)
        self.network = load_network(model, self.transition_model.num_pdfs, mdl)
        self.decoder = make_decoder(packed, self.words, options, language_models)
        self.fbank = fbank if fbank is None or isinstance(fbank, FbankOptions) else FbankOptions.from_conf(Path(fbank), [])
        self._extract = None if self.fbank is None else FeatureExtractor(self.fbank)
        self._aligner = WordAligner.of_graph_dir(graph, self.transition_model)
        self.frame_shift_s = 0.001 * (self.fbank.frame_shift if self.fbank else 10.0)

    def features(self, audio: Audio) -> np.ndarray:
        """Filter bank float32 [T, D] of a file or samples, before CMVN; features are passed on.

        Raises:
            AsrtoolError: a file that cannot be read or has another sampling rate; samples out of range or too few for a frame.
        """
        if isinstance(audio, np.ndarray) and audio.ndim == 2:
            return np.ascontiguousarray(audio, dtype=np.float32)
        if self._extract is None:
            raise AsrtoolError("give fbank=, the conf file that the training's features were made with, to decode audio")
        if isinstance(audio, np.ndarray):
            name, samples = "samples", _on_16_bit_scale(audio)
        else:
            name, samples = str(audio), read_wav(str(audio), int(self.fbank.sample_frequency))
        features = self._extract([samples], [name])[0]
        if len(features) == 0:
            raise AsrtoolError(f"{name}: {len(samples) / self.fbank.sample_frequency:.3f} s are shorter than one frame")
        return features

    def cmvn_stats(self, audio: Iterable[Audio]) -> np.ndarray:
        """Kaldi's CMVN statistics [2, D + 1] of one speaker's utterances, for `decode`."""
        return sum(cmvn_stats(self.features(item)) for item in audio)

    def loglikes(self, audio: Audio, speaker_stats: np.ndarray | None = None) -> np.ndarray:
        """What the search takes: float32 [T, num_pdfs]; arguments as `decode`."""
        features, options, stats = self.features(audio), self.network.features, speaker_stats
        if stats is None and options.cmvn == "speaker":
            stats = cmvn_stats(features)
        elif options.cmvn in ("global", "online"):
            stats = self.network.global_cmvn
        try:
            features = process_features(features, options, stats)
        except ValueError as error:
            raise AsrtoolError(f"{error}: give features and statistics as the network's training had them") from None
        return loglikes(self.network, features)

    def decode(
        self, audio: Audio, speaker_stats: np.ndarray | None = None, confidences: bool = False, lattice: bool = False
    ) -> Recognition:
        """The best path; with `confidences` also how sure each word is, with `lattice` the lattice.

        Args:
            speaker_stats: CMVN statistics [2, D + 1] for a network trained with a speaker's; the default is the utterance's own,
                with which short utterances are recognised a little worse.

        Raises:
            AsrtoolError: see `features`; or no path survives the search.
        """
        scores = self.loglikes(audio, speaker_stats)
        if not (confidences or lattice):
            best, compact = self.decoder.decode(scores), None
        else:
            search = self.decoder.options
            compact = determinize(self.decoder.decode_lattice(scores), search.acoustic_scale, search.lattice_beam)
            best = best_path(compact, search.acoustic_scale, 1.0, search.word_insertion_penalty)
        found = self._aligner(compact if confidences else best, self.decoder.options.acoustic_scale, words=best.words)
        return Recognition(
            words=[
                Word(self.words.symbol(word), start * self.frame_shift_s, frames * self.frame_shift_s, confidence)
                for word, start, frames, confidence in found
            ],
            graph_cost=best.graph_cost,
            acoustic_cost=best.acoustic_cost,
            transition_ids=best.transition_ids,
            reached_final=(compact or best).reached_final,
            lattice=compact if lattice else None,
        )

    def decode_batch(
        self, audio: Iterable[Audio] | Sequence[Audio], num_threads: int = 1, confidences: bool = False, lattice: bool = False
    ) -> Iterator[Recognition | AsrtoolError]:
        """`decode` of many in threads, in order; an AsrtoolError in place of one that failed."""
        named = (("", item) for item in audio)
        for _, outcome in outcomes(lambda item: self.decode(item, None, confidences, lattice), named, num_threads):
            yield outcome


def _on_16_bit_scale(samples: np.ndarray) -> np.ndarray:
    if samples.ndim != 1:
        raise AsrtoolError(f"samples of shape {samples.shape}: give one channel [N], or features [T, D]")
    if np.issubdtype(samples.dtype, np.integer):
        return samples.astype(np.float32)
    if not np.abs(samples).max(initial=0.0) <= 1.5:  # a little over 1 is what resampling does; NaN fails too
        raise AsrtoolError("samples: floats must be finite and between -1 and 1; give samples on the 16-bit scale as int16")
    return samples.astype(np.float32) * np.float32(32768)
