"""A network as the decoder sees it: a scorer of batches of utterances."""

from pathlib import Path

import numpy as np

from asrtool.decoder.decode_data import Scorer
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.nnet.forward import loglikes_batch
from asrtool.nnet.model_file import ModelBundle, load_model

BATCH_SIZE = 8  # recurrent models need batches to make good use of a core; small ones keep all threads busy


def load_network(path: str | Path, num_pdfs: int, transition_model: str | Path) -> ModelBundle:
    """Reads a network for the pdfs of `transition_model` (a file, named in the error)."""
    bundle = load_model(path)
    if bundle.model.num_pdfs != num_pdfs:
        raise AsrtoolError(
            f"{path}: the network has {bundle.model.num_pdfs} outputs, {transition_model} has {num_pdfs} pdfs: "
            "give the final.mdl whose alignments the network was trained on"
        )
    return bundle


def network_scorer(bundle: ModelBundle, pipeline: FeaturePipeline) -> Scorer:
    """Scaled log-likelihoods of utterances; one whose features cannot be used does not spoil its batch."""

    def scorer(utterances: list[str]) -> list[np.ndarray | AsrtoolError]:
        results: dict[str, np.ndarray | AsrtoolError] = {}
        features: dict[str, np.ndarray] = {}
        for utterance in utterances:
            try:
                matrix = pipeline(utterance)
                bundle.normalise(matrix, utterance)
                features[utterance] = matrix
            except AsrtoolError as error:
                results[utterance] = error
        if features:
            results |= zip(features, loglikes_batch(bundle, list(features.values()), list(features)), strict=True)
        return [results[utterance] for utterance in utterances]

    return scorer
