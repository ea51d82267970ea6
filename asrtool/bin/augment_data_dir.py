"""Put noise, music and babble (MUSAN) and reverberation (RIRS_NOISES) on the recordings of a data directory, in a new one."""

from pathlib import Path

from asrtool.arguments import boolean, parser


def main(arguments: list[str]) -> int:
    example = "asrtool augment-data-dir --musan /corpora/musan --rirs /corpora/RIRS_NOISES data/train data/train_noisy"
    options = parser("augment-data-dir", __doc__, example)
    options.add_argument("source", type=Path, help="data directory with wav.scp, perhaps segments")
    options.add_argument("destination", type=Path, help="utterances are called NAME-KIND in it")
    options.add_argument("--kinds", default="reverb noise music babble", help="one copy for each (default: %(default)s)")
    options.add_argument("--musan", help="the corpus: music, noise and speech are in it")
    options.add_argument("--rirs", help="the corpus RIRS_NOISES: simulated_rirs is in it")
    options.add_argument("--rooms", default="smallroom mediumroom", help="of simulated_rirs (default: %(default)s)")
    options.add_argument(
        "--noise-snrs", default="15:10:5:0", help="in dB, one is drawn; or a range, 0..15 (default: %(default)s)"
    )
    options.add_argument("--music-snrs", default="15:10:8:5", help="(default: %(default)s)")
    options.add_argument("--babble-snrs", default="20:17:15:13", help="of each who talks (default: %(default)s)")
    options.add_argument("--num-babble", default="3:4:5:6:7", help="how many talk (default: %(default)s)")
    options.add_argument("--seed", type=int, default=0, help="of what is drawn for a recording (default: %(default)s)")
    options.add_argument("--audio-format", choices=["flac", "wav"], default="flac", help="(default: flac)")
    options.add_argument(
        "--modify-spk-id", type=boolean, default=False, help="speakers are called NAME-KIND too (default: false)"
    )
    options.add_argument("--nj", type=int, default=1, help="number of jobs (default: %(default)s)")
    options.add_argument("--job", type=int, help="write the audio of this job only (from 1)")
    options.add_argument("--collect", type=boolean, default=False, help="write the data directory of what the jobs wrote")
    options.add_argument("--max-failed", type=float, default=0.0, help="share of recordings that may fail (default: 0)")
    args = options.parse_args(arguments)

    from asrtool.data.augment import AugmentOptions
    from asrtool.data.augment_dir import AugmentedDir

    settings = AugmentOptions(
        tuple(args.kinds.split()),
        args.musan,
        args.rirs,
        args.noise_snrs,
        args.music_snrs,
        args.babble_snrs,
        args.num_babble,
        tuple(args.rooms.split()),
        args.seed,
        args.audio_format,
    )
    run = AugmentedDir(args.source, args.destination, settings)
    if not args.collect:
        import torch

        torch.set_num_threads(1)  # work is spread over jobs
        for job in [args.job] if args.job is not None else range(1, args.nj + 1):
            run.run(job, args.nj, args.max_failed)
    if args.collect or args.job is None:
        number = run.collect(args.modify_spk_id, args.max_failed)
        print(f"{args.destination}: {number} utterances, {args.kinds}")
    return 0
