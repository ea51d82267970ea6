"""The features of a GMM: CMVN, splicing or differences, then final.mat (LDA, MLLT), then the speakers' transforms (fMLLR).

This is Kaldi's chain: apply-cmvn | splice-feats or add-deltas | transform-feats final.mat | transform-feats trans.N.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeaturePipeline
from asrtool.gmm.feature_options import read_feature_options
from asrtool.io.kaldi_table import read_matrix_file


def apply_transform(features: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """float32 [T, D] from features float32 [T, S] and a matrix float32 [D, S], or [D, S + 1] with an offset in the last column.

    Raises:
        ValueError: a matrix of another width (Kaldi's transform-feats).
    """
    size = features.shape[1]
    if matrix.ndim != 2 or matrix.shape[1] not in (size, size + 1):
        raise ValueError(f"features have {size} dimensions, the transform is for {matrix.shape[-1]}")
    result = features @ matrix[:, :size].T
    if matrix.shape[1] == size + 1:
        result += matrix[:, size]
    return result


class GmmFeatures:
    """A FeatureSource (see train.gmm_corpus): a pipeline's features, transformed.

    Args:
        pipeline: the features before the transforms.
        matrix: [D, S] or [D, S + 1], for all utterances; None for none.
        speaker_transforms: speaker -> [D, D] or [D, D + 1], applied after `matrix`; a speaker without one has features
            as they are.
        name: where the matrix comes from, for messages.

    Raises:
        AsrtoolError: a matrix that does not fit the features.
    """

    def __init__(
        self,
        pipeline: FeaturePipeline,
        matrix: np.ndarray | None = None,
        speaker_transforms: Mapping[str, np.ndarray] | None = None,
        name: str = "final.mat",
    ) -> None:
        self.pipeline = pipeline
        self.data = pipeline.data
        self.matrix = None if matrix is None else np.ascontiguousarray(matrix, dtype=np.float32)
        self.speaker_transforms = {
            speaker: np.ascontiguousarray(one, dtype=np.float32) for speaker, one in (speaker_transforms or {}).items()
        }
        if self.matrix is not None and self.matrix.shape[1] - pipeline.dim not in (0, 1):
            raise AsrtoolError(
                f"{name}: takes features of {self.matrix.shape[1]} dimensions, those of {self.data.path} have {pipeline.dim} "
                "after splicing: are features and splice_opts those of the model?"
            )

    def utterances(self) -> list[str]:
        return self.pipeline.utterances()

    def num_frames(self, utterance: str) -> int:
        return self.pipeline.num_frames(utterance)

    @property
    def dim(self) -> int:
        return self.pipeline.dim if self.matrix is None else len(self.matrix)

    def base(self, utterance: str) -> np.ndarray:
        """float32 [T, D], without the speaker's transform."""
        features = self.pipeline(utterance)
        return features if self.matrix is None else apply_transform(features, self.matrix)

    def __call__(self, utterance: str) -> np.ndarray:
        """float32 [T, D].

        Raises:
            AsrtoolError: what the pipeline raises, or a speaker's transform of another size.
        """
        features = self.base(utterance)
        speaker = self.data.utt2spk.get(utterance, "")
        transform = self.speaker_transforms.get(speaker)
        if transform is None:
            return features
        try:
            return apply_transform(features, transform)
        except ValueError as error:
            raise AsrtoolError(f"{self.data.path}: {utterance}: speaker '{speaker}': {error}") from None

    def with_speaker_transforms(self, transforms: Mapping[str, np.ndarray]) -> "GmmFeatures":
        """The same with other transforms of the speakers."""
        return GmmFeatures(self.pipeline, self.matrix, transforms)


def open_features(
    data: str | Path | DataDir, directory: str | Path, speaker_transforms: Mapping[str, np.ndarray] | None = None
) -> GmmFeatures:
    """What the model in a GMM experiment directory takes, by its cmvn_opts, splice_opts, delta_opts and final.mat.

    Raises:
        AsrtoolError: unknown options, a damaged final.mat, or one that does not fit the features.
    """
    path = Path(directory) / "final.mat"
    matrix = read_matrix_file(path) if path.exists() else None
    pipeline = FeaturePipeline(data, read_feature_options(directory))
    return GmmFeatures(pipeline, matrix, speaker_transforms, str(path))
