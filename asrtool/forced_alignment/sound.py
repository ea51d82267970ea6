"""Recordings as features: samples at the model's rate, and their features and statistics in memory."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir
from asrtool.data.recording import Recording
from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import cmvn_stats
from asrtool.feat.fbank import FeatureExtractor
from asrtool.forced_alignment.corpus import Utterance

SHORTEST_FRAMES = 3


class Features(dict):
    """Utterance -> float32 [T, D]; what DataDir.feats is where features are not on disk."""

    def keys(self) -> list[str]:
        return list(super().keys())


def read_samples(recording: Recording, rate: int) -> np.ndarray:
    """float32 [num_samples] on the scale of 16-bit integers, at `rate` Hz whatever the file has; channels are averaged.

    Raises:
        AsrtoolError: missing, damaged, or no audio file.
    """
    samples, file_rate, _ = recording.read()
    if file_rate == rate:
        return samples
    from scipy.signal import resample_poly  # takes long to load

    common = int(np.gcd(file_rate, rate))
    return resample_poly(samples.astype(np.float64), rate // common, file_rate // common).astype(np.float32)


def cut(samples: np.ndarray, utterance: Utterance, rate: int) -> np.ndarray:
    """An utterance's part of its recording.

    Raises:
        AsrtoolError: it begins after the recording's end.
    """
    begin = round(utterance.start_s * rate)
    if begin >= len(samples):
        raise AsrtoolError(f"begins at {utterance.start_s:g} s, the recording ends at {len(samples) / rate:g} s; mend its times")
    return samples[begin : len(samples) if utterance.end_s < 0 else round(utterance.end_s * rate)]


def utterance_features(
    recording: Recording, utterances: Iterable[Utterance], extractor: FeatureExtractor
) -> Iterator[tuple[Utterance, np.ndarray | AsrtoolError, float]]:
    """(utterance, float32 [T, D] or what is wrong with it, seconds of the whole recording) of a recording."""
    rate = extractor.options.rate
    samples = problem = None
    try:
        samples = read_samples(recording, rate)
    except (AsrtoolError, OSError) as error:
        problem = AsrtoolError(str(error))
    for utterance in utterances:
        if samples is None:
            yield utterance, problem, 0.0
            continue
        duration_s = len(samples) / rate
        try:
            features = extractor([cut(samples, utterance, rate)], [utterance.name])[0]
            if len(features) < SHORTEST_FRAMES:
                raise AsrtoolError("too short to be aligned")
            if not np.isfinite(features).all():
                raise AsrtoolError("its samples give values that are not numbers")
            yield utterance, features, duration_s
        except AsrtoolError as error:
            yield utterance, error, duration_s


def memory_data(path: Path, utt2spk: Mapping[str, str], features: Mapping[str, np.ndarray]) -> DataDir:
    """A data directory in memory: features, their lengths, and the statistics of each speaker over them.

    Args:
        path: for messages.
    """
    data = DataDir(path, dict(utt2spk))
    cmvn: dict[str, np.ndarray] = {}
    for utterance, matrix in features.items():
        own, speaker = cmvn_stats(matrix), utt2spk[utterance]
        cmvn[speaker] = cmvn[speaker] + own if speaker in cmvn else own
    # in place of what would be read from files
    data.feats, data.cmvn = Features(features), Features(cmvn)
    data.utt2num_frames = {utterance: len(matrix) for utterance, matrix in features.items()}
    return data
