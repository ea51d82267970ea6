"""Every file that Kaldi wrote reads, and is written again as Kaldi's copying programs would write it.

Text is compared byte for byte, where seven digits say which float32 is meant; binary files byte for byte where they are not
compressed, FSTs but for the property bits of the header; compressed ones and audio by value.
"""

import fnmatch
import functools
import gzip
from pathlib import Path

import numpy as np
import pytest

from asrtool.fst.csr import CsrGraph
from asrtool.gmm.feature_options import parse_feature_options
from asrtool.gmm.model import read_model, write_model
from asrtool.hmm.topology import HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import alignment_files, read_alignments, write_alignments, write_text_ints
from asrtool.io.audio import read_wav_and_rate, write_wav
from asrtool.io.ctm import read_ctm, write_ctm
from asrtool.io.kaldi_binary import KaldiReader, KaldiWriter
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter, read_matrix_file, read_scp, write_matrix_file
from asrtool.io.symbols import SymbolTable
from asrtool.lang.dictionary import Dictionary
from asrtool.lang.validate import validate_lang
from asrtool.lattice.archive import read_lattices, write_lattices
from asrtool.lattice.posterior_archive import read_posteriors, write_posteriors
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.nnet.nnet1 import read_nnet, write_nnet
from asrtool.tree.context_dependency import ContextDependency

FST_HEADER = 66  # bytes of a header of type const or vector, with the property bits, which we leave unknown
ARRAYS = ("arc_begin", "arc_ilabel", "arc_olabel", "arc_nextstate", "arc_cost", "final_cost")


