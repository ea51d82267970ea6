"""Subword units: round trips, and a lexicon that takes exactly the sequences of units that make words."""

import itertools

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.errors import AsrtoolError
from asrtool.fst import openfst
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable
from asrtool.lang.prepare import LangOptions, prepare_lang
from asrtool.lang.subwords import MARK, SubwordModel, decode_subwords, make_subword_dict, train_subwords
from asrtool.score.preparation import Preparation

DICT = {
    "silence_phones.txt": "SIL\nSPN\n",
    "optional_silence.txt": "SIL\n",
    "nonsilence_phones.txt": "a\nb\n",
    "lexicon.txt": f"<UNK> SPN\n{MARK}a a\n{MARK}ab a b\na a\nb b\n",
}


def make_lang(directory, **options):
    (directory / "dict").mkdir(parents=True)
    for name, text in DICT.items():
        (directory / "dict" / name).write_text(text)
    prepare_lang(directory / "dict", "<UNK>", directory / "tmp", directory / "lang", LangOptions(word_mark=MARK, **options))
    assert main(["validate-lang", str(directory / "lang")]) == 0
    return directory / "lang"


def readings(graph: CsrGraph, words: list[int]) -> dict[tuple[int, ...], float]:
    """Phone sequences of a sequence of words and their least costs, by walking all paths."""
    found: dict[tuple[int, ...], float] = {}
    stack = [(graph.start, 0, (), 0.0)]
    while stack:
        state, read, phones, cost = stack.pop()
        if read == len(words) and np.isfinite(graph.final_cost[state]):
            found[phones] = min(found.get(phones, np.inf), cost)
        for arc in range(graph.arc_begin[state], graph.arc_begin[state + 1]):
            phone, word = int(graph.arc_ilabel[arc]), int(graph.arc_olabel[arc])
            if word and (read == len(words) or word != words[read]):
                continue
            step = (*phones, phone) if phone else phones
            stack.append((int(graph.arc_nextstate[arc]), read + bool(word), step, cost + float(graph.arc_cost[arc])))
    return found


def expected_readings(units: list[str], positions: bool, sil_prob: float) -> dict[tuple[str, ...], float]:
    """By hand: words of units, their phones with positions, and silence before, between and after words."""
    words: list[list[str]] = []
    for unit in units:
        if unit == "<UNK>":
            words.append(["<UNK>"])
        elif unit.startswith(MARK):
            words.append([unit])
        elif not words or words[-1] == ["<UNK>"]:
            return {}
        else:
            words[-1].append(unit)
    spelled = []
    for word in words:
        phones = ["SPN"] if word == ["<UNK>"] else list("".join(word).replace(MARK, ""))
        if positions:
            marks = ["S"] if len(phones) == 1 else ["B", *"I" * (len(phones) - 2), "E"]
            phones = [f"{phone}_{position}" for phone, position in zip(phones, marks)]
        spelled.append(phones)
    if not sil_prob:
        return {tuple(itertools.chain(*spelled)): 0.0}
    result = {}
    for silent in itertools.product((False, True), repeat=len(words) + 1):
        phones = ["SIL"] * silent[0]
        for word, after in zip(spelled, silent[1:]):
            phones += word + ["SIL"] * after
        result[tuple(phones)] = -sum(np.log(sil_prob if silence else 1 - sil_prob) for silence in silent)
    return result


@pytest.mark.parametrize("sil_prob", [0.0, 0.2])
@pytest.mark.parametrize("positions", [False, True])
def test_lexicon_takes_words_and_nothing_else(tmp_path, positions, sil_prob):
    lang = make_lang(tmp_path, position_dependent_phones=positions, sil_prob=sil_prob)
    graph = CsrGraph.from_fst_file(lang / "L.fst")
    phones, words = SymbolTable.read(lang / "phones.txt"), SymbolTable.read(lang / "words.txt")
    units = ["<UNK>", f"{MARK}a", f"{MARK}ab", "a", "b"]
    accepted = 0
    for length in range(1, 4):
        for sequence in itertools.product(units, repeat=length):
            found = readings(graph, [words.id(unit) for unit in sequence])
            spelled = {tuple(phones.symbol(phone) for phone in key): cost for key, cost in found.items()}
            assert spelled == pytest.approx(expected_readings(list(sequence), positions, sil_prob), abs=1e-5), sequence
            accepted += bool(found)
    assert accepted == 3 + 13 + 59  # u' = w + u, w' = 2 (w + u) + 2 w, from u = 1, w = 2


