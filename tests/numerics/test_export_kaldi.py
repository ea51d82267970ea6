"""Exported directories: what Kaldi wrote comes out of an import and an export as it went in; networks and their outputs."""

import gzip

import numpy as np
import pytest
import torch

from asrtool import cli
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.alignment import read_alignments, write_alignments
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter, read_matrix_file
from asrtool.nnet.forward import loglikes
from asrtool.nnet.input import InputOptions
from asrtool.nnet.log_prior import log_prior
from asrtool.nnet.model_file import ModelBundle, save_model
from asrtool.nnet.nnet1 import read_nnet
from asrtool.nnet.registry import make_model
from asrtool.train.gmm_import import ImportOptions, import_alignment
from asrtool.train.kaldi_export import ExportOptions, export_kaldi

DIM = 4


@pytest.fixture(scope="module")
def experiment(kaldi_reference, tmp_path_factory):
    """tri3b_ali of all utterances, with trans.1 of their speakers; and its data directory."""
    source, folder = kaldi_reference / "gmm" / "tri3b_ali", tmp_path_factory.mktemp("export")
    (folder / "exp").mkdir()
    for path in source.iterdir():
        (folder / "exp" / path.name).write_bytes(path.read_bytes())
    found = read_alignments(source)
    with MatrixWriter(folder / "exp/trans.1") as writer:
        for number, speaker in enumerate(sorted({name.split("-")[0] for name in found})):
            writer.write(speaker, np.full((40, 41), number, np.float32))
    data = folder / "train"
    data.mkdir()
    (data / "utt2spk").write_text("".join(f"{name} {name.split('-')[0]}\n" for name in sorted(found)))
    (data / "utt2num_frames").write_text("".join(f"{name} {len(found[name])}\n" for name in sorted(found)))
    (data / "feats.scp").write_text("".join(f"{name} raw.ark:{number}\n" for number, name in enumerate(sorted(found))))
    return folder


def test_kaldis_directory_goes_through_import_and_export_unchanged(experiment, kaldi_reference, tmp_path):
    options = ImportOptions(lang=kaldi_reference / "lang", write_phones=False)
    import_alignment(experiment / "exp", experiment / "train", tmp_path / "ours", options)
    out, source = tmp_path / "out", kaldi_reference / "gmm" / "tri3b_ali"
    export_kaldi(tmp_path / "ours", out, ExportOptions(num_jobs=2, data=(experiment / "train",), lang=kaldi_reference / "lang"))
    for name in ("final.mdl", "tree", "phones.txt", "cmvn_opts", "num_jobs", "ali_train_pdf.counts"):
        assert (out / name).read_bytes() == (source / name).read_bytes(), name
    for job in (1, 2):
        packed = f"ali.{job}.gz"
        assert gzip.decompress((out / packed).read_bytes()) == gzip.decompress((source / packed).read_bytes())
        speakers = {name.split("-")[0] for name in read_alignments(out / packed)}
        assert set(MatrixReader(f"ark:{out}/trans.{job}").keys()) == speakers
    line = (out / "data/train/feats.scp").read_text().split("\n")[0].split()[1]
    assert line.startswith("/") and line.endswith("/raw.ark:0")
    assert (out / "lang/L.fst").read_bytes() == (kaldi_reference / "lang/L.fst").read_bytes()
    readme = (out / "README.md").read_text()
    assert "| ali.1.gz |" in readme and "| trans.1 |" in readme and "final.nnet" not in readme
    (tmp_path / "ours/ali_train_pdf.counts").unlink()
    (tmp_path / "ours/final.occs").unlink(missing_ok=True)
    export_kaldi(tmp_path / "ours", out, ExportOptions())
    assert sorted(path.name for path in out.glob("ali*")) == ["ali.1.gz"]  # nothing of the earlier export stays


def test_graphs_and_lattices(kaldi_reference, tmp_path):
    source, here, out = kaldi_reference / "lattice", tmp_path / "mono", tmp_path / "out"
    (here / "graph").mkdir(parents=True)
    (here / "decode_dev").mkdir()
    (here / "graph/HCLG.fst").write_bytes(gzip.decompress((source / "HCLG.fst.gz").read_bytes()))
    (here / "graph/words.txt").write_bytes((source / "words.txt").read_bytes())
    (here / "decode_dev/lat.1.gz").write_bytes((source / "compact_lat.gz").read_bytes())
    for name in ("final.mdl", "tree"):
        (here / name).write_bytes((source / name).read_bytes())
    assert cli.main(["export-kaldi", str(here), str(out)]) == 0
    assert (out / "graph/HCLG.fst").read_bytes() == (here / "graph/HCLG.fst").read_bytes()
    assert (out / "decode_dev/lat.1.gz").read_bytes() == (source / "compact_lat.gz").read_bytes()
    assert (out / "decode_dev/num_jobs").read_text() == "1\n" and not (out / "num_jobs").exists()
    readme = (out / "README.md").read_text()
    assert "| graph/ |" in readme and "| decode_dev/ |" in readme and "gmm-latgen-faster --acoustic-scale=0.083333" in readme


