"""fMLLR transforms of speakers from lattices (Kaldi's lattice-to-post | weight-silence-post | gmm-est-fmllr or -gpost)."""

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from asrtool.decoder.threads import outcomes
from asrtool.errors import AsrtoolError
from asrtool.gmm.backend import CPU, Backend
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.gmm.features import GmmFeatures
from asrtool.gmm.fmllr import FmllrEstimate, FmllrOptions, FmllrStatistics
from asrtool.gmm.fmllr_speakers import SpeakerEstimator
from asrtool.gmm.fmllr_statistics import FramePdfs, collect_fmllr
from asrtool.lattice.compact import CompactLattice
from asrtool.lattice.lattice import Lattice
from asrtool.lattice.posteriors import FramePosteriors, merge_pairs, posteriors


@dataclass(frozen=True)
class PdfPosteriors:
    """How transition-ids become weighted pdfs: pdf_of_tid int32 [num_transition_ids + 1], weight_of_tid float32."""

    pdf_of_tid: np.ndarray
    weight_of_tid: np.ndarray

    def __call__(self, post: FramePosteriors) -> FramePdfs:
        label = post.label
        if len(label) and label.max() >= len(self.pdf_of_tid):
            raise AsrtoolError(f"transition-id {label.max()} is not one of the model: was the lattice made with another?")
        merged = merge_pairs(post.frame, self.pdf_of_tid[label], post.weight * self.weight_of_tid[label], post.num_frames)
        return FramePdfs(merged.frame_begin, merged.label, merged.weight)


def estimate_from_lattices(
    lattices: Iterable[tuple[str, Lattice | CompactLattice]],
    prepare: Callable[[Lattice | CompactLattice], Lattice | CompactLattice],
    acoustic_scale: float,
    pdfs: PdfPosteriors,
    features: GmmFeatures,
    models: tuple[AmDiagGmm, AmDiagGmm],
    options: FmllrOptions,
    num_threads: int,
    backend: Backend = CPU,
) -> dict[str, FmllrEstimate]:
    """The transform of each speaker, in addition to those of `features`; bad lattices are named and left out.

    Args:
        prepare: applied to each lattice before its posteriors are taken.
        models: that of the Gaussians' posteriors, and the one to adapt to.

    Raises:
        AsrtoolError: no lattice that could be used.
    """
    utt2spk = features.data.utt2spk

    def collect(item: tuple[str, Lattice | CompactLattice]) -> FmllrStatistics:
        utterance, lattice = item
        if utterance not in utt2spk:
            raise AsrtoolError(f"{features.data.path}/utt2spk: not in it; run utils/fix_data_dir.sh")
        frame_pdfs = pdfs(posteriors(prepare(lattice), acoustic_scale))
        return collect_fmllr(features(utterance), frame_pdfs, *models, backend)

    estimator = SpeakerEstimator([utt2spk.get(utterance, "") for utterance in features.utterances()], options)
    used = 0
    for utterance, result in outcomes(collect, ((one, (one, lattice)) for one, lattice in lattices), num_threads):
        if isinstance(result, AsrtoolError):
            print(f"WARNING: {utterance}: not used for fMLLR: {result}", file=sys.stderr)
            continue
        estimator.add(utt2spk[utterance], result)
        used += 1
    if not used:
        raise AsrtoolError("no lattice could be used to estimate fMLLR transforms: are they of the same data and model?")
    return estimator.finish()
