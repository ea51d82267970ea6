"""fMLLR of a speaker whose utterances are to be aligned, as Kaldi's steps/align_fmllr.sh."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Protocol, TypeVar

import numpy as np

from asrtool.forced_alignment.align import Aligner
from asrtool.gmm.fmllr import FmllrOptions, FmllrStatistics, estimate
from asrtool.gmm.fmllr_statistics import FramePdfs, collect_fmllr, silence_weights

Item = TypeVar("Item", bound="HasSymbols")


class HasSymbols(Protocol):
    """Something with words of the aligner's vocabulary."""

    @property
    def symbols(self) -> list[str]: ...


def speaker_transform(
    aligner: Aligner, frames: Callable[[Item], np.ndarray], items: Sequence[Item], pool: Executor
) -> np.ndarray | None:
    """float32 [D, D + 1] of the speaker who said all these; None where the model takes features as they are, or the speaker has
    said too little.

    Args:
        frames: gives the features of an item, float32 [T, D], without a transform.
        items: utterances, or pieces of long ones.
    """
    model = aligner.model
    if model.adapted_gmm is None:
        return None
    table = model.phones
    silences = [phone for phone in model.transition_model.phones if table.plain(phone) in table.silences]
    weights = silence_weights(model.transition_model, silences, 0.0)

    def collect(item: Item) -> FmllrStatistics | None:
        features = frames(item)
        tids = aligner.transition_ids(features, item.symbols)
        if tids is None:
            return None
        pairs = FramePdfs.aligned(model.transition_model.tid_to_pdf[tids], weights[tids])
        return collect_fmllr(features, pairs, model.gmm, model.adapted_gmm)

    total = FmllrStatistics.zeros(model.gmm.dim)
    for found in pool.map(collect, items):
        if found is not None:
            total.add(found)
    result = estimate([total], FmllrOptions())[0]
    return None if result.reason else result.transform
