"""What a network was trained on: utterances, hours, lengths, how often each pdf occurs."""

from pathlib import Path
from typing import Any

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.io.alignment import alignment_files, read_alignments
from asrtool.loader.statistics import length_statistics
from asrtool.nnet.model_file import ModelBundle
from asrtool.report.experiment import FRAME_SHIFT_S, Experiment, by_epoch, hours
from asrtool.report.html import figure, grid, paragraph, table
from asrtool.report.pictures import COLOURS, picture

SETS = {"train": "training", "valid": "validation"}
MAX_ALIGNMENT_BYTES = 200 * 2**20  # larger ones are not read for a report


def data_section(experiment: Experiment, bundle: ModelBundle | None) -> str:
    """Table of the sets, histogram of lengths, frequencies of pdfs."""
    statistics, notes = set_statistics(experiment)
    parts = [_table_of_sets(experiment, statistics)] if statistics or experiment.of_kind("train") else []
    parts += [paragraph(note, soft=True) for note in notes]
    pictures = []
    if any("histogram" in found for found in statistics.values()):
        svg = picture("lengths", "Histogram of the utterances' lengths", lambda axes: _draw_lengths(axes, statistics))
        pictures.append(figure(svg, "Lengths of the utterances: share of the set for each second of length."))
    if bundle is not None:
        share_P = pdf_shares(bundle.log_prior_P)
        svg = picture("pdfs", "Share of the frames of each pdf, the most frequent first", lambda axes: _draw_pdfs(axes, share_P))
        ranked = np.sort(share_P)[::-1]
        half = int(np.searchsorted(np.cumsum(ranked), 0.5)) + 1
        pictures.append(
            figure(
                svg,
                f"Shares of the frames, by the priors in the model: the most frequent of {len(share_P):,} pdfs has "
                f"{100 * ranked[0]:.1f} %, {half} pdfs have half of all frames, the rarest has {100 * ranked[-1]:.2g} %.",
            )
        )
    else:
        parts.append(paragraph("Frequencies of pdfs: no final model to read the priors from."))
    return "\n".join(parts) + (grid(pictures) if pictures else "")


def pdf_shares(log_prior_P: np.ndarray) -> np.ndarray:
    """Priors as they were before the floor, which stands for a share of next to nothing."""
    share_P = np.exp(np.where(log_prior_P > 0, -np.inf, log_prior_P.astype(np.float64)))
    return share_P / share_P.sum()


def data_paths(run: dict[str, Any]) -> dict[str, Path]:
    """Directories of a training: `paths` of run.json where it has them, else by its command. Keys: alignments, train_data,
    valid_data, valid_alignments."""
    if isinstance(run.get("paths"), dict):
        return {key: Path(value) for key, value in run["paths"].items() if value}
    words = [str(word) for word in run.get("command") or []]
    if "train-nnet" not in words:
        return {}
    given, found, rest = [], {}, iter(words[words.index("train-nnet") + 1 :])
    for word in rest:
        if word.startswith("--"):
            value = word.partition("=")[2] or next(rest, "")
            if word.startswith("--valid-alignments"):
                found["valid_alignments"] = Path(value)
        elif "=" not in word:
            given.append(Path(word))
    return found | dict(zip(("alignments", "train_data", "valid_data"), given))


def set_statistics(experiment: Experiment) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """`length_statistics` of the sets: as run.json has them, else from the data directories where they still are."""
    recorded = experiment.run.get("data")
    if isinstance(recorded, dict):
        return {key: recorded[key] for key in SETS if isinstance(recorded.get(key), dict)}, []
    paths, found, notes = data_paths(experiment.run), {}, []
    for key, what in SETS.items():
        directory = paths.get(f"{key}_data")
        if directory is None:
            notes.append(f"The {what} data are not named in run.json.")
        elif not (directory / "utt2num_frames").is_file():
            notes.append(f"The {what} data are not to be found at {directory}, seen from here: no lengths of utterances.")
        else:
            ali_dir = paths.get("alignments")
            found[key] = _statistics(directory, paths.get("valid_alignments", ali_dir) if key == "valid" else ali_dir, notes)
    return found, notes


