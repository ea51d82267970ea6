"""prepare-lang on small dictionaries: options, disambiguation, and dictionaries that do not fit."""

import math

import pytest

from asrtool.cli import main
from asrtool.fst.csr import CsrGraph
from asrtool.io.symbols import SymbolTable
from asrtool.lang.dictionary import Dictionary, Pronunciation
from asrtool.lang.phones import PhoneVariants, add_disambiguation, topology_text

FILES = {
    "silence_phones.txt": "SIL\nSPN\n",
    "optional_silence.txt": "SIL\n",
    "nonsilence_phones.txt": "b\na1 a2\n",
    "extra_questions.txt": "SIL SPN\na1\n",
    "lexicon.txt": "<UNK> SPN\n吧 b a1\n爸 b a2\n啊 a1\n八 b a1\n八把 b a1 b a2\n",
}


@pytest.fixture
def dict_dir(tmp_path):
    directory = tmp_path / "dict"
    directory.mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text)
    return directory


def prepare(dict_dir, *options, oov="<UNK>"):
    lang = dict_dir.parent / "lang"
    return main(["prepare-lang", *options, str(dict_dir), oov, str(dict_dir.parent / "tmp"), str(lang)]), lang


def symbols(path):
    return path.read_text().split()[::2]


def test_without_positions(dict_dir, capsys):
    code, lang = prepare(dict_dir, "--position-dependent-phones", "false")
    assert code == 0
    assert symbols(lang / "phones.txt") == ["<eps>", "SIL", "SPN", "b", "a1", "a2", "#0", "#1", "#2", "#3"]
    # code points in order, as the C locale sorts the UTF-8 bytes
    assert symbols(lang / "words.txt") == [
        "<eps>",
        "<UNK>",
        "八",
        "八把",
        "吧",
        "啊",
        "爸",
        "#0",
        "<s>",
        "</s>",
    ]
    assert (
        lang / "phones" / "roots.txt"
    ).read_text() == "shared split SIL\nshared split SPN\nshared split b\nshared split a1 a2\n"
    assert (lang / "phones" / "extra_questions.int").read_text() == "1 2\n4\n"
    assert not (lang / "phones" / "word_boundary.txt").exists()
    assert "<eps> <eps> SIL\n" in (lang / "phones" / "align_lexicon.txt").read_text()
    assert (dict_dir.parent / "tmp" / "lexiconp_disambig.txt").read_text().split("\n")[1] == "吧\t1.0\tb a1 #1"
    assert main(["validate-lang", str(lang)]) == 0
    assert "5 phones, 10 word symbols" in capsys.readouterr().out


def test_share_silence_phones_and_states(dict_dir):
    code, lang = prepare(dict_dir, "--share-silence-phones", "true", "--num-sil-states", "3", "--num-nonsil-states", "1")
    assert code == 0
    roots = (lang / "phones" / "roots.txt").read_text().splitlines()
    assert roots[0] == "not-shared not-split SIL SIL_B SIL_E SIL_I SIL_S SPN SPN_B SPN_E SPN_I SPN_S" and len(roots) == 3
    assert "<State> 1 <PdfClass> 1 <Transition> 1 0.5 <Transition> 2 0.5 </State>" in (lang / "topo").read_text()
    assert (
        "<State> 0 <PdfClass> 0 <Transition> 0 0.75 <Transition> 1 0.25 </State>\n<State> 1 </State>"
        in (lang / "topo").read_text()
    )


def test_thirds_are_written_as_perl_does():
    assert "<Transition> 0 0.333333333333333 <Transition> 1" in topology_text([2], [1], 3, 4)


def test_without_silence_each_word_is_a_loop(dict_dir):
    code, lang = prepare(dict_dir, "--sil-prob", "0", "--position-dependent-phones", "false")
    graph = CsrGraph.from_fst_file(lang / "L.fst")
    assert code == 0 and graph.start == 0 and graph.final_cost[0] == 0
    assert graph.num_arcs == sum(len(line.split()) - 1 for line in FILES["lexicon.txt"].splitlines())
    disambig = CsrGraph.from_fst_file(lang / "L_disambig.fst")
    phones, words = (SymbolTable.read(lang / name) for name in ("phones.txt", "words.txt"))
    loops = [(int(i), int(o)) for i, o in zip(disambig.arc_ilabel, disambig.arc_olabel) if o == words.id("#0")]
    assert loops == [(phones.id("#0"), words.id("#0"))]


def test_probabilities_are_costs(dict_dir):
    (dict_dir / "lexicon.txt").unlink()
    (dict_dir / "lexiconp.txt").write_text("<UNK> 1.0 SPN\n啊 0.25 a1\n啊 1.0 a2\n")
    code, lang = prepare(dict_dir, "--sil-prob", "0.2")
    graph = CsrGraph.from_fst_file(lang / "L.fst")
    phones = SymbolTable.read(lang / "phones.txt")
    costs = sorted(float(cost) for cost, label in zip(graph.arc_cost, graph.arc_ilabel) if label == phones.id("a1_S"))
    assert code == 0 and costs == pytest.approx([-math.log(0.25 * 0.8), -math.log(0.25 * 0.2)])


