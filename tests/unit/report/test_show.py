"""`asrtool show`: its text against what Kaldi's programs and OpenFst print, and what is said of files of all kinds."""

import gzip

import kaldifst
import numpy as np
import pytest

from asrtool import cli
from asrtool.fst.csr import CsrGraph
from asrtool.io.alignment import write_alignments
from asrtool.io.audio import write_wav
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.io.symbols import SymbolTable
from asrtool.report.show_counts import count_ids, count_lines
from asrtool.report.show_graph import arc_lines, graph_lines
from asrtool.report.show_tree import parse_query, tree_drawing
from asrtool.tree.context_dependency import ContextDependency
from asrtool.tree.event_map import ConstantEventMap, SplitEventMap, TableEventMap


@pytest.fixture
def show(capsys):
    """Runs `asrtool show ...`, which must succeed, and gives what it printed."""

    def run(*arguments) -> str:
        capsys.readouterr()
        assert cli.main(["show", *map(str, arguments)]) == 0
        return capsys.readouterr().out

    return run


def text_of(path) -> str:
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
        return file.read()


def test_text_is_kaldis_byte_for_byte(show, kaldi_reference):
    gmm, phones = kaldi_reference / "gmm", kaldi_reference / "lang" / "phones.txt"
    assert show("show-transitions", phones, gmm / "mono" / "final.mdl") == text_of(gmm / "mono" / "show_transitions.txt.gz")
    assert show("copy-tree", gmm / "tri1" / "tree") == text_of(gmm / "tri1" / "tree.txt")
    assert show("gmm-copy", gmm / "mono" / "final.mdl") == text_of(gmm / "mono" / "final.mdl.txt.gz")
    alignments = gmm / "tri3b_ali" / "ali_first300.text.gz"
    expected = text_of(alignments)
    assert show("copy-int-vector", gmm / "tri3b_ali").startswith(expected)


def test_other_verbs_print_what_kaldi_wrote(show, kaldi_reference):
    ali = kaldi_reference / "gmm" / "tri3b_ali"
    text, model = ali / "ali_first300.text.gz", ali / "final.mdl"
    words = [line.split() for line in show("ali-to-pdf", model, text).splitlines()]
    assert words == [line.split() for line in text_of(ali / "pdf_first300.text.gz").splitlines()]
    words = [line.split() for line in show("ali-to-phones", "--write-lengths", "true", model, text).splitlines()]
    assert words == [line.split() for line in text_of(ali / "phones_first300.text.gz").splitlines()]


def test_chain_model_with_two_pdfs_a_state(show, kaldi_reference):
    directory = kaldi_reference / "gmm" / "chain_tree"
    lines = show("transitions", directory / "phones.txt", directory / "final.mdl").splitlines()
    assert lines[:3] == [
        "Transition-state 1: phone = SIL hmm-state = 0 forward-pdf = 0 self-loop-pdf = 101",
        " Transition-id = 1 p = 0.5 [self-loop]",
        " Transition-id = 2 p = 0.5 [0 -> 1]",
    ]
    assert sum("Transition-id" in line for line in lines) == 1824


def test_counts_beside_transitions(show, kaldi_reference):
    directory = kaldi_reference / "gmm" / "mono"
    lines = show("transitions", directory / "phones.txt", directory / "final.mdl", directory / "final.occs").splitlines()
    assert lines[1] == " Transition-id = 1 p = 0.918722 count of pdf = 86883 [self-loop]"


def test_model_numbers(show, kaldi_reference):
    model = kaldi_reference / "gmm" / "tri3b" / "final.mdl"
    expected = "number of phones 166\nnumber of pdfs 1480\nnumber of transition-ids 10478\nnumber of transition-states 5199\n"
    assert show("am-info", model) == expected
    assert show("gmm-info", model) == show(model) == expected + "feature dimension 40\nnumber of gaussians 12025\n"


