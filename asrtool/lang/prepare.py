"""From a dictionary directory to a lang directory, file for file as Kaldi's utils/prepare_lang.sh."""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.fst.lexicon_fst import LexiconArcs, OptionalSilence, write_lexicon_fst
from asrtool.fst.silence_lexicon_fst import SilenceArcs, SilenceEnds, write_silence_lexicon_fst
from asrtool.io.atomic_file import write_text
from asrtool.io.symbols import SymbolTable
from asrtool.lang.dictionary import Dictionary, Pronunciation
from asrtool.lang.phones import PhoneVariants, add_disambiguation, phone_files, topology_text
from asrtool.lang.silence_probs import SilenceProbs
from asrtool.lang.subword_lexicon import place_units, write_subword_lexicon_fst


@dataclass
class LangOptions:
    """Kaldi's options.

    Attributes:
        position_dependent_phones: mark phones with their place in the word (_B, _E, _I, _S).
        num_sil_states, num_nonsil_states: emitting HMM states of silence and other phones.
        sil_prob: probability of silence between words, 0 <= sil_prob < 1; not used where the dictionary has lexiconp_silprob.txt.
        share_silence_phones: all silence phones share their pdfs.
        word_mark: the words are subword units; those that begin a word begin with this mark, and silence stands only before them.
    """

    position_dependent_phones: bool = True
    num_sil_states: int = 5
    num_nonsil_states: int = 3
    sil_prob: float = 0.5
    share_silence_phones: bool = False
    word_mark: str = ""


def prepare_lang(dict_dir: str | Path, oov_word: str, tmp_dir: str | Path, lang_dir: str | Path, options: LangOptions) -> None:
    """Writes `lang_dir`, and into `tmp_dir` the lexicon with positions and disambiguation symbols.

    Raises:
        AsrtoolError: the dictionary does not fit, `oov_word` is not in it, or an option is out of range.
    """
    if not 0.0 <= options.sil_prob < 1.0:
        raise AsrtoolError(f"--sil-prob {options.sil_prob}: expected 0 <= sil-prob < 1")
    dictionary = Dictionary.load(dict_dir)
    if dictionary.silence_probs and options.word_mark:
        raise AsrtoolError(f"{dictionary.path}/lexiconp_silprob.txt: subword units have no silence of their own; remove the file")
    words = dictionary.words()
    if oov_word not in words:
        raise AsrtoolError(f"{dictionary.path}: the lexicon has no entry for the out-of-vocabulary word '{oov_word}'; add one")
    word_table = SymbolTable.from_symbols(["<eps>", *words, "#0", "<s>", "</s>"])
    word_table.name = f"{lang_dir}/words.txt"

    variants = PhoneVariants(dictionary, options.position_dependent_phones)
    if options.word_mark:
        entries, places = place_units(dictionary.entries, variants, options.word_mark, oov_word)
        write_fst = partial(write_subword_lexicon_fst, places=places)
    else:
        entries = [entry._replace(phones=variants.mark(entry.phones)) for entry in dictionary.entries]
        write_fst = write_lexicon_fst
    disambiguated, num_disambig = add_disambiguation(entries)
    num_disambig += 1  # one more for the silence in L_disambig.fst
    files = phone_files(dictionary, variants, options.share_silence_phones)
    files["disambig"] = [f"#{number}" for number in range(num_disambig + 1)]
    files["wdisambig"] = ["#0"]
    files["align_lexicon"] = _align_lexicon(entries, dictionary.optional_silence)
    phone_table = SymbolTable.from_symbols(["<eps>", *files["silence"], *files["nonsilence"], *files["disambig"]])
    phone_table.name = f"{lang_dir}/phones.txt"

    tmp_dir, lang_dir = Path(tmp_dir), Path(lang_dir)
    _write_tmp(tmp_dir, entries, disambiguated, num_disambig)
    _write_phone_files(lang_dir / "phones", files, phone_table, word_table)
    phone_table.write(lang_dir / "phones.txt")
    word_table.write(lang_dir / "words.txt")
    write_text(lang_dir / "oov.txt", f"{oov_word}\n")
    write_text(lang_dir / "oov.int", f"{word_table.id(oov_word)}\n")
    ids = {name: [phone_table.id(phone) for phone in files[name]] for name in ("silence", "nonsilence")}
    topology = topology_text(ids["nonsilence"], ids["silence"], options.num_nonsil_states, options.num_sil_states)
    write_text(lang_dir / "topo", topology)

    tables = (phone_table, word_table)
    silence_ids = (phone_table.id(dictionary.optional_silence), phone_table.id(f"#{num_disambig}"))
    pass_through = (phone_table.id("#0"), word_table.id("#0"))
    if dictionary.silence_probs:
        ends = _silence_ends(dictionary.silence_probs, silence_ids[0])
        write_silence_lexicon_fst(lang_dir / "L.fst", _silence_arcs(entries, *tables), ends)
        ends = ends._replace(disambig_id=silence_ids[1])
        write_silence_lexicon_fst(lang_dir / "L_disambig.fst", _silence_arcs(disambiguated, *tables), ends, pass_through)
        return
    silence = disambig_silence = None
    if options.sil_prob > 0.0:
        silence = OptionalSilence(options.sil_prob, silence_ids[0])
        disambig_silence = silence._replace(disambig_id=silence_ids[1])
    write_fst(lang_dir / "L.fst", _as_ids(entries, *tables), silence=silence)
    write_fst(lang_dir / "L_disambig.fst", _as_ids(disambiguated, *tables), silence=disambig_silence, pass_through=pass_through)


