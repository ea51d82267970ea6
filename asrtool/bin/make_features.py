"""Compute filterbank or MFCC features of a data directory: one job's archive, or the collection of all jobs'."""

import sys
from pathlib import Path

from asrtool.arguments import boolean, parser
from asrtool.data.data_dir import DataDir
from asrtool.errors import AsrtoolError
from asrtool.feat.extraction_options import FbankOptions, MfccOptions
from asrtool.feat.parts import collect_parts, done_file, is_done, load_job, part_stem, stamp
from asrtool.io.atomic_file import write_text


def main(arguments: list[str]) -> int:
    options = parser("make-features", __doc__, "asrtool make-features --config conf/fbank28.conf fbank data/train fbank")
    options.add_argument("kind", choices=["fbank", "mfcc"])
    options.add_argument("data_dir", type=Path, help="with wav.scp, utt2spk, perhaps segments")
    options.add_argument("out_dir", type=Path, help="for the archives raw_KIND_NAME.JOB.ark")
    options.add_argument("--config", type=Path, help="Kaldi conf file; its options may stand here too, as --num-mel-bins=28")
    options.add_argument("--nj", type=int, default=1, help="number of jobs (default: %(default)s)")
    options.add_argument("--job", type=int, help="compute this job's part only (from 1)")
    options.add_argument("--collect", type=boolean, default=False, help="collect the parts of --nj jobs, compute nothing")
    options.add_argument(
        "--compression-method", type=int, default=2, help="Kaldi's number; 0 is uncompressed (default: %(default)s)"
    )
    options.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    options.add_argument("--max-failed", type=float, default=0.1, help="share of utterances that may fail (default: %(default)s)")
    args, overrides = options.parse_known_args(arguments)
    settings = (MfccOptions if args.kind == "mfcc" else FbankOptions).from_conf(args.config, overrides)
    if not 0 <= args.compression_method <= 7:
        raise AsrtoolError(f"--compression-method {args.compression_method}: expected Kaldi's 1 to 7, or 0 for none")
    if not args.collect:
        _extract(args, settings)
    if args.collect or args.job is None:
        data = DataDir.load(args.data_dir)
        done = collect_parts(data, args.out_dir, args.kind, args.nj, settings.frame_shift / 1000)
        print(f"{args.data_dir}/feats.scp: {done} of {len(data.utt2spk)} utterances, {settings.dim} dimensions")
    return 0


def _extract(args, settings: FbankOptions) -> None:
    import torch

    from asrtool.feat.extract import extract_job

    if args.device == "cuda" and not torch.cuda.is_available():
        raise AsrtoolError("--device cuda: no GPU is available here; leave the option out")
    torch.set_num_threads(1)  # work is spread over jobs
    for job in [args.job] if args.job is not None else range(1, args.nj + 1):
        data = load_job(args.data_dir, job, args.nj)
        data.file("wav.scp")
        stem = part_stem(data.path, args.out_dir, args.kind, job)
        made_of = stamp(data.path, settings, args.compression_method, args.nj)
        if is_done(stem, made_of):
            print(f"{stem}.ark: is there already, of an earlier run with {done_file(stem).name}", file=sys.stderr)
            continue
        method = args.compression_method or None
        failed = extract_job(data, settings, stem, data.utterances, method, args.device, args.max_failed)
        if not failed:  # what failed may be mended
            write_text(done_file(stem), made_of)
