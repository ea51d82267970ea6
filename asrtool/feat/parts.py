"""How the features of a data directory are shared out to jobs and collected again."""

from pathlib import Path

from asrtool.data.data_dir import DataDir, write_table
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import read_scp


def job_utterances(data: DataDir, job: int, num_jobs: int) -> list[str]:
    """The job-th (from 1) of num_jobs runs of the utterances."""
    if not 1 <= job <= num_jobs:
        raise AsrtoolError(f"{data.path}: job {job} of {num_jobs}: jobs count from 1 to their number")
    utterances = data.utterances
    return utterances[(job - 1) * len(utterances) // num_jobs : job * len(utterances) // num_jobs]


def part_stem(data_dir: Path, out_dir: Path, kind: str, job: int) -> Path:
    """OUT_DIR/raw_KIND_NAME.JOB, as Kaldi names the archives."""
    return out_dir.resolve() / f"raw_{kind}_{data_dir.resolve().name}.{job}"


def collect_parts(data: DataDir, out_dir: Path, kind: str, num_jobs: int, frame_shift_s: float) -> int:
    """Writes feats.scp, utt2num_frames, utt2dur and frame_shift of the data directory; returns the utterances.

    Raises:
        AsrtoolError: a job's part is missing.
    """
    for suffix, name in (("scp", "feats.scp"), ("utt2num_frames", "utt2num_frames"), ("utt2dur", "utt2dur")):
        table: dict[str, str] = {}
        for job in range(1, num_jobs + 1):
            stem = part_stem(data.path, out_dir, kind, job)
            table |= read_scp(f"{stem}.{suffix}")
        write_table(data.path / name, table)
    write_text(data.path / "frame_shift", f"{frame_shift_s:g}\n")
    return len(table)
