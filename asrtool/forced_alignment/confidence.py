"""How sure an alignment is of a phone: the posterior probability of the phone, given the frames it was put at.

At each frame every pdf of the model has the posterior P(pdf | x) ~ p(x | pdf) P(pdf), as in a network's softmax; a phone's is the
sum over the pdfs that it may have, in any context. The confidence of a phone is the mean over its frames. It needs no decoding,
and looks at all phones of the model as rivals (as goodness of pronunciation does: Witt & Young 2000).
"""

from collections.abc import Sequence

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.forced_alignment.model import AlignerModel
from asrtool.nnet.log_prior import read_counts

COUNT_FILES = ("ali_train_pdf.counts", "final.occs")


class PhonePosteriors:
    """Confidences with one model; may be called from several threads."""

    def __init__(self, model: AlignerModel) -> None:
        self.phone_pdfs = model.phone_pdfs
        self.log_prior = log_prior(model)

    def __call__(self, loglikes: np.ndarray, names: Sequence[str], ends: np.ndarray) -> np.ndarray:
        """float64 [K]: the confidence of each phone.

        Args:
            loglikes: float32 [P, T].
            names: of the phones, without their place in words.
            ends: int [K]: the frame after each phone's last; the first begins at 0.
        """
        scores = loglikes + self.log_prior[:, None]
        scores -= scores.max(axis=0)
        np.exp(scores, out=scores)
        total = scores.sum(axis=0, dtype=np.float64)
        confidences = np.empty(len(names))
        begin = 0
        for index, (name, end) in enumerate(zip(names, ends.tolist(), strict=True)):
            own = scores[self.phone_pdfs[name], begin:end].sum(axis=0, dtype=np.float64)
            confidences[index] = np.mean(own / total[begin:end])
            begin = end
        return confidences


def log_prior(model: AlignerModel) -> np.ndarray:
    """float32 [P]: the network's; else by the counts of frames beside the GMM; without them all the same."""
    if model.network:
        return model.network.log_prior_P.astype(np.float32)
    for name in COUNT_FILES:
        path = model.directory / name
        if path.is_file():
            try:
                counts = read_counts(path, model.num_pdfs)
            except AsrtoolError:
                continue
            return np.log(np.maximum(counts / counts.sum(), 1e-8)).astype(np.float32)
    return np.zeros(model.num_pdfs, np.float32)