def test_alignment_in_two_lines(show, kaldi_reference):
    """The phones' names stand under their groups; the ids are those of the file."""
    ali = kaldi_reference / "gmm" / "tri3b_ali"
    upper, lower, empty = show("alignments", ali / "phones.txt", ali / "final.mdl", ali, "0001-000010035").split("\n")[:3]
    assert empty == "" and len(upper) == len(lower)
    line = next(line for line in text_of(ali / "ali_first300.text.gz").splitlines() if line.startswith("0001-000010035"))
    assert [word for word in upper.split() if word not in "[]"] == line.split()
    symbols = SymbolTable.read(ali / "phones.txt")
    phones = next(line for line in text_of(ali / "phones_first300.text.gz").splitlines() if line.startswith("0001-000010035"))
    names = [symbols.symbol(int(pair.split()[0])) for pair in phones.partition(" ")[2].split(";")]
    assert lower.split() == ["0001-000010035", *names]
    assert all(upper[lower.index(f" {name} ") + 1] == "[" for name in names)


FILES = {
    "gmm/tri1/tree": "num-pdfs 1032",
    "gmm/mono/tree.txt": "num-pdfs 127",
    "gmm/tri1/final.mdl.txt.gz": "number of gaussians 10",
    "gmm/tri1/final.occs": " [ 82069 ",
    "gmm/tri2b/final.mat": "dimension 91",
    "gmm/tri3b_ali": "alignments 2100\nframes 853242 (157 to 2039)",
    "gmm/chain_tree/pdf_first100.text.gz": "alignments 100",
    "lang/topo": "<Topology> ",
    "lang/G.fst": "# of states",
    "lattice/loglikes.ark": "frames 2763",
    "lattice/raw_lat.gz": "state 233 ",
    "lattice/compact_lat.text.gz": "word 233 ",
    "lattice/post.txt.gz": "weight a frame 1\n",
    "feats/fbank28_compressed2.ark": "dimension 28",
    "feats/mfcc13.txt.gz": "frames 2450 (326 to 790)",
    "nnet1/lstmp.nnet": "component 1 : <LstmProjected>, input-dim 40, output-dim 24",
    "nnet1/dnn.nnet.txt": "component 2 : <Sigmoid>",
    "wav/0104-001040022.wav": "3.28 s, 16000 Hz, 1 channels, 16 bit PCM",
}


@pytest.mark.parametrize("name", FILES)
def test_the_display_is_chosen_by_the_content(show, kaldi_reference, name):
    assert FILES[name] in show(kaldi_reference / name)


SMALL = CsrGraph.from_arcs(
    1, [0, 0, 1, 1, 2, 3], [1, 1, 0, 2, 0, 1], [1, 0, 0, 2, 3, 1], [0, 1, 0, 2, 1, 3], [0, 0.5, 0, 1, 0, 0],
    [np.inf, 0.25, np.inf, np.inf, np.inf],
)  # fmt: skip


def test_graph_numbers_by_hand():
    values = {line[:50].strip(): line[50:] for line in graph_lines(SMALL)}
    assert values == {
        "# of states": "5", "# of arcs": "6", "initial state": "1", "# of final states": "1",
        "# of input/output epsilons": "1", "# of input epsilons": "2", "# of output epsilons": "2",
        "# of accessible states": "3", "# of coaccessible states": "3", "# of connected states": "3",
        "# of connected components": "3", "# of strongly conn components": "3",
        "largest input label": "2", "largest output label": "3", "acceptor": "n", "input deterministic": "n",
        "input label sorted": "y", "output label sorted": "n", "weighted": "y", "cyclic": "y",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["L_disambig.fst", "L.fst", "G.fst", "small"])
def test_graph_lines_are_openfsts(kaldi_reference, tmp_path, capfd, name):
    """Name, width and value of each line that fstinfo prints, too."""
    path = kaldi_reference / "lang" / name
    if name == "small":
        path = tmp_path / "small.fst"
        SMALL.write_fst_file(path, "vector")
    capfd.readouterr()
    kaldifst.info(kaldifst.StdVectorFst.read(str(path)), info_type="long", test_properties=True)
    theirs = {line[:50]: line for line in capfd.readouterr().out.splitlines()}
    ours = [line for line in graph_lines(CsrGraph.from_fst_file(path)) if not line.startswith("largest")]
    assert ours == [theirs[line[:50]] for line in ours] and len(ours) == 18


