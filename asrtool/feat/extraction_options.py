"""Settings of feature extraction, named as in Kaldi's conf files (`--num-mel-bins=28`, one a line)."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from asrtool.errors import AsrtoolError


@dataclass(frozen=True)
class FbankOptions:
    """Kaldi's options of compute-fbank-feats, with Kaldi's defaults but for dither, which is off here.

    Attributes:
        sample_frequency: in Hz.
        frame_length, frame_shift: in ms.
        dither: standard deviation of the noise added to the samples; it depends on the utterance's name only.
        preemphasis_coefficient: of the frame-wise high-pass filter, in [0, 1].
        remove_dc_offset: subtract each frame's mean.
        window_type: povey, hamming, hanning, rectangular or blackman.
        round_to_power_of_two: pad the frame for the Fourier transform.
        snip_edges: only frames that fit in whole; else one frame a shift, the signal mirrored at its ends.
        num_mel_bins: triangular filters.
        low_freq, high_freq: their range in Hz; high_freq <= 0 is counted from the Nyquist frequency.
        use_log_fbank, use_power: log, and power instead of magnitude.
        use_energy: one more dimension (MFCC: in place of C0), the frame's log energy.
        raw_energy: the energy before pre-emphasis and window.
        energy_floor: floor of that energy; 0 is none.
    """

    sample_frequency: float = 16000.0
    frame_length: float = 25.0
    frame_shift: float = 10.0
    dither: float = 0.0
    preemphasis_coefficient: float = 0.97
    remove_dc_offset: bool = True
    window_type: str = "povey"
    blackman_coeff: float = 0.42
    round_to_power_of_two: bool = True
    snip_edges: bool = True
    num_mel_bins: int = 23
    low_freq: float = 20.0
    high_freq: float = 0.0
    use_log_fbank: bool = True
    use_power: bool = True
    use_energy: bool = False
    raw_energy: bool = True
    energy_floor: float = 0.0

    def __post_init__(self) -> None:
        nyquist = self.sample_frequency / 2
        top = self.high_freq if self.high_freq > 0 else nyquist + self.high_freq
        if not 0 <= self.low_freq < top <= nyquist:
            raise ValueError(f"low-freq {self.low_freq} and high-freq {self.high_freq} do not fit {self.sample_frequency} Hz")
        if self.num_mel_bins < 3 or self.frame_shift <= 0 or self.frame_length <= 0:
            raise ValueError("num-mel-bins must be at least 3, frame-shift and frame-length positive")
        if self.window_type not in ("povey", "hamming", "hanning", "rectangular", "blackman"):
            raise ValueError(f"window-type '{self.window_type}' is not povey, hamming, hanning, rectangular or blackman")

    @property
    def rate(self) -> int:
        return int(self.sample_frequency)

    @property
    def window_size(self) -> int:
        """In samples."""
        return int(self.sample_frequency * 0.001 * self.frame_length)

    @property
    def window_shift(self) -> int:
        """In samples."""
        return int(self.sample_frequency * 0.001 * self.frame_shift)

    @property
    def padded_window_size(self) -> int:
        return 1 << (self.window_size - 1).bit_length() if self.round_to_power_of_two else self.window_size

    def num_frames(self, num_samples: int) -> int:
        """How many frames so many samples give."""
        if self.snip_edges:
            return 0 if num_samples < self.window_size else 1 + (num_samples - self.window_size) // self.window_shift
        return (num_samples + self.window_shift // 2) // self.window_shift

    @property
    def dim(self) -> int:
        return self.num_mel_bins + self.use_energy

    @classmethod
    def from_conf(cls, path: str | Path | None = None, overrides: list[str] = ()) -> Self:
        """From a Kaldi conf file and further `--name=value`.

        Raises:
            AsrtoolError: no such file, an unknown option, or a value that does not fit.
        """
        settings: dict[str, object] = {}
        for where, line in _lines(path, overrides):
            name, equals, value = line.partition("=")
            key = name.strip().removeprefix("--").replace("-", "_")
            kinds = {field.name: field.type for field in dataclasses.fields(cls)}
            if not name.startswith("--") or key not in kinds:
                known = ", ".join(sorted(kinds)).replace("_", "-")
                raise AsrtoolError(f"{where}: unknown option '{name.strip()}'; known: {known}")
            settings[key] = _value(kinds[key], value.strip() if equals else "true", f"{where}: {name}")
        try:
            return cls(**settings)
        except ValueError as error:
            raise AsrtoolError(f"{path or 'options'}: {error}") from None


@dataclass(frozen=True)
class MfccOptions(FbankOptions):
    """Kaldi's options of compute-mfcc-feats; use_energy is off here, as in Kaldi's recipes.

    Attributes:
        num_ceps: cepstra, C0 included.
        cepstral_lifter: Q of the lifter 1 + Q/2 sin(pi i / Q); 0 is none.
    """

    num_ceps: int = 13
    cepstral_lifter: float = 22.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.num_ceps <= self.num_mel_bins:
            raise ValueError(f"num-ceps {self.num_ceps} must lie between 1 and num-mel-bins {self.num_mel_bins}")

    @property
    def dim(self) -> int:
        return self.num_ceps


def _lines(path: str | Path | None, overrides: list[str]) -> list[tuple[str, str]]:
    """(where, option) of all options, comments and empty lines left out."""
    lines = []
    if path is not None:
        if not Path(path).is_file():
            raise AsrtoolError(f"{path}: no such conf file")
        for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
            if text := line.partition("#")[0].strip():
                lines.append((f"{path}: line {number}", text))
    return lines + [("command line", override) for override in overrides]


def _value(kind: type, text: str, where: str) -> object:
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise AsrtoolError(f"{where}: expected true or false, found '{text}'")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError:
        raise AsrtoolError(f"{where}: expected {'an integer' if kind is int else 'a number'}, found '{text}'") from None
