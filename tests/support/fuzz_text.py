"""Text files, audio and networks, small, to be damaged: data and lang directories, ARPA, CTM, TextGrid, wav, nnet1."""

import gzip
import io
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from fuzz import Target
from fuzz_kaldi import RANDOM, bytes_of
from random_ngrams import random_model
from small_arpa import ARPA

from asrtool.data.data_dir import DataDir
from asrtool.data.fix import fix
from asrtool.data.validate import validate
from asrtool.errors import AsrtoolError
from asrtool.feat.pipeline import FeatureOptions
from asrtool.io.audio import read_wav, read_wav_header, write_wav
from asrtool.io.config import load_config
from asrtool.io.ctm import CtmWord, read_ctm, write_ctm
from asrtool.io.kaldi_table import MatrixReader, MatrixWriter
from asrtool.io.symbols import SymbolTable
from asrtool.io.textgrid import Interval, Point, TextGrid, Tier, read_textgrid, write_textgrid
from asrtool.lang.dictionary import Dictionary, read_lexicon
from asrtool.lattice.align_words_files import AlignLexicon, WordBoundary
from asrtool.lm.arpa import read_arpa, write_arpa
from asrtool.lm.compact_arpa import build_from_arpa
from asrtool.lm.compact_model import CompactNgram
from asrtool.nnet.nnet1 import Component, component, read_nnet, write_nnet
from asrtool.nnet.nnet1_import import import_nnet1
from asrtool.score.text_files import read_stm, read_text, read_trn
from asrtool.tree.build import read_roots
from asrtool.tree.questions import read_questions


def _file(text: str, name: str, read, file: str = "damaged", **more) -> Target:
    return Target(name, (text.encode(),), read, file, **more)


def _lists() -> list[Target]:
    symbols = "<eps> 0\nSIL 1\na_B 2\n你好 3\n#0 4\n"
    words = [
        CtmWord("u1", "1", 0.0, 0.25, "a", 0.5),
        CtmWord("u1", "1", 0.25, 1.5, "b"),
        CtmWord("u2", "A", 7, 0.01, "你好", 1.0),
    ]
    grid = TextGrid(2.5, [Tier("words", [Interval(0, 1.25, 'say "a"'), Interval(1.25, 2.5, "")]), Tier("p", [Point(1.5, "x")])])
    stm = ";; about\nr1 1 s1 0.00 2.50 <O> one two\nr1 1 s2 2.5 4 three\n"
    return [
        _file(symbols, "symbol table", SymbolTable.read),
        Target("CTM", (bytes_of(partial(write_ctm, words=words)),), read_ctm),
        Target("TextGrid", (bytes_of(partial(write_textgrid, grid=grid)),), read_textgrid),
        _file("u1 one two\nu2\nu3 三\n", "transcripts", read_text),
        _file(";; about\none two (s1-u1)\n(s1-u2)\n", "trn", read_trn),
        _file(stm, "stm", read_stm),
        _file("cmvn: speaker\ndelta_order: 2\nnorm_vars: true\n", "settings", partial(load_config, FeatureOptions)),
    ]


def _read_scp(path: Path) -> None:
    table = MatrixReader(f"scp:{path}")
    assert [table[name].ndim for name in table] == [2] * len(table)


def _read_data_dir(path: Path, parts: tuple) -> None:
    """All that is read of a file of a data directory; each part may refuse it."""
    folder, refusals = path.parent, []
    for part in parts:
        try:
            part(folder)
        except AsrtoolError as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]


def _load(folder: Path) -> None:
    data = DataDir.load(folder)
    len(data.text)  # it is read when it is asked for
    assert data.spk2utt.keys() == set(data.utt2spk.values()) and data.frame_shift_s > 0
    assert min(data.utt2num_frames.values(), default=0) >= 0 and len(data.utt2dur) >= 0


def _read_features(folder: Path) -> None:
    feats = DataDir.load(folder).feats
    assert [feats[name].ndim for name in feats] == [2] * len(feats)


def _read_samples(folder: Path) -> None:
    data = DataDir.load(folder)
    for utterance in data.utterances:
        data.audio(utterance, 8000)