def make_bundle(kind: str, num_pdfs: int) -> ModelBundle:
    torch.manual_seed(3)
    sizes = {"num_layers": 1, "num_cells": 6, "projection_dim": 4} if kind == "lstmp" else {}
    settings = {"kind": kind, **sizes}
    window = InputOptions(1, 1, 3, 1 if kind == "lstmp" else 0)
    features = FeatureOptions(cmvn="online", delta_order=0, global_frames=50)
    stats = np.vstack([np.append(np.arange(DIM) * 100.0, 100.0), np.append(np.full(DIM, 900.0), 0.0)])
    model = make_model(settings, window.width * DIM, num_pdfs).eval()
    prior = log_prior(np.arange(1, num_pdfs + 1))
    return ModelBundle(model, settings, features, window, torch.zeros(DIM), torch.ones(DIM), prior, stats)


@pytest.mark.parametrize("kind", ["lstmp", "tdnn"])
def test_networks(kaldi_reference, tmp_path, kind):
    source, here, out = kaldi_reference / "gmm" / "mono", tmp_path / kind, tmp_path / "out"
    here.mkdir()
    for name in ("final.mdl", "tree", "phones.txt"):
        (here / name).write_bytes((source / name).read_bytes())
    bundle = make_bundle(kind, 130)
    save_model(here / "final_ema.pt", bundle)
    export_kaldi(here, out, ExportOptions())
    readme = (out / "README.md").read_text()
    if kind == "lstmp":
        assert read_nnet(out / "final.nnet")[0].kind == "LstmProjected" and "| final.nnet |" in readme
        assert "--cmn-window=600 --speaker-frames=600 --global-frames=50" in (out / "online_cmvn_opts").read_text()
        np.testing.assert_array_equal(read_matrix_file(out / "global_cmvn_stats.mat", np.float64), bundle.global_cmvn)
    assert "asrtool nnet-forward" in readme and (out / "final.nnet").exists() == (kind == "lstmp")
    data = tmp_path / "data"
    data.mkdir()
    frames = {
        f"a-{number}": np.random.default_rng(number).standard_normal((7 + number, DIM)).astype(np.float32) for number in (0, 1)
    }
    (data / "utt2spk").write_text("".join(f"{name} a\n" for name in frames))
    (data / "utt2num_frames").write_text("".join(f"{name} {len(one)}\n" for name, one in frames.items()))
    with MatrixWriter(data / "feats.ark", data / "feats.scp") as writer:
        for name, one in frames.items():
            writer.write(name, one)
    assert cli.main(["nnet-forward", str(here), str(data), str(tmp_path / "loglikes.ark")]) == 0
    written, pipeline = dict(MatrixReader(tmp_path / "loglikes.ark").items()), bundle.pipeline(data)
    for name, one in frames.items():
        assert written[name].shape == (len(one), 130)
        np.testing.assert_allclose(written[name], loglikes(bundle, pipeline(name)), atol=2e-5)


def test_what_cannot_be_exported(experiment, kaldi_reference, tmp_path):
    with pytest.raises(AsrtoolError, match="--nj above 1 needs --data"):
        export_kaldi(experiment / "exp", tmp_path / "out", ExportOptions(num_jobs=2))
    with pytest.raises(AsrtoolError, match=r"final\.mdl: no such file; is .* an experiment"):
        export_kaldi(tmp_path, tmp_path / "out", ExportOptions())
    with pytest.raises(AsrtoolError, match=r"transition-id \d+, .*/mono/final\.mdl has \d+: of another model"):
        export_kaldi(kaldi_reference / "gmm/mono", tmp_path / "out", ExportOptions(ali_dir=experiment / "exp"))
    assert not (tmp_path / "out/README.md").exists()
    (tmp_path / "ali").mkdir()
    write_alignments(tmp_path / "ali/ali.1.gz", {"zz-1": np.ones(3, np.int32)})
    with pytest.raises(AsrtoolError, match="zz-1: aligned, but not in"):
        options = ExportOptions(num_jobs=2, data=(experiment / "train",), ali_dir=tmp_path / "ali")
        export_kaldi(experiment / "exp", tmp_path / "out", options)
