"""One data directory of several, as Kaldi's combine_data.sh."""

from collections.abc import Callable, Sequence
from pathlib import Path

from asrtool.data.data_dir import ALL_TABLES, FACTOR_FILES, DataDir, write_data_dir
from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_table import read_scp

# files that, where only some of the sources have them, get lines for the others
_FILLED: dict[str, Callable[[DataDir], dict[str, str]]] = {
    "utt2uniq": lambda data: {name: name for name in data.utt2spk},
    "segments": lambda data: {name: f"{name} 0 -1" for name in data.utt2spk},
} | {name: lambda data: dict.fromkeys(data.wav_scp, "1") for name in FACTOR_FILES}


def combine(destination: str | Path, sources: Sequence[str | Path], extra_files: Sequence[str] = ()) -> tuple[int, list[str]]:
    """Writes the utterances of all sources; returns how many, and the files that not all sources have and that were left out.

    Raises:
        AsrtoolError: an utterance in two sources, a key with other content in each, features of different frame shifts,
            a destination that is a source or has features.
    """
    destination = Path(destination)
    if destination.resolve() in [Path(source).resolve() for source in sources]:
        raise AsrtoolError(f"{destination}: is one of the sources; give another directory")
    data = [DataDir.load(source) for source in sources]
    frame_shift = _common_frame_shift(data)
    tables: dict[str, dict[str, str]] = {}
    left_out = []
    for name in dict.fromkeys((*ALL_TABLES, *extra_files)):
        found = [(one.path / name).is_file() for one in data]
        if not any(found):
            continue
        if not all(found) and name not in _FILLED:
            left_out.append(name)
            continue
        merged = _merged(data, name)
        if merged is None:
            left_out.append(name)
        else:
            tables[name] = merged
    write_data_dir(destination, tables, frame_shift)
    return len(tables["utt2spk"]), left_out


def _common_frame_shift(data: Sequence[DataDir]) -> Path | None:
    files = [
        one.path / "frame_shift" for one in data if (one.path / "feats.scp").is_file() and (one.path / "frame_shift").is_file()
    ]
    for file in files[1:]:
        if float(file.read_text()) != float(files[0].read_text()):
            raise AsrtoolError(f"{file}: not the frame shift of {files[0]}; features of the two cannot be combined")
    return files[0] if files else None


def _merged(data: Sequence[DataDir], name: str) -> dict[str, str] | None:
    """None: statistics of a speaker who is in several sources, which are those of none of his utterances together."""
    merged: dict[str, str] = {}
    for one in data:
        path = one.path / name
        table = read_scp(path, allow_empty=name == "text") if path.is_file() else _FILLED[name](one)
        for key in merged.keys() & table.keys():
            if name == "cmvn.scp" and merged[key] != table[key]:
                return None
            if name == "utt2spk" or merged[key] != table[key]:
                raise AsrtoolError(
                    f"{path}: {min(merged.keys() & table.keys())}: is in another of the directories too; rename it"
                )
        merged |= table
    return merged
