"""A small tree of exactly AISHELL-1's layout, names and formats, spoken by espeak-ng, with what can be wrong in it; and as the
archives of its public home.

`python tests/support/lookalike_aishell.py DIR` writes DIR/data_aishell and DIR/resource_aishell, with `--archives true` also
DIR/archives/{data_aishell,resource_aishell}.tgz.
"""

import argparse
import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
import wave
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import signal

SPEAK = Path(__file__).resolve().parents[2] / "egs/mini_mandarin/s5/local/speak.py"
SPOKEN_UP, SPOKEN_DOWN, RATE_HZ = 320, 441, 16000  # espeak-ng speaks at 22,050 Hz

# word -> pinyin; the lexicon's phones follow from it
WORDS = {
    "北京": "bei3 jing1", "上海": "shang4 hai3", "广州": "guang3 zhou1", "天气": "tian1 qi4", "今天": "jin1 tian1",
    "明天": "ming2 tian1", "打开": "da3 kai1", "关闭": "guan1 bi4", "音乐": "yin1 yue4", "电视": "dian4 shi4",
    "空调": "kong1 tiao2", "房价": "fang2 jia4", "上涨": "shang4 zhang3", "市场": "shi4 chang3", "公司": "gong1 si1",
    "企业": "qi3 ye4", "发展": "fa1 zhan3", "中国": "zhong1 guo2", "经济": "jing1 ji4", "增长": "zeng1 zhang3",
    "一": "yi1", "三": "san1", "五": "wu3", "十": "shi2", "度": "du4", "我": "wo3", "要": "yao4", "听": "ting1",
    "去": "qu4", "的": "de5", "关闭电视": "guan1 bi4 dian4 shi4",
}  # fmt: skip
NOT_IN_LEXICON = ("听", "度", "关闭电视")
INITIALS = ("zh", "ch", "sh", *"bpmfdtnlgkhjqxrzcs")
WITHOUT_INITIAL = {"yi": "ii i", "yin": "ii in", "ye": "ii ie", "yue": "vv ve", "yao": "ii iao", "wu": "uu u", "wo": "uu uo"}
SPEAKERS = {  # official numbers; voice, pitch, words a minute
    "train": {
        "S0002": ("cmn+f3", 60, 200),
        "S0003": ("cmn+m3", 42, 210),
        "S0004": ("cmn+f5", 66, 190),
        "S0005": ("cmn+m7", 38, 220),
    },
    "dev": {"S0724": ("cmn+f3", 56, 205), "S0725": ("cmn+m3", 45, 195)},
    "test": {"S0764": ("cmn+f3", 62, 210), "S0765": ("cmn+m3", 40, 200)},
}
TEMPLATES = [
    line.split()
    for line in """我 要 听 音乐
        打开 空调
        关闭电视
        北京 明天 的 天气
        上海 今天 的 天气
        我 要 去 广州
        中国 经济 增长
        房价 上涨 五 十 三
        市场 的 发展
        公司 去 上海
        企业 的 发展
        今天 三 十 五 度
        打开 电视 听 音乐
        北京 房价 上涨
        明天 十 一 度""".splitlines()
]


@dataclass
class Tree:
    """Where it is and what the preparation has to find.

    Attributes:
        good: split -> usable utterances.
        reasons: utterance -> how the reason why it is left out begins.
        text: utterance -> its transcript as it is to be understood.
    """

    root: Path
    good: dict[str, list[str]] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=dict)


def phones(pinyin: str) -> str:
    """A syllable in the style of AISHELL's lexicon: initial, or a letter for none, and final with its tone."""
    base, tone = pinyin[:-1], pinyin[-1]
    if base in WITHOUT_INITIAL:
        return WITHOUT_INITIAL[base] + tone
    initial = next(initial for initial in INITIALS if base.startswith(initial))
    final = base.removeprefix(initial)
    if final == "i" and initial in ("zh", "ch", "sh", "r"):
        final = "ix"
    elif final == "i" and initial in "zcs":
        final = "iy"
    elif initial in "jqx" and final.startswith("u"):
        final = "v" + final[1:]
    return f"{initial} {final}{tone}"