def content(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if path.name.endswith(".gz") else data


@functools.cache
def checked(function, path: Path):
    """One reading of a directory for all of its files."""
    return function(path)


def assert_same_text(written: Path, expected: bytes) -> None:
    """The same bytes, but for decimals that stand for the same float32: those of seven digits are not always told apart."""
    found = content(written)
    if found == expected:
        return
    ours, theirs = found.split(b" "), expected.split(b" ")
    differ = [(one, two) for one, two in zip(ours, theirs, strict=True) if one != two]
    assert len(differ) < 1e-3 * len(ours) and all(np.float32(one) == np.float32(two) for one, two in differ), differ[:5]


def matrices(path, out):
    table = MatrixReader(f"ark:{path}", dtype=np.float64 if "cmvn_per_utt" in path.name else np.float32)
    with MatrixWriter(out, text=".txt" in path.name) as writer:
        for name, matrix in table.items():
            writer.write(name, matrix)
    if ".txt" in path.name:
        assert_same_text(out, content(path))
    elif "compressed" not in path.name:
        assert out.read_bytes() == path.read_bytes()
    else:
        for name, matrix in MatrixReader(f"ark:{out}").items():
            np.testing.assert_array_equal(matrix, table[name])


def one_matrix(path, out):
    write_matrix_file(out, read_matrix_file(path))
    assert out.read_bytes() == path.read_bytes()


def one_vector(path, out):
    with KaldiReader.open(path) as reader, KaldiWriter.open(out, reader.binary) as writer:
        writer.write_float_vector(reader.read_float_vector())
    assert out.read_bytes() == path.read_bytes()


def alignments(path, out):
    is_text = ".text" in path.name or path.suffix in (".txt", ".int")
    (write_text_ints if is_text else write_alignments)(out, read_alignments(path))
    assert out.read_bytes() == content(path)


def phones_with_lengths(path, out):
    """What ali-to-phones --write-lengths=true printed is what these alignments say."""
    folder = path.parent
    model, of = TransitionModel.read_file(folder / "final.mdl"), read_alignments(folder)
    for line in content(path).decode().splitlines():
        utterance = line.split()[0]
        pairs = " ; ".join(f"{phone} {length}" for phone, length in model.alignment_to_phones(of[utterance]))
        assert line.rstrip() == f"{utterance} {pairs}"


def gmm_model(path, out):
    binary = path.name.endswith(".mdl")
    write_model(out, *read_model(path), binary=binary)
    if binary:
        assert out.read_bytes() == path.read_bytes()
    else:
        assert_same_text(out, content(path))
        write_model(out, *read_model(path.parent / "final.mdl"), binary=False)  # what gmm-copy --binary=false did
        assert out.read_bytes() == content(path)


def transition_model(path, out):
    binary = path.name.endswith(".mdl")
    with KaldiWriter.open(out, binary) as writer:
        TransitionModel.read_file(path).write(writer)
    assert out.read_bytes() == content(path)[: out.stat().st_size]
    assert binary or out.stat().st_size == len(content(path))


def topology(path, out):
    """A script's layout; Kaldi's own stands at the head of the models."""
    with KaldiWriter.open(out, binary=False) as writer:
        HmmTopology.read_file(path).write(writer)
    assert out.read_text().split() == path.read_text().split()


def tree(path, out):
    ContextDependency.read_file(path).write_file(out, binary=path.suffix != ".txt")
    assert out.read_bytes() == path.read_bytes()


def fst(path, out):
    graph, data = CsrGraph.from_fst_file(path), content(path)
    kind = "const" if b"const" in data[:16] else "vector"
    graph.write_fst_file(out, kind)
    assert out.read_bytes()[FST_HEADER:] == data[FST_HEADER:]
    again = CsrGraph.from_fst_file(out)
    assert again.start == graph.start and all(np.array_equal(getattr(again, name), getattr(graph, name)) for name in ARRAYS)


def lattices(path, out):
    text = ".text" in path.name
    items = list(read_lattices(path))
    write_lattices(out, items, binary=not text)
    if "raw" in path.name:
        assert out.read_bytes() == content(path)
        return
    for (name, before), (other, after) in zip(items, read_lattices(out), strict=True):
        assert name == other and vars(before).keys() == vars(after).keys()
        for field, value in vars(before).items():  # text has six digits of a cost
            same = np.allclose(value, vars(after)[field], rtol=1e-5) if text else np.array_equal(value, vars(after)[field])
            assert same, (name, field)


def posteriors(path, out):
    write_posteriors(out, read_posteriors(path), text=True)
    assert out.read_bytes() == content(path)


def ctm(path, out):
    write_ctm(out, read_ctm(path))
    assert out.read_bytes() == path.read_bytes()


def numbers(path, out):
    """A number an utterance."""
    out.write_text("".join(f"{name} {float(value):.7g} \n" for name, value in read_scp(path).items()))
    assert out.read_bytes() == path.read_bytes()


def symbols(path, out):
    SymbolTable.read(path).write(out)
    assert out.read_bytes() == path.read_bytes()


def arpa(path, out):
    model = read_arpa(path)
    write_arpa(out, model)
    again = read_arpa(out)
    assert again.vocabulary.words == model.vocabulary.words
    for name in ("keys", "log10_prob", "log10_backoff"):
        for one, two in zip(getattr(again, name), getattr(model, name), strict=True):
            np.testing.assert_allclose(one, two, rtol=5e-7, atol=0)  # seven digits


def network(path, out):
    write_nnet(out, read_nnet(path), binary=path.suffix == ".nnet")
    assert out.read_bytes() == path.read_bytes()


def wav(path, out):
    write_wav(str(out), *read_wav_and_rate(str(path)))
    assert out.read_bytes() == path.read_bytes()


def options(path, out):
    text = path.read_text()
    assert path.name == "splice_opts" or parse_feature_options(cmvn_opts=text) is not None
    assert text.split() == ([] if path.name == "cmvn_opts" else ["--left-context=3", "--right-context=3"])


def num_jobs(path, out):
    assert len(alignment_files(path.parent)) == int(path.read_text())


def lang(path, out):
    """Checked by the program that checks lang directories; test_lang_kaldi_files writes the same bytes from the dictionary."""
    assert "166 phones" in checked(validate_lang, path.parents[0] if path.parent.name == "lang" else path.parents[1])


def dictionary(path, out):
    found = checked(Dictionary.load, path.parent)
    if path.name in ("lexicon.txt", "lexiconp.txt"):
        entries = [[one.word, *([one.probability_text] if "p." in path.name else []), *one.phones] for one in found.entries]
        assert entries == [line.split() for line in path.read_text().splitlines()]


def words(path, out):
    """Lists and transcripts have no form to write again."""
    assert all(line.split() for line in content(path).decode("utf-8").splitlines())


HANDLERS = [
    ("feats/*", matrices),
    ("lattice/feats.ark", matrices),
    ("lattice/loglikes.ark", matrices),
    ("nnet1/feats.ark", matrices),
    ("nnet1/*.posteriors.txt.gz", matrices),
    ("nnet1/*.pre_softmax.txt.gz", matrices),
    ("gmm/*/final.mat", one_matrix),
    ("gmm/*/final.occs", one_vector),
    ("gmm/*/ali_train_pdf.counts", one_vector),
    ("gmm/*/ali.*.gz", alignments),
    ("gmm/*/ali_first*.text.gz", alignments),
    ("gmm/*/pdf_first*.text.gz", alignments),
    ("lattice/*ali.txt", alignments),
    ("lattice/*_words.int", alignments),
    ("gmm/*/phones_first*", phones_with_lengths),
    ("gmm/chain_tree/final.mdl", transition_model),
    ("gmm/*/transition_model.txt.gz", transition_model),
    ("gmm/*/final.mdl*", gmm_model),
    ("lattice/final.mdl", gmm_model),
    ("gmm/*/topo", topology),
    ("lang/topo", topology),
    ("*/tree", tree),
    ("gmm/*/tree.txt", tree),
    ("*.fst", fst),
    ("*.fst.gz", fst),
    ("lattice/raw_lat*", lattices),
    ("lattice/compact_lat*", lattices),
    ("lattice/*post*.txt.gz", posteriors),
    ("lattice/ctm_conf.int", ctm),
    ("lattice/depth.txt", numbers),
    ("lattice/nbest10_*cost.txt", numbers),
    ("*/phones.txt", symbols),
    ("*/words.txt", symbols),
    ("lang/*.arpa.gz", arpa),
    ("nnet1/*.nnet*", network),
    ("nnet1/*.feature_transform", network),
    ("wav/*.wav", wav),
    ("*_opts", options),
    ("gmm/*/num_jobs", num_jobs),
    ("lang/phones/*", lang),
    ("lang/oov.*", lang),
    ("lang/dict/*", dictionary),
    ("spk_*.txt", words),
    ("lattice/ref.txt", words),
    ("lattice/disambig_tid.int", words),
    ("lattice/silence.csl", words),
    ("*/show_transitions.txt.gz", words),  # a report: tests/numerics/test_hmm_kaldi_files.py writes it
    ("*.log", words),
    ("README.md", None),
]


def handler_of(name: str):
    return next((handler for pattern, handler in HANDLERS if fnmatch.fnmatch(name, pattern)), "no reader")


def test_there_is_a_reader_for_every_file(kaldi_reference):
    names = [str(path.relative_to(kaldi_reference)) for path in kaldi_reference.rglob("*") if path.is_file()]
    assert len(names) > 150 and [name for name in names if handler_of(name) == "no reader"] == []


@pytest.mark.parametrize("handler", dict.fromkeys(handler for _, handler in HANDLERS if handler), ids=lambda one: one.__name__)
def test_files_come_back_as_kaldi_wrote_them(kaldi_reference, tmp_path, handler):
    seen: set[Path] = set()
    for path in sorted(kaldi_reference.rglob("*")):
        if path.is_file() and handler_of(str(path.relative_to(kaldi_reference))) is handler:
            handler(path, tmp_path / "written")
            seen.add(path)
    assert seen
