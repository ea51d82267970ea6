"""CTM files, a line a word with its time (NIST's sctk/doc/infmts.htm)."""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_text


class CtmWord(NamedTuple):
    """A line of a CTM file; times in seconds; confidence from 0 to 1, None where there is none.

    The recording is an utterance where times are relative to utterances.
    """

    recording: str
    channel: str
    start_s: float
    duration_s: float
    word: str
    confidence: float | None = None

    def line(self, digits: int = 2, confidence_digits: int | None = None) -> str:
        """The line without its end; `digits`: decimals of the times, and of the confidence unless that has its own number."""
        line = f"{self.recording} {self.channel} {self.start_s:.{digits}f} {self.duration_s:.{digits}f} {self.word}"
        return line if self.confidence is None else f"{line} {self.confidence:.{confidence_digits or digits}f}"


def write_ctm(path: str | Path, words: Iterable[CtmWord], digits: int = 2, confidence_digits: int | None = None) -> None:
    """Writes the words in their order, to standard output for "-"; `digits`: see `CtmWord.line`."""
    text = "".join(f"{word.line(digits, confidence_digits)}\n" for word in words)
    if str(path) == "-":
        sys.stdout.write(text)
    else:
        write_text(path, text)


def read_ctm(path: str | Path, first: str = "recording") -> list[CtmWord]:
    """Reads the words of a file, with or without confidences; blank lines and comments (;;) are passed over.

    Args:
        first: what the first field is called in errors.

    Raises:
        AsrtoolError: no such file, not UTF-8, or a line of another form.
    """
    words = []
    for number, line in enumerate(read_text(path, "no such file; decode first", "utf-8-sig").split("\n"), 1):
        if not (fields := line.split()) or fields[0].startswith(";;"):
            continue
        try:
            recording, channel, start_s, duration_s, word, *confidence = fields
            words.append(CtmWord(recording, channel, float(start_s), float(duration_s), word, *map(float, confidence)))
        except (ValueError, TypeError):
            expected = f"expected '{first} channel begin duration word [confidence]'"
            raise AsrtoolError(f"{path}: line {number}: {expected}, found '{line.strip()[:60]}'") from None
    return words
