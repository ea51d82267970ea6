"""final.alimdl: the model for features without transforms that matches an adapted one Gaussian for Gaussian.

Its Gaussians are those of the features as they are, with the posteriors that the adapted model gives the transformed ones
(Kaldi's gmm-acc-stats-twofeats, then gmm-est --remove-low-count-gaussians=false).
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.estimate import GmmStatistics, MleOptions, mle_update
from asrtool.hmm.transition_model import TransitionModel
from asrtool.train.gmm_corpus import GmmCorpus
from asrtool.train.gmm_passes import Accumulator
from asrtool.train.gmm_state import GmmState


class _BothFeatures:
    """A corpus whose frames are the transformed features, then those without transforms: [N, 2D]."""

    def __init__(self, corpus: GmmCorpus) -> None:
        self.corpus = corpus
        self.batches, self.batch_frames, self.in_memory = corpus.batches, corpus.batch_frames, corpus.in_memory

    def features(self, batch: int) -> np.ndarray:
        base = self.corpus.base_features(batch)
        return np.concatenate([self.corpus.adapted(batch, base), base], axis=1)


@dataclass(frozen=True)
class _FirstHalf:
    """A model for [N, 2D] features that looks at the first D of them; for Accumulator."""

    model: AmDiagGmm

    @property
    def pdf_begin(self) -> np.ndarray:
        return self.model.pdf_begin

    @property
    def num_gaussians(self) -> int:
        return self.model.num_gaussians

    @property
    def dim(self) -> int:
        return 2 * self.model.dim

    @property
    def parameters(self) -> np.ndarray:
        """float32 [G, 1 + 4D]."""
        rows, dim = self.model.parameters, self.model.dim
        nothing = np.zeros((len(rows), dim), dtype=np.float32)
        return np.concatenate([rows[:, : 1 + dim], nothing, rows[:, 1 + dim :], nothing], axis=1)


def alignment_model_of(
    corpus: GmmCorpus,
    state: GmmState,
    transition_model: TransitionModel,
    options: MleOptions,
    num_threads: int,
    backend: Backend = CPU,
) -> AmDiagGmm:
    """The model for features without transforms, from the final state of speaker adaptive training."""
    model, dim = state.model, state.model.dim
    accumulator = Accumulator(_BothFeatures(corpus), state.alignment, transition_model.tid_to_pdf, model.num_pdfs, backend)
    with ThreadPoolExecutor(num_threads) as pool:
        both = accumulator.collect(_FirstHalf(model), pool, num_threads)
    columns = np.concatenate([[0], 1 + dim + np.arange(dim), 1 + 3 * dim + np.arange(dim)])
    statistics = GmmStatistics(both.gaussians[:, columns], both.loglike, both.num_frames)
    return mle_update(model, statistics, replace(options, remove_low_count_gaussians=False))[0]
