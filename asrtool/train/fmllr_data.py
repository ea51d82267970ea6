"""A data directory of features as a GMM sees them, speakers' transforms included (Kaldi's steps/nnet/make_fmllr_feats.sh)."""

from pathlib import Path

from asrtool.data.data_dir import COPIED_FILES, DataDir, select
from asrtool.errors import AsrtoolError
from asrtool.gmm.features import open_features
from asrtool.gmm.fmllr_speakers import read_transforms
from asrtool.io.atomic_file import write_text
from asrtool.io.kaldi_table import MatrixWriter
from asrtool.io.progress import progress
from asrtool.io.tally import Tally


def write_fmllr_data(
    source: Path, gmm_dir: Path, transform_dir: Path | None, target: Path, feature_dir: Path, max_failed: float = 0.1
) -> None:
    """Writes the data directory `target`: that of `source` with other features, and without CMVN statistics.

    Args:
        gmm_dir: says how features are processed (cmvn_opts, splice_opts, delta_opts, final.mat).
        transform_dir: with trans.*, of an alignment or a decoding of these data; None for features without transforms.

    Raises:
        AsrtoolError: no transforms there, or too many utterances whose features are damaged or whose speakers have none.
    """
    if target.resolve() == source.resolve():
        raise AsrtoolError(f"{target}: is the source too; give the new features a directory of their own")
    features = open_features(DataDir.load(source), gmm_dir)
    transforms = {} if transform_dir is None else read_transforms(transform_dir)
    if transform_dir is not None and not transforms:
        raise AsrtoolError(f"{transform_dir}: no trans.*; align or decode these data with fMLLR first")
    adapted = features.with_speaker_transforms(transforms)
    utterances, done, tally = features.utterances(), [], Tally(max_failed=max_failed)
    feature_dir.mkdir(parents=True, exist_ok=True)
    stem = feature_dir.absolute() / f"feats_fmllr_{target.name}"
    with MatrixWriter(f"{stem}.ark", f"{stem}.scp") as writer:
        for utterance in progress(utterances, len(utterances), f"features of {target}"):
            speaker = features.data.utt2spk.get(utterance)
            try:
                if transforms and speaker not in transforms:
                    raise AsrtoolError(f"speaker '{speaker}' has no transform in {transform_dir}")
                writer.write(utterance, adapted(utterance))
            except AsrtoolError as error:
                tally.failed(utterance, str(error))
                continue
            tally.ok()
            done.append(utterance)
    tally.close()
    target.mkdir(parents=True, exist_ok=True)
    select(source, target, done)
    for name in {"cmvn.scp", *COPIED_FILES} - {"frame_shift"}:  # of other features
        (target / name).unlink(missing_ok=True)
    write_text(target / "feats.scp", Path(f"{stem}.scp").read_text(encoding="utf-8"))
