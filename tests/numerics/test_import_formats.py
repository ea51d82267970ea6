"""Imports from pdf-ids and from phones with times, and what an import takes along, checked with alignments that Kaldi wrote."""

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, write_alignments, write_text_ints
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter
from asrtool.io.symbols import SymbolTable
from asrtool.io.textgrid import Interval, TextGrid, filled_tier, write_textgrid
from asrtool.loader.table import read_pdf_alignments
from asrtool.train.gmm_import import ImportOptions, import_alignment

NUMBER = 60


@pytest.fixture(scope="module")
def lang(kaldi_reference) -> Path:
    return kaldi_reference / "lang"


@pytest.fixture(scope="module")
def experiment(kaldi_reference, tmp_path_factory) -> Path:
    """tri3b_ali of the first utterances, with a frame's shift and transforms of the speakers."""
    source, target = kaldi_reference / "gmm" / "tri3b_ali", tmp_path_factory.mktemp("tri3b_ali")
    for name in ("final.mdl", "tree", "phones.txt", "cmvn_opts"):
        (target / name).write_bytes((source / name).read_bytes())
    for name in ("splice_opts", "final.mat"):
        (target / name).write_bytes((kaldi_reference / "gmm" / "tri3b" / name).read_bytes())
    found = read_alignments(source / "ali.1.gz")
    write_alignments(target / "ali.1.gz", {name: found[name] for name in sorted(found)[:NUMBER]})
    return target


@pytest.fixture(scope="module")
def model(experiment) -> TransitionModel:
    return TransitionModel.read_file(experiment / "final.mdl")


@pytest.fixture(scope="module")
def alignments(experiment) -> dict[str, np.ndarray]:
    return read_alignments(experiment)


def make_data(path: Path, lengths: dict[str, int], texts: dict[str, str] | None = None) -> Path:
    path.mkdir()
    (path / "utt2spk").write_text("".join(f"{name} {name.split('-')[0]}\n" for name in lengths))
    (path / "utt2num_frames").write_text("".join(f"{name} {length}\n" for name, length in lengths.items()))
    if texts:
        (path / "text").write_text("".join(f"{name} {text}\n" for name, text in texts.items()))
    return path


@pytest.fixture
def data(tmp_path, alignments) -> Path:
    return make_data(tmp_path / "data", {name: len(row) for name, row in alignments.items()})


@pytest.fixture(scope="module")
def intervals(lang, model, alignments) -> dict[str, list[Interval]]:
    """Utterance -> Kaldi's phones with times."""
    symbols, result = SymbolTable.read(lang / "phones.txt"), {}
    for name, row in alignments.items():
        phones, lengths = model.phone_segments(row)
        ends = lengths.cumsum()
        times = zip((ends - lengths) / 100, ends / 100, phones)
        result[name] = [Interval(start, end, symbols.symbol(phone)) for start, end, phone in times]
    return result


def words_of(phones: list[Interval]) -> list[Interval]:
    """Words, by the positions that the phones' names tell."""
    words, begin = [], 0.0
    for one in phones:
        begin = one.start_s if one.label.endswith(("_B", "_S")) else begin
        if one.label.endswith(("_E", "_S")):
            words.append(Interval(begin, one.end_s, f"word{len(words)}"))
    return words


def write_phone_ctm(path: Path, intervals: dict[str, list[Interval]], plain: bool) -> Path:
    """Silence is left out, as by many programs; `plain`: without the positions."""
    lines = [
        f"{name} 1 {one.start_s:.3f} {one.end_s - one.start_s:.3f} {one.label.split('_')[0] if plain else one.label}\n"
        for name, phones in intervals.items()
        for one in phones
        if one.label != "SIL"
    ]
    path.write_text("".join(lines))
    return path


def check_phones(out: Path, model: TransitionModel, alignments: dict[str, np.ndarray]) -> None:
    """The same phones with the same borders as Kaldi's; the transition-ids form whole phones of the model."""
    imported, its_model = read_alignments(out), TransitionModel.read_file(out / "final.mdl")
    assert list(imported) == sorted(alignments)
    for name, row in alignments.items():
        for found, expected in zip(its_model.phone_segments(imported[name]), model.phone_segments(row)):
            np.testing.assert_array_equal(found, expected, err_msg=name)


