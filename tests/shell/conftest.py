"""Fixtures of the shell tests."""

import shutil
import sys
from pathlib import Path

import pytest

from asrtool.cli import main
from asrtool.data.data_dir import DataDir, write_spk2utt
from asrtool.hmm.transition_model import TransitionModel
from asrtool.hmm.warp_alignment import warp_alignment
from asrtool.io.alignment import read_alignments, write_alignments


@pytest.fixture
def recipe(tmp_path, repository) -> Path:
    """A recipe directory with the steps and a path.sh that installs nothing."""
    for name in ("steps", "utils"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "path.sh").write_text(f"export PATH={Path(sys.executable).parent}:$PATH LC_ALL=C.UTF-8\n")
    return tmp_path


@pytest.fixture
def five_recordings(recipe, repository, kaldi_reference) -> Path:
    """A recipe directory with data/train, its features, and exp/ali: alignments of Kaldi's, stretched to the five lengths."""
    (recipe / "conf").symlink_to(repository / "conf")
    data = recipe / "data" / "train"
    data.mkdir(parents=True)
    wavs = {path.stem: path for path in sorted((kaldi_reference / "wav").glob("*.wav"))}
    utt2spk = {name: name.split("-")[0] for name in wavs}
    for file, table in (("utt2spk", utt2spk), ("wav.scp", wavs), ("text", dict.fromkeys(wavs, "WORD"))):
        (data / file).write_text("".join(f"{name} {value}\n" for name, value in table.items()))
    write_spk2utt(data / "spk2utt", utt2spk)
    assert main(["make-features", "fbank", str(data), str(recipe / "fbank")]) == 0
    source, ali = kaldi_reference / "gmm" / "tri3b_ali", recipe / "exp" / "ali"
    ali.mkdir(parents=True)
    for name in ("final.mdl", "tree", "phones.txt", "cmvn_opts"):
        shutil.copyfile(source / name, ali / name)
    model = TransitionModel.read_file(ali / "final.mdl")
    frames = DataDir.load(data).utt2num_frames
    kaldis = list(read_alignments(source / "ali.1.gz").values())
    write_alignments(ali / "ali.1.gz", {name: warp_alignment(kaldis[k], frames[name], model) for k, name in enumerate(wavs)})
    return recipe
