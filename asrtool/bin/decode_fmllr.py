"""Decode with a GMM and transforms of each speaker (fMLLR), after decode-gmm, as Kaldi's steps/decode_fmllr.sh."""

from pathlib import Path

from asrtool.arguments import existing_path, parser
from asrtool.bin._decode_options import add_decode_options, language_models, search_options
from asrtool.bin._fmllr_options import add_fmllr_options, fmllr_options
from asrtool.bin._gpu_options import add_gpu_option
from asrtool.bin._threads import one_blas_thread
from asrtool.errors import AsrtoolError


def main(arguments: list[str]) -> int:
    example = "asrtool decode-fmllr --si-dir exp/tri3b/decode_test.si exp/tri3b exp/tri3b/graph data/test exp/tri3b/decode_test"
    options = parser("decode-fmllr", __doc__, example)
    options.add_argument("source_dir", type=existing_path, help="experiment directory of the model")
    options.add_argument("graph_dir", type=existing_path)
    options.add_argument("data_dir", type=existing_path)
    options.add_argument("out_dir", type=Path)
    options.add_argument("--si-dir", type=existing_path, required=True, help="the speaker-independent pass, by decode-gmm")
    options.add_argument("--alignment-model", type=existing_path, help="of that pass (default: final.alimdl or final.mdl)")
    options.add_argument("--adapt-model", type=existing_path, help="of transforms and search (default: final.mdl)")
    options.add_argument("--final-model", type=existing_path, help="of the final costs (default: final.mdl)")
    add_decode_options(options, acoustic_scale=0.083333)
    add_fmllr_options(options, silence_weight=0.01)
    add_gpu_option(options)
    args = options.parse_args(arguments)
    if not args.lattice:
        raise AsrtoolError("--lattice false: the transforms are estimated from lattices")
    one_blas_thread()

    from asrtool.gmm.backend import choose_backend
    from asrtool.train.decode_fmllr import DecodeFmllrOptions, Models, decode_fmllr

    settings = DecodeFmllrOptions(
        search_options(args),
        fmllr_options(args),
        args.silence_weight,
        tuple(language_models(args)),
        args.nj,
        args.max_failed,
        args.determinize_lattice,
        choose_backend(args.use_gpu),
    )
    models = Models.of(args.source_dir, args.alignment_model, args.adapt_model, args.final_model)
    decode_fmllr(args.graph_dir, args.data_dir, args.out_dir, args.source_dir, args.si_dir, models, settings)
    return 0
