"""CMVN statistics of a data directory, by speaker and over all."""

from pathlib import Path

import numpy as np

from asrtool.data.data_dir import DataDir, write_table
from asrtool.errors import AsrtoolError
from asrtool.feat.cmvn import cmvn_stats
from asrtool.io.kaldi_table import MatrixWriter, read_scp, write_matrix_file
from asrtool.io.progress import progress


def speaker_stats(data: DataDir) -> dict[str, np.ndarray]:
    """Speaker -> float64 [2, D + 1] over the speaker's utterances that have features.

    Raises:
        AsrtoolError: an utterance not in utt2spk, or dimensions that differ.
    """
    stats: dict[str, np.ndarray] = {}
    for utterance, features in progress(data.feats.items(), len(data.feats), f"CMVN of {data.path}", end=False):
        speaker = data.utt2spk.get(utterance)
        if speaker is None:
            raise AsrtoolError(f"{data.path}/utt2spk: {utterance}: not in it, but in feats.scp; run utils/fix_data_dir.sh")
        own = cmvn_stats(features)
        first = next(iter(stats.values()), own)
        if own.shape != first.shape:
            raise AsrtoolError(
                f"{data.path}/feats.scp: {utterance}: {own.shape[1] - 1} dimensions, those before have {first.shape[1] - 1}; "
                "make the features again"
            )
        stats[speaker] = stats[speaker] + own if speaker in stats else own
    if not stats:
        raise AsrtoolError(f"{data.path}/feats.scp: no utterances")
    return stats


def write_stats(data: DataDir, out_dir: Path | None, global_stats: bool) -> int:
    """Writes cmvn.scp (archive in `out_dir`, the default being DATA/data) or global_cmvn; returns the speakers."""
    stats = speaker_stats(data)
    if global_stats:
        write_matrix_file(data.path / "global_cmvn", sum(stats[speaker] for speaker in sorted(stats)))
        return len(stats)
    stem = (out_dir or data.path / "data").resolve() / f"cmvn_{data.path.resolve().name}"
    with MatrixWriter(f"{stem}.ark", f"{stem}.scp") as writer:
        for speaker in sorted(stats):
            writer.write(speaker, stats[speaker])
    write_table(data.path / "cmvn.scp", read_scp(f"{stem}.scp"))
    return len(stats)
