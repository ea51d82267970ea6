"""A given model adapted to a corpus: maximum a posteriori estimates of the means (Kaldi's gmm-est-map, steps/train_map.sh).

A Gaussian's new mean is (sum of the frames it accounts for + tau * old mean) / (their number + tau) (Gauvain & Lee 1994, equation
25 with the weights of the prior all tau): one that is seen much moves to the data, one that is not stays.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.align import Aligner, AlignSettings
from asrtool.forced_alignment.corpus import read_corpus
from asrtool.forced_alignment.lexicon import Lexicon
from asrtool.forced_alignment.model import FILES, AlignerModel
from asrtool.forced_alignment.pronunciations import Guess, Vocabulary
from asrtool.forced_alignment.training_data import write_training_data
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.estimate import GmmStatistics
from asrtool.gmm.model import write_model
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_output import copy_file
from asrtool.train.gmm_passes import Accumulator

COPIED = (*(name for name in FILES if name not in ("final.mdl", "final.alimdl")), "final.occs", "ali_train_pdf.counts")


@dataclass(frozen=True)
class AdaptSettings:
    """tau: frames' worth of the old means. num_iters: alignments, each with the model so far."""

    align: AlignSettings
    tau: float = 20.0
    num_iters: int = 2
    config: str | None = None
    speaker_characters: int = 0
    guess: Guess | None = None
    num_threads: int = 1
    max_failed: float = 0.25

    def __post_init__(self) -> None:
        if self.tau <= 0 or self.num_iters < 1:
            raise AsrtoolError("--tau must be above 0, --num-iters at least 1")


def adapt_model(corpus_dir: Path, dictionary: Path, model_dir: Path, out_dir: Path, settings: AdaptSettings) -> None:
    """Writes a copy of a GMM directory whose means are those of the corpus. A speaker-adapted model loses its adaptation: the
    model for features without transforms, final.alimdl, is what is adapted.

    Raises:
        AsrtoolError: a network, something missing or unfit, or too many utterances that cannot be aligned.
    """
    model = AlignerModel.load(model_dir, settings.config)
    if model_dir.resolve() == out_dir.resolve():
        raise AsrtoolError(f"{out_dir}: is the model to adapt; name another directory for the result")
    if model.gmm is None:
        raise AsrtoolError(f"{model_dir}: a network; only GMMs can be adapted")
    model.adapted_gmm = None
    corpus = read_corpus(corpus_dir, settings.speaker_characters)
    lexicon = Lexicon.read(dictionary)
    vocabulary = Vocabulary(model.phones, lexicon, settings.guess)
    texts = {one.name: vocabulary.add(lexicon.words_of(one.text)) for one in corpus.utterances}
    longest_s = settings.align.longest_s
    with ThreadPoolExecutor(settings.num_threads) as pool:
        write_training_data(corpus, lexicon, out_dir / "work" / "data", model.extraction, longest_s, pool)
        data = DataDir.load(out_dir / "work" / "data")
        found = GmmCorpus(model.source(data), {name: texts[name] for name in data.utt2spk})
        model.check_dim(found.dim)
        aligner = Aligner(model, vocabulary, out_dir / "work" / "lang", settings.align)
        for iteration in range(settings.num_iters):
            alignment = _align(found, aligner, pool, settings.max_failed)
            accumulator = Accumulator(found, alignment, model.transition_model.tid_to_pdf, model.num_pdfs)
            statistics = accumulator.collect(model.gmm, pool, settings.num_threads)
            loglike = statistics.loglike / statistics.num_frames
            print(f"train-aligner: adaptation {iteration + 1}: {loglike:.4f} a frame before it", file=sys.stderr)
            model.gmm = adapted_means(model.gmm, statistics, settings.tau)
    for name in COPIED:
        if (model_dir / name).is_file():
            copy_file(model_dir / name, out_dir / name)
    write_model(out_dir / "final.mdl", model.transition_model, model.gmm)


def adapted_means(model: AmDiagGmm, statistics: GmmStatistics, tau: float) -> AmDiagGmm:
    """The model with maximum a posteriori means; weights and variances stay."""
    count = statistics.gaussians[:, :1]
    sums = statistics.gaussians[:, 1 : 1 + model.dim]
    means = (sums + tau * model.means) / (count + tau)
    inv_vars = model.inv_vars
    return AmDiagGmm(model.pdf_begin, model.weights, (means * inv_vars.astype(np.float64)).astype(np.float32), inv_vars)


def _align(corpus: GmmCorpus, aligner: Aligner, pool: ThreadPoolExecutor, max_failed: float) -> np.ndarray:
    """int32 [frames of the corpus] transition-ids, 0 where an utterance cannot be aligned."""
    alignment = np.zeros(corpus.num_frames, dtype=np.int32)
    failed = 0
    for batch, (begin, end) in enumerate(corpus.batches):
        features, offset = corpus.features(batch), corpus.batch_frames(batch).start

        def work(index: int, features: np.ndarray = features, offset: int = offset) -> np.ndarray | None:
            at = corpus.frames_of(index)
            return aligner.transition_ids(
                features[at.start - offset : at.stop - offset], corpus.texts[corpus.utterances[index]]
            )  # fmt: skip

        for index, tids in zip(range(begin, end), pool.map(work, range(begin, end)), strict=True):
            if tids is None:
                failed += 1
            else:
                alignment[corpus.frames_of(index)] = tids
    if failed > max_failed * len(corpus.utterances):
        raise AsrtoolError(
            f"{failed} of {len(corpus.utterances)} utterances could not be aligned (allowed: {max_failed:.0%}); "
            "do texts and recordings belong together, and is the model of this language?"
        )
    return alignment