def _align_lexicon(entries: list[Pronunciation], optional_silence: str) -> list[str]:
    """ "word word phone..." lines; where several entries have one pronunciation of a word, it stands once."""
    lines = {f"{entry.word} {entry.word} {' '.join(entry.phones)}" for entry in entries}
    return sorted(lines | {f"<eps> <eps> {optional_silence}"})


def _as_ids(entries: list[Pronunciation], phones: SymbolTable, words: SymbolTable) -> list[LexiconArcs]:
    return [
        LexiconArcs(words.id(entry.word), -math.log(float(entry.probability_text)), [phones.id(phone) for phone in entry.phones])
        for entry in entries
    ]


def _silence_arcs(entries: list[Pronunciation], phones: SymbolTable, words: SymbolTable) -> list[SilenceArcs]:
    result = []
    for (word_id, cost, phone_ids), entry in zip(_as_ids(entries, phones, words), entries):
        silence_after, with_silence, without = (float(text) for text in entry.silence_texts)
        enter = (cost - math.log(without), cost - math.log(with_silence))
        result.append(SilenceArcs(word_id, phone_ids, enter, (-math.log(1.0 - silence_after), -math.log(silence_after))))
    return result


def _silence_ends(probs: SilenceProbs, silence_phone_id: int) -> SilenceEnds:
    begin = (-math.log(1.0 - probs.begin), -math.log(probs.begin))
    return SilenceEnds(begin, (-math.log(probs.end_none), -math.log(probs.end_silence)), silence_phone_id)


def _write_tmp(tmp_dir: Path, entries: list[Pronunciation], disambiguated: list[Pronunciation], num_disambig: int) -> None:
    base = "lexiconp_silprob" if entries[0].silence_texts else "lexiconp"
    for name, separator, lexicon in ((f"{base}.txt", " ", entries), (f"{base}_disambig.txt", "\t", disambiguated)):
        lines = (
            separator.join([word, probability, *silence_texts, " ".join(phones)]) + "\n"
            for word, probability, phones, silence_texts in lexicon
        )
        write_text(tmp_dir / name, "".join(lines))
    if entries[0].silence_texts:  # the other form too, with Kaldi's tabs
        lines = ("\t".join([entry.word, entry.probability_text, *entry.phones]) + "\t\n" for entry in entries)
        write_text(tmp_dir / "lexiconp.txt", "".join(lines))
    write_text(tmp_dir / "lex_ndisambig", f"{num_disambig}\n")


def _write_phone_files(directory: Path, files: dict[str, list[str]], phones: SymbolTable, words: SymbolTable) -> None:
    """Each list as .txt and .int, some also as colon-separated .csl."""
    for name, lines in files.items():
        write_text(directory / f"{name}.txt", "".join(f"{line}\n" for line in lines))
    for name in ("silence", "nonsilence", "optional_silence", "disambig", "context_indep"):
        ids = [str(phones.id(phone)) for phone in files[name]]
        write_text(directory / f"{name}.int", "".join(f"{number}\n" for number in ids))
        write_text(directory / f"{name}.csl", ":".join(ids) + "\n")
    # which fields are phones; the others are copied, but align_lexicon's first two are words
    phone_fields = {"sets": slice(None), "extra_questions": slice(None), "roots": slice(2, None), "word_boundary": slice(0, 1)}
    for name, which in phone_fields.items():
        if name in files:
            write_text(directory / f"{name}.int", "".join(f"{_to_ids(line.split(), which, phones)}\n" for line in files[name]))
    for suffix, table in (("phones", phones), ("words", words)):
        write_text(directory / f"wdisambig_{suffix}.int", f"{table.id('#0')}\n")
    lines = []
    for line in files["align_lexicon"]:
        word, _, *pronunciation = line.split()
        lines.append(f"{words.id(word)} {words.id(word)} {_to_ids(pronunciation, slice(None), phones)}\n")
    write_text(directory / "align_lexicon.int", "".join(lines))


def _to_ids(fields: list[str], which: slice, table: SymbolTable) -> str:
    fields[which] = [str(table.id(symbol)) for symbol in fields[which]]
    return " ".join(fields)
