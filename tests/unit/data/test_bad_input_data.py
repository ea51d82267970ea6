"""Bad data directories through the command line: exit status 1 and one line that names file, utterance and mend."""

import struct

import pytest

from asrtool.cli import main


def run(capsys, command):
    status = main(command.split())
    return status, capsys.readouterr().err


def damage_wav(data_dir, name, change):
    path = data_dir.parent.parent / "wav" / f"{name}.wav"
    path.write_bytes(change(path.read_bytes()))


CASES = {
    "missing wav": (
        lambda d, edit: edit(d / "wav.scp", "s1-u2.wav", "absent.wav"),
        ["wav.scp: s1-u2: ", "absent.wav: no such wav file; mend wav.scp"],
    ),
    "wrong rate": (
        lambda d, edit: damage_wav(d, "s2-u2", lambda raw: raw[:24] + struct.pack("<I", 8000) + raw[28:]),
        ["wav.scp: s2-u2: ", "8000 Hz, not 16000", "resample"],
    ),
    "truncated wav data": (
        lambda d, edit: damage_wav(d, "s2-u1", lambda raw: raw[:2000]),
        ["wav.scp: s2-u1: ", "truncated: the header promises 9600 bytes of samples, 1956 are there; copy it again"],
    ),
    "truncated wav header": (
        lambda d, edit: damage_wav(d, "s2-u1", lambda raw: raw[:20]),
        ["wav.scp: s2-u1: ", "truncated or damaged wav header; make the file again"],
    ),
    "two channels": (
        lambda d, edit: damage_wav(d, "s2-u1", lambda raw: raw[:22] + b"\2\0" + raw[24:]),
        ["wav.scp: s2-u1: ", "2 channels; choose one"],
    ),
    "no samples": (
        lambda d, edit: damage_wav(d, "s2-u1", lambda raw: raw[:40] + b"\0\0\0\0"),
        ["wav.scp: s2-u1: ", "no samples; remove it"],
    ),
    "empty text": (
        lambda d, edit: edit(d / "text", "s1-u2 play some music", "s1-u2"),
        ["text: s1-u2: empty transcript; run utils/fix_data_dir.sh"],
    ),
    "utterance without text": (
        lambda d, edit: edit(d / "text", "s1-u2 play some music\n", ""),
        ["text: s1-u2: missing here", "run utils/fix_data_dir.sh"],
    ),
    "text without utterance": (
        lambda d, edit: edit(d / "text", "s1-u3 ", "s1-u2x what is this\ns1-u3 "),
        ["text: s1-u2x: not in utt2spk", "run utils/fix_data_dir.sh"],
    ),
    "duplicate utterance": (
        lambda d, edit: edit(d / "utt2spk", "s1-u2 s1\n", "s1-u2 s1\ns1-u2 s1\n"),
        ["utt2spk: line 3: s1-u2: occurs twice; run utils/fix_data_dir.sh"],
    ),
    "unsorted": (
        lambda d, edit: edit(d / "utt2spk", "s1-u1 s1\ns1-u2 s1\n", "s1-u2 s1\ns1-u1 s1\n"),
        ["utt2spk: line 2: s1-u1: not sorted (LC_ALL=C: 's1-u2' stands before it); run utils/fix_data_dir.sh"],
    ),
    "not UTF-8": (
        lambda d, edit: (d / "text").write_bytes("s1-u1 天气\n".encode("gb18030")),
        ["text: not UTF-8 at byte 6; convert it"],
    ),
    "Windows line ends": (
        lambda d, edit: (d / "text").write_bytes((d / "text").read_bytes().replace(b"\n", b"\r\n")),
        ["text: Windows line ends; run utils/fix_data_dir.sh"],
    ),
    "file cut short": (
        lambda d, edit: (d / "utt2spk").write_bytes((d / "utt2spk").read_bytes()[:-1]),
        ["utt2spk: the last line has no line end; it may be truncated"],
    ),
    "two speakers": (
        lambda d, edit: edit(d / "utt2spk", "s1-u2 s1", "s1-u2 s1 s2"),
        ["utt2spk: s1-u2: expected one speaker, found 's1 s2'"],
    ),
    "spk2utt disagrees": (
        lambda d, edit: edit(d / "spk2utt", "s2-u1 ", ""),
        ["spk2utt: s2: does not agree with utt2spk; run utils/fix_data_dir.sh"],
    ),
    "no spk2utt": (lambda d, edit: (d / "spk2utt").unlink(), ["spk2utt: no such file; run utils/fix_data_dir.sh"]),
    "no wav.scp": (lambda d, edit: (d / "wav.scp").unlink(), ["wav.scp: no such file"]),
    "empty file": (lambda d, edit: (d / "text").write_text(""), ["text: empty file"]),
    "segment backwards": (
        lambda d, edit: (d / "segments").write_text("".join(f"s{s}-u{u} s{s}-u{u} 0.2 0.1\n" for s in "123" for u in "123")),
        ["segments: s1-u1: the segment 0.2-0.1 s is empty or negative; mend"],
    ),
    "segment outside": (
        lambda d, edit: (d / "segments").write_text("".join(f"s{s}-u{u} s{s}-u{u} 0.2 3\n" for s in "123" for u in "123")),
        ["segments: s1-u1: 0.2-3.0 s is not in 's1-u1' of 0.30 s"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_validation_names_file_and_utterance(data_dir, edit, capsys, case):
    damage, expected = CASES[case]
    damage(data_dir, edit)
    status, said = run(capsys, f"validate-data-dir --feats false {data_dir}")
    assert status == 1
    lines = [line for line in said.splitlines() if all(part in line for part in expected)]
    assert len(lines) == 1, said
    assert lines[0].startswith(f"asrtool validate-data-dir: ERROR: {data_dir}/")


def test_prefix_rule_is_a_warning_unless_strict(data_dir, edit, capsys):
    edit(data_dir / "utt2spk", "s1-u1 s1", "s1-u1 s2")
    edit(data_dir / "spk2utt", "s1-u1 ", "")
    edit(data_dir / "spk2utt", "s2 ", "s2 s1-u1 ")
    expected = "utt2spk: s1-u1: does not begin with its speaker id 's2'"
    status, said = run(capsys, f"validate-data-dir --feats false {data_dir}")
    assert (status, "WARNING" in said, expected in said) == (0, True, True)
    status, said = run(capsys, f"validate-data-dir --feats false --strict-prefix true {data_dir}")
    assert (status, "ERROR" in said, expected in said) == (1, True, True)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("validate-data-dir {d}/absent", "absent: no such data directory"),
        ("fix-data-dir {d}/absent", "absent/utt2spk: no such file"),
        ("split-data-dir --num-parts 4 {d}", "3 speakers cannot make 4 parts"),
        ("split-data-dir --speaker-lists {d}/absent {d} {d}/x", "absent: no such list"),
        ("split-data-dir --speaker-lists {d}/list {d} {d}/x", "list: speaker 's9' has no utterance in"),
        ("split-data-dir --speaker-lists {d}/one,{d}/both {d} {d}/x {d}/y", "both: speaker 's1' is in"),
        ("split-data-dir {d}", "give one of --num-parts, --speaker-lists and --valid-share"),
        ("subset-data-dir --utt-list {d}/list {d} {d}/x", "list: s1: not in"),
        ("subset-data-dir --first 10 {d} {d}/x", "9 utterances, 10 were asked for"),
        ("subset-data-dir --first 1 {d} {d}", "is the source itself"),
        ("compute-cmvn-stats {d}", "feats.scp: no such file; make features first"),
    ],
)
def test_other_verbs(data_dir, capsys, command, expected):
    (data_dir / "list").write_text("s1\ns9\n")
    (data_dir / "one").write_text("s1\n")
    (data_dir / "both").write_text("s1\ns2\n")
    status, said = run(capsys, command.format(d=data_dir))
    assert status == 1
    assert expected in said
    assert len(said.strip().splitlines()) == 1