def test_disambiguation():
    entries = [Pronunciation(word, "1.0", tuple(phones)) for word, phones in (("A", "x"), ("B", "xy"), ("C", "x"), ("D", "y"))]
    marked, highest = add_disambiguation(entries)
    assert [entry.phones for entry in marked] == [("x", "#1"), ("x", "y"), ("x", "#2"), ("y",)] and highest == 2


def test_positions(dict_dir):
    variants = PhoneVariants(Dictionary.load(dict_dir), position_dependent=True)
    assert variants.mark(("b", "a1", "b")) == ("b_B", "a1_I", "b_E") and variants.mark(("b",)) == ("b_S",)
    assert variants.expand(["SIL"])[0] == "SIL" and variants.expand(["b"]) == ["b_B", "b_E", "b_I", "b_S"]


BAD_DICTS = [
    ("lexicon.txt", "<UNK> SPN\n吧 b a9\n", "lexicon.txt: line 2: word '吧': phone 'a9' is in neither silence_phones.txt nor"),
    ("lexicon.txt", "<UNK> SPN\n吧\n", "lexicon.txt: line 2: word '吧': empty pronunciation"),
    ("lexicon.txt", "<UNK> SPN\n吧 b\n吧  b\n", "lexicon.txt: line 3: word '吧': the same entry stands at line 2"),
    ("lexicon.txt", "吧 b a1\n", "has no entry for the out-of-vocabulary word '<UNK>'"),
    ("lexicon.txt", "<UNK> SPN\n<s> b\n", "lexicon.txt: line 2: the word '<s>' is reserved"),
    ("lexicon.txt", "", "lexicon.txt: no entries"),
    ("lexicon.txt", "<UNK> SPN\n\n吧 b\n", "lexicon.txt: line 2: blank line"),
    ("lexicon.txt", "<UNK> SPN\r\n", "lexicon.txt: line 1: carriage return"),
    (
        "lexiconp.txt",
        "<UNK> 1.0 SPN\n吧 1.5 b a1\n",
        "lexiconp.txt: line 2: word '吧': expected a probability in (0, 1]",
    ),
    ("lexiconp.txt", "<UNK> SPN\n", "lexiconp.txt: line 1: word '<UNK>': expected a probability in (0, 1], found 'SPN'"),
    ("lexiconp.txt", "<UNK> 1.0 SPN\n吧 1.0 b a2\n", "lexicon.txt: line 2: differs from"),
    ("lexiconp.txt", "<UNK> 1.0 SPN\n吧 1.0 b a1\n", "lexicon.txt: 6 entries"),
    (
        "nonsilence_phones.txt",
        "b\na1 a2 b\n",
        "line 2: phone 'b' occurs before (nonsilence_phones.txt, line 1)",
    ),
    (
        "nonsilence_phones.txt",
        "b\nSIL\n",
        "line 2: phone 'SIL' occurs before (silence_phones.txt, line 1)",
    ),
    ("nonsilence_phones.txt", "a_B\n", "nonsilence_phones.txt: line 1: phone 'a_B': names"),
    ("optional_silence.txt", "SIL\nSPN\n", "optional_silence.txt: expected one phone, found 2"),
    ("optional_silence.txt", "b\n", "optional_silence.txt: phone 'b' is not in silence_phones.txt"),
    ("optional_silence.txt", None, "optional_silence.txt: no such file"),
    ("lexicon.txt", None, "neither lexicon.txt nor lexiconp.txt"),
    ("extra_questions.txt", "a1 x\n", "extra_questions.txt: line 1: phone 'x' is in neither"),
    ("silence_phones.txt", "", "silence_phones.txt: no phones"),
]


@pytest.mark.parametrize(("name", "text", "message"), BAD_DICTS)
def test_bad_dictionary(dict_dir, name, text, message, capsys):
    (dict_dir / name).unlink(missing_ok=True)
    if text is not None:
        (dict_dir / name).write_text(text, newline="")
    code, lang = prepare(dict_dir)
    error = capsys.readouterr().err
    assert code == 1 and message in error and error.count("\n") == 1 and str(dict_dir) in error
    assert not (lang / "L.fst").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--sil-prob", "1.0", "expected 0 <= sil-prob < 1"),
        ("--num-sil-states", "2", "3 to 100"),
        ("--num-nonsil-states", "0", "1 to 100"),
    ],
)
def test_bad_options(dict_dir, option, value, message, capsys):
    assert prepare(dict_dir, option, value)[0] == 1
    assert message in capsys.readouterr().err
