"""What the displays of `asrtool show` share: how one is declared, and readers of what several print."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from asrtool.arguments import existing_path, parser
from asrtool.errors import AsrtoolError
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter


def argument(*names: str, **settings) -> tuple[tuple[str, ...], dict]:
    """The arguments of `add_argument`; a positional one is a file that must be there unless told otherwise."""
    if not names[0].startswith("-") and "type" not in settings:
        settings["type"] = existing_path
    return names, settings


@dataclass(frozen=True)
class Display:
    """One thing that is shown: its summary, an example's arguments, its own arguments, and the lines for them.

    end: what ends a line; nothing where the lines bring their own ends.
    """

    summary: str
    example: str
    arguments: tuple[tuple[tuple[str, ...], dict], ...]
    lines: Callable[[Namespace], Iterable[str]]
    end: str = "\n"

    def parser(self, name: str) -> ArgumentParser:
        options = parser(f"show {name}", self.summary, f"asrtool show {name} {self.example}")
        for names, settings in self.arguments:
            options.add_argument(*names, **settings)
        return options


PHONES = argument("phones", help="phones.txt")
MODEL = argument("model", help="final.mdl, binary or text")
UTTERANCES = argument("utterances", type=str, nargs="*", help="only these (default: all)")


def as_text(thing) -> Iterator[str]:
    """What `thing.write(writer)` writes, in text, with its line ends."""
    writer = KaldiWriter.open("-", binary=False)
    thing.write(writer)
    yield from (part.decode("utf-8") for part in writer.parts)


def vector(path) -> np.ndarray:
    """A file that holds one float vector."""
    return KaldiReader.open(path).read_float_vector()


def chosen(items: Iterable[tuple[str, object]], names: list[str], where) -> Iterator[tuple[str, object]]:
    """The items whose keys are among `names`, all where it is empty; AsrtoolError for a name that does not occur."""
    missing = set(names)
    for key, value in items:
        if not names or key in missing:
            missing.discard(key)
            yield key, value
    if missing:
        raise AsrtoolError(f"{where}: {min(missing)}: not in it")
