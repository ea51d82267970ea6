"""Reads runs of utterances into one array, for most pipelines several times as fast as utterance by utterance.

A `FeaturePipeline` over binary archives with CMVN and differences (the usual case) is computed by kernels, straight from the
bytes of the archive into the array, with the pipeline's own numbers. Everything else goes through the pipeline's `__call__`;
so does an utterance with which anything is wrong, because the pipeline says what.
"""

import dataclasses
import mmap
import struct
from collections.abc import Callable

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import cmvn_scale_offset
from asrtool.feat.deltas import delta_filters
from asrtool.feat.pipeline import FeatureOptions, FeaturePipeline
from asrtool.io.kaldi_binary import KaldiReader
from asrtool.io.kaldi_matrix import HEADER_BYTES
from asrtool.io.kaldi_table import read_scp
from asrtool.io.whole_file import read_bytes
from asrtool.loader.shard_kernels import decode_speech_feature, normalise_with_differences
from asrtool.loader.table import Features

KNOWN_OPTIONS = ("cmvn", "norm_vars", "delta_order", "delta_window")


def read_utterance(features: Features, name: str, num_frames: int) -> np.ndarray:
    """float32 [num_frames, D] through the pipeline.

    Raises:
        AsrtoolError: another length or dimension than announced, or not finite; names the utterance.
    """
    matrix = features(name)
    if matrix.shape != (num_frames, features.dim):
        raise AsrtoolError(
            f"{name}: features of shape {matrix.shape}, expected ({num_frames}, {features.dim}); "
            "make utt2num_frames and the features again"
        )
    if not np.isfinite(matrix.sum()):
        raise AsrtoolError(f"{name}: features hold NaN or infinity; make the features again")
    return matrix


class ShardReader:
    """Reads utterances, normalised over the corpus, into rows of an array.

    Args:
        features: a pipeline; its feats.scp is read once more, its archives are mapped into memory.
        names: the utterances that `read` will be asked for; None: all.
    """

    def __init__(self, features: Features, names: list[str] | None = None) -> None:
        self.features = features
        self.dim = features.dim
        self._direct = None
        if isinstance(features, FeaturePipeline) and _known(features.options):
            self._direct = _DirectReader(features, features.utterances() if names is None else names)

    def read(
        self,
        names: list[str],
        num_frames_U: np.ndarray,
        mean_D: np.ndarray,
        inverse_D: np.ndarray,
        output_ND: np.ndarray,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Fills `output_ND` (float32 or float16) with (features - mean_D) * inverse_D of the utterances, one after the other.

        Args:
            check: called between utterances; may raise to give up.
        """
        begin = 0
        direct, half = self._direct, output_ND.dtype != np.float32
        for name, num_frames in zip(names, num_frames_U.tolist(), strict=True):
            check()
            rows = output_ND[begin : begin + num_frames]
            target = np.empty((num_frames, self.dim), np.float32) if half else rows
            if direct is None or not direct.read(name, mean_D, inverse_D, target):
                target[:] = (read_utterance(self.features, name, num_frames) - mean_D) * inverse_D
            if half:
                rows[:] = target
            begin += num_frames


def _known(options: FeatureOptions) -> bool:
    """Whether the options ask for nothing but what `_DirectReader` does."""
    usual = dataclasses.asdict(FeatureOptions())
    others = {key for key, value in dataclasses.asdict(options).items() if key not in KNOWN_OPTIONS and value != usual[key]}
    return not others and options.cmvn in ("none", "speaker", "global")


class _DirectReader:
    """Archives and CMVN statistics of a FeaturePipeline, read without it."""

    def __init__(self, features: FeaturePipeline, names: list[str]) -> None:
        self.features = features
        options = features.options
        self.input_dim = features.dim // (1 + options.delta_order)
        margin = options.delta_order * options.delta_window
        self.filters_KJ = np.zeros((1 + options.delta_order, 2 * margin + 1), np.float32)
        for k, coefficients in enumerate(delta_filters(options.delta_order, options.delta_window)):
            half = len(coefficients) // 2
            self.filters_KJ[k, margin - half : margin + half + 1] = coefficients
        entries = read_scp(features.data.file("feats.scp"))
        self._entries = {name: entries[name] for name in names if name in entries}
        self._archives: dict[str, mmap.mmap | bytes] = {}
        self._transforms: dict[str, tuple[np.ndarray, np.ndarray] | None] = {}

    def read(self, name: str, mean_F: np.ndarray, inverse_F: np.ndarray, output_TF: np.ndarray) -> bool:
        """Fills `output_TF`; False where the pipeline has to be asked instead, which then says what is wrong."""
        transform = self._transform(name)
        raw_TD = self._raw(name, len(output_TF)) if transform is not None else None
        if raw_TD is None:
            return False
        return normalise_with_differences(raw_TD, *transform, self.filters_KJ, mean_F, inverse_F, output_TF)

    def _transform(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """CMVN as float32 scale and offset [D]."""
        kind = self.features.options.cmvn
        key = self.features.data.utt2spk.get(name, "") if kind == "speaker" else ""
        if key not in self._transforms:
            self._transforms[key] = self._make_transform(kind, key)
        return self._transforms[key]

    def _make_transform(self, kind: str, speaker: str) -> tuple[np.ndarray, np.ndarray] | None:
        if kind == "none":
            return np.ones(self.input_dim, np.float32), np.zeros(self.input_dim, np.float32)
        try:
            stats = self.features.global_stats if kind == "global" else self.features.data.cmvn[speaker]
            scale, offset = cmvn_scale_offset(stats, self.features.options.norm_vars)
        except (AsrtoolError, ValueError):
            return None
        return (scale.astype(np.float32), offset.astype(np.float32)) if len(scale) == self.input_dim else None

    def _raw(self, name: str, num_frames: int) -> np.ndarray | None:
        """float32 [T, D] of the archive, a copy; None for other kinds of entries and other shapes, and for damage."""
        archive, colon, offset = self._entries.get(name, "").rpartition(":")
        if not colon or not offset.isdecimal():
            return None
        try:
            if archive not in self._archives:
                self._archives[archive] = read_bytes(archive)
            reader = KaldiReader(self._archives[archive], archive, int(offset))
            if not reader.binary:
                return None
            position = reader.position
            if reader.read_token() == "CM":
                return self._decode(reader, num_frames)
            reader.position = position
            matrix = reader.read_matrix()
        except AsrtoolError:
            return None
        return matrix.copy() if matrix.shape == (num_frames, self.input_dim) else None

    def _decode(self, reader: KaldiReader, num_frames: int) -> np.ndarray | None:
        low, span, num_rows, num_columns = struct.unpack("<ffii", reader.read_raw(HEADER_BYTES))
        if (num_rows, num_columns) != (num_frames, self.input_dim):
            return None
        data = reader.read_raw(num_columns * (8 + num_rows))
        step = np.float32(span) * np.float32(1.52590218966964e-05)
        percentiles_D4 = np.float32(low) + step * np.frombuffer(data, "<u2", 4 * num_columns).astype(np.float32)
        raw_TD = np.empty((num_rows, num_columns), np.float32)
        codes_DT = np.frombuffer(data, np.uint8, offset=8 * num_columns).reshape(num_columns, num_rows)
        decode_speech_feature(codes_DT, percentiles_D4.reshape(num_columns, 4), raw_TD)
        return raw_TD
