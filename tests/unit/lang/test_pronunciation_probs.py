"""Counts of pronunciations, dictionaries with probabilities and their L.fst, against what Kaldi's scripts make of the same input.

The expected texts are those of steps/get_prons.sh --stage 2, utils/dict_dir_add_pronprobs.sh and, for L.fst,
utils/lang/make_lexicon_fst_silprob.py of kaldi/egs/wsj/s5.
"""

import gzip

import numpy as np
import pytest

from asrtool.cli import main
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable

DICT = {
    "silence_phones.txt": "SIL\nSPN\n",
    "optional_silence.txt": "SIL\n",
    "nonsilence_phones.txt": "AH\nEY\nT\nUW\n",
    "lexicon.txt": "<UNK> SPN\nA AH\nA EY\nTO T UW\nTO T AH\nTO T\n",
}
SENTENCES = {
    "u1": "<eps> SIL;A AH_S;TO T_B UW_E;<eps> SIL;A AH_S;<eps> SIL",
    "u2": "<eps> SIL;TO T_B UW_E;TO T_B AH_E;A EY_S",
    "u3": "TO T_B AH_E;<eps> SIL;A AH_S;<UNK> SPN_S;<eps> SIL",
    "u4": "<eps> SIL;A AH_S;<eps> SIL;TO T_B UW_E;A AH_S;A AH_S;TO T_S;<eps> SIL",
}
COUNTS = {
    "pron_counts.txt": "9 <eps> SIL\n6 A AH_S\n3 TO T_B UW_E\n2 TO T_B AH_E\n1 TO T_S\n1 A EY_S\n1 <UNK> SPN_S\n",
    "pron_counts_nowb.txt": "9 <eps> SIL\n6 A AH\n3 TO T UW\n2 TO T AH\n1 TO T\n1 A EY\n1 <UNK> SPN\n",
    "sil_counts_nowb.txt": (
        "3 1 0 0 </s>\n0 1 1 0 <UNK> SPN\n0 0 3 1 <s>\n4 2 2 4 A AH\n"
        "0 1 0 1 A EY\n0 1 1 0 TO T\n0 2 1 1 TO T AH\n2 1 1 2 TO T UW\n"
    ),
    "pron_bigram_counts_nowb.txt": (
        "1\t<UNK> SPN\t</s>\n2\t<s>\tA AH\n1\t<s>\tTO T AH\n1\t<s>\tTO T UW\n1\tA AH\t</s>\n1\tA AH\t<UNK> SPN\n1\tA AH\tA AH\n"
        "1\tA AH\tTO T\n2\tA AH\tTO T UW\n1\tA EY\t</s>\n1\tTO T\t</s>\n1\tTO T AH\tA AH\n1\tTO T AH\tA EY\n2\tTO T UW\tA AH\n"
        "1\tTO T UW\tTO T AH\n"
    ),
}
WITH_PROBS = {
    "lexicon.txt": "<UNK> SPN\nA EY\nA AH\nTO T\nTO T AH\nTO T UW\n",
    "lexiconp.txt": "<UNK> 1 SPN\nA 0.285714 EY\nA 1 AH\nTO 0.5 T\nTO 0.75 T AH\nTO 1 T UW\n",
    "lexiconp_silprob.txt": (
        "<UNK> 1 0.67 0.84 1.15 SPN\nA 0.285714 0.33 0.80 1.20 EY\nA 1 0.38 1.63 0.63 AH\n"
        "TO 0.5 0.67 0.84 1.15 T\nTO 0.75 0.50 0.83 1.11 T AH\nTO 1 0.40 1.45 0.71 T UW\n"
    ),
    "silprob.txt": "<s> 0.67\n</s>_s 1.23456790123457\n</s>_n 0.759493670886076\noverall 0.50\n",
}
NOT_NORMALIZED = "<UNK> 1 SPN\nA 0.222222 EY\nA 0.777778 AH\nTO 0.222222 T\nTO 0.333333 T AH\nTO 0.444444 T UW\n"
L_FST = """\
0 1 <eps> <eps> 1.1086626245216114
0 2 SIL <eps> 0.40047756659712525
1 3 SPN <UNK> -0.13976194237515863
2 3 SPN <UNK> 0.1743533871447778
3 1 <eps> <eps> 1.1086626245216114
3 2 SIL <eps> 0.40047756659712525
1 4 EY A 1.0704424117019133
2 4 EY A 1.4759075198100777
4 1 <eps> <eps> 0.4004775665971254
4 2 SIL <eps> 1.1086626245216111
1 5 AH A 0.4620354595965587
2 5 AH A -0.4885800148186709
5 1 <eps> <eps> 0.4780358009429998
5 2 SIL <eps> 0.9675840262617056
1 6 T TO 0.5533852381847867
2 6 T TO 0.8675005677047231
6 1 <eps> <eps> 1.1086626245216114
6 2 SIL <eps> 0.40047756659712525
1 7 T TO 0.18332205712753805
2 7 T TO 0.4740116506432744
7 8 AH <eps> 0
8 1 <eps> <eps> 0.6931471805599453
8 2 SIL <eps> 0.6931471805599453
1 9 T TO 0.342490308946776
2 9 T TO -0.371563556432483
9 10 UW <eps> 0
10 1 <eps> <eps> 0.5108256237659907
10 2 SIL <eps> 0.916290731874155
"""
END_COSTS = [0.27510329024492075, -0.21072103131565434]


