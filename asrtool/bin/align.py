"""Align recordings with their texts: the times of words and phones, as TextGrid, CTM or JSON."""

from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.bin._align_corpus_options import add_align_settings, add_corpus_options, align_settings, check_corpus_options
from asrtool.bin._threads import one_blas_thread
from asrtool.errors import AsrtoolError

FORMATS = ("textgrid", "ctm", "json")


def main(arguments: list[str]) -> int:
    options = parser("align", __doc__, "asrtool align --format textgrid,ctm my_corpus english.dict exp/tri3b my_corpus_aligned")
    options.add_argument("corpus_dir", type=existing_path, help="recordings with .txt, .lab or .TextGrid; or a data directory")
    options.add_argument("dictionary", type=existing_path, help="lines 'word [probability] phones', or a dictionary directory")
    options.add_argument("model", type=existing_path, help="experiment directory of a GMM, or a network's model file")
    options.add_argument("out_dir", type=Path)
    options.add_argument("--format", default="textgrid", help="textgrid, ctm, json or several: textgrid,ctm (default textgrid)")
    options.add_argument("--textgrid-confidence", type=boolean, default=True, help="tiers of confidences too (default true)")
    options.add_argument("--g2p-model", help="of train-g2p, for words that the dictionary lacks (default: they are noise)")
    options.add_argument("--config", help="conf file of the features (default: mfcc.conf or fbank.conf beside the model)")
    options.add_argument("--ali-dir", help="of a network: directory with final.mdl, tree and phones.txt (default: its own)")
    add_corpus_options(options)
    add_align_settings(options)
    args = options.parse_args(arguments)
    check_corpus_options(args)
    formats = tuple(args.format.lower().split(","))
    if not set(formats) <= set(FORMATS):
        raise AsrtoolError(f"--format {args.format}: expected one or several of {', '.join(FORMATS)}")
    one_blas_thread()

    import torch

    from asrtool.forced_alignment.run import RunSettings, align_corpus_dir

    torch.set_num_threads(1)  # our threads do the work
    settings = RunSettings(
        align_settings(args),
        args.config,
        args.ali_dir,
        args.g2p_model,
        formats,
        args.textgrid_confidence,
        args.speaker_characters,
        args.nj,
        args.max_failed,
    )
    align_corpus_dir(args.corpus_dir, args.dictionary, args.model, args.out_dir, settings)
    return 0
