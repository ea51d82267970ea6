"""Convert texts by utterance between Kaldi's text and NIST's trn, stm and ctm; stm and ctm together give texts to score."""

import sys
from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.bin._score_options import add_text_options, preparation_of
from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.io.ctm import read_ctm
from asrtool.io.kaldi_table import read_scp
from asrtool.score.comparison import load_texts
from asrtool.score.text_files import StmSegment, ctm_to_texts, read_stm, write_kaldi_text, write_stm, write_trn


def stm_segments(data: DataDir, texts: dict[str, list[str]]) -> list[StmSegment]:
    """A segment an utterance; channel 1, or what reco2file_and_channel says."""
    table = data.path / "reco2file_and_channel"
    channels = {key: line.split() for key, line in read_scp(table).items()} if table.is_file() else {}
    segments = []
    for utterance, words in texts.items():
        if utterance not in data.utt2spk:
            raise AsrtoolError(f"{data.path}/utt2spk: {utterance}: not in it; give the data directory of this text")
        recording, start_s, end_s = data.segments.get(utterance, (utterance, 0.0, -1.0))
        end_s = start_s + data.utt2dur[utterance] if end_s < 0 else end_s
        names = channels.get(recording, [recording, "1"])
        segments.append(StmSegment(names[0], names[-1], data.utt2spk[utterance], start_s, end_s, words))
    return segments


def main(arguments: list[str]) -> int:
    options = parser("convert-text", __doc__, "asrtool convert-text --data data/test data/test/text ref.stm")
    options.add_argument("input", type=existing_path, help="a text, a .trn, or a .ctm with --stm")
    options.add_argument("output", type=Path, help="by its suffix a .trn, an .stm, or else a text")
    options.add_argument("--data", type=existing_path, help="data directory, for speakers and times")
    options.add_argument("--stm", type=existing_path, help="segments that the words of a .ctm go to")
    options.add_argument("--ref-output", type=Path, help="with --stm: write its text, for the same utterances, to this file")
    add_text_options(options)
    args = options.parse_args(arguments)
    if (args.input.suffix == ".ctm") != (args.stm is not None):
        raise AsrtoolError(f"{args.input}: a .ctm needs --stm, and only a .ctm does")
    preparation = preparation_of(args)
    if args.stm:
        references, texts, outside = ctm_to_texts(read_ctm(args.input), read_stm(args.stm))
        print(f"{args.input}: {len(texts)} segments, {outside} words outside all of them left out", file=sys.stderr)
        if args.ref_output:
            write_kaldi_text(args.ref_output, preparation.references(references))
    else:
        texts = load_texts(args.input)
    texts = {utterance: preparation.tokens(words) for utterance, words in preparation.hypotheses(texts).items()}
    data = DataDir.load(args.data) if args.data else None
    if args.output.suffix == ".stm":
        if data is None:
            raise AsrtoolError(f"{args.output}: an stm needs --data for the times")
        write_stm(args.output, stm_segments(data, texts))
    elif args.output.suffix == ".trn":
        write_trn(args.output, texts, data.utt2spk if data else None)
    else:
        write_kaldi_text(args.output, texts)
    return 0