def test_empty_graph():
    empty = CsrGraph.from_arcs(-1, [], [], [], [], [], [])
    assert [line.split()[-1] for line in graph_lines(empty)][:3] == ["0", "0", "-1"] and not list(arc_lines(empty))


def test_arcs_are_openfsts(kaldi_reference, tmp_path):
    path = kaldi_reference / "lang" / "L_disambig.fst"
    printed = [line.split("\t") for line in arc_lines(CsrGraph.from_fst_file(path))]
    expected = [line.split() for line in kaldifst.StdVectorFst.read(str(path)).to_str().splitlines()]
    assert len(printed) == len(expected)
    for ours, theirs in zip(printed, expected):
        width = 4 if len(theirs) >= 4 else 1
        assert ours[:width] == theirs[:width]
        assert float((*ours, 0)[width]) == pytest.approx(float((*theirs, 0)[width]), abs=1e-6)


def test_arcs_with_names():
    words = SymbolTable.from_symbols(["<eps>", "a", "b", "c"])
    assert list(arc_lines(SMALL, words, words))[:4] == ["1\t0\t<eps>\t<eps>", "1\t2\tb\tb\t1", "1\t0.25", "0\t0\ta\ta"]


@pytest.fixture
def small_tree():
    """Three phones of context; asks about the right one, then the pdf class."""
    table = TableEventMap(-1, (ConstantEventMap(0), None, ConstantEventMap(1)))
    return ContextDependency(3, 1, SplitEventMap(2, (1, 3), table, ConstantEventMap(2)))


def test_drawing_with_a_query(small_tree):
    phones = SymbolTable.from_symbols(["<eps>", "a", "b:", "c"])
    query = parse_query("2/<eps>/b:/c", small_tree, phones)
    assert list(tree_drawing(small_tree, phones, query)) == [
        "digraph EventMap {",
        '0[label="RContext = ?", color=red, penwidth=3];',
        '\t0 -> 1 [label="a, c", color=red, penwidth=3];',
        '1[label="PdfClass = ?", color=red, penwidth=3];',
        "\t1 -> 2 [label=0, color=black, penwidth=1];",
        "2[shape=doublecircle, label=0,color=black, penwidth=1];",
        "\t1 -> 3 [label=2, color=red, penwidth=3];",
        "3[shape=doublecircle, label=1,color=red, penwidth=3];",
        "\t0 -> 4 [label=NO, color=black, penwidth=1];",
        "4[shape=doublecircle, label=2,color=black, penwidth=1];",
        "}",
    ]


def test_drawing_has_every_leaf(show, kaldi_reference):
    tri1 = kaldi_reference / "gmm" / "tri1"
    text = show("draw-tree", "--use-tooltips", "true", tri1 / "phones.txt", tri1 / "tree")
    assert text.count("doublecircle") == text_of(tri1 / "tree.txt").count("CE ")
    assert text.count("->") == text.count("[label=\"") + text.count("doublecircle") - 1 and "red" not in text  # fmt: skip


def test_counts(show, tmp_path):
    write_alignments(tmp_path / "pdf.ark", {"u1": [0, 2, 2], "u2": [2, 1, 0]})
    assert show("analyze-counts", "--counts-dim", 4, tmp_path / "pdf.ark").splitlines() == [
        "0 id 3 count 0 share 0.000000", "1 id 1 count 1 share 0.166667", "2 id 0 count 2 share 0.333333",
        "3 id 2 count 3 share 0.500000", "total 6, ids 4, never seen 1: 3",
    ]  # fmt: skip
    assert list(count_lines(count_ids([]))) == ["total 0, ids 0, never seen 0"]