def write_wav(path: Path, samples: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(np.clip(np.round(samples), -32768, 32767).astype("<i2").tobytes())


def speak(sentences: list[list[str]], voice: tuple[str, int, int], scratch: Path) -> list[np.ndarray]:
    """16 kHz samples of each sentence, with a little noise and silence around."""
    name, pitch, rate = voice
    utterances = [{"pinyin": " ".join(WORDS[word] for word in words), "silence_s": 0} for words in sentences]
    plan = {
        "voice": name.replace("cmn", "cmn-latn-pinyin"), "pitch": pitch, "rate": rate, "pitch_range": 80, "word_gap": 1,
        "quota_s": 1e9, "seconds_per_sample": 1 / 22050, "utterances": utterances,
    }  # fmt: skip
    scratch.parent.mkdir(parents=True, exist_ok=True)
    scratch.with_suffix(".plan").write_text(json.dumps(plan), encoding="utf-8")
    subprocess.run([sys.executable, SPEAK, scratch.with_suffix(".plan"), scratch], check=True)
    counts = json.loads(scratch.with_suffix(".json").read_text())
    pcm = np.fromfile(scratch.with_suffix(".pcm"), np.int16).astype(np.float64)
    generator = np.random.default_rng(int(scratch.name[1:]))
    spoken = []
    for part in np.split(pcm, np.cumsum(counts)[:-1]):
        around = [np.zeros(int(generator.uniform(0.15, 0.35) * RATE_HZ)) for _ in range(2)]
        samples = np.concatenate([around[0], 0.4 * signal.resample_poly(part, SPOKEN_UP, SPOKEN_DOWN), around[1]])
        spoken.append(samples + 20 * generator.standard_normal(len(samples)))
    return spoken


def make_tree(root: Path, scratch: Path, per_speaker: dict[str, int], seed: int = 1) -> Tree:
    """Writes root/data_aishell and root/resource_aishell, odd cases included.

    Args:
        per_speaker: split -> utterances of each of its speakers.
    """
    tree = Tree(root)
    generator = random.Random(seed)
    jobs = []
    for split, speakers in SPEAKERS.items():
        tree.good[split] = []
        for speaker, voice in speakers.items():
            sentences = [list(generator.choice(TEMPLATES)) for _ in range(per_speaker[split])]
            names = [f"BAC009{speaker}W{122 + number:04d}" for number in range(len(sentences))]
            tree.good[split] += names
            tree.text |= {name: " ".join(words) for name, words in zip(names, sentences)}
            jobs.append((split, speaker, voice, names, sentences))
    with ThreadPoolExecutor(2) as pool:
        recorded = list(pool.map(lambda job: speak(job[4], job[2], scratch / job[1]), jobs))
    wav = root / "data_aishell" / "wav"
    for (split, speaker, _, names, _), several in zip(jobs, recorded):
        for name, samples in zip(names, several):
            write_wav(wav / split / speaker / f"{name}.wav", samples)
    resource = root / "resource_aishell"
    resource.mkdir(parents=True, exist_ok=True)
    lexicon = [
        f"{word} {' '.join(map(phones, pinyin.split()))}" for word, pinyin in sorted(WORDS.items()) if word not in NOT_IN_LEXICON
    ]
    lexicon += ["上涨 sh ang4 zh ang4", "听歌 t ing1 g e1", "杜 d u4"]  # two pronunciations; 听 in a word only, 度 nowhere
    (resource / "lexicon.txt").write_text("\n".join(["SIL sil", "<SPOKEN_NOISE> sil", *sorted(lexicon)]) + "\n", encoding="utf-8")
    (resource / "speaker.info").write_text("".join(f"{name[1:]} F\n" for speakers in SPEAKERS.values() for name in speakers))
    _spoil(tree, wav)
    return tree


def _spoil(tree: Tree, wav: Path) -> None:
    """Writes the transcripts with odd lines, and odd recordings beside the good ones."""
    lines = [f"{name} {words}" for name, words in sorted(tree.text.items())]
    first, second, third, fourth = tree.good["train"][:4]
    speaker = wav / "train" / "S0002"
    odd = {number: f"BAC009S0002W{number}" for number in (9001, 9002, 9003, 9004, 9005, 9006)}
    lines[lines.index(f"{first} {tree.text[first]}")] += "  \t \r"  # spaces and a carriage return at the end
    full_width = tree.text[second].replace(" ", "　")  # ideographic spaces
    lines[lines.index(f"{second} {tree.text[second]}")] = f"{second} {full_width}"
    lines += [f"{third} {tree.text[third]}", "", "   "]  # a repetition, empty lines
    lines.append(f"{fourth} 北京")  # contradicts the first
    tree.good["train"].remove(fourth)
    tree.reasons[fourth] = "several transcripts that differ"
    good = (speaker / f"{first}.wav").read_bytes()
    lines += [f"{odd[9001]} 打开 空调", f"{odd[9002]} 打开 空调", f"{odd[9003]} 打开 空调", odd[9004], f"{odd[9006]} 打开 空调"]
    (speaker / f"{odd[9002]}.wav").write_bytes(good[: len(good) // 2])
    (speaker / f"{odd[9003]}.wav").write_bytes(b"")
    for number in (9004, 9005):
        (speaker / f"{odd[number]}.wav").write_bytes(good)
    with wave.open(str(speaker / f"{odd[9006]}.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * 8000)
    (speaker / ".DS_Store").write_bytes(b"\0")
    tree.reasons |= {
        odd[9001]: "transcript without recording", odd[9002]: "recording: truncated", odd[9003]: "recording: ",
        odd[9004]: "transcript without words", odd[9005]: "recording without transcript", odd[9006]: "recording: 8000 Hz",
    }  # fmt: skip
    path = wav.parent / "transcript" / "aishell_transcript_v0.8.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode())


def make_archives(tree: Tree, directory: Path) -> dict[str, str]:
    """The two archives as OpenSLR has them, one within for each speaker; returns their MD5 by name."""
    directory.mkdir(parents=True, exist_ok=True)
    data = tree.root / "data_aishell"
    with tarfile.open(directory / "data_aishell.tgz", "w:gz", compresslevel=1) as whole:
        whole.add(data / "transcript", "data_aishell/transcript")
        for speaker in sorted((data / "wav").glob("*/*")):
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w:gz", compresslevel=1) as part:
                part.add(speaker, f"{speaker.parent.name}/{speaker.name}")
            entry = tarfile.TarInfo(f"data_aishell/wav/{speaker.name}.tar.gz")
            entry.size = len(inner.getvalue())
            whole.addfile(entry, io.BytesIO(inner.getvalue()))
    with tarfile.open(directory / "resource_aishell.tgz", "w:gz") as whole:
        whole.add(tree.root / "resource_aishell", "resource_aishell")
    return {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in sorted(directory.glob("*.tgz"))}


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("directory", type=Path)
    options.add_argument("--train", type=int, default=20, help="utterances of each training speaker")
    options.add_argument("--held-out", type=int, default=6, help="and of each in dev and test")
    options.add_argument("--archives", default="false")
    given = options.parse_args()
    sizes = {"train": given.train, "dev": given.held_out, "test": given.held_out}
    made = make_tree(given.directory, given.directory / ".spoken", sizes)
    if given.archives == "true":
        print(make_archives(made, given.directory / "archives"))
