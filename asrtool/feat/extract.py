"""Features of a data directory: what one job does."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir, write_table
from asrtool.errors import AsrtoolError
from asrtool.feat.extraction_options import FbankOptions
from asrtool.feat.fbank import FeatureExtractor
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.io.progress import Meter
from asrtool.io.tally import Tally

# samples that are extracted together; on CPU only the overhead of a call counts, a GPU wants more at once
_BATCH_SAMPLES = {"cpu": 1 << 21, "cuda": 1 << 26}


def extract_job(
    data: DataDir,
    options: FbankOptions,
    stem: Path,
    utterances: Sequence[str],
    compression_method: int | None = 2,
    device: str = "cpu",
    max_failed: float = 0.1,
) -> int:
    """Writes STEM.ark, .scp, .utt2num_frames and .utt2dur of some utterances; returns how many failed.

    Raises:
        AsrtoolError: more than the share `max_failed` of the utterances failed.
    """
    tally = Tally("utterances", max_failed)
    extractor = FeatureExtractor(options, device)
    num_frames, durations = {}, {}
    meter = Meter(len(utterances), f"features of {data.path}")
    with MatrixWriter(stem.with_name(stem.name + ".ark"), stem.with_name(stem.name + ".scp"), compression_method) as writer:
        for names, waves in _batches(data, utterances, options.rate, _BATCH_SAMPLES[device], tally):
            for name, wave, features in zip(names, waves, extractor(waves, names), strict=True):
                if len(features) == 0:
                    tally.failed(name, f"{len(wave) / options.rate:.3f} s are shorter than one frame; leave it out")
                elif not np.isfinite(features).all():
                    tally.failed(name, "its samples give NaN or infinity; mend or leave out the recording")
                else:
                    writer.write(name, features)
                    num_frames[name], durations[name] = str(len(features)), f"{len(wave) / options.rate:.4f}"
                    tally.ok()
            meter.show(tally.done + len(tally.failures))
        meter.clear()
        tally.close()
    if data.clipped:
        print(f"{sum(data.clipped.values())} samples of {len(data.clipped)} recordings were cut off at 16 bits", file=sys.stderr)
    write_table(stem.with_name(stem.name + ".utt2num_frames"), num_frames)
    write_table(stem.with_name(stem.name + ".utt2dur"), durations)
    return len(tally.failures)


def _batches(
    data: DataDir, utterances: Iterable[str], rate: int, batch_samples: int, tally: Tally
) -> Iterator[tuple[list[str], list[np.ndarray]]]:
    """Names and waves of about `batch_samples`; what cannot be read goes to the tally."""
    names: list[str] = []
    waves: list[np.ndarray] = []
    held = 0
    for name in utterances:
        try:
            wave = data.audio(name, rate)
        except (AsrtoolError, OSError) as error:
            tally.failed(name, str(error))
            continue
        names.append(name)
        waves.append(wave)
        held += len(wave)
        if held >= batch_samples:
            yield names, waves
            names, waves, held = [], [], 0
    if names:
        yield names, waves
