"""An experiment directory for a Kaldi user: what is in Kaldi's formats already is copied, the rest is made."""

from dataclasses import dataclass
from pathlib import Path

from asrtool.data.data_dir import ALL_TABLES, COPIED_FILES, DataDir
from asrtool.data.kaldi_split import split_as_kaldi
from asrtool.errors import AsrtoolError
from asrtool.gmm.fmllr_speakers import read_transforms
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments, write_alignments
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.lattice.archive import lattice_files
from asrtool.train.gmm_import_output import OPTIONAL_FILES, copy_graph, graph_dirs
from asrtool.train.gmm_output import copy_file
from asrtool.train.kaldi_export_readme import readme

COUNTS = "ali_train_pdf.counts"
NETWORK_FILES = ("final.nnet", "final.feature_transform", "nnet1.txt", "global_cmvn", "online_cmvn_opts", "global_cmvn_stats.mat")


@dataclass(frozen=True)
class ExportOptions:
    """
    Attributes:
        num_jobs: alignments and transforms are split over so many jobs, as Kaldi splits `data`; 1 needs no data.
        data: data directories to take along; the first is that of the alignments.
        copy_features: also their features, as archives of their own; else feats.scp names those that there are.
        ali_dir: alignments that lie elsewhere (those a network was trained on).
        graphs: decoding graphs that lie elsewhere.
        lang: a lang directory to take along.
        decodings: take lattices along.
        model: which model file of a network; None: final_ema.pt or the only one.
        binary: else the network is written as text.
    """

    num_jobs: int = 1
    data: tuple[Path, ...] = ()
    copy_features: bool = False
    ali_dir: Path | None = None
    graphs: tuple[Path, ...] = ()
    lang: Path | None = None
    decodings: bool = True
    model: Path | None = None
    binary: bool = True


def export_kaldi(experiment: str | Path, out_dir: str | Path, options: ExportOptions) -> list[str]:
    """Writes OUT_DIR with final.mdl, tree, ali.N.gz, HCLG.fst, lattices, the network for nnet1, and README.md, which comes last.

    Returns:
        what was written, a line each.

    Raises:
        AsrtoolError: not an experiment directory, damaged files, or files that do not belong together.
    """
    experiment, out_dir = Path(experiment), Path(out_dir)
    for name in ("final.mdl", "tree"):
        if not (experiment / name).is_file():
            raise AsrtoolError(f"{experiment / name}: no such file; is {experiment} an experiment or alignment directory?")
    if experiment.resolve() == out_dir.resolve():
        raise AsrtoolError(f"{out_dir}: is the experiment itself; give another directory")
    if options.num_jobs > 1 and not options.data:
        raise AsrtoolError("--nj above 1 needs --data, the data directory of the alignments, whose speakers are split")
    model = TransitionModel.read_file(experiment / "final.mdl")
    out_dir.mkdir(parents=True, exist_ok=True)
    (out_dir / "README.md").unlink(missing_ok=True)
    for name in ("tree", "final.mdl", *OPTIONAL_FILES, *NETWORK_FILES):
        (out_dir / name).unlink(missing_ok=True)
        if name not in NETWORK_FILES and (experiment / name).is_file():
            copy_file(experiment / name, out_dir / name)
    written = [f"{out_dir}/final.mdl, tree: {len(model.phones)} phones, {model.num_pdfs} pdfs"]
    written += _alignments(options.ali_dir or experiment, experiment, out_dir, model, options)
    for graph in [*graph_dirs(experiment), *options.graphs]:
        target = out_dir / ("graph" if graph == experiment else graph.name)
        copy_graph(graph, target, model)
        written.append(f"{target}/HCLG.fst")
    if options.lang is not None:
        written.append(_lang(options.lang, out_dir / "lang"))
    if options.decodings:
        written += _lattices(experiment, out_dir)
    written += [_data(data, out_dir / "data" / data.name, options.copy_features) for data in options.data]
    commands = _network(experiment, out_dir, options, written)
    write_text(out_dir / "README.md", readme(experiment, out_dir, model, commands))
    return [*written, f"{out_dir}/README.md"]


