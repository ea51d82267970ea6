"""Replace the n-gram costs of lattices: subtract the first pass's language model, add another one or several interpolated.

A model is a compact one (build-lm-binary), an ARPA file (.gz too), a G.fst or a lang directory. As in Kaldi's lattice-lmrescore
and lattice-lmrescore-const-arpa, `--lm-scale -1.0 OLD` subtracts; `--remove OLD` does both at once.
"""

import numpy as np

from asrtool.arguments import existing_path
from asrtool.bin._lattice_options import each_lattice, lattice_parser, target
from asrtool.errors import AsrtoolError
from asrtool.io.symbols import SymbolTable
from asrtool.lattice.archive import write_lattices


def main(arguments: list[str]) -> int:
    example = "asrtool lattice-lmrescore --words data/lang/words.txt --remove lm3.bin lat.1.gz lm5.bin rescored.1.gz"
    options = lattice_parser("lattice-lmrescore", __doc__, example, scales=False)
    options.add_argument("models", nargs="+", type=existing_path, help="language models to add; several are interpolated")
    options.add_argument("rescored", type=target, help="archive to write; ark,t:FILE for text")
    options.add_argument("--words", required=True, help="words.txt of the lattices")
    options.add_argument("--lm-scale", type=float, default=1.0, help="of the costs added (default 1); negative: subtract them")
    options.add_argument("--remove", type=existing_path, help="the first pass's language model, subtracted")
    options.add_argument("--remove-scale", type=float, default=1.0, help="of the costs subtracted (default 1)")
    options.add_argument("--weights", help="comma-separated weights of linear interpolation (default: the same for all models)")
    options.add_argument("--beam", type=float, default=np.inf, help="prune afterwards (default: keep all)")
    options.add_argument("--acoustic-scale", type=float, default=1.0, help="of the pruning")
    args = options.parse_args(arguments)

    from asrtool.lattice.prune import prune
    from asrtool.lattice.rescore import Rescorer
    from asrtool.lm.compact_open import open_language_model

    words = SymbolTable.read(args.words)
    models = [open_language_model(path, words) for path in args.models]
    weights = _weights(args.weights, len(models))
    if args.lm_scale < 0:
        if args.remove or len(models) > 1:
            raise AsrtoolError("a negative --lm-scale subtracts one model; use --remove to add others as well")
        rescorer = Rescorer(words, models[0], [], -args.lm_scale)
    else:
        old = open_language_model(args.remove, words) if args.remove else None
        rescorer = Rescorer(words, old, list(zip(models, weights)), args.remove_scale, args.lm_scale)

    def work(_, lattice):
        result = rescorer(lattice)
        result = prune(result, args.beam, args.acoustic_scale) if args.beam < np.inf else result
        return result if result.num_states else None

    write_lattices(args.rescored.path, each_lattice(args.lattices, work, args.max_failed), not args.rescored.text)
    return 0


def _weights(text: str | None, number: int) -> list[float]:
    if text is None:
        return [1.0 / number] * number
    try:
        weights = [float(part) for part in text.split(",")]
    except ValueError:
        raise AsrtoolError(f"--weights {text}: expected numbers, separated by commas") from None
    if len(weights) != number:
        raise AsrtoolError(f"--weights {text}: {len(weights)} weights for {number} models")
    return weights
