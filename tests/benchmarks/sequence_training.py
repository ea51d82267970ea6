"""On-the-fly sMBR training against cross-entropy training of the same model, CPU seconds a 10 ms frame on one core.

On real speech: egs/speechocean762/s5 (or the copy of it in ASRTOOL_EXPERIMENT) after its stage 7: its LSTM, and with
ASRTOOL_NETWORK=lstmp another of its networks. Everything is in the trainer's process (speech.num_processes=0), so that all of the
speech module's work counts. The reference is six times the time of cross-entropy; a line for each setting of the search, and
where the time goes.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from _big_graph import EXPERIMENT

from asrtool.io.config import load_config
from asrtool.train.config import TrainConfig
from asrtool.train.measure_speed import seconds_per_frame
from asrtool.train.parts import Parts
from asrtool.train.run import TrainPaths
from asrtool.train.sequence_config import SequencePaths, SequenceTrainConfig
from asrtool.train.sequence_run import train_sequence

NETWORK = os.environ.get("ASRTOOL_NETWORK", "lstm")
ROOT = Path(__file__).parents[2]
AIM = 6.0
SECONDS = 40.0
SETTINGS = (
    ("beam13_active5000", ["speech.beam=13"]),
    ("beam13_active2000", ["speech.beam=13", "speech.max_active=2000"]),
    ("beam11", ["speech.beam=11"]),
    ("beam10_lattice5", ["speech.beam=10", "speech.lattice_beam=5"]),
)
PARTS = ("forward_s", "search_s", "criterion_s")


def denominator(folder: Path) -> Path:
    """The bigram's graph."""
    step = ["steps/nnet/make_denominator_graph.sh", "--order", "2", EXPERIMENT / "data" / "fbank" / "train_tr"]
    step += [EXPERIMENT / "data" / "lang", EXPERIMENT / "exp" / "tri_ali", folder / "graph"]
    subprocess.run([str(word) for word in step], cwd=ROOT / "egs" / "speechocean762" / "s5", check=True, capture_output=True)
    return folder / "graph"


def measured(config: SequenceTrainConfig, paths: SequencePaths) -> tuple[float, dict[str, float]]:
    """Seconds a frame, and the share of each part of the speech module in the time that it took."""
    put_together: list[Parts] = []

    def train(config: SequenceTrainConfig, paths: SequencePaths, comm, prepare) -> None:
        def prepare_both(parts: Parts) -> None:
            prepare(parts)
            put_together.append(parts)

        train_sequence(config, paths, comm, prepare=prepare_both)

    seconds = seconds_per_frame(config, paths, SECONDS, train)
    sums = put_together[0].worker_notes.read()
    total = sum(sums.get(name, 0.0) for name in PARTS)
    return seconds, {name: sums.get(name, 0.0) / max(total, 1e-9) for name in PARTS}


def main() -> int:
    model = EXPERIMENT / "exp" / NETWORK / "final_ema.pt"
    if not model.is_file():
        print(f"sequence_training: {model} is not there; run egs/speechocean762/s5/run.sh first", file=sys.stderr)
        return 0
    torch.set_num_threads(1)
    data = EXPERIMENT / "data" / "fbank"
    where = (EXPERIMENT / "exp" / "tri_ali", data / "train_tr", data / "train_cv", Path("unused"))
    ce = load_config(TrainConfig, EXPERIMENT / "exp" / NETWORK / "config.yaml", [])
    ce_s = seconds_per_frame(ce, TrainPaths(*where), SECONDS / 4)
    print(f"sequence_training: {NETWORK}, cross-entropy {1 / ce_s:,.0f} frames/CPU-s")
    with tempfile.TemporaryDirectory() as folder:
        paths = SequencePaths(
            *where, init_model=model, lang_dir=EXPERIMENT / "data" / "lang", graph_dir=denominator(Path(folder))
        )
        for name, search in SETTINGS:
            settings = [*search, "speech.num_processes=0", "held_out.max_utterances=-1"]
            config = load_config(SequenceTrainConfig, ROOT / "conf" / "smbr_mini.yaml", settings)
            seconds, shares = measured(config, paths)
            times = seconds / ce_s
            where_to = ", ".join(f"{part[:-2]} {100 * share:.0f} %" for part, share in shares.items())
            print(
                f"sequence_training_{name} ours={times:.2f} reference={AIM} ratio={AIM / times:.2f} unit=times the time of CE "
                f"({1 / seconds:,.0f} frames/CPU-s; of the speech module: {where_to})"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