def _alignments(source: Path, experiment: Path, out_dir: Path, model: TransitionModel, options: ExportOptions) -> list[str]:
    """ali.N.gz, num_jobs, counts, trans.N; nothing where the experiment has no alignments."""
    for pattern in ("ali.*.gz", "trans.*", "num_jobs", COUNTS):
        for path in out_dir.glob(pattern):
            path.unlink()
    if not any(source.glob("ali.*")):
        return []
    alignments, transforms = read_alignments(source), read_transforms(source)
    for utterance, row in alignments.items():
        if len(row) and not 0 < row.max() <= model.num_transition_ids:
            raise AsrtoolError(
                f"{source}: {utterance}: transition-id {row.max()}, {experiment}/final.mdl has {model.num_transition_ids}: of "
                "another model"
            )
    if options.num_jobs == 1:
        parts, utt2spk = [list(alignments)], {}
    else:
        utt2spk = DataDir.load(options.data[0]).utt2spk
        parts = split_as_kaldi(utt2spk, options.num_jobs)
        foreign = sorted(set(alignments) - set(utt2spk))
        if foreign:
            raise AsrtoolError(f"{source}: {foreign[0]}: aligned, but not in {options.data[0]}; give its data directory")
    for job, part in enumerate(parts, 1):
        write_alignments(out_dir / f"ali.{job}.gz", {name: alignments[name] for name in part if name in alignments})
        if transforms:
            speakers = dict.fromkeys(utt2spk.get(name, name) for name in part) if utt2spk else transforms
            with MatrixWriter(out_dir / f"trans.{job}") as writer:
                for speaker in speakers:
                    if speaker in transforms:
                        writer.write(speaker, transforms[speaker])
    if (source / COUNTS).is_file():
        copy_file(source / COUNTS, out_dir / COUNTS)
    write_text(out_dir / "num_jobs", f"{options.num_jobs}\n")
    return [f"{out_dir}/ali.*.gz: {len(alignments)} utterances, jobs: {options.num_jobs}"]


def _lattices(experiment: Path, out_dir: Path) -> list[str]:
    """The lat.N.gz of decodings below the experiment."""
    written = []
    for directory in sorted(path for path in experiment.glob("decode*") if path.is_dir()):
        if not any(directory.glob("lat.*.gz")):
            continue
        files = lattice_files(directory)
        for path in files:
            copy_file(path, out_dir / directory.name / path.name)
        write_text(out_dir / directory.name / "num_jobs", f"{len(files)}\n")
        written.append(f"{out_dir / directory.name}/lat.*.gz")
    return written


def _lang(source: Path, target: Path) -> str:
    """A lang directory; those that are made here are as Kaldi's."""
    if not (source / "phones.txt").is_file():
        raise AsrtoolError(f"{source}/phones.txt: no such file; is {source} a lang directory?")
    for path in [*source.glob("*"), *source.glob("phones/*")]:
        if path.is_file():
            copy_file(path, target / path.relative_to(source))
    return f"{target}: lang directory"


def _data(source: Path, target: Path, copy_features: bool) -> str:
    """A data directory whose paths hold from everywhere; with features of its own if asked."""
    data = DataDir.load(source)
    for name in ("spk2utt", *ALL_TABLES, *COPIED_FILES):
        if (source / name).is_file() and not (copy_features and name in ("feats.scp", "cmvn.scp")):
            text = (source / name).read_text(encoding="utf-8")
            if name in ("feats.scp", "cmvn.scp", "wav.scp", "vad.scp"):
                text = "".join(f"{_from_everywhere(line)}\n" for line in text.splitlines())
            write_text(target / name, text)
    if copy_features:
        for name, table in (("feats", data.feats), ("cmvn", data.cmvn if (source / "cmvn.scp").is_file() else None)):
            if table is not None:
                with MatrixWriter((target / f"{name}.ark").absolute(), target / f"{name}.scp") as writer:
                    for key, matrix in table.items():
                        writer.write(key, matrix)
    return f"{target}: {len(data.utterances)} utterances{', with features' if copy_features else ''}"


def _from_everywhere(line: str) -> str:
    """A line of an scp file with an absolute path; commands are left as they are."""
    key, _, value = line.partition(" ")
    value = value.strip()
    return line if value.endswith("|") or value.startswith("/") else f"{key} {Path(value).absolute()}"


def _network(experiment: Path, out_dir: Path, options: ExportOptions, written: list[str]) -> str | None:
    """final.nnet and what goes with it, and the Kaldi commands that use them; None where there is no network."""
    if options.model is None and not any(experiment.glob("final*.pt")):
        return None
    from asrtool.nnet.model_file import load_model
    from asrtool.nnet.nnet1_export import export_nnet1, has_counterpart
    from asrtool.train.align_nnet import find_model

    path = options.model or find_model(experiment)
    bundle = load_model(path)
    if not has_counterpart(bundle):
        written.append(f"no final.nnet: nnet1 has no layers like those of a {bundle.settings['kind']}; see README.md")
        return f"asrtool nnet-forward {path.absolute()} DATA_DIR loglikes.ark\n"
    commands = export_nnet1(bundle, out_dir, options.binary)
    written.append(f"{out_dir}/final.nnet: {path}")
    return commands
