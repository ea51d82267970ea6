"""Log mel filterbanks and MFCC, batched over the frames of several utterances (kaldi/src/feat/{feature-window,
mel-computations,feature-fbank,feature-mfcc}.cc), on CPU or GPU."""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import torch

from asrtool.feat.extraction_options import FbankOptions, MfccOptions

_EPSILON = float(np.finfo(np.float32).eps)
# frames a block on CPU: samples and spectrum stay in the cache
_BLOCK_FRAMES = 512


def window_function(options: FbankOptions) -> np.ndarray:
    """Float64 [window_size]."""
    size = options.window_size
    phase = 2 * math.pi / (size - 1) * np.arange(size)
    match options.window_type:
        case "povey":  # like a Hamming window, but goes to zero at the edges
            return (0.5 - 0.5 * np.cos(phase)) ** 0.85
        case "hanning":
            return 0.5 - 0.5 * np.cos(phase)
        case "hamming":
            return 0.54 - 0.46 * np.cos(phase)
        case "blackman":
            return options.blackman_coeff - 0.5 * np.cos(phase) + (0.5 - options.blackman_coeff) * np.cos(2 * phase)
    return np.ones(size)


def mel_banks(options: FbankOptions) -> np.ndarray:
    """Float64 [padded_window_size / 2 + 1, num_mel_bins]: triangles in mel, 1127 ln(1 + f / 700); row k is bin k of
    the Fourier transform, the Nyquist frequency's being zero."""

    def mel(frequency: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log(1.0 + np.asarray(frequency, np.float64) / 700.0)

    num_bins = options.padded_window_size // 2
    high = options.high_freq if options.high_freq > 0 else options.sample_frequency / 2 + options.high_freq
    edges = np.linspace(mel(options.low_freq), mel(high), options.num_mel_bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    mels = mel(options.sample_frequency / options.padded_window_size * np.arange(num_bins))[:, None]
    weights = np.minimum((mels - left) / (centre - left), (right - mels) / (right - centre))
    return np.concatenate([np.maximum(weights, 0), np.zeros((1, options.num_mel_bins))])


def dct_matrix(options: MfccOptions) -> np.ndarray:
    """Float64 [num_mel_bins, num_ceps]: the orthonormal DCT-II, liftered."""
    num_bins, ceps = options.num_mel_bins, np.arange(options.num_ceps)
    matrix = np.sqrt(2 / num_bins) * np.cos(np.pi / num_bins * np.outer(np.arange(num_bins) + 0.5, ceps))
    matrix[:, 0] = np.sqrt(1 / num_bins)
    if options.cepstral_lifter:
        matrix = matrix * (1 + 0.5 * options.cepstral_lifter * np.sin(np.pi * ceps / options.cepstral_lifter))
    return matrix


class FeatureExtractor:
    """Turns waveforms into features.

    Args:
        options: FbankOptions, or MfccOptions for MFCC.
        device: "cpu" or "cuda".
    """

    def __init__(self, options: FbankOptions, device: str = "cpu") -> None:
        self.options = options
        self.device = torch.device(device)
        self.window_W = self._tensor(window_function(options))
        self.mel_GM = self._tensor(mel_banks(options)).repeat_interleave(2, dim=0)
        self.dct_MC = self._tensor(dct_matrix(options)) if isinstance(options, MfccOptions) else None

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(array.astype(np.float32)).to(self.device)

    @torch.inference_mode()
    def __call__(self, waves: Sequence[np.ndarray], names: Sequence[str] | None = None) -> list[np.ndarray]:
        """Features of several utterances.

        Args:
            waves: float32 [num_samples] each, on the scale of 16-bit integers.
            names: seeds of the dither noise.

        Returns:
            Float32 [num_frames, dim] each; no frames where a wave is too short.
        """
        framed = [self._frames(wave, names[k] if names else str(k)) for k, wave in enumerate(waves)]
        num_frames = [len(frames) for frames in framed]
        frames_NW = torch.cat(framed) if len(framed) > 1 else framed[0]
        block = _BLOCK_FRAMES if self.device.type == "cpu" else 1 << 17
        blocks = [self._features(frames_NW[start : start + block]) for start in range(0, len(frames_NW), block)]
        features = torch.cat(blocks).cpu().numpy() if blocks else np.zeros((0, self.options.dim), np.float32)
        return np.split(features, np.cumsum(num_frames)[:-1])

    def _frames(self, wave: np.ndarray, name: str) -> torch.Tensor:
        """[num_frames, window_size]; a view of the samples where nothing must be added."""
        options, size, shift = self.options, self.options.window_size, self.options.window_shift
        num_frames = options.num_frames(len(wave))
        if num_frames == 0:
            return torch.zeros(0, size, device=self.device)
        if not options.snip_edges:  # mirrored at the ends, as often as it takes
            first = shift // 2 - size // 2
            indices = np.arange(first, first + (num_frames - 1) * shift + size) % (2 * len(wave))
            wave = wave[np.minimum(indices, 2 * len(wave) - 1 - indices)]
        frames = torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.device).unfold(0, size, shift)[:num_frames]
        if options.dither:
            noise = torch.Generator().manual_seed(zlib.crc32(name.encode("utf-8")))
            frames = frames + options.dither * torch.randn(frames.shape, generator=noise).to(self.device)
        return frames

    def _features(self, frames_NW: torch.Tensor) -> torch.Tensor:
        options = self.options
        if options.remove_dc_offset:
            frames_NW = frames_NW - frames_NW.mean(dim=1, keepdim=True)
        energy_N = self._log_energy(frames_NW) if options.use_energy and options.raw_energy else None
        # x[t] - c x[t - 1], at the start of a frame x[0] - c x[0], then the window
        windowed_NW = torch.empty(frames_NW.shape, device=self.device)
        torch.sub(frames_NW[:, 1:], frames_NW[:, :-1], alpha=options.preemphasis_coefficient, out=windowed_NW[:, 1:])
        windowed_NW[:, 0] = frames_NW[:, 0] * (1 - options.preemphasis_coefficient)
        windowed_NW *= self.window_W
        if options.use_energy and not options.raw_energy:
            energy_N = self._log_energy(windowed_NW)
        spectrum_NF = torch.fft.rfft(windowed_NW, options.padded_window_size)
        if options.use_power or self.dct_MC is not None:
            # the filters stand twice in mel_GM, for real and imaginary parts: the product adds the squares as well
            mel_NM = torch.view_as_real(spectrum_NF).flatten(1).square_() @ self.mel_GM
        else:
            mel_NM = spectrum_NF.abs() @ self.mel_GM[::2]
        if self.dct_MC is not None:
            ceps_NC = mel_NM.clamp_(min=_EPSILON).log_() @ self.dct_MC
            if energy_N is not None:
                ceps_NC[:, 0] = energy_N
            return ceps_NC
        if options.use_log_fbank:
            mel_NM = mel_NM.clamp_(min=_EPSILON).log_()
        return mel_NM if energy_N is None else torch.cat([energy_N[:, None], mel_NM], dim=1)

    def _log_energy(self, frames_NW: torch.Tensor) -> torch.Tensor:
        floor = max(_EPSILON, self.options.energy_floor)
        return frames_NW.square().sum(dim=1).clamp_(min=floor).log_()
