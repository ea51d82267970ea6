"""Kaldi data directories of speechocean762: `python local/data_prep.py DIR DATA_DIR`, DIR holding speechocean762/."""

import sys
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.data.data_dir import write_spk2utt, write_table
from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import read_text

HERE = Path(__file__).resolve().parent
TRAINING_SPLITS = ("train", "dev", "devtest")


def corpus_root(directory: Path) -> Path:
    """DIR/speechocean762.

    Raises:
        AsrtoolError: something of the tree is missing.
    """
    root = directory / "speechocean762"
    for name in ("train", "WAVE", "resource"):
        if not (root / name).is_dir():
            raise AsrtoolError(f"{root / name}: no such directory; --corpus names the directory that holds speechocean762/")
    return root


def read_table(path: Path) -> dict[str, str]:
    """key -> the rest of the line.

    Raises:
        AsrtoolError: no such file, a line with nothing after its key, or a key that stands twice.
    """
    table: dict[str, str] = {}
    for number, line in enumerate(read_text(path, "no such file; is the corpus complete?").splitlines(), 1):
        key, *rest = line.split(maxsplit=1)[:2] or [""]
        if not rest:
            raise AsrtoolError(f"{path}: {key or f'line {number}'}: nothing follows the key; mend or remove the line")
        if key in table:
            raise AsrtoolError(f"{path}: {key}: stands twice; remove one")
        table[key] = " ".join(rest[0].split())
    if not table:
        raise AsrtoolError(f"{path}: empty; is the corpus complete?")
    return table


def read_half(root: Path, half: str) -> dict[str, dict[str, str]]:
    """One official half by file name, with wav.scp naming files that exist.

    Raises:
        AsrtoolError: the files disagree on the utterances, or a recording is missing.
    """
    tables = {name: read_table(root / half / name) for name in ("utt2spk", "text", "wav.scp", "spk2gender")}
    utterances = tables["utt2spk"]
    for name in ("text", "wav.scp"):
        for utterance in utterances:
            if utterance not in tables[name]:
                raise AsrtoolError(f"{root / half / name}: {utterance}: missing, but utt2spk has it; is the corpus complete?")
        for utterance in tables[name]:
            if utterance not in utterances:
                raise AsrtoolError(f"{root / half / name}: {utterance}: not in utt2spk; mend or remove the line")
    for utterance, wav in tables["wav.scp"].items():
        path = root / wav
        if not path.is_file():
            raise AsrtoolError(f"{root / half / 'wav.scp'}: {utterance}: no file {path}; is the corpus complete?")
        tables["wav.scp"][utterance] = str(path)
    for utterance, speaker in utterances.items():
        if speaker not in tables["spk2gender"]:
            raise AsrtoolError(
                f"{root / half / 'spk2gender'}: {speaker}: missing, but {utterance} is this speaker's; mend the file"
            )
    return tables


def read_speakers(split: str) -> list[str]:
    return (HERE / f"spk_{split}.txt").read_text(encoding="utf-8").split()


def write_data_dir(directory: Path, half: dict[str, dict[str, str]], speakers: list[str]) -> None:
    """The utterances of `speakers`, named <speaker>-<utterance>."""
    wanted = set(speakers)
    names = {utterance: f"{speaker}-{utterance}" for utterance, speaker in half["utt2spk"].items() if speaker in wanted}
    utt2spk = {name: half["utt2spk"][utterance] for utterance, name in names.items()}
    found = set(utt2spk.values())
    write_table(directory / "wav.scp", {name: half["wav.scp"][utterance] for utterance, name in names.items()})
    write_table(directory / "text", {name: half["text"][utterance] for utterance, name in names.items()})
    write_table(directory / "utt2spk", utt2spk)
    write_spk2utt(directory / "spk2utt", utt2spk)
    write_table(directory / "spk2gender", {speaker: half["spk2gender"][speaker] for speaker in found})
    print(f"{directory}: {len(names)} utterances of {len(found)} speakers", file=sys.stderr)


def prepare(directory: Path, data: Path) -> None:
    """Writes train, dev and devtest; and test if the corpus has its test half."""
    root = corpus_root(directory)
    half = read_half(root, "train")
    present = set(half["utt2spk"].values())
    listed: set[str] = set()
    for split in TRAINING_SPLITS:
        speakers = read_speakers(split)
        for speaker in speakers:
            if speaker not in present:
                raise AsrtoolError(
                    f"{root}/train/utt2spk: speaker {speaker} of local/spk_{split}.txt has no utterance; is the corpus complete?"
                )
        listed.update(speakers)
        write_data_dir(data / split, half, speakers)
    if others := sorted(present - listed):
        print(f"WARNING: {len(others)} speakers are in none of local/spk_*.txt and left out: {others[0]} ...", file=sys.stderr)
    if (root / "test").is_dir():
        test = read_half(root, "test")
        if common := sorted(present & set(test["utt2spk"].values())):
            raise AsrtoolError(f"{root}/test/utt2spk: speaker {common[0]} is in train too; fetch the corpus again")
        write_data_dir(data / "test", test, sorted(set(test["utt2spk"].values())))
    else:
        print(f"{root}/test: not there; no {data}/test", file=sys.stderr)


def main(arguments: list[str]) -> int:
    options = parser("data_prep.py", __doc__)
    options.add_argument("corpus", type=Path)
    options.add_argument("data", type=Path)
    given = options.parse_args(arguments)
    prepare(given.corpus, given.data)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("data_prep.py", main, sys.argv[1:]))
