"""Subword units by sentencepiece: an open vocabulary whose units spell any word.

A unit that begins a word carries the mark U+2581 before its letters, the others follow within the word. Where sentencepiece gives
the bare mark as a unit, it is joined to the next one, so that each unit has letters.
"""

import io
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import write_bytes
from asrtool.lang.normalise import SYMBOL, join_subwords
from asrtool.lang.pinyin import word_phones

MARK = "\u2581"
MODEL_TYPES = ("unigram", "bpe")
SILENCE, SPOKEN_NOISE = "SIL", "SPN"


def _package() -> ModuleType:
    try:
        import sentencepiece
    except ImportError:
        raise AsrtoolError("subwords need the package sentencepiece: pip install 'asrtool[subwords]'") from None
    return sentencepiece


def train_subwords(
    sentences: Iterable[Sequence[str]], model_path: str | Path, vocabulary_size: int, model_type: str = "unigram"
) -> int:
    """Trains a model on sentences of words and writes it; symbols such as <UNK> are left out. The text is taken as it is.

    Returns:
        the number of units (fewer than `vocabulary_size` where the text has no more).

    Raises:
        AsrtoolError: the text is empty, or has more characters than `vocabulary_size`.
    """
    package = _package()
    lines = [" ".join(word for word in words if not SYMBOL.fullmatch(word)) for words in sentences]
    lines = [line for line in lines if line]
    characters = set("".join(lines)) - {" "}
    if not characters:
        raise AsrtoolError(f"{model_path}: the text has no words to train on")
    if vocabulary_size < len(characters) + 2:
        raise AsrtoolError(
            f"--vocab-size {vocabulary_size}: the text has {len(characters)} characters, all of them units; give a larger one"
        )
    if any(MARK in line for line in lines):
        raise AsrtoolError(f"{model_path}: the text holds the mark '{MARK}' itself; is it made of subwords already?")
    written = io.BytesIO()
    longest = max(len(line.encode()) for line in lines)
    try:
        package.SentencePieceTrainer.train(
            sentence_iterator=iter(lines),
            model_writer=written,
            vocab_size=vocabulary_size,
            model_type=model_type,
            character_coverage=1.0,
            normalization_rule_name="identity",
            max_sentence_length=max(longest + 1, 10),
            hard_vocab_limit=False,
            num_threads=1,  # repeatable
            unk_id=0,
            bos_id=-1,
            eos_id=-1,
            pad_id=-1,
            minloglevel=2,
        )
    except RuntimeError as error:
        raise AsrtoolError(f"{model_path}: sentencepiece: {' '.join(str(error).split())}") from None
    write_bytes(model_path, written.getvalue())
    return SubwordModel(model_path).processor.get_piece_size() - 1


class SubwordModel:
    """A trained model.

    Args:
        mark_words: units carry the mark; without it units stand for themselves, as hanzi do, and words cannot be told from them.

    Raises:
        AsrtoolError: no such file, or not a model.
    """

    def __init__(self, path: str | Path, mark_words: bool = True) -> None:
        self.path, self.mark_words = Path(path), mark_words
        package = _package()
        if not self.path.is_file():
            raise AsrtoolError(f"{path}: no such file; train it with asrtool train-subwords")
        try:
            self.processor = package.SentencePieceProcessor(model_proto=self.path.read_bytes())
        except RuntimeError:
            raise AsrtoolError(f"{path}: not a sentencepiece model, or damaged; train it again") from None

    def units(self) -> list[str]:
        """All units that `encode` may give for text of known characters, in the C locale's order."""
        count = self.processor.get_piece_size()
        pieces = [
            self.processor.id_to_piece(n)
            for n in range(count)
            if not self.processor.is_unknown(n) and not self.processor.is_control(n)
        ]
        bare = {piece.removeprefix(MARK) for piece in pieces} - {""}
        inner = {piece for piece in pieces if not piece.startswith(MARK)}
        return sorted(bare if not self.mark_words else inner | {MARK + piece for piece in bare})

    def encode(self, sentences: Sequence[Sequence[str]]) -> list[list[str]]:
        """The units of each sentence; symbols such as <UNK> stay whole."""
        stretches, places = [], []
        for number, words in enumerate(sentences):
            stretch: list[str] = []
            for word in [*words, None]:
                if word is not None and not SYMBOL.fullmatch(word):
                    stretch.append(word)
                    continue
                stretches.append(" ".join(stretch))
                places.append((number, word))
                stretch = []
        result: list[list[str]] = [[] for _ in sentences]
        for pieces, (number, symbol) in zip(self.processor.encode(stretches, out_type=str), places):
            result[number] += self._marked(pieces) + ([symbol] if symbol else [])
        return result

    def _marked(self, pieces: list[str]) -> list[str]:
        joined: list[str] = []
        for piece in pieces:
            if joined and joined[-1] == MARK:
                joined[-1] += piece
            else:
                joined.append(piece)
        if self.mark_words:
            return joined
        return [piece for piece in (piece.removeprefix(MARK) for piece in joined) if piece]