def test_what_comes_along(experiment, alignments, model, data, tmp_path, lang, kaldi_reference):
    speakers = sorted({name.split("-")[0] for name in alignments})
    transforms = {speaker: np.full((40, 41), number, np.float32) for number, speaker in enumerate(speakers[1:])}
    for job, part in enumerate(np.array_split(speakers[1:], 2), 1):
        with MatrixWriter(tmp_path / f"trans.{job}", text=job == 1) as writer:
            for speaker in part:
                writer.write(speaker, transforms[speaker])
    here = tmp_path / "exp"
    here.mkdir()
    for path in (*experiment.iterdir(), tmp_path / "trans.1", tmp_path / "trans.2"):
        (here / path.name).write_bytes(path.read_bytes())
    report = import_alignment(here, data, tmp_path / "out", ImportOptions(lang=lang, write_pdfs=True))
    out = tmp_path / "out"
    assert report.done == NUMBER and report.notes == [
        f"1 of {len(speakers)} speakers of {data} have no transform in trans.*: {speakers[0]}"
    ]
    for name in ("splice_opts", "final.mat", "cmvn_opts"):
        assert (out / name).read_bytes() == (experiment / name).read_bytes()
    found = dict(MatrixReader(f"ark:{out / 'trans.1'}").items())
    assert found.keys() == transforms.keys() and all(np.array_equal(found[name], one) for name, one in transforms.items())
    known = gzip.decompress((kaldi_reference / "gmm/tri3b_ali/phones_first300.text.gz").read_bytes()).decode().splitlines()
    assert gzip.decompress((out / "phones.1.gz").read_bytes()).decode().splitlines() == known[:NUMBER]
    pdfs = read_alignments(kaldi_reference / "gmm/tri3b_ali/pdf_first300.text.gz")
    assert all(np.array_equal(row, pdfs[name]) for name, row in read_alignments(out / "pdf.1.gz").items())
    first = (out / "phones.ctm").read_text().split("\n")[0].split()
    assert first == [min(alignments), "1", "0.00", f"{model.phone_segments(alignments[min(alignments)])[1][0] / 100:.2f}", "SIL"]
    with MatrixWriter(here / "trans.2") as writer:
        writer.write(speakers[-1], np.zeros((39, 40), np.float32))
    (here / "trans.1").unlink()
    with pytest.raises(AsrtoolError, match=rf"trans\.\*: {speakers[-1]}: a transform of shape \(39, 40\)"):
        import_alignment(here, data, out, ImportOptions(lang=lang))
    assert not (out / "final.mdl").exists()


def test_graphs_come_along(kaldi_reference, tmp_path, experiment, data):
    source, here = kaldi_reference / "lattice", tmp_path / "mono"
    (here / "graph").mkdir(parents=True)
    (here / "graph" / "HCLG.fst").write_bytes(gzip.decompress((source / "HCLG.fst.gz").read_bytes()))
    (here / "graph" / "words.txt").write_bytes((source / "words.txt").read_bytes())
    for name in ("final.mdl", "tree"):
        (here / name).write_bytes((source / name).read_bytes())
    (here / "ali.1").write_bytes((source / "ref_ali.txt").read_bytes())
    lengths = {name: len(row) for name, row in read_alignments(source / "ref_ali.txt").items()}
    options = ImportOptions(lang=kaldi_reference / "lang")
    import_alignment(here, make_data(tmp_path / "dev", lengths), tmp_path / "out", options)
    for name in ("HCLG.fst", "words.txt"):
        assert (tmp_path / "out/graph" / name).read_bytes() == (here / "graph" / name).read_bytes()
    number = TransitionModel.read_file(here / "final.mdl").num_pdfs
    assert (tmp_path / "out/graph/num_pdfs").read_text() == f"{number}\n"
    chain = kaldi_reference / "gmm" / "chain_tree"
    found = {name: 3 * len(row) for name, row in list(read_alignments(chain / "ali.1.gz").items())[:5]}
    small = replace(options, graph=here / "graph", frame_subsampling_factor=3, max_failed=0.0)
    (here / "graph" / "num_pdfs").write_text(f"{number}\n")
    with pytest.raises(AsrtoolError, match=r"graph/num_pdfs: not the \d+ pdfs of the model"):
        import_alignment(chain, make_data(tmp_path / "few", found), tmp_path / "out2", small)