def _statistics(data_dir: Path, ali_dir: Path | None, notes: list[str]) -> dict[str, Any]:
    lines = (data_dir / "utt2num_frames").read_text(encoding="utf-8").splitlines()
    lengths = {fields[0]: int(fields[1]) for fields in map(str.split, lines) if len(fields) == 2 and fields[1].isdecimal()}
    try:
        size = sum(path.stat().st_size for path in alignment_files(ali_dir)) if ali_dir is not None else None
        aligned = set(read_alignments(ali_dir)) if size is not None and size <= MAX_ALIGNMENT_BYTES else None
        if aligned is None:
            notes.append(f"{data_dir}: the alignments were not looked at ({'not named' if size is None else 'too large'}).")
    except AsrtoolError as error:
        aligned = None
        notes.append(f"Alignments could not be read: {error}")
    used = np.array([frames for name, frames in lengths.items() if aligned is None or name in aligned], np.int64)
    return length_statistics(used, None if aligned is None else len(lengths) - len(used))


def _table_of_sets(experiment: Experiment, statistics: dict[str, dict[str, Any]]) -> str:
    header = ["set", "utterances", "10 ms frames", "hours", "shortest s", "median s", "longest s", "utterances without alignment"]
    rows = []
    for key, what in SETS.items():
        found = statistics.get(key)
        if found is not None:
            lengths = [
                f"{FRAME_SHIFT_S * found[name]:.2f}" if name in found else None for name in ("shortest", "median", "longest")
            ]
            without = found.get("utterances_without_alignment")
            frames = found["frames"]
            rows.append([what, f"{found['utterances']:,}", f"{frames:,}", f"{hours(frames):,.2f}", *lengths, without])
        elif frames := recorded_frames(experiment, key):
            rows.append([what, None, f"{frames:,}", f"{hours(frames):,.2f}", None, None, None, None])
    return table(header, rows)


def recorded_frames(experiment: Experiment, key: str) -> int | None:
    """Frames of a set by metrics.jsonl: those of a whole epoch, or of a validation."""
    if key == "valid":
        return next((record["frames"] for record in experiment.of_kind("valid")), None)
    for record in experiment.of_kind("frames"):
        return record["total"]
    epochs = [records for records in by_epoch(experiment.of_kind("train")).values() if abs(records[-1]["epoch"] % 1) < 1e-6]
    return sum(record["frames"] for record in epochs[0]) if epochs else None


def _draw_lengths(axes, statistics: dict[str, dict[str, Any]]) -> None:
    for index, (key, found) in enumerate(statistics.items()):
        if "histogram" not in found:
            continue
        width, counts = found["histogram"]["bin_frames"] * FRAME_SHIFT_S, np.array(found["histogram"]["utterances"], float)
        edges = width * np.arange(len(counts) + 1)
        share = 100 * counts / counts.sum() / width  # a second, since the sets' bins may differ
        axes.stairs(share, edges, fill=index == 0, color=COLOURS[index], alpha=0.55 if index == 0 else 1.0, label=SETS[key])
    axes.set_xlim(left=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel("% of the utterances, by second")
    axes.legend()


def _draw_pdfs(axes, share_P: np.ndarray) -> None:
    ranked = np.sort(share_P[share_P > 0])[::-1]
    rank = np.arange(1, len(ranked) + 1)
    keep = np.unique(np.geomspace(1, len(ranked), 300).astype(int)) - 1
    axes.plot(rank[keep], 100 * ranked[keep], color=COLOURS[0], marker=".", markersize=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("pdf, the most frequent first")
    axes.set_ylabel("% of the frames")