@pytest.mark.parametrize("positions", [False, True])
def test_lexicon_can_be_determinised(tmp_path, positions):
    lang = make_lang(tmp_path, position_dependent_phones=positions)
    (tmp_path / "text").write_text(f"{MARK}a b {MARK}ab\n{MARK}ab a b\n{MARK}a {MARK}a a\n")
    assert main(["train-lm", "--order", "2", str(tmp_path / "text"), str(tmp_path / "lm.arpa")]) == 0
    assert main(["format-lm", str(lang), str(tmp_path / "lm.arpa"), str(tmp_path / "lang_test")]) == 0
    fst = openfst.compose(*(openfst.read(tmp_path / "lang_test" / name) for name in ("L_disambig.fst", "G.fst")))
    openfst.determinize(fst, "LG")
    graph = openfst.from_openfst(fst)
    words = SymbolTable.read(lang / "words.txt")
    used = set(np.unique(graph.arc_olabel).tolist())
    assert used == {0, *(words.id(unit) for unit in (f"{MARK}a", f"{MARK}ab", "a", "b"))}


SENTENCES = [
    text.split() for text in ("the cat sat", "a cat that sat there", "that hat", "the heat at sea", "tea at the sea") * 3
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("subwords") / "bpe.model"
    assert train_subwords(SENTENCES, path, 30, "bpe") <= 30
    return SubwordModel(path)


def test_round_trip(model):
    sentences = [*SENTENCES, [], ["<UNK>", "cat", "[noise]", "hat"], ["tttt", "h"]]
    encoded = model.encode(sentences)
    assert [decode_subwords(units) for units in encoded] == sentences
    known = {*model.units(), "<UNK>", "[noise]"}
    assert all(unit in known for units in encoded for unit in units)
    assert any(not unit.startswith(MARK) for units in encoded for unit in units) and MARK not in known
    # and as a step of scoring
    assert Preparation().normaliser(encoded[0]) == encoded[0]
    assert SubwordModel(model.path, mark_words=False).encode([["cat"]])[0] == [
        u.removeprefix(MARK) for u in model.encode([["cat"]])[0] if u != MARK
    ]


def test_verbs(tmp_path, model, capsys):
    (tmp_path / "text").write_text("u1 the cat <UNK>\nu2\nu3 sea hat\n")
    units, words = str(tmp_path / "units.gz"), tmp_path / "words"
    ids = ["--utterance-ids", "true"]
    assert main(["apply-subwords", *ids, "--model", str(model.path), str(tmp_path / "text"), units]) == 0
    assert main(["apply-subwords", *ids, "--decode", "true", units, str(words)]) == 0
    assert words.read_text() == "u1 the cat <UNK>\nu2\nu3 sea hat\n"
    assert "3 lines, 5 words" in capsys.readouterr().err
    arguments = ["train-subwords", *ids, "--vocab-size", "20", str(tmp_path / "text"), str(tmp_path / "x.model")]
    assert main(arguments) == 0
    first = (tmp_path / "x.model").read_bytes()
    assert main(arguments) == 0 and (tmp_path / "x.model").read_bytes() == first
    assert main(["make-subword-dict", str(model.path), str(tmp_path / "dict")]) == 0
    lexicon = (tmp_path / "dict" / "lexicon.txt").read_text().splitlines()
    assert lexicon[:2] == ["!SIL SIL", "<UNK> SPN"] and f"{MARK}h h" in lexicon and "h h" in lexicon
    arguments = ["--word-mark", MARK, str(tmp_path / "dict"), "<UNK>", str(tmp_path / "tmp"), str(tmp_path / "lang")]
    assert main(["prepare-lang", *arguments]) == 0 and main(["validate-lang", str(tmp_path / "lang")]) == 0


def test_mandarin_units(tmp_path):
    path = tmp_path / "m.model"
    train_subwords([["今天天气"], ["今天", "明天"], ["天气"]] * 4, path, 20)
    units = SubwordModel(path, mark_words=False)
    assert "".join(units.encode([["明天天气"]])[0]) == "明天天气" and not any(MARK in unit for unit in units.units())
    make_subword_dict(units, tmp_path / "dict", "pinyin")
    assert "天 t ian1" in (tmp_path / "dict" / "lexicon.txt").read_text().splitlines()


def test_bad_input(tmp_path, capsys):
    (tmp_path / "text").write_text("ab c <UNK>\n")
    text, out = str(tmp_path / "text"), str(tmp_path / "out")
    for arguments, message in (
        (["train-subwords", "--vocab-size", "3", text, out], "--vocab-size 3: the text has 3 characters"),
        (["apply-subwords", text, out], "--model is missing"),
        (["apply-subwords", "--model", text, text, out], "text: not a sentencepiece model"),
    ):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1 and not (tmp_path / "out").exists()
    with pytest.raises(AsrtoolError, match="no words to train on"):
        train_subwords([["<UNK>"]], tmp_path / "out", 10)
    with pytest.raises(AsrtoolError, match="holds the mark"):
        train_subwords([[f"{MARK}a"]], tmp_path / "out", 10)