def _fix(folder: Path) -> None:
    copy = folder / "copy"
    copy.mkdir(exist_ok=True)
    for old in copy.iterdir():
        if old.is_file():
            old.unlink()
    for file in folder.iterdir():
        if file.is_file():
            (copy / file.name).write_bytes(file.read_bytes())
    try:
        fix(copy)
    except AsrtoolError as error:
        raise AsrtoolError(str(error).replace(str(copy), str(folder))) from None


def _data_dir_files(folder: Path) -> dict[str, str]:
    """A sound directory of two recordings and three segments; features and audio stay in `folder`."""
    folder.mkdir(exist_ok=True)
    with MatrixWriter(folder / "f.ark", folder / "f.scp") as writer:
        for name in ("s1-a", "s1-b", "s2-a"):
            writer.write(name, RANDOM.random((4, 2)).astype(np.float32))
    for name in ("r1", "r2"):
        write_wav(str(folder / f"{name}.wav"), RANDOM.normal(size=800) * 500, 8000)
    return {
        "utt2spk": "s1-a s1\ns1-b s1\ns2-a s2\n",
        "spk2utt": "s1 s1-a s1-b\ns2 s2-a\n",
        "text": "s1-a one two\ns1-b 三\ns2-a one\n",
        "segments": "s1-a r1 0.00 0.05\ns1-b r1 0.05 -1\ns2-a r2 0.02 0.09\n",
        "wav.scp": f"r1 {folder}/r1.wav\nr2 {folder}/r2.wav\n",
        "feats.scp": (folder / "f.scp").read_text(),
        "utt2num_frames": "s1-a 4\ns1-b 4\ns2-a 4\n",
        "utt2dur": "s1-a 0.05\ns1-b 0.05\ns2-a 0.07\n",
        "reco2speed": "r1 1\nr2 1.0\n",
        "reco2vol": "r1 0.5\nr2 2\n",
        "frame_shift": "0.01\n",
    }


def _data_dirs(folder: Path) -> list[Target]:
    files = _data_dir_files(folder)
    contents = {name: text.encode() for name, text in files.items()}
    result = [_file(files["feats.scp"], "scp", _read_scp, "damaged.scp", names="f.ark: ", forbidden=b"|")]
    parts = {
        "utt2spk": (validate, _load),
        "spk2utt": (validate,),
        "text": (validate, _load),
        "segments": (validate, _load, _read_samples),
        "wav.scp": (validate, _read_samples),
        "feats.scp": (validate, _read_features),
        **dict.fromkeys(("utt2num_frames", "utt2dur", "frame_shift"), (validate, _load)),
        **dict.fromkeys(("reco2speed", "reco2vol"), (validate, _load)),
    }
    for name, data in contents.items():
        read = partial(_read_data_dir, parts=parts[name])
        also = "f.ark: " if name == "feats.scp" else "{folder}"  # the archive, where that is wrong
        result.append(Target(f"data/{name}", (data,), read, name, contents, names=also, forbidden=b"|"))
    for name in ("utt2spk", "text", "segments"):
        read = partial(_read_data_dir, parts=(_fix,))
        result.append(Target(f"fix data/{name}", (contents[name],), read, name, contents, names="{folder}", forbidden=b"|"))
    return result


def _lang() -> list[Target]:
    lexicon, weighted = "a A B\nb B\nb B A\n你 A\n!SIL SIL\n", "a 1.0 A B\nb 0.5 B\nb 1 B A\n你 0.25 A\n!SIL 1 SIL\n"
    phones = {"silence_phones.txt": "SIL\n", "nonsilence_phones.txt": "A A1\nB\n", "optional_silence.txt": "SIL\n"}
    files = {name: text.encode() for name, text in (phones | {"lexicon.txt": lexicon, "extra_questions.txt": "A B\n"}).items()}

    def dictionary(path: Path) -> None:
        assert Dictionary.load(path.parent).words()

    return [
        *(Target(f"dict/{name}", (data,), dictionary, name, files, names="{folder}") for name, data in files.items()),
        _file(weighted, "lexiconp", partial(read_lexicon, with_probabilities=True)),
        _file(
            "a 1 .5 1.1 .9 A B\nb 0.5 .2 1 1.5 B\n",
            "lexiconp_silprob",
            partial(read_lexicon, with_probabilities=True, with_silence=True),
        ),
        _file("1 nonword\n2 begin\n3 end\n4 singleton\n", "word_boundary", WordBoundary.read),
        _file("1 1 5\n2 2 7 8\n0 0 1\n3 3 9\n", "align_lexicon", AlignLexicon.read),
        _file("shared split 1 2\nnot-shared not-split 3\n", "roots", read_roots),
        _file("1 2 3\n4 5\n", "questions", read_questions),
    ]


