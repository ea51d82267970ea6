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
from asrtool.feat.online_cmvn import OnlineCmvn, OnlineCmvnOptions, sliding_cmvn
from asrtool.io.kaldi_table import read_matrix_file

_KEPT_HISTORIES = 1000  # speakers


@dataclass(frozen=True)
class FeatureOptions:
    """How features are normalised and widened; in this order: CMVN, splicing, differences.

    Attributes:
        cmvn: statistics of the speaker (cmvn.scp), the utterance, the whole corpus (global_cmvn), or none. "online": of the
            frames up to the present one, filled up from global_cmvn (Kaldi's apply-cmvn-online); it needs no future.
            "sliding": of a window that moves along the utterance (apply-cmvn-sliding).
        norm_vars: normalise variances as well as means.
        cmn_window: frames of the window, for online and sliding.
        speaker_frames, global_frames: online: the window, while it is short, is filled up with so many frames' worth of
            the speaker's statistics (see speaker_history), then of the global ones.
        speaker_history: online: an utterance begins with the statistics of the speaker's earlier ones, in the order of
            utt2spk (apply-cmvn-online --spk2utt), whose features are read for that.
        cmn_center: sliding: the window has the present frame in its middle; else at its end.
        min_cmn_window: sliding without cmn_center: the window has at least so many frames, at the start later ones.
        delta_order: how many differences are appended; 0 is none.
        delta_window: frames to each side that a difference looks at.
        splice_left, splice_right: frames appended from before and after.
    """

    cmvn: Literal["none", "speaker", "utterance", "global", "online", "sliding"] = "speaker"
    norm_vars: bool = False
    delta_order: int = 2
    delta_window: int = 2
    splice_left: int = 0
    splice_right: int = 0
    cmn_window: int = 600
    speaker_frames: int = 600
    global_frames: int = 200
    speaker_history: bool = False
    cmn_center: bool = True
    min_cmn_window: int = 100

    def __post_init__(self) -> None:
        if min(self.delta_order, self.splice_left, self.splice_right) < 0 or self.delta_window < 1:
            raise ValueError("delta_order and splice_left/right must be at least 0, delta_window at least 1")
        if min(self.cmn_window, self.min_cmn_window) < 1:
            raise ValueError("cmn_window and min_cmn_window must be at least 1")
        if self.cmvn == "online":
            self.online  # noqa: B018  checks its values

    @property
    def online(self) -> OnlineCmvnOptions:
        """The settings of cmvn "online"."""
        return OnlineCmvnOptions(self.cmn_window, self.speaker_frames, self.global_frames, self.norm_vars)

    @property
    def needs_stats(self) -> bool:
        """Whether statistics from outside of the utterance are needed."""
        return self.cmvn in ("speaker", "global", "online")

    def output_dim(self, input_dim: int) -> int:
        return input_dim * (1 + self.splice_left + self.splice_right) * (1 + self.delta_order)


def process_features(
    features: np.ndarray, options: FeatureOptions, stats: np.ndarray | None = None, history: np.ndarray | None = None
) -> np.ndarray:
    """Float32 [T, output_dim] from features float32 [T, D] of an utterance.

    Args:
        stats: Kaldi's statistics [2, D + 1] for cmvn "speaker", "global" and "online".
        history: those of the speaker's earlier utterances, for "online".

    Raises:
        ValueError: statistics of another dimension, or of no frames.
    """
    if options.needs_stats and (stats is None or stats.shape != (2, features.shape[1] + 1)):
        dim = "missing" if stats is None else f"for {stats.shape[1] - 1}"
        raise ValueError(f"features have {features.shape[1]} dimensions, the CMVN statistics are {dim}")
    if options.cmvn == "sliding":
        features = sliding_cmvn(features, options.cmn_window, options.min_cmn_window, options.cmn_center, options.norm_vars)
    elif options.cmvn == "online":
        features = OnlineCmvn(options.online, stats, history)(features)
    elif options.cmvn != "none":
        features = apply_cmvn(features, cmvn_stats(features) if options.cmvn == "utterance" else stats, options.norm_vars)
    if options.splice_left or options.splice_right:
        features = splice(features, options.splice_left, options.splice_right)
    return add_deltas(features, options.delta_order, options.delta_window)


class FeaturePipeline:
    """Features of one data directory, computed when asked for; nothing is kept.

    Args:
        data_dir: a path or a loaded DataDir, with feats.scp and what the options need.
        options: see FeatureOptions.
        global_stats: Kaldi's statistics [2, D + 1] for cmvn "global" and "online", usually the training set's; the default
            is the directory's own global_cmvn.
    """

    def __init__(
        self, data_dir: str | Path | DataDir, options: FeatureOptions = FeatureOptions(), global_stats: np.ndarray | None = None
    ) -> None:
        self.data = data_dir if isinstance(data_dir, DataDir) else DataDir.load(data_dir)
        self.options = options
        self.global_stats = global_stats
        if options.cmvn in ("global", "online") and global_stats is None:
            path = self.data.path / "global_cmvn"
            if not path.is_file():
                raise AsrtoolError(f"{path}: no such file; run asrtool compute-cmvn-stats --global true {self.data.path}")
            self.global_stats = np.array(read_matrix_file(path, np.float64))  # writable, as torch wants it
        self._speaker_stats: dict[str, np.ndarray] = {}
        self._histories: dict[str, dict[str, np.ndarray]] = {}

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
        stats = history = None
        if self.options.needs_stats:
            stats = self._stats(utterance)
        if self.options.cmvn == "online":
            history = self._history(utterance, stats.shape)
        try:
            return process_features(features, self.options, stats, history)
        except ValueError as error:
            raise AsrtoolError(f"{self.data.path}: {utterance}: {error}; compute the CMVN statistics again") from None

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """All utterances in the order of feats.scp, which is that of the archives."""
        for utterance, features in self.data.feats.items():
            yield utterance, self.process(utterance, features)

    def _stats(self, utterance: str) -> np.ndarray:
        if self.options.cmvn in ("global", "online"):
            return self.global_stats
        speaker = self.data.speaker(utterance)
        if speaker not in self._speaker_stats:
            if speaker not in self.data.cmvn:
                raise AsrtoolError(
                    f"{self.data.path}/cmvn.scp: {utterance}: speaker '{speaker}' is not in it; run steps/compute_cmvn_stats.sh"
                )
            self._speaker_stats[speaker] = self.data.cmvn[speaker]
        return self._speaker_stats[speaker]

    def _history(self, utterance: str, shape: tuple[int, int]) -> np.ndarray | None:
        """Statistics of the speaker's utterances before this one; those of the last speakers asked for are kept."""
        if not self.options.speaker_history:
            return None
        speaker = self.data.speaker(utterance)
        before = self._histories.get(speaker)
        if before is None:
            before, total = {}, np.zeros(shape)
            for name in self.data.spk2utt[speaker]:
                before[name] = total
                if name in self.data.feats:
                    total = total + cmvn_stats(self.data.feats[name])
            if len(self._histories) >= _KEPT_HISTORIES:
                self._histories.clear()
            self._histories[speaker] = before
        return before[utterance]
