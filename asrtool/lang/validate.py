"""Checks of a lang directory, after Kaldi's utils/validate_lang.pl."""

import re
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.fst.grammar_fst import BACKOFF_SYMBOL, check_grammar
from asrtool.io.symbols import SymbolTable
from asrtool.lm.text import BOS, EOS

WITH_CSL = ("silence", "nonsilence", "optional_silence", "disambig", "context_indep")


def validate_lang(lang_dir: str | Path) -> str:
    """Returns a line that says what is there.

    Raises:
        AsrtoolError: the first thing that does not fit, with file and line.
    """
    lang = Path(lang_dir)
    phones = SymbolTable.read(lang / "phones.txt")
    words = SymbolTable.read(lang / "words.txt")
    for table in (phones, words):
        if "<eps>" not in table or table.id("<eps>") != 0:
            raise AsrtoolError(f"{table.name}: <eps> must be there with id 0")
    for symbol in (BACKOFF_SYMBOL, BOS, EOS):
        words.id(symbol)
    lists = {name: _phone_list(lang / "phones", name, phones) for name in WITH_CSL}
    _check_partition(lang, lists, phones)
    all_phones = set(lists["silence"]) | set(lists["nonsilence"])
    for name, skipped in (("sets", 0), ("roots", 2), ("extra_questions", 0)):
        listed = _int_file(lang / "phones", name, phones, skipped)
        if name != "extra_questions" and sorted(phone for line in listed for phone in line) != sorted(all_phones):
            raise AsrtoolError(f"{lang}/phones/{name}.txt: must hold each phone once")
    boundaries = lang / "phones" / "word_boundary.txt"
    if boundaries.exists():
        listed = {line.split()[0] for line in boundaries.read_text(encoding="utf-8").splitlines()}
        if listed != all_phones:
            raise AsrtoolError(f"{boundaries}: '{min(listed ^ all_phones)}' is listed and no phone, or a phone and not listed")
    oov = _lines(lang / "oov.txt")
    if len(oov) != 1 or oov[0] not in words or _lines(lang / "oov.int") != [str(words.id(oov[0]))]:
        raise AsrtoolError(f"{lang}/oov.txt: expected one word of words.txt, and its id in oov.int")
    _check_topology(lang / "topo", {phones.id(phone) for phone in all_phones})
    sizes = [_check_lexicon(lang / name, phones, words) for name in ("L.fst", "L_disambig.fst")]
    summary = f"{len(all_phones)} phones, {len(words)} word symbols, L.fst {sizes[0]} arcs"
    if (lang / "G.fst").exists():
        grammar = CsrGraph.from_fst_file(lang / "G.fst")
        _check_labels(lang / "G.fst", grammar.arc_ilabel, words)
        check_grammar(grammar, words.id(BACKOFF_SYMBOL), f"{lang}/G.fst")
        summary += f", G.fst {grammar.num_arcs} arcs"
    return summary


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise AsrtoolError(f"{path}: no such file; make the lang directory with prepare-lang")
    return path.read_text(encoding="utf-8").splitlines()


def _phone_list(directory: Path, name: str, phones: SymbolTable) -> list[str]:
    """A list of one phone a line, which .int and .csl must repeat."""
    listed = _lines(directory / f"{name}.txt")
    ids = [str(phones.id(phone)) for phone in listed]
    if _lines(directory / f"{name}.int") != ids:
        raise AsrtoolError(f"{directory}/{name}.int: does not hold the ids of {name}.txt")
    if ":".join(ids) != "".join(_lines(directory / f"{name}.csl")):
        raise AsrtoolError(f"{directory}/{name}.csl: does not hold the ids of {name}.txt")
    return listed


def _check_partition(lang: Path, lists: dict[str, list[str]], phones: SymbolTable) -> None:
    """silence, nonsilence and disambig are disjoint and together are phones.txt."""
    owner = {"<eps>": "<eps>"}
    for name in ("silence", "nonsilence", "disambig"):
        for number, phone in enumerate(lists[name], 1):
            if phone in owner:
                raise AsrtoolError(f"{lang}/phones/{name}.txt: line {number}: '{phone}' is in {owner[phone]}.txt too")
            owner[phone] = name
    for phone in phones.symbols():
        if phone not in owner:
            raise AsrtoolError(f"{lang}/phones.txt: '{phone}' is in none of silence.txt, nonsilence.txt and disambig.txt")
    if BACKOFF_SYMBOL not in lists["disambig"]:
        raise AsrtoolError(f"{lang}/phones/disambig.txt: no {BACKOFF_SYMBOL}")
    if len(lists["optional_silence"]) != 1 or owner[lists["optional_silence"][0]] != "silence":
        raise AsrtoolError(f"{lang}/phones/optional_silence.txt: expected one silence phone")


def _int_file(directory: Path, name: str, phones: SymbolTable, skipped: int) -> list[list[str]]:
    """Lines of phones after `skipped` other fields, which .int must repeat as ids."""
    lines = [line.split() for line in _lines(directory / f"{name}.txt")]
    ids = [line.split() for line in _lines(directory / f"{name}.int")]
    for number, (fields, int_fields) in enumerate(zip(lines, ids), 1):
        if fields[:skipped] + [str(phones.id(phone)) for phone in fields[skipped:]] != int_fields:
            raise AsrtoolError(f"{directory}/{name}.int: line {number}: does not hold the ids of {name}.txt")
    if len(lines) != len(ids):
        raise AsrtoolError(f"{directory}/{name}.int: {len(ids)} lines, {name}.txt has {len(lines)}")
    return [fields[skipped:] for fields in lines]


def _check_topology(path: Path, phone_ids: set[int]) -> None:
    text = "\n".join(_lines(path))
    listed = [int(number) for block in re.findall(r"<ForPhones>([\d\s]*)</ForPhones>", text) for number in block.split()]
    if sorted(listed) != sorted(phone_ids):
        wrong = min(set(listed) ^ phone_ids, default=None)
        raise AsrtoolError(f"{path}: each phone must have one topology" + ("" if wrong is None else f"; look at phone {wrong}"))


def _check_lexicon(path: Path, phones: SymbolTable, words: SymbolTable) -> int:
    lexicon = CsrGraph.from_fst_file(path)
    _check_labels(path, lexicon.arc_ilabel, phones)
    _check_labels(path, lexicon.arc_olabel, words)
    if np.any((np.diff(lexicon.arc_olabel) < 0) & (np.diff(lexicon.arc_source) == 0)):
        raise AsrtoolError(f"{path}: arcs are not sorted by output label; make it again with prepare-lang")
    return lexicon.num_arcs


def _check_labels(path: Path, labels: np.ndarray, table: SymbolTable) -> None:
    unknown = next((label for label in np.unique(labels).tolist() if label not in table.id_to_symbol), None)
    if unknown is not None:
        raise AsrtoolError(f"{path}: label {unknown} is not in {table.name}")