def test_alignments_that_lie_elsewhere_or_are_lattices(kaldi_reference, tmp_path):
    """An archive beside the model, and the best paths of lattices (at another scale than those of Kaldi's best_ali.txt)."""
    source, here = kaldi_reference / "lattice", tmp_path / "mono"
    here.mkdir()
    for name in ("final.mdl", "tree"):
        (here / name).write_bytes((source / name).read_bytes())
    expected = read_alignments(source / "best_ali.txt")
    data = make_data(tmp_path / "dev", {name: len(row) for name, row in expected.items()})
    options = ImportOptions(lang=kaldi_reference / "lang", write_phones=False)
    with pytest.raises(AsrtoolError, match=r"mono: neither ali\.\*\.gz nor lat\.\*\.gz in it"):
        import_alignment(here, data, tmp_path / "out", options)
    import_alignment(here, data, tmp_path / "out", replace(options, alignments=source / "best_ali.txt"))
    assert all(np.array_equal(row, expected[name]) for name, row in read_alignments(tmp_path / "out").items())
    (here / "lat.1.gz").write_bytes((source / "compact_lat.gz").read_bytes())
    import_alignment(here, data, tmp_path / "out", options)
    same = [np.array_equal(row, expected[name]) for name, row in read_alignments(tmp_path / "out").items()]
    assert len(same) == 12 and sum(same) > 6


def test_snip_edges(experiment, alignments, model, data, tmp_path, lang):
    """Features of windows that reach over the edges are two frames longer; those that do not, two shorter."""
    for change, sense in ((2, "--snip-edges=true there, false here"), (-2, "--snip-edges=false there, true here")):
        other = make_data(tmp_path / f"data{change}", {name: len(row) + change for name, row in alignments.items()})
        with pytest.raises(AsrtoolError, match=f"{sense}: make features with"):
            import_alignment(experiment, other, tmp_path / "out", ImportOptions(lang=lang))
        report = import_alignment(experiment, other, tmp_path / "out", ImportOptions(lang=lang, length_tolerance=2))
        assert report.done == len(report.fitted) == NUMBER
        for name, row in read_alignments(tmp_path / "out").items():
            phones, lengths = model.phone_segments(row)
            before, their = model.phone_segments(alignments[name])
            assert np.array_equal(phones, before) and np.array_equal(lengths[1:-1], their[1:-1])
            assert lengths[0] - their[0] == lengths[-1] - their[-1] == change // 2
    other = make_data(tmp_path / "slow", {name: round(len(row) * 0.8) for name, row in alignments.items()})
    with pytest.raises(AsrtoolError, match=r"its frame shift is 0\.8 times that of the features"):
        import_alignment(experiment, other, tmp_path / "out", ImportOptions(lang=lang))


def test_a_chain_model_stretched_to_the_frames(kaldi_reference, tmp_path):
    chain = kaldi_reference / "gmm" / "chain_tree"
    found = dict(list(read_alignments(chain / "ali.1.gz").items())[:NUMBER])
    here = tmp_path / "chain"
    here.mkdir()
    for name in ("final.mdl", "tree", "phones.txt"):
        (here / name).write_bytes((chain / name).read_bytes())
    write_alignments(here / "ali.1.gz", found)
    (here / "frame_subsampling_factor").write_text("3\n")
    data = make_data(tmp_path / "data", {name: 3 * len(row) - 1 for name, row in found.items()})
    import_alignment(here, data, tmp_path / "low", ImportOptions(stretch=False))
    assert (tmp_path / "low/frame_subsampling_factor").read_text() == "3\n"
    import_alignment(here, data, tmp_path / "out", ImportOptions())
    assert not (tmp_path / "out/frame_subsampling_factor").exists()
    model = TransitionModel.read_file(chain / "final.mdl")
    for name, row in read_alignments(tmp_path / "out").items():
        phones, lengths = model.phone_segments(row)
        before, their = model.phone_segments(found[name])
        assert len(row) == 3 * len(found[name]) - 1 and np.array_equal(phones, before)
        assert np.abs(lengths.cumsum() - 3 * their.cumsum()).max() <= 1


