"""How the features of a data directory are shared out to jobs and collected again."""

from pathlib import Path

from asrtool.data.data_dir import FACTOR_FILES, DataDir, write_table
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import read_scp


def load_job(data_dir: Path, job: int, num_jobs: int) -> DataDir:
    """The job-th (from 1) of num_jobs runs of the utterances."""
    if not 1 <= job <= num_jobs:
        raise AsrtoolError(f"{data_dir}: job {job} of {num_jobs}: jobs count from 1 to their number")
    return DataDir.load(data_dir, job, num_jobs)


def part_stem(data_dir: Path, out_dir: Path, kind: str, job: int) -> Path:
    """OUT_DIR/raw_KIND_NAME.JOB, as Kaldi names the archives."""
    return out_dir.resolve() / f"raw_{kind}_{data_dir.resolve().name}.{job}"


def stamp(data_dir: Path, settings: object, *more: object) -> str:
    """What a job's part is made of: the settings, and sizes and times of the files that name the recordings."""
    files = [data_dir / name for name in ("utt2spk", "wav.scp", "segments", *FACTOR_FILES)]
    stats = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.is_file()]
    return f"{stats} {settings} {more}\n"


def done_file(stem: Path) -> Path:
    """Holds the stamp of a job's part that is whole; gone when the parts have been collected."""
    return stem.with_name(stem.name + ".done")


def is_done(stem: Path, made_of: str) -> bool:
    """Whether an earlier run that did not come to its end has made just this part."""
    path = done_file(stem)
    return path.is_file() and path.read_text() == made_of and stem.with_name(stem.name + ".ark").is_file()


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
    for job in range(1, num_jobs + 1):
        done_file(part_stem(data.path, out_dir, kind, job)).unlink(missing_ok=True)
    return len(table)
