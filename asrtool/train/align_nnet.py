"""Alignment of a data directory with a trained network (Kaldi's steps/nnet/align.sh)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.decoder.network import load_network
from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.nnet.forward import loglikes_batch
from asrtool.nnet.model_file import ModelBundle
from asrtool.train.align_data import AlignDataOptions, align_data, check_model_files
from asrtool.train.align_pass import AlignReport, Scores
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_lang import GmmLang

BATCH_SIZE = 16  # utterances of about the same length in one forward pass


def align_nnet(
    data_dir: str | Path,
    lang_dir: str | Path,
    model: str | Path,
    directory: str | Path,
    options: AlignDataOptions,
    source_dir: str | Path | None = None,
) -> AlignReport:
    """Aligns with a network; writes an alignment directory.

    Args:
        model: a model file, or an experiment directory with one (or with final_ema.pt).
        source_dir: with final.mdl and tree of the alignments that the network was trained on; default: the model's directory.

    Raises:
        AsrtoolError: missing or unfitting files, another phone table, too many utterances that cannot be aligned.
    """
    model, lang = find_model(model), GmmLang.load(lang_dir)
    source_dir = model.parent if source_dir is None else Path(source_dir)
    check_model_files(source_dir, lang, "name the alignment directory that the network was trained on with --ali-dir")
    transition_model = TransitionModel.read_file(source_dir / "final.mdl")
    bundle = load_network(model, transition_model.num_pdfs, source_dir / "final.mdl")
    data = DataDir.load(data_dir)
    corpus = GmmCorpus(bundle.pipeline(data), data.text, options.run.memory_limit_mib)
    bundle.normalise(np.zeros((1, corpus.dim), np.float32), f"{data.path}/feats.scp")  # says so if the dimension is another
    return align_data(corpus, lang, source_dir, transition_model, network_scores(bundle), Path(directory), options)


def find_model(path: str | Path) -> Path:
    """The model file that is meant: itself, or in an experiment directory final_ema.pt or the only final*.pt."""
    path = Path(path)
    if not path.is_dir():
        return path
    models = sorted(path.glob("final*.pt"))
    chosen = [model for model in models if model.name == "final_ema.pt"] or models
    if len(chosen) != 1:
        raise AsrtoolError(f"{path}: {f'{len(models)} models' if models else 'no model'} (final*.pt); name a model file")
    return chosen[0]


def network_scores(bundle: ModelBundle) -> Scores:
    """Log-likelihoods of utterances sorted by length and padded together."""

    def scores(frames: list[np.ndarray], pdf_ids: list[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        order = sorted(range(len(frames)), key=lambda index: len(frames[index]))
        for begin in range(0, len(order), BATCH_SIZE):
            batch = order[begin : begin + BATCH_SIZE]
            for index, loglikes_TP in zip(batch, loglikes_batch(bundle, [frames[index] for index in batch]), strict=True):
                yield index, np.ascontiguousarray(loglikes_TP[:, pdf_ids[index]].T)

    return scores
