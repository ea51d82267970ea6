"""The import of a Kaldi experiment (tri3b_ali), and what is said where it does not fit."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from asrtool.errors import AsrtoolError
from asrtool.gmm.model import read_model, write_model
from asrtool.io.alignment import read_alignments, write_text_ints
from asrtool.train.gmm_import import ImportOptions, import_alignment


@pytest.fixture(scope="module")
def experiment(kaldi_reference) -> Path:
    return kaldi_reference / "gmm" / "tri3b_ali"


@pytest.fixture(scope="module")
def alignments(experiment):
    return read_alignments(experiment)


@pytest.fixture
def data(tmp_path, alignments) -> Path:
    """A data directory without features: names, speakers and lengths."""
    path = tmp_path / "data"
    path.mkdir()
    (path / "utt2spk").write_text("".join(f"{name} {name.split('-')[0]}\n" for name in sorted(alignments)))
    (path / "utt2num_frames").write_text("".join(f"{name} {len(alignments[name])}\n" for name in sorted(alignments)))
    return path


def copy_experiment(experiment: Path, target: Path) -> Path:
    target.mkdir()
    for path in experiment.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_tri3b_ali(experiment, alignments, data, tmp_path, kaldi_reference):
    report = import_alignment(experiment, data, tmp_path / "out", ImportOptions(lang=kaldi_reference / "lang"))
    assert report.done == 2100 and not (report.wrong or report.no_alignment or report.not_in_data)
    imported = read_alignments(tmp_path / "out")
    assert list(imported) == sorted(alignments)
    assert all(np.array_equal(imported[name], row) for name, row in alignments.items())
    for name in ("final.mdl", "tree", "phones.txt", "cmvn_opts", "ali_train_pdf.counts"):
        assert (tmp_path / "out" / name).read_bytes() == (experiment / name).read_bytes(), name
    assert (tmp_path / "out" / "num_jobs").read_text() == "1\n"
    assert "utterances 2100, frames 853242" in (tmp_path / "out" / "alignment_summary.txt").read_text()


def test_text_model_and_text_alignments(experiment, alignments, data, tmp_path):
    other = copy_experiment(experiment, tmp_path / "exp")
    write_model(other / "final.mdl", *read_model(experiment / "final.mdl"), binary=False)
    names = sorted(alignments)
    for path in other.glob("ali.*"):
        path.unlink()
    for job, part in enumerate(np.array_split(names, 3), 1):
        write_text_ints(other / f"ali.{job}.gz", {name: alignments[name] for name in part})
    (other / "num_jobs").write_text("3\n")
    assert import_alignment(other, data, tmp_path / "out", ImportOptions()).done == 2100
    assert (tmp_path / "out" / "ali_train_pdf.counts").read_bytes() == (experiment / "ali_train_pdf.counts").read_bytes()


def test_a_chain_model_at_a_third_of_the_rate(kaldi_reference, tmp_path):
    experiment = kaldi_reference / "gmm" / "chain_tree"
    found = read_alignments(experiment)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "utt2spk").write_text("".join(f"{name} s\n" for name in sorted(found)))
    (tmp_path / "data" / "utt2num_frames").write_text("".join(f"{name} {3 * len(found[name]) - 1}\n" for name in sorted(found)))
    options = ImportOptions(frame_subsampling_factor=3)
    assert import_alignment(experiment, tmp_path / "data", tmp_path / "out", options).done == len(found)
    with pytest.raises(AsrtoolError, match=r"frames of features; frames are 3 times longer there: give"):
        import_alignment(experiment, tmp_path / "data", tmp_path / "out", ImportOptions())


def test_disagreements_are_named(experiment, data, tmp_path, capsys):
    names = (data / "utt2spk").read_text().split("\n")
    frames = (data / "utt2num_frames").read_text().splitlines()
    first, second = (line.split()[0] for line in frames[:2])
    (data / "utt2spk").write_text("\n".join([*names[:1], *names[2:-1], "zz-new zz", ""]))
    (data / "utt2num_frames").write_text("\n".join([f"{first} 7", *frames[1:], "zz-new 100", ""]))
    report = import_alignment(experiment, data, tmp_path / "out", ImportOptions())
    assert (report.done, report.no_alignment, report.not_in_data, list(report.wrong)) == (2098, ["zz-new"], [second], [first])
    said = capsys.readouterr().err
    assert f"{first}: {frames[0].split()[1]} frames aligned, 7 frames of features" in said
    assert "1 utterances of" in said and f"are not in {data}: {second}" in said
    with pytest.raises(AsrtoolError, match=r"2 of the 2100 utterances .* have no usable alignment"):
        import_alignment(experiment, data, tmp_path / "out2", ImportOptions(max_failed=0.0))
    assert not (tmp_path / "out2").exists()


def test_files_that_do_not_fit(experiment, data, tmp_path, kaldi_reference):
    with pytest.raises(AsrtoolError, match=r"final\.mdl: no such file"):
        import_alignment(tmp_path, data, tmp_path / "out", ImportOptions())
    other = copy_experiment(experiment, tmp_path / "exp")
    (other / "tree").write_bytes((kaldi_reference / "gmm" / "tri1" / "tree").read_bytes())
    with pytest.raises(AsrtoolError, match="of different experiments"):
        import_alignment(other, data, tmp_path / "out", ImportOptions())
    (other / "tree").write_bytes((experiment / "tree").read_bytes())
    table = (experiment / "phones.txt").read_text()
    (other / "phones.txt").write_text(table.replace("AA_B 11", "AA_B 12").replace("AA_E 12", "AA_E 11"))
    with pytest.raises(AsrtoolError, match="phone 'AA_B' is number 12, but is number 11 in"):
        import_alignment(other, data, tmp_path / "out", ImportOptions(lang=kaldi_reference / "lang"))
    (other / "phones.txt").unlink()
    with pytest.raises(AsrtoolError, match="name the lang directory of the experiment with --lang"):
        import_alignment(other, data, tmp_path / "out", ImportOptions())
    assert import_alignment(other, data, tmp_path / "out", ImportOptions(lang=kaldi_reference / "lang")).done == 2100


def test_damaged_and_foreign_alignments(experiment, alignments, data, tmp_path):
    other = copy_experiment(experiment, tmp_path / "exp")
    (other / "ali.2.gz").write_bytes((experiment / "ali.2.gz").read_bytes()[:5000])
    with pytest.raises(AsrtoolError, match=r"ali\.2\.gz: damaged"):
        import_alignment(other, data, tmp_path / "out", ImportOptions())
    name = min(alignments)
    with gzip.open(other / "ali.1.gz", "wt") as file:
        file.write(f"{name} {' '.join(['999999'] * len(alignments[name]))}\n")
    (other / "ali.2.gz").unlink()
    (other / "num_jobs").write_text("1\n")
    with pytest.raises(AsrtoolError, match=r"2100 of the 2100 utterances .* transition-id 999999, but the model has"):
        import_alignment(other, data, tmp_path / "out", ImportOptions())
