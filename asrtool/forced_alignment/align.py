"""The alignment of one stretch of frames to its words."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.decoder.aligner import Alignment, align_arcs
from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.confidence import PhonePosteriors
from asrtool.forced_alignment.model import AlignerModel
from asrtool.forced_alignment.pronunciations import Vocabulary
from asrtool.forced_alignment.times import PhoneTime, WordTime, group_words
from asrtool.fst.csr import CsrGraph
from asrtool.graph.training_graph import TrainingGraphCompiler


@dataclass(frozen=True)
class AlignSettings:
    """
    Attributes:
        acoustic_scale, transition_scale, self_loop_scale, beam, retry_beam: as Kaldi's gmm-align-compiled.
        silence_probability: of a pause between two words.
        boost_silence: factor on the likelihoods of silence.
        longest_s: utterances that are longer are cut into pieces first.
    """

    acoustic_scale: float = 0.1
    transition_scale: float = 1.0
    self_loop_scale: float = 0.1
    beam: float = 10.0
    retry_beam: float = 200.0
    silence_probability: float = 0.5
    boost_silence: float = 1.0
    longest_s: float = 30.0

    def __post_init__(self) -> None:
        if not 0 < self.beam < self.retry_beam or self.acoustic_scale <= 0:
            raise AsrtoolError("--beam and --acoustic-scale must be above 0, and --retry-beam above --beam")
        if not 0 < self.silence_probability < 1 or self.boost_silence <= 0 or self.longest_s < 2:
            raise AsrtoolError("--silence-prob must lie between 0 and 1, --boost-silence be above 0, --max-duration at least 2")


@dataclass
class AlignedFrames:
    """words: their times being boundaries in frames; pauses alike; loglike: of the path; num_frames: of the stretch."""

    words: list[WordTime]
    pauses: list[PhoneTime]
    loglike: float
    num_frames: int


class Aligner:
    """Aligns with one model and one vocabulary; `align` may be called from several threads.

    Args:
        lang_dir: a folder to write the vocabulary's lang directory to.

    Raises:
        AsrtoolError: model and vocabulary do not fit.
    """

    def __init__(self, model: AlignerModel, vocabulary: Vocabulary, lang_dir: Path, settings: AlignSettings) -> None:
        self.model, self.vocabulary, self.settings = model, vocabulary, settings
        vocabulary.write_lang(lang_dir, settings.silence_probability)
        self.compiler = TrainingGraphCompiler(lang_dir, model.tree, model.transition_model)
        transition_model = model.transition_model
        costs = transition_model.scaled_costs(settings.transition_scale, settings.self_loop_scale)
        self.costs = costs.astype(np.float32)
        silence = model.phone_pdfs[model.phones.silence]
        self.pdf_bonus = np.zeros(model.num_pdfs, dtype=np.float32)
        self.pdf_bonus[silence] = np.log(settings.boost_silence)
        self.posteriors = PhonePosteriors(model)

    def align(self, features: np.ndarray, symbols: list[str], adapted: bool = False) -> AlignedFrames:
        """
        Args:
            features: float32 [T, D], as the model takes them.
            symbols: the words, of the vocabulary.
            adapted: the features are transformed for their speaker.

        Raises:
            AsrtoolError: no path of so many frames within the wider beam.
        """
        loglikes = self.model.loglikes(features, adapted)
        path = self._best_path(self.compiler.compile(symbols), loglikes)
        if path is None:
            shortest = sum(min(len(phones) for phones, _ in self.vocabulary.pronunciations[symbol]) for symbol in symbols)
            raise AsrtoolError(
                f"no path through {len(symbols)} words (at least {shortest} phones) in {len(features)} frames within the beam; "
                "do text and recording belong together?"
            )
        words, pauses = self._place(path.transition_ids, symbols, loglikes)
        return AlignedFrames(words, pauses, path.log_likelihood, len(features))

    def transition_ids(self, features: np.ndarray, symbols: list[str]) -> np.ndarray | None:
        """int32 [T] of the best path with features that are not transformed for their speaker; None where there is none."""
        graph = self.compiler.compile(symbols)
        pdf_ids = np.unique(self.model.transition_model.tid_to_pdf[graph.arc_ilabel]).astype(np.int32)
        path = self._best_path(graph, self.model.loglikes(features, False, pdf_ids))
        return None if path is None else path.transition_ids

    def _best_path(self, graph: CsrGraph, loglikes: np.ndarray) -> Alignment | None:
        """For log-likelihoods float32 [P, T]; None where there is none."""
        arc_pdf = self.model.transition_model.tid_to_pdf[graph.arc_ilabel].astype(np.int32)
        bonus = self.settings.acoustic_scale * self.pdf_bonus[arc_pdf]
        cost = graph.arc_cost + self.costs[graph.arc_ilabel] - bonus.astype(np.float32)
        size, settings = loglikes.shape[1], self.settings
        flat = loglikes.reshape(-1)
        return align_arcs(
            graph, arc_pdf, cost, flat, size, 1, size, settings.acoustic_scale, settings.beam, settings.retry_beam
        )  # fmt: skip

    def _place(self, path: np.ndarray, symbols: list[str], loglikes: np.ndarray) -> tuple[list[WordTime], list[PhoneTime]]:
        table = self.model.phones
        phones, lengths = self.model.transition_model.phone_segments(path)
        ends = np.cumsum(lengths)
        names = [table.plain(phone) for phone in phones.tolist()]
        confidences = self.posteriors(loglikes, names, ends)
        found = [
            PhoneTime(name, int(end - length), int(end), float(confidence))
            for name, end, length, confidence in zip(names, ends, lengths, confidences, strict=True)
        ]
        silence = table.symbols.id(table.silence)
        places = group_words(phones.tolist(), symbols, self.vocabulary.pronunciations, silence)
        words, in_words = [], set()
        for (first, last), symbol in zip(places, symbols, strict=True):
            own = found[first:last]
            frames = own[-1].end_s - own[0].start_s
            confidence = sum(phone.confidence * (phone.end_s - phone.start_s) for phone in own) / frames
            words.append(WordTime(symbol, own[0].start_s, own[-1].end_s, confidence, own))
            in_words.update(range(first, last))
        return words, [phone for index, phone in enumerate(found) if index not in in_words]