def decode_subwords(units: Sequence[str]) -> list[str]:
    """The words that units with marks spell; symbols such as <UNK> stay."""
    words: list[str] = []
    stretch: list[str] = []
    for unit in [*units, None]:
        if unit is None or SYMBOL.fullmatch(unit):
            words += join_subwords(" ".join(stretch)).split() + ([unit] if unit else [])
            stretch = []
        else:
            stretch.append(unit)
    return words


def make_subword_dict(
    model: SubwordModel, dict_dir: str | Path, pronunciations: str = "grapheme", oov_word: str = "<UNK>"
) -> int:
    """Writes a dictionary directory of the units, for prepare-lang with --word-mark; returns how many there are.

    Args:
        pronunciations: "grapheme": a unit's letters are its phones; "pinyin": initials and finals with tones.
    """
    lexicon, phones = [], set()
    for unit in model.units():
        text = unit.removeprefix(MARK)
        try:
            readings = [tuple(text)] if pronunciations == "grapheme" else word_phones(text)
        except ValueError as error:
            raise AsrtoolError(f"{model.path}: unit '{unit}': {error}; use --pronunciations grapheme") from None
        lexicon += [f"{unit} {' '.join(reading)}" for reading in readings]
        phones.update(phone for reading in readings for phone in reading)
    bad = sorted(phone for phone in phones if phone.startswith("#") or phone in (SILENCE, SPOKEN_NOISE))
    if bad:
        raise AsrtoolError(f"{model.path}: '{bad[0]}' cannot be a phone; take it out of the text that the model is trained on")
    files = {
        "silence_phones.txt": [SILENCE, SPOKEN_NOISE],
        "optional_silence.txt": [SILENCE],
        "nonsilence_phones.txt": sorted(phones),
        "extra_questions.txt": [f"{SILENCE} {SPOKEN_NOISE}"],
        "lexicon.txt": [f"!SIL {SILENCE}", f"{oov_word} {SPOKEN_NOISE}", *lexicon],
    }
    for name, lines in files.items():
        write_text(Path(dict_dir) / name, "".join(f"{line}\n" for line in lines))
    (Path(dict_dir) / "lexiconp.txt").unlink(missing_ok=True)  # of an earlier list, it would go before lexicon.txt
    return len(lexicon)


def convert_lines(
    lines: Iterable[str], model: SubwordModel | None, utterance_ids: bool = False, block_size: int = 20000
) -> Iterator[str]:
    """Lines of words to lines of units, or, without a model, of units to words; in blocks, each line with its end."""
    block: list[list[str]] = []

    def done() -> str:
        ids = [words[:1] if utterance_ids else [] for words in block]
        rest = [words[len(head) :] for words, head in zip(block, ids)]
        converted = model.encode(rest) if model else map(decode_subwords, rest)
        return "".join(" ".join([*head, *words]) + "\n" for head, words in zip(ids, converted))

    for line in lines:
        block.append(re.split(r"[ \t]+", line.strip()) if line.strip() else [])
        if len(block) == block_size:
            yield done()
            block = []
    if block:
        yield done()