@pytest.fixture
def counted(tmp_path):
    """dict, lang and ali, where ali has the counts."""
    (tmp_path / "dict").mkdir()
    (tmp_path / "ali").mkdir()
    for name, text in DICT.items():
        (tmp_path / "dict" / name).write_text(text)
    assert main(["prepare-lang", str(tmp_path / "dict"), "<UNK>", str(tmp_path / "tmp"), str(tmp_path / "lang")]) == 0
    write_prons(tmp_path, SENTENCES)
    assert main(["count-prons", str(tmp_path / "lang"), str(tmp_path / "ali")]) == 0
    return tmp_path


def write_prons(directory, sentences):
    words, phones = (SymbolTable.read(directory / "lang" / name) for name in ("words.txt", "phones.txt"))
    with gzip.open(directory / "ali" / "prons.1.gz", "wt") as file:
        for utterance, sentence in sentences.items():
            for place, spoken in enumerate(sentence.split(";")):
                word, *pron = spoken.split()
                ids = " ".join(str(phones.id(phone)) for phone in pron)
                file.write(f"{utterance} {10 * place} 10 {words.id(word)} {ids}\n")


def add(directory, *files, options=()):
    files = [str(directory / "ali" / name) for name in files]
    return main(["add-pron-probs", *options, str(directory / "dict"), *files, str(directory / "dictp")])


ALL_COUNTS = ("pron_counts_nowb.txt", "sil_counts_nowb.txt", "pron_bigram_counts_nowb.txt")


def test_counts_are_kaldis(counted):
    for name, text in COUNTS.items():
        assert (counted / "ali" / name).read_text() == text, name
    assert (counted / "ali" / "pron_counts.int").read_text().startswith("9 0 1\n6 2 14\n")
    line = (counted / "ali" / "pron_perutt_nowb.txt").read_text().splitlines()[1]
    assert line == "u2\t<s>\t<eps> SIL\tTO T UW\tTO T AH\tA EY\t</s>"


def test_dictionary_is_kaldis(counted):
    assert add(counted, *ALL_COUNTS) == 0
    for name, text in WITH_PROBS.items():
        assert (counted / "dictp" / name).read_text() == text, name
    assert (counted / "dictp" / "silence_phones.txt").read_text() == DICT["silence_phones.txt"]
    assert add(counted, ALL_COUNTS[0], options=("--max-normalize", "false")) == 0
    assert (counted / "dictp" / "lexiconp.txt").read_text() == NOT_NORMALIZED
    assert not (counted / "dictp" / "lexiconp_silprob.txt").exists()  # it would not fit any more


