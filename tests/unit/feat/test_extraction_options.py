"""Kaldi's conf files."""

import pytest

from asrtool.errors import AsrtoolError
from asrtool.feat.extraction_options import FbankOptions, MfccOptions


def test_shipped_conf_files(repository):
    assert FbankOptions.from_conf(repository / "conf" / "fbank28.conf") == FbankOptions(num_mel_bins=28)
    assert FbankOptions.from_conf(repository / "conf" / "fbank40.conf") == FbankOptions(num_mel_bins=40)
    assert MfccOptions.from_conf(repository / "conf" / "mfcc.conf") == MfccOptions()


def test_overrides_and_comments(tmp_path):
    (tmp_path / "f.conf").write_text("# a comment\n--num-mel-bins=30 # another\n\n--snip-edges=false\n--use-energy\n")
    options = FbankOptions.from_conf(tmp_path / "f.conf", ["--num-mel-bins=31", "--window-type=hamming"])
    assert (options.num_mel_bins, options.snip_edges, options.use_energy) == (31, False, True)
    assert (options.dim, options.window_size, options.window_shift, options.padded_window_size) == (32, 400, 160, 512)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--num-mel-bin=28", "line 1: unknown option '--num-mel-bin'"),
        ("num-mel-bins=28", "line 1: unknown option 'num-mel-bins'"),
        ("--num-mel-bins=many", "expected an integer, found 'many'"),
        ("--snip-edges=perhaps", "expected true or false"),
        ("--low-freq=9000", "do not fit 16000"),
        ("--window-type=square", "window-type 'square' is not"),
        ("--num-ceps=30", "num-ceps 30 must lie between 1 and num-mel-bins 23"),
    ],
)
def test_mistakes_are_told(tmp_path, text, message):
    (tmp_path / "m.conf").write_text(text + "\n")
    with pytest.raises(AsrtoolError) as caught:
        MfccOptions.from_conf(tmp_path / "m.conf")
    assert message in str(caught.value)
    assert "m.conf" in str(caught.value)
