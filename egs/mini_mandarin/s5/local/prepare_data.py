"""Kaldi data directories and LM texts of the synthetic corpus: `python local/prepare_data.py CORPUS_DIR DATA_DIR`."""

import sys
from pathlib import Path

from asrtool.arguments import parser
from asrtool.cli import guarded
from asrtool.data.data_dir import write_spk2utt, write_table
from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_text

SPLITS = ("train", "valid", "test")


def read_transcripts(path: Path) -> dict[str, list[str]]:
    """utterance -> words.

    Raises:
        AsrtoolError: no such file, an utterance without words or twice.
    """
    transcripts: dict[str, list[str]] = {}
    for line in read_text(path, "no such file; run local/make_corpus.sh first").splitlines():
        utterance, *words = line.split() or [""]
        if not words:
            raise AsrtoolError(f"{path}: {utterance or 'empty line'}: no words; make the corpus again")
        if utterance in transcripts:
            raise AsrtoolError(f"{path}: {utterance}: stands twice; make the corpus again")
        transcripts[utterance] = words
    if not transcripts:
        raise AsrtoolError(f"{path}: no utterances; make the corpus again")
    return transcripts


def prepare_split(corpus: Path, data: Path, split: str) -> list[str]:
    """Writes <data>/<split>; returns the sentences, words separated by spaces."""
    transcripts = read_transcripts(corpus / split / "text")
    wavs, speakers = {}, {}
    for utterance in transcripts:
        speaker = utterance.rpartition("-")[0]
        wav = corpus / split / "wav" / speaker / f"{utterance}.wav"
        if not wav.is_file():
            raise AsrtoolError(f"{corpus / split / 'text'}: {utterance}: no file {wav}; make the corpus again")
        wavs[utterance], speakers[utterance] = str(wav), speaker
    directory = data / split
    write_table(directory / "wav.scp", wavs)
    write_table(directory / "utt2spk", speakers)
    write_spk2utt(directory / "spk2utt", speakers)
    write_table(directory / "text", {utterance: " ".join(words) for utterance, words in transcripts.items()})
    print(f"{directory}: {len(transcripts)} utterances of {len(set(speakers.values()))} speakers", file=sys.stderr)
    return [" ".join(words) for words in transcripts.values()]


def prepare(corpus: Path, data: Path) -> None:
    if not (corpus / "stats.json").is_file():
        raise AsrtoolError(f"{corpus}: no finished corpus; run local/make_corpus.sh, it goes on where it was")
    sentences = {split: prepare_split(corpus, data, split) for split in SPLITS}
    extra = (corpus / "lm_text").read_text(encoding="utf-8").splitlines()
    texts = {**sentences, "train": sentences["train"] + extra}
    for split, lines in texts.items():
        write_text(data / "local" / "lm" / f"{split}.txt", "".join(f"{line}\n" for line in lines))
    write_text(data / "local" / "words.txt", (corpus / "words.txt").read_text(encoding="utf-8"))
    print(f"{data}/local/lm: {len(texts['train'])} sentences of training text", file=sys.stderr)


def main(arguments: list[str]) -> int:
    options = parser("prepare_data.py", __doc__)
    options.add_argument("corpus", type=Path)
    options.add_argument("data", type=Path)
    given = options.parse_args(arguments)
    prepare(given.corpus, given.data)
    return 0


if __name__ == "__main__":
    sys.exit(guarded("prepare_data.py", main, sys.argv[1:]))
