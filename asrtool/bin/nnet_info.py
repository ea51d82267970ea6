"""Print what a model file holds: kind, sizes, features, input, training."""

import json

from asrtool.arguments import existing_path, parser


def main(arguments: list[str]) -> int:
    options = parser("nnet-info", __doc__, "asrtool nnet-info exp/lstm/final_ema.pt")
    options.add_argument("model", type=existing_path)
    given = options.parse_args(arguments)

    import dataclasses

    from asrtool.nnet.model_file import load_model

    bundle = load_model(given.model)
    summary = {
        "model": bundle.settings,
        "num_parameters": bundle.model.num_parameters(),
        "num_pdfs": bundle.model.num_pdfs,
        "feature_dim": bundle.feature_dim,
        "features": dataclasses.asdict(bundle.features),
        "input": dataclasses.asdict(bundle.input),
        "log_prior": {"min": float(bundle.log_prior_P.min()), "max": float(bundle.log_prior_P.max())},
        "info": bundle.info,
    }
    print(json.dumps(summary, indent=2, ensure_ascii=False))
    return 0
