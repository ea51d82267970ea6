"""README.md of an exported directory: what is what, and the Kaldi commands that use it."""

from pathlib import Path

from asrtool.hmm.transition_model import TransitionModel

_FILES = {
    "final.mdl": "transition model and Gaussians (of a network: the GMM whose states it learnt); `gmm-info`, `show-transitions`",
    "final.alimdl": "the same for features without the speakers' transforms",
    "tree": "context dependency; `tree-info`, `draw-tree`",
    "final.occs": "frames by pdf",
    "phones.txt": "phone table",
    "cmvn_opts": "options of apply-cmvn",
    "delta_opts": "options of add-deltas",
    "splice_opts": "options of splice-feats",
    "final.mat": "LDA + MLLT, for transform-feats after splice-feats",
    "full.mat": "the same with the rows that were dropped",
    "trans.1": "fMLLR transforms by speaker, job by job, for transform-feats --utt2spk",
    "ali.1.gz": "alignments (transition-ids), job by job; `ali-to-phones`, `show-alignments`",
    "num_jobs": "how many jobs",
    "ali_train_pdf.counts": "frames by pdf, for priors (--class-frame-counts)",
    "final.nnet": "nnet1 network with its softmax",
    "final.feature_transform": "its normalisation and windows of frames",
    "global_cmvn": "CMVN statistics of the training data",
    "online_cmvn_opts": "options of apply-cmvn-online, with global_cmvn_stats.mat",
    "nnet1.txt": "the pipe of programs from features to log-likelihoods",
}


def readme(experiment: Path, out_dir: Path, model: TransitionModel, network_commands: str | None) -> str:
    """The text.

    Args:
        network_commands: what computes log-likelihoods with the network; None without a network.
    """
    lines = [
        f"# {experiment.name}, for Kaldi",
        "",
        f"{len(model.phones)} phones, {model.num_pdfs} pdfs, {model.num_transition_ids} transition-ids.",
        "",
        "| file | what it is |",
        "|---|---|",
        *(f"| {name} | {what} |" for name, what in _FILES.items() if (out_dir / name).is_file()),
    ]
    graphs = sorted(path.parent for path in out_dir.glob("*/HCLG.fst"))
    lines += [f"| {path.name}/ | decoding graph: HCLG.fst, words.txt, phones/ |" for path in graphs]
    lines += [
        f"| {path.name}/ | lattices of a decoding; `lattice-best-path`, `steps/score_kaldi.sh` |"
        for path in _having(out_dir, "lat.*.gz")
    ]
    lines += [f"| data/{path.name}/ | data directory |" for path in _having(out_dir / "data", "utt2spk")]
    if (out_dir / "lang" / "phones.txt").is_file():
        lines.append("| lang/ | lang directory |")
    if network_commands is not None:
        lines += ["", "Log-likelihoods of DATA, in this directory:", "", *_network(out_dir, network_commands)]
    if graphs:
        lines += ["", "Lattices of DATA, in this directory:", "", *_decoding(out_dir, graphs[0].name, network_commands)]
    if any(out_dir.glob("ali.*.gz")):
        lines += [
            "",
            "The alignments are split as `utils/split_data.sh DATA $(cat num_jobs)` splits their data: training steps take this",
            "directory as <ali-dir>.",
        ]
    return "\n".join(lines) + "\n"


def _having(directory: Path, pattern: str) -> list[Path]:
    return sorted({path.parent for path in directory.glob(f"*/{pattern}")})


def _network(out_dir: Path, commands: str) -> list[str]:
    text = commands.rstrip("\n").replace(f"{out_dir}/", "").replace("data/", "DATA/")
    lines = [f"    {line}" for line in text.split("\n")]
    if "subsample-feats" in commands:
        lines += ["", "or, a row for every frame, `asrtool nnet-forward MODEL DATA loglikes.ark`"]
    return lines


def _decoding(out_dir: Path, graph: str, network_commands: str | None) -> list[str]:
    end = f"--allow-partial=true --word-symbol-table={graph}/words.txt final.mdl {graph}/HCLG.fst"
    if network_commands is not None:
        return [f"    latgen-faster-mapped --acoustic-scale=0.1 {end} ark:loglikes.ark 'ark:|gzip -c > lat.1.gz'"]
    stages = [f"apply-cmvn {_text(out_dir / 'cmvn_opts')} --utt2spk=ark:DATA/utt2spk scp:DATA/cmvn.scp scp:DATA/feats.scp ark:-"]
    if (out_dir / "final.mat").is_file():
        stages += [f"splice-feats {_text(out_dir / 'splice_opts')} ark:- ark:-", "transform-feats final.mat ark:- ark:-"]
    else:
        stages.append(f"add-deltas {_text(out_dir / 'delta_opts')} ark:- ark:-")
    stages.append(f"gmm-latgen-faster --acoustic-scale=0.083333 {end} ark:- 'ark:|gzip -c > lat.1.gz'")
    pipe = [f"    {' '.join(stage.split())}" for stage in stages]
    adapted = ["", "With transforms of DATA's speakers: `steps/decode_fmllr.sh`."] if (out_dir / "trans.1").is_file() else []
    return [*(f"{stage} | \\" for stage in pipe[:-1]), pipe[-1], *adapted]


def _text(path: Path) -> str:
    return path.read_text().strip() if path.is_file() else ""