def test_lexicon_fst_is_kaldis(counted):
    assert add(counted, *ALL_COUNTS) == 0
    lang = counted / "langp"
    arguments = ["--position-dependent-phones", "false", str(counted / "dictp"), "<UNK>", str(counted / "tmp"), str(lang)]
    assert main(["prepare-lang", *arguments]) == 0 and main(["validate-lang", str(lang)]) == 0
    words, phones = (SymbolTable.read(lang / name) for name in ("words.txt", "phones.txt"))
    expected = {}
    for line in L_FST.splitlines():
        source, target, phone, word, cost = line.split()
        expected[int(source), phones.id(phone), words.id(word), int(target)] = np.float32(cost)
    assert arcs_of(lang / "L.fst", END_COSTS) == expected
    # with marks: #2 where there is no silence, #1 after "T" (and a state more), #0 wherever a word may come next
    marked = arcs_of(lang / "L_disambig.fst", END_COSTS)
    into_none = [arc for arc in marked if arc[3] == 1 and arc[0] != 1]
    assert {arc[1] for arc in into_none} == {phones.id("#2")} and len(into_none) == 7
    assert sorted(arc for arc in marked if arc[2] == words.id("#0")) == [(k, phones.id("#0"), words.id("#0"), k) for k in (1, 2)]
    assert len(marked) == len(expected) + 1 + 2
    assert sum(marked.values()) == pytest.approx(sum(expected.values()), rel=1e-5)
    disambiguated = (counted / "tmp" / "lexiconp_silprob_disambig.txt").read_text().splitlines()
    assert disambiguated[3:5] == ["TO\t0.5\t0.67\t0.84\t1.15\tT #1", "TO\t0.75\t0.50\t0.83\t1.11\tT AH"]
    assert (counted / "tmp" / "lexiconp.txt").read_text().splitlines()[4] == "TO\t0.75\tT\tAH\t"


def arcs_of(path, end_costs):
    """(state, phone, word, next state) -> cost."""
    graph = CsrGraph.from_fst_file(path)
    np.testing.assert_array_equal(graph.final_cost[1:3], np.array(end_costs, np.float32))
    assert np.isinf(np.delete(graph.final_cost, [1, 2])).all()
    columns = (graph.arc_source, graph.arc_ilabel, graph.arc_olabel, graph.arc_nextstate)
    return dict(zip(zip(*(column.tolist() for column in columns)), graph.arc_cost))


BAD_COUNTS = [
    ("pron_counts_nowb.txt", "3 TO T_B UW_E\n", "line 1: 'TO T_B UW_E' is not in the lexicon"),
    ("pron_counts_nowb.txt", "TO T UW\n", "line 1: expected 'count word phones...'"),
    ("sil_counts_nowb.txt", "1 2 3 TO T UW\n", "line 1: expected four counts"),
    ("sil_counts_nowb.txt", "0 0 1 1 <s>\n", "sil_counts_nowb.txt: no counts"),
    ("pron_bigram_counts_nowb.txt", "1 A AH A EY\n", "line 1: expected 'count<tab>"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_COUNTS)
def test_bad_counts(counted, name, text, message, capsys):
    (counted / "ali" / name).write_text(text)
    assert add(counted, *ALL_COUNTS) == 1
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1] and name in error.splitlines()[-1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("u1 0 10\n", "line 1: expected 'utterance first-frame frames word phone...'"),
        ("u1 0 10 99 1\n", "no symbol with id 99"),
        ("u1 0 9 2 14\nu2 0 9 2 14\nu1 9 9 2 14\n", "line 3: u1: its lines do not follow one another"),
    ],
)
def test_bad_prons(counted, line, message, capsys):
    with gzip.open(counted / "ali" / "prons.1.gz", "wt") as file:
        file.write(line)
    assert main(["count-prons", str(counted / "lang"), str(counted / "ali")]) == 1
    assert message in capsys.readouterr().err.splitlines()[-1]


BAD_SILENCE = [
    ("silprob.txt", None, "silprob.txt: no such file"),
    ("silprob.txt", "<s> 0.5\n", "silprob.txt: no line for </s>_s"),
    ("silprob.txt", "<s> 0\n", "silprob.txt: line 1: expected one of"),
    ("silprob.txt", "<s> 1.0\n</s>_s 1\n</s>_n 1\noverall 0.5\n", "must be below 1"),
    ("lexiconp_silprob.txt", "<UNK> 1 1.0 1 1 SPN\n", "word '<UNK>': expected a probability of silence in (0, 1), found '1.0'"),
    ("lexiconp_silprob.txt", "<UNK> 1 0.5 1 -1 SPN\n", "expected a factor above 0, found '-1'"),
    ("lexiconp_silprob.txt", "<UNK> 1 SPN\n", "expected a probability of silence and two factors"),
    ("lexiconp_silprob.txt", "<UNK> 1 0.5 1 1 SPN\nA 1 0.5 1 1 AH\n", "differs from"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_SILENCE)
def test_bad_silence_probabilities(counted, name, text, message, capsys):
    assert add(counted, *ALL_COUNTS) == 0
    path = counted / "dictp" / name
    path.unlink()
    if text is not None:
        path.write_text(text)
    capsys.readouterr()
    assert main(["prepare-lang", str(counted / "dictp"), "<UNK>", str(counted / "tmp"), str(counted / "langp")]) == 1
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
