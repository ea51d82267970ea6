"""final.mdl: a transition model and the GMMs that go with it."""

from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.gmm.diag_gmm import AmDiagGmm
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter


def read_model(path: str | Path) -> tuple[TransitionModel, AmDiagGmm]:
    """Reads a Kaldi GMM model, text or binary.

    Raises:
        AsrtoolError: missing, damaged, another kind of model, or halves that differ in their pdfs.
    """
    with KaldiReader.open(path) as reader:
        transition_model = TransitionModel.read(reader)
        model = AmDiagGmm.read(reader)
    if transition_model.num_pdfs > model.num_pdfs:
        raise AsrtoolError(
            f"{path}: the transition model has {transition_model.num_pdfs} pdfs, the GMMs {model.num_pdfs}: the file is damaged"
        )
    return transition_model, model


def write_model(path: str | Path, transition_model: TransitionModel, model: AmDiagGmm, binary: bool = True) -> None:
    """Writes final.mdl, whole or not at all."""
    with KaldiWriter.open(path, binary=binary) as writer:
        transition_model.write(writer)
        model.write(writer)
