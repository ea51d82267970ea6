"""CMVN with statistics that move along the utterance: Kaldi's apply-cmvn-online and apply-cmvn-sliding.

Sources: kaldi/src/feat/online-feature.cc (OnlineCmvn) and feature-functions.cc (SlidingWindowCmn). Sums over a window are
differences of cumulative sums, in float64.
"""

from dataclasses import dataclass

import numpy as np

from asrtool.feat.cmvn import VARIANCE_FLOOR

_SLIDING_VARIANCE_FLOOR = 1e-10


@dataclass(frozen=True)
class OnlineCmvnOptions:
    """Kaldi's OnlineCmvnOptions.

    Attributes:
        cmn_window: frames, up to the present one, that statistics are taken from.
        speaker_frames: while these are fewer, at most so many frames' worth of the speaker's statistics are added.
        global_frames: and if they still are, at most so many frames' worth of the global ones.
        norm_vars: normalise variances as well as means.
    """

    cmn_window: int = 600
    speaker_frames: int = 600
    global_frames: int = 200
    norm_vars: bool = False

    def __post_init__(self) -> None:
        if self.cmn_window < 1 or not 0 <= self.global_frames <= self.speaker_frames <= self.cmn_window:
            raise ValueError(
                f"online CMVN: global_frames {self.global_frames}, speaker_frames {self.speaker_frames} and cmn_window "
                f"{self.cmn_window} must be in ascending order, and the window at least 1"
            )


class OnlineCmvn:
    """Normalises one utterance, whole or block by block; how it is cut does not change a bit of the result.

    Args:
        options: window and weights.
        global_stats: Kaldi's statistics, float64 [2, D + 1], of the training corpus.
        speaker_stats: those of the speaker's earlier utterances, if any; `stats` of the utterance before gives them.

    Raises:
        ValueError: global statistics of no frame, or of another shape than [2, D + 1].
    """

    def __init__(self, options: OnlineCmvnOptions, global_stats: np.ndarray, speaker_stats: np.ndarray | None = None) -> None:
        self.options = options
        self.global_stats = np.asarray(global_stats, np.float64)
        if self.global_stats.ndim != 2 or len(self.global_stats) != 2 or not self.global_stats[0, -1] > 0:
            raise ValueError(f"global CMVN statistics of shape {self.global_stats.shape} or of no frame")
        self.speaker_stats = np.zeros_like(self.global_stats) if speaker_stats is None else np.array(speaker_stats, np.float64)
        dim = self.global_stats.shape[1] - 1
        # the last row: sums (with norm_vars, sums of squares too) of all frames so far; the row before: less the last frame
        self._sums_KE = np.zeros((1, dim * (1 + options.norm_vars)))
        self._squares_D = np.zeros(dim)
        self.num_frames = 0

    def __call__(self, features_TD: np.ndarray) -> np.ndarray:
        """The next frames of the utterance, float32 [T, D], normalised."""
        window, num, held = self.options.cmn_window, len(features_TD), len(self._sums_KE)
        values_TD = features_TD.astype(np.float64)
        squares_TD = values_TD * values_TD
        self._squares_D = np.concatenate([self._squares_D[None], squares_TD]).sum(axis=0)
        rows_TE = np.concatenate([values_TD, squares_TD], axis=1) if self.options.norm_vars else values_TD
        sums_KE = np.concatenate([self._sums_KE, rows_TE])
        sums_KE[held - 1 :] = np.cumsum(sums_KE[held - 1 :], axis=0)
        stats_TE = sums_KE[held:].copy()
        short = min(max(window - self.num_frames, 0), num)  # frames, of these, whose window begins with the utterance
        stats_TE[short:] -= sums_KE[held + short - window : held + num - window]
        counts_T = np.minimum(np.arange(self.num_frames + 1, self.num_frames + num + 1, dtype=np.float64), window)
        self._fill_up(stats_TE[:short], counts_T[:short])
        self._sums_KE = sums_KE[-window:]
        self.num_frames += num
        stats_TE /= counts_T[:, None]
        return self._normalise(features_TD, stats_TE)

    def _fill_up(self, stats_TE: np.ndarray, counts_T: np.ndarray) -> None:
        """Adds to the sums and counts of short windows: of the speaker's statistics, then of the global ones."""
        options = self.options
        speaker_frames = min(options.speaker_frames, self.speaker_stats[0, -1])
        for stats, most in ((self.speaker_stats, speaker_frames), (self.global_stats, options.global_frames)):
            if most > 0:
                weights_T = np.minimum(options.cmn_window - counts_T, most)
                sums_E = stats[:, :-1].reshape(-1)[: stats_TE.shape[1]] / stats[0, -1]
                stats_TE += weights_T[:, None] * sums_E
                counts_T += weights_T

    def _normalise(self, features_TD: np.ndarray, means_TE: np.ndarray) -> np.ndarray:
        dim = features_TD.shape[1]
        mean_TD = means_TE[:, :dim]
        if not self.options.norm_vars:
            return features_TD - mean_TD.astype(np.float32)
        scale_TD = 1 / np.sqrt(np.maximum(means_TE[:, dim:] - mean_TD * mean_TD, VARIANCE_FLOOR))
        return features_TD * scale_TD.astype(np.float32) - (mean_TD * scale_TD).astype(np.float32)

    @property
    def stats(self) -> np.ndarray:
        """The speaker's statistics after the frames so far, float64 [2, D + 1] (Kaldi's GetState)."""
        stats = self.speaker_stats.copy()
        stats[0, :-1] += self._sums_KE[-1, : len(self._squares_D)]
        stats[1, :-1] += self._squares_D
        stats[0, -1] += self.num_frames
        return stats


def sliding_windows(num_frames: int, cmn_window: int, min_window: int, center: bool) -> tuple[np.ndarray, np.ndarray]:
    """First frame and one past the last of each frame's window, int64 [T] each.

    With `center` the window has the frame in its middle; else it ends with the frame (but has at least min_window frames
    where the utterance does). Windows are moved, and only then cut, where they reach beyond the utterance.
    """
    frame = np.arange(num_frames)
    if center:
        start = np.maximum(frame - cmn_window // 2, 0)
        end = start + cmn_window
    else:
        start = np.maximum(frame - cmn_window, 0)
        end = np.maximum(frame + 1, min_window)
    beyond = np.maximum(end - num_frames, 0)
    return np.maximum(start - beyond, 0), end - beyond


def sliding_cmvn(
    features_TD: np.ndarray, cmn_window: int = 600, min_window: int = 100, center: bool = True, norm_vars: bool = False
) -> np.ndarray:
    """Float32 [T, D] less the mean of a window around or before each frame, as Kaldi's apply-cmvn-sliding."""
    values = features_TD.astype(np.float64)
    start, end = sliding_windows(len(values), cmn_window, min_window, center)
    count = (end - start)[:, None]

    def window_sums(rows: np.ndarray) -> np.ndarray:
        sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
        return sums[end] - sums[start]

    mean = window_sums(values) / count
    if not norm_vars:
        return (values - mean).astype(np.float32)
    variance = np.maximum(window_sums(values * values) / count - mean * mean, _SLIDING_VARIANCE_FLOOR)
    return np.where(count == 1, 0, (values - mean) / np.sqrt(variance)).astype(np.float32)
