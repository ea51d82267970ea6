"""From features on disk to what a model sees: CMVN, then splicing or differences, utterance by utterance."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import apply_cmvn, cmvn_stats
from asrtool.feat.deltas import add_deltas, splice
from asrtool.io.kaldi_table import read_matrix_file


@dataclass(frozen=True)
class FeatureOptions:
    """How features are normalised and widened; in this order: CMVN, splicing, differences.

    Attributes:
        cmvn: statistics of the speaker (cmvn.scp), the utterance, the whole corpus (global_cmvn), or none.
        norm_vars: normalise variances as well as means.
        delta_order: how many differences are appended; 0 is none.
        delta_window: frames to each side that a difference looks at.
        splice_left, splice_right: frames appended from before and after.
    """

    cmvn: Literal["none", "speaker", "utterance", "global"] = "speaker"
    norm_vars: bool = False
    delta_order: int = 2
    delta_window: int = 2
    splice_left: int = 0
    splice_right: int = 0

    def __post_init__(self) -> None:
        if min(self.delta_order, self.splice_left, self.splice_right) < 0 or self.delta_window < 1:
            raise ValueError("delta_order and splice_left/right must be at least 0, delta_window at least 1")

    def output_dim(self, input_dim: int) -> int:
        return input_dim * (1 + self.splice_left + self.splice_right) * (1 + self.delta_order)


class FeaturePipeline:
    """Features of one data directory, computed when asked for; nothing is kept.

    Args:
        data_dir: a path or a loaded DataDir, with feats.scp and what the options need.
        options: see FeatureOptions.
        global_stats: Kaldi's statistics [2, D + 1] for cmvn "global", usually the training set's; the default is
            the directory's own global_cmvn.
    """

    def __init__(
        self, data_dir: str | Path | DataDir, options: FeatureOptions = FeatureOptions(), global_stats: np.ndarray | None = None
    ) -> None:
        self.data = data_dir if isinstance(data_dir, DataDir) else DataDir.load(data_dir)
        self.options = options
        self.global_stats = global_stats
        if options.cmvn == "global" and global_stats is None:
            path = self.data.path / "global_cmvn"
            if not path.is_file():
                raise AsrtoolError(f"{path}: no such file; run asrtool compute-cmvn-stats --global true {self.data.path}")
            self.global_stats = read_matrix_file(path, np.float64)
        self._speaker_stats: dict[str, np.ndarray] = {}

    def utterances(self) -> list[str]:
        """Those with features, in the order of feats.scp."""
        return self.data.feats.keys()

    def num_frames(self, utterance: str) -> int:
        """From utt2num_frames; the features are not read."""
        try:
            return self.data.utt2num_frames[utterance]
        except KeyError:
            raise AsrtoolError(f"{self.data.path}/utt2num_frames: {utterance}: not in it; make the features again") from None

    @property
    def dim(self) -> int:
        """The width of what `__call__` gives."""
        utterances = self.utterances()
        if not utterances:
            raise AsrtoolError(f"{self.data.path}/feats.scp: no utterances")
        return self.options.output_dim(self.data.feats[utterances[0]].shape[1])

    def __call__(self, utterance: str) -> np.ndarray:
        """Float32 [T, dim].

        Raises:
            AsrtoolError: no such utterance, damaged features, or no or unfitting CMVN statistics.
        """
        return self.process(utterance, self.data.feats[utterance])

    def process(self, utterance: str, features: np.ndarray) -> np.ndarray:
        """The same from features in memory, float32 [T, D]."""
        stats = self._stats(utterance, features)
        if stats is not None:
            if stats.shape != (2, features.shape[1] + 1):
                raise AsrtoolError(
                    f"{self.data.path}: {utterance}: features have {features.shape[1]} dimensions, "
                    f"the CMVN statistics are for {stats.shape[1] - 1}; compute them again"
                )
            try:
                features = apply_cmvn(features, stats, self.options.norm_vars)
            except ValueError as error:
                raise AsrtoolError(f"{self.data.path}: {utterance}: {error}; compute the CMVN statistics again") from None
        if self.options.splice_left or self.options.splice_right:
            features = splice(features, self.options.splice_left, self.options.splice_right)
        return add_deltas(features, self.options.delta_order, self.options.delta_window)

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """All utterances in the order of feats.scp, which is that of the archives."""
        for utterance, features in self.data.feats.items():
            yield utterance, self.process(utterance, features)

    def _stats(self, utterance: str, features: np.ndarray) -> np.ndarray | None:
        if self.options.cmvn == "none":
            return None
        if self.options.cmvn == "utterance":
            return cmvn_stats(features)
        if self.options.cmvn == "global":
            return self.global_stats
        speaker = self.data.utt2spk.get(utterance)
        if speaker is None:
            raise AsrtoolError(f"{self.data.path}/utt2spk: {utterance}: not in it; run utils/fix_data_dir.sh")
        if speaker not in self._speaker_stats:
            if speaker not in self.data.cmvn:
                raise AsrtoolError(
                    f"{self.data.path}/cmvn.scp: {utterance}: speaker '{speaker}' is not in it; run steps/compute_cmvn_stats.sh"
                )
            self._speaker_stats[speaker] = self.data.cmvn[speaker]
        return self._speaker_stats[speaker]
