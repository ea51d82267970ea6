"""Train a model for alignment on the corpus that is to be aligned, or adapt a given one to it."""

import argparse
from pathlib import Path

from asrtool.arguments import boolean, existing_path, parser
from asrtool.bin._align_corpus_options import add_corpus_options, check_corpus_options
from asrtool.bin._threads import one_blas_thread


def main(arguments: list[str]) -> int:
    options = parser("train-aligner", __doc__, "asrtool train-aligner my_corpus english.dict my_model")
    options.add_argument("corpus_dir", type=existing_path, help="recordings with .txt, .lab or .TextGrid; or a data directory")
    options.add_argument("dictionary", type=existing_path, help="lines 'word [probability] phones', or a dictionary directory")
    options.add_argument("out_dir", type=Path)
    options.add_argument("--adapt", type=existing_path, help="a GMM directory to adapt (MAP), instead of training from nothing")
    options.add_argument("--tau", type=float, default=20, help="of --adapt: frames that the old means are worth (default 20)")
    options.add_argument("--num-iters", type=int, default=2, help="of --adapt (default 2)")
    options.add_argument("--last-stage", default="sat", help="mono, deltas, lda or sat (default sat)")
    options.add_argument("--num-leaves", type=int, default=0, help="of the last triphones (default: by the amount of speech)")
    options.add_argument("--totgauss", type=int, default=0, help="Gaussians in the end (default: by the amount of speech)")
    options.add_argument("--boost-silence", type=float, default=1.25, help="factor on silence likelihoods (default 1.25)")
    options.add_argument("--max-duration", type=float, default=30, help="longer utterances are left out, s (default 30)")
    options.add_argument("--position-dependent-phones", type=boolean, default=True, help="by place in the word (default true)")
    options.add_argument("--g2p-model", help="of train-g2p, for words that the dictionary lacks (default: they are noise)")
    options.add_argument("--config", help="mfcc.conf (default: Kaldi's 13 MFCC at 16 kHz, or that of the model to adapt)")
    add_corpus_options(options)
    args = options.parse_args(arguments)
    check_corpus_options(args)
    one_blas_thread()

    import torch

    torch.set_num_threads(1)  # our threads do the work
    (adapt if args.adapt else train)(args)
    return 0


def train(args: argparse.Namespace) -> None:
    from asrtool.feat.extraction_options import MfccOptions
    from asrtool.forced_alignment.run import load_g2p
    from asrtool.forced_alignment.train import TrainAlignerSettings, train_aligner

    settings = TrainAlignerSettings(
        args.last_stage,
        args.num_leaves,
        args.totgauss,
        args.boost_silence,
        args.max_duration,
        args.speaker_characters,
        args.position_dependent_phones,
        MfccOptions.from_conf(args.config),
        load_g2p(args.g2p_model),
        args.nj,
        args.max_failed,
    )
    train_aligner(args.corpus_dir, args.dictionary, args.out_dir, settings)


def adapt(args: argparse.Namespace) -> None:
    from asrtool.forced_alignment.adapt import AdaptSettings, adapt_model
    from asrtool.forced_alignment.align import AlignSettings
    from asrtool.forced_alignment.run import load_g2p

    guess = load_g2p(args.g2p_model)
    align = AlignSettings(boost_silence=args.boost_silence, longest_s=args.max_duration)
    settings = AdaptSettings(
        align, args.tau, args.num_iters, args.config, args.speaker_characters, guess, args.nj, args.max_failed
    )  # fmt: skip
    adapt_model(args.corpus_dir, args.dictionary, args.adapt, args.out_dir, settings)
