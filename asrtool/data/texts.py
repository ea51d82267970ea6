"""The transcripts of a data directory, read when they are asked for and kept as lines: a fifth of what lists of words take."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from asrtool.io.kaldi_table import read_scp


class Texts(Mapping[str, list[str]]):
    """Utterance -> words, of a file `text` that may be missing.

    Raises:
        AsrtoolError: on first use, where the file is damaged or an utterance occurs twice.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def lines(self) -> dict[str, str]:
        return read_scp(self.path, allow_empty=True) if self.path.is_file() else {}

    def __getitem__(self, utterance: str) -> list[str]:
        return self.lines[utterance].split()

    def __contains__(self, utterance: object) -> bool:
        return utterance in self.lines

    def __iter__(self) -> Iterator[str]:
        return iter(self.lines)

    def __len__(self) -> int:
        return len(self.lines)