@pytest.mark.parametrize("plain", [False, True])
def test_ctm(experiment, alignments, intervals, model, data, tmp_path, lang, plain):
    phones = write_phone_ctm(tmp_path / "phones.ctm", intervals, plain)
    words = [
        f"{name} 1 {one.start_s:.3f} {one.end_s - one.start_s:.3f} {one.label}\n"
        for name, ones in intervals.items()
        for one in words_of(ones)
    ]
    (tmp_path / "words.ctm").write_text("".join(words))
    options = ImportOptions(lang=lang, word_ctm=tmp_path / "words.ctm" if plain else None)
    import_alignment(phones, data, tmp_path / "mono", options)
    check_phones(tmp_path / "mono", model, alignments)
    import_alignment(phones, data, tmp_path / "tri", replace(options, model=experiment))
    check_phones(tmp_path / "tri", model, alignments)
    tri = read_alignments(tmp_path / "tri")
    agree = np.concatenate([model.tid_to_pdf[tri[name]] == model.tid_to_pdf[row] for name, row in alignments.items()])
    speech = np.concatenate([model.tid_to_phone[row] > 5 for row in alignments.values()])
    assert agree[speech].mean() > 0.6  # states in equal shares are not Viterbi's, but not far off
    assert (tmp_path / "tri/final.mat").read_bytes() == (experiment / "final.mat").read_bytes()
    if plain:
        with pytest.raises(AsrtoolError, match="depend on the place in the word: give words too"):
            import_alignment(phones, data, tmp_path / "none", replace(options, word_ctm=None))


def test_textgrids(alignments, intervals, model, data, tmp_path, lang):
    names = {"SIL": "sil", "SPN": "spn"}
    for number, (name, phones) in enumerate(intervals.items()):
        bare = [one._replace(label=names.get(one.label, one.label.split("_")[0].lower())) for one in phones]
        tiers = [filled_tier("words", words_of(phones), phones[-1].end_s), filled_tier("phones", bare, phones[-1].end_s)]
        speaker, stem = name.split("-")
        folder = tmp_path / "grids" / speaker
        folder.mkdir(parents=True, exist_ok=True)
        write_textgrid(folder / f"{stem if number % 2 else name}.TextGrid", TextGrid(phones[-1].end_s, tiers))
    lower = {label.split("_")[0] for ones in intervals.values() for one in ones for label in [one.label]} - {"SIL", "SPN"}
    options = ImportOptions(lang=lang, phone_map=tmp_path / "map")
    (tmp_path / "map").write_text("".join(f"{label.lower()} {label}\n" for label in sorted(lower)[1:]))
    with pytest.raises(
        AsrtoolError, match=rf"grids: 1 labels are no phones of .*: '{min(lower).lower()}' \(\d+\); give --phone-map"
    ):
        import_alignment(tmp_path / "grids", data, tmp_path / "out", options)
    (tmp_path / "map").write_text("".join(f"{label.lower()} {label}\n" for label in lower))
    assert import_alignment(tmp_path / "grids", data, tmp_path / "out", options).done == NUMBER
    check_phones(tmp_path / "out", model, alignments)


def test_pdf_ids_with_the_model_and_transcripts(kaldi_reference, tmp_path, lang):
    source = kaldi_reference / "lattice"
    expected = read_alignments(source / "ref_ali.txt")
    texts = dict(line.split(" ", 1) for line in (source / "ref.txt").read_text().splitlines())
    model = TransitionModel.read_file(source / "final.mdl")
    pdfs = {name: model.tid_to_pdf[row] for name, row in expected.items()}
    write_text_ints(tmp_path / "pdf.txt", pdfs)
    data = make_data(tmp_path / "data", {name: len(row) for name, row in expected.items()}, texts)
    options = ImportOptions(format="text-pdf", lang=lang, model=source, copy_graphs=False)
    import_alignment(tmp_path / "pdf.txt", data, tmp_path / "out", options)
    found = read_alignments(tmp_path / "out")
    for name, row in expected.items():
        np.testing.assert_array_equal(found[name], row, err_msg=name)
    first = min(pdfs)
    write_text_ints(tmp_path / "pdf.txt", pdfs | {first: pdfs[first][::-1]})
    report = import_alignment(tmp_path / "pdf.txt", data, tmp_path / "out", replace(options, max_failed=0.1))
    assert list(report.wrong) == [first] and "has its pdf-ids" in report.wrong[first]


def test_pdf_ids_alone(alignments, model, data, tmp_path):
    pdfs = {name: model.tid_to_pdf[row] for name, row in alignments.items()}
    write_alignments(tmp_path / "pdf.ark", pdfs)
    options = ImportOptions(format="text-pdf", num_pdfs=model.num_pdfs)
    import_alignment(tmp_path / "pdf.ark", data, tmp_path / "out", options)
    found, number = read_pdf_alignments(tmp_path / "out")
    assert number == model.num_pdfs and all(np.array_equal(found[name], row) for name, row in pdfs.items())
    with pytest.raises(AsrtoolError, match=r"pdf-id \d+, but --num-pdfs says 5"):
        import_alignment(tmp_path / "pdf.ark", data, tmp_path / "out", replace(options, num_pdfs=5))