def _read_wav(path: Path) -> None:
    header = read_wav_header(str(path))
    samples = read_wav(str(path), None)
    assert samples.dtype == np.float32 and (header is None or header.rate > 0)


def _audio() -> list[Target]:
    samples = RANDOM.normal(size=200) * 1000
    seeds = [bytes_of(lambda path: write_wav(str(path), samples, 8000))]
    for kind, subtype in (("WAV", "PCM_24"), ("WAV", "FLOAT"), ("WAV", "ULAW"), ("FLAC", "PCM_16")):
        file = io.BytesIO()
        soundfile.write(file, samples / 32768, 8000, format=kind, subtype=subtype)
        seeds.append(file.getvalue())
    return [
        Target("wav", (seeds[0],), _read_wav, "damaged.wav"),
        Target("other audio", tuple(seeds[1:]), _read_wav, "damaged.flac"),
    ]


def _networks() -> list[Target]:
    def random(*shape: int) -> np.ndarray:
        return RANDOM.normal(size=shape).astype(np.float32)

    def affine(output: int, inputs: int) -> Component:
        return component("AffineTransform", output, inputs, weight=random(output, inputs), bias=random(output))

    dnn = [
        component("AddShift", 2, 2, shift=random(2)),
        component("Rescale", 2, 2, scale=random(2)),
        component("Splice", 6, 2, offsets=np.arange(-1, 2, dtype=np.int32)),
        *(affine(3, 6), component("Sigmoid", 3, 3), affine(4, 3), component("Softmax", 4, 4)),
    ]
    lstm = component(
        *("LstmProjected", 2, 3, {"CellDim": 3}),
        **{"w_gifo_x": random(12, 3), "w_gifo_r": random(12, 2), "bias": random(12), "w_r_m": random(2, 3)},
        **{f"peephole_{gate}": random(3) for gate in "ifo"},
    )
    networks = (dnn, [lstm, affine(4, 2), component("Softmax", 4, 4)])
    seeds = {
        kind: tuple(bytes_of(partial(write_nnet, components=one, binary=kind == "binary")) for one in networks)
        for kind in ("binary", "text")
    }
    return [Target(f"nnet1, {kind}", data, _read_network) for kind, data in seeds.items()]


def _read_network(path: Path) -> None:
    components = read_nnet(path)
    bytes_of(partial(write_nnet, components=components))
    if sum(one.output_dim * one.input_dim for one in components) > 10000:
        return
    try:
        bundle = import_nnet1(components, FeatureOptions(delta_order=0))
    except AsrtoolError as error:  # sound, but none of our models: these do not know of the file
        raise AsrtoolError(f"{path}: {error}") from None
    with torch.no_grad():
        bundle.model(torch.zeros(1, 3, components[0].input_dim * bundle.input.width), bundle.model.initial_state(1))


def _language_models() -> list[Target]:
    seeds = (ARPA.encode(), bytes_of(partial(write_arpa, model=random_model(3, 3, num_words=4, share=0.2))))

    def compact(path: Path) -> None:
        path.with_suffix(".arpa").write_bytes(seeds[1])
        build_from_arpa(path.with_suffix(".arpa"), path)

    return [
        Target("ARPA", seeds, read_arpa),
        Target("ARPA, gzipped", (gzip.compress(seeds[1], mtime=0),), read_arpa),
        Target("n-grams, compact", (bytes_of(compact),), CompactNgram.load),
    ]


def targets(folder: Path) -> list[Target]:
    """`folder`: where features and audio that damaged files may name can stay."""
    return [*_lists(), *_lang(), *_audio(), *_networks(), *_language_models(), *_data_dirs(folder)]