def test_counts_are_those_that_kaldi_wrote(kaldi_reference):
    """ali_train_pdf.counts holds half a frame more for each pdf."""
    from asrtool.hmm.transition_model import TransitionModel
    from asrtool.io.alignment import read_alignments
    from asrtool.io.kaldi_binary import KaldiReader

    ali = kaldi_reference / "gmm" / "tri3b_ali"
    model = TransitionModel.read_file(ali / "final.mdl")
    pdfs = ((utterance, model.tid_to_pdf[ids]) for utterance, ids in read_alignments(ali).items())
    expected = KaldiReader.open(ali / "ali_train_pdf.counts").read_float_vector()
    np.testing.assert_array_equal(count_ids(pdfs, model.num_pdfs) + 0.5, expected)


def test_features_with_something_wrong(show, tmp_path):
    with MatrixWriter(tmp_path / "f.ark", tmp_path / "f.scp") as writer:
        writer.write("u1", np.array([[1, 2], [3, np.nan]], np.float32))
        writer.write("u2", np.zeros((0, 0), np.float32))
        writer.write("u3", np.full((1, 3), 4, np.float32))
    assert show(tmp_path / "f.scp").splitlines() == [
        "matrices 3", "frames 3 (0 to 2)", "dimension 2 (1) 3 (1)", "range 1 to 4, mean 3",
        "with NaN or infinity 1: u1", "without frames 1: u2",
    ]  # fmt: skip
    assert show("feat-to-dim", tmp_path / "f.scp") == "2\n"
    assert show("feat-to-len", tmp_path / "f.scp") == "u1 2\nu2 0\nu3 1\n"
    assert show("copy-feats", tmp_path / "f.ark", "u3") == "u3  [\n  4 4 4 ]\n"


def test_recordings(show, data_dir, tmp_path, capsys):
    assert cli.main(["show", str(data_dir / "wav.scp")]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "s1-u1 0.3 s, 16000 Hz, 1 channels, 16 bit PCM" and len(out.splitlines()) == 9
    assert err == "0.001 hours\n"
    write_wav(tmp_path / "a.wav", np.zeros(800), 8000)
    (tmp_path / "wav.scp").write_text(f"r1 cat {tmp_path}/a.wav |\n")
    assert show("wav-info", tmp_path / "wav.scp") == "r1 0.1 s, 8000 Hz\n"


NOT_KNOWN = "not a kind of file that is known here; name what to show: asrtool show --help lists it"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nothing"], "'nothing' is neither a file nor something to show; asrtool show --help lists what there is"),
        (["{tmp}/note.txt"], "{tmp}/note.txt: " + NOT_KNOWN),
        (["{tmp}"], "{tmp}: a directory without lat.*.gz and ali.*.gz; name a file in it"),
        (["{tmp}/empty"], "{tmp}/empty: " + NOT_KNOWN),
        (["copy-int-vector", "{tmp}/ali", "u9"], "{tmp}/ali: u9: not in it"),
        (["analyze-counts", "--counts-dim=2", "{tmp}/ali"], "u1: id 3 is not in 0 to 1: alignments of another kind"),
        (["tree-info", "{tmp}/ali"], "{tmp}/ali: expected ContextDependency, found 'u1' (at byte 0)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(tmp_path, capsys, arguments, message):
    (tmp_path / "note.txt").write_text("this is a note\n")
    (tmp_path / "empty").write_text("")
    (tmp_path / "ali").write_text("u1 1 3\n")
    assert cli.main(["show", *(word.format(tmp=tmp_path) for word in arguments)]) == 1
    assert capsys.readouterr().err == f"asrtool show: ERROR: {message.format(tmp=tmp_path)}\n"


def test_without_arguments_it_lists_what_there_is(capsys):
    assert cli.main(["show"]) == 1
    listed = capsys.readouterr().out
    assert cli.main(["show", "--help"]) == 0
    assert capsys.readouterr().out == listed and "\n  show-transitions " in listed and "\n  lattice-copy " in listed
