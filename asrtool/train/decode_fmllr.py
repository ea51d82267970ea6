"""Decoding with speaker adaptation (Kaldi's steps/decode_fmllr.sh), from lattices of a speaker-independent pass on.

1. Each speaker's transform is estimated from those lattices: posteriors of the alignment model, means of the adapted one.
2. The transformed features are decoded into state-level lattices.
3. A second transform, on top of the first, is estimated from these, pruned to a narrow beam.
4. The same lattices get the acoustic costs of the final model on the features of both transforms, and become the result.

The decoding directory holds what `decode_data` writes, and the transforms, trans.1. What the passes leave for each other is in it
until the end: a killed decoding goes on.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.decoder.beam_search import BeamSearchOptions
from asrtool.decoder.decode_data import decode_data, fingerprint, is_done, one_by_one
from asrtool.decoder.graph_dir import load_graph
from asrtool.decoder.make_decoder import make_decoder
from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.feature_options import feature_files
from asrtool.gmm.features import GmmFeatures, open_features
from asrtool.gmm.fmllr import FmllrOptions
from asrtool.gmm.fmllr_speakers import compose_estimates, describe_estimates, read_transforms, transform_files, write_transforms
from asrtool.gmm.fmllr_statistics import silence_weights
from asrtool.gmm.model import read_model
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.archive import read_lattices
from asrtool.lattice.determinize import determinize
from asrtool.lattice.lattice import Lattice
from asrtool.train.align_fmllr import alignment_model
from asrtool.train.align_pass import log
from asrtool.train.gmm_lattice_fmllr import PdfPosteriors, estimate_from_lattices
from asrtool.train.gmm_rescore import DecodedLattices, rescore_acoustic

SECOND_BEAM = 4.0  # of the lattices that the second transform is estimated from
SECOND, FIRST_TRANSFORMS, NOTE = "main", "pre_trans", "fmllr.json"  # between the passes


@dataclass(frozen=True)
class DecodeFmllrOptions:
    """silence_weight: of silence frames in the estimation of transforms. search: of the main pass; its acoustic scale is that of
    the posteriors too. language_models: as for make_decoder. The others as for decode_data."""

    search: BeamSearchOptions = field(default_factory=lambda: BeamSearchOptions(acoustic_scale=0.083333))
    fmllr: FmllrOptions = field(default_factory=FmllrOptions)
    silence_weight: float = 0.01
    language_models: tuple[Path, ...] = ()
    num_threads: int = 1
    max_failed: float = 0.1
    determinize_lattice: bool = True
    backend: Backend = CPU


@dataclass(frozen=True)
class Models:
    """Files: of the speaker-independent pass, of the transforms and the main pass, and of the final costs."""

    alignment: Path
    adapt: Path
    final: Path

    @classmethod
    def of(cls, directory: Path, alignment: Path | None = None, adapt: Path | None = None, final: Path | None = None) -> "Models":
        """Those of an experiment directory, where none is named: final.alimdl (or final.mdl), final.mdl, final.mdl."""
        return cls(alignment or alignment_model(directory), adapt or directory / "final.mdl", final or directory / "final.mdl")


def decode_fmllr(
    graph_dir: Path,
    data_dir: Path,
    directory: Path,
    source_dir: Path,
    si_dir: Path,
    models: Models,
    options: DecodeFmllrOptions,
) -> None:
    """Decodes a data directory into `directory`.

    Args:
        source_dir: experiment directory with the features' options.
        si_dir: decoding directory of the speaker-independent pass, of the same tree.

    Raises:
        AsrtoolError: missing or unfitting files, more than `max_failed` of the utterances could not be decoded.
    """
    used = (models.alignment, models.adapt, models.final)
    files = [*used, graph_dir / "HCLG.fst", data_dir / "feats.scp", *options.language_models]
    files += feature_files(source_dir)
    lattices = sorted(si_dir.glob("lat.*.gz"))
    settings = {"fmllr": asdict(options.fmllr), "silence_weight": options.silence_weight}
    made_from = fingerprint([*files, *lattices], options.search, True, options.determinize_lattice) | settings
    if is_done(directory, made_from):
        _clean_up(directory)
        return
    _start(directory, made_from)
    decoding = _Decoding(graph_dir, data_dir, directory, source_dir, models, options)
    decoding.first_transforms(si_dir)
    decoding.main_pass(files)
    decoding.second_transforms()
    decoding.final_pass(made_from)
    _clean_up(directory)


def _clean_up(directory: Path) -> None:
    """Removes what only a decoding that goes on needs."""
    shutil.rmtree(directory / SECOND, ignore_errors=True)
    for path in [*transform_files(directory, FIRST_TRANSFORMS), directory / NOTE]:
        path.unlink(missing_ok=True)


def _start(directory: Path, made_from: dict) -> None:
    """Removes what a decoding from other files or settings has left."""
    directory.mkdir(parents=True, exist_ok=True)
    note, text = directory / NOTE, json.dumps(made_from, indent=1) + "\n"
    if not note.is_file() or note.read_text() != text:
        for path in [*transform_files(directory), *transform_files(directory, FIRST_TRANSFORMS)]:
            path.unlink()
        write_text(note, text)


class _Decoding:
    """The passes, each of which finds on disk what the earlier ones have made."""

    def __init__(
        self, graph_dir: Path, data_dir: Path, directory: Path, source_dir: Path, models: Models, options: DecodeFmllrOptions
    ) -> None:
        self.graph_dir, self.directory, self.models, self.options = graph_dir, directory, models, options
        self.features = open_features(DataDir.load(data_dir), source_dir)
        self.transition_model, self.adapt_model = read_model(models.adapt)
        silence = _silence_phones(graph_dir)
        weights = silence_weights(self.transition_model, silence, options.silence_weight)
        self.pdfs = PdfPosteriors(self.transition_model.tid_to_pdf, weights)
        self.words = SymbolTable.read(graph_dir / "words.txt")

    def _model(self, path: Path) -> AmDiagGmm:
        """Another model with the same transition-ids."""
        if path == self.models.adapt:
            return self.adapt_model
        transition_model, model = read_model(path)
        _check_same(self.transition_model, transition_model, path)
        return model

    def _adapted(self, name: str) -> GmmFeatures:
        return self.features.with_speaker_transforms(read_transforms(self.directory, name))

    def first_transforms(self, si_dir: Path) -> None:
        if transform_files(self.directory, FIRST_TRANSFORMS):
            return
        models = self._model(self.models.alignment), self.adapt_model
        estimates = estimate_from_lattices(
            read_lattices(si_dir),
            lambda lattice: lattice,
            self.options.search.acoustic_scale,
            self.pdfs,
            self.features,
            models,
            self.options.fmllr,
            self.options.num_threads,
            self.options.backend,
        )
        log(describe_estimates(estimates))
        transforms = {speaker: one.transform for speaker, one in estimates.items()}
        write_transforms(self.directory, transforms, FIRST_TRANSFORMS)

    def main_pass(self, files: list[Path]) -> None:
        options, out = self.options, self.directory / SECOND
        made_from = fingerprint(
            [*files, *transform_files(self.directory, FIRST_TRANSFORMS)], options.search, True, False
        )  # fmt: skip
        if is_done(out, made_from):
            return
        features = self._adapted(FIRST_TRANSFORMS)
        graph, words = load_graph(self.graph_dir, self.transition_model)
        decode_data(
            make_decoder(graph, words, options.search, options.language_models),
            one_by_one(lambda utterance: self.adapt_model.loglikes(features(utterance), backend=options.backend)),
            features.utterances(),
            words,
            out,
            made_from,
            options.num_threads,
            max_failed=options.max_failed,
            determinize_lattice=False,
        )

    def second_transforms(self) -> None:
        if transform_files(self.directory):
            return
        scale = self.options.search.acoustic_scale
        estimates = estimate_from_lattices(
            read_lattices(self.directory / SECOND),
            lambda lattice: determinize(lattice, scale, SECOND_BEAM),
            scale,
            self.pdfs,
            self._adapted(FIRST_TRANSFORMS),
            (self.adapt_model, self.adapt_model),
            self.options.fmllr,
            self.options.num_threads,
            self.options.backend,
        )
        log(f"second {describe_estimates(estimates)}")
        first = read_transforms(self.directory, FIRST_TRANSFORMS)
        write_transforms(self.directory, compose_estimates(estimates, first, self.features.dim))

    def final_pass(self, made_from: dict) -> None:
        features, model, options = self._adapted("trans"), self._model(self.models.final), self.options
        utterances = features.utterances()
        lattices, pdf_of_tid = DecodedLattices(self.directory / SECOND, utterances), self.transition_model.tid_to_pdf

        def rescored(utterance: str) -> Lattice:
            return rescore_acoustic(lattices(utterance), features(utterance), model, pdf_of_tid, options.backend)

        decode_data(
            _Rescored(options.search),
            one_by_one(rescored),
            utterances,
            self.words,
            self.directory,
            made_from,
            options.num_threads,
            max_failed=options.max_failed,
            determinize_lattice=options.determinize_lattice,
        )


@dataclass(frozen=True)
class _Rescored:
    """Stands for a decoder where what is to be decoded are lattices already."""

    options: BeamSearchOptions

    def decode_lattice(self, lattice: Lattice) -> Lattice:
        return lattice


def _silence_phones(graph_dir: Path) -> list[int]:
    path = graph_dir / "phones/silence.csl"
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; make the graph with utils/mkgraph.sh")
    return [int(phone) for phone in path.read_text().replace(":", " ").split()]


def _check_same(one: TransitionModel, two: TransitionModel, path: Path) -> None:
    if not np.array_equal(one.tuples, two.tuples):
        raise AsrtoolError(f"{path}: its transition-ids are not those of the adapted model: they must have the same tree")
