"""Sequence criteria over the lattices of Kaldi's twelve utterances: log-likelihoods and lattices in, gradients out.

Prints for each criterion
    sequence_CRITERION           arcs of the lattices per CPU second against _plain_sequence, which loops over arcs in Python, in
                                 turns in this run and on every sixth utterance; objectives and gradients must be equal
    sequence_CRITERION_lattices  lattices per CPU second against those that the decoder makes in the same time in this run
    sequence_CRITERION_DEVICE    arcs per second of wall time by torch on that device (cpu, cuda where there is one), all lattices
                                 as one batch, against the same loops
The shortest of several times, because other programs can only add to it.
"""

import time

import numpy as np
import torch
from _plain_sequence import plain_criterion
from decoder_one_best import SCALE, load, make_decoder, print_rate, shared, shortest_times

from asrtool.criterion.sequence import PhoneTables, SequenceOptions, make_criterion
from asrtool.criterion.torch_lattice import TorchLatticeCriterion
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_text_ints
from asrtool.lattice.archive import read_lattices

REFERENCE_EVERY = 6
CRITERIA = {
    "mmi": SequenceOptions("mmi", SCALE),
    "boosted_mmi": SequenceOptions("mmi", SCALE, boost=0.1),
    "smbr": SequenceOptions("smbr", SCALE),
    "mpfe": SequenceOptions("mpfe", SCALE),
    "mpe": SequenceOptions("mpe", SCALE),
}


def problems(utterances: list[tuple[str, np.ndarray]]) -> list[tuple]:
    """(log-likelihoods, numerator, lattice, name) of each utterance."""
    lattices = dict(read_lattices(shared / "raw_lat.gz"))
    numerators = read_text_ints(shared / "ref_ali.txt")
    return [(loglikes, np.array(numerators[name], np.int32), lattices[name], name) for name, loglikes in utterances]


def num_arcs(some: list[tuple]) -> int:
    return sum(lattice.num_arcs for _, _, lattice, _ in some)


def assert_equal(ours: list, reference: list) -> None:
    for outer, (objective, gradient) in zip(ours, reference):
        assert abs(outer.objective - objective) < 1e-6 * abs(objective), (outer.objective, objective)
        pairs = zip(outer.gradient.frame.tolist(), outer.gradient.label.tolist(), outer.gradient.weight.tolist())
        found = {(frame, pdf): weight for frame, pdf, weight in pairs}
        for key in found.keys() | gradient.keys():
            assert abs(found.get(key, 0.0) - gradient.get(key, 0.0)) < 1e-6, key


def print_torch_rates(name: str, tables: PhoneTables, everything: list[tuple], reference_rate: float) -> None:
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        made = TorchLatticeCriterion(CRITERIA[name], tables, device)
        made(*zip(*everything))
        best = shortest_times({"all": lambda made=made: made(*zip(*everything))}, time.perf_counter, repeats=3)["all"]
        print_rate(f"sequence_{name}_{device}", num_arcs(everything) / best, reference_rate, "arcs/s")


def main() -> None:
    graph, tid_to_pdf, utterances = load()
    decoder = make_decoder(graph, tid_to_pdf)
    silence = map(int, (shared / "silence.csl").read_text().split(":"))
    tables = PhoneTables.from_model(TransitionModel.read_file(shared / "final.mdl"), silence)
    everything = problems(utterances)
    some = everything[::REFERENCE_EVERY]
    decoding = shortest_times({"all": lambda: [decoder.decode_lattice(loglikes) for _, loglikes in utterances]}, repeats=3)
    for name, options in CRITERIA.items():
        criterion = make_criterion(options, tables)
        assert_equal(criterion(*zip(*some)), [plain_criterion(options, tables, *problem[:3]) for problem in some])
        times = shortest_times(
            {
                "all": lambda criterion=criterion: criterion(*zip(*everything)),
                "reference": lambda options=options: [plain_criterion(options, tables, *problem[:3]) for problem in some],
            },
            repeats=3,
        )
        reference_rate = num_arcs(some) / times["reference"]
        print_rate(f"sequence_{name}", num_arcs(everything) / times["all"], reference_rate, "arcs/CPU-s")
        rates = len(everything) / times["all"], len(utterances) / decoding["all"]
        print_rate(f"sequence_{name}_lattices", *rates, "lattices/CPU-s")
        print_torch_rates(name, tables, everything, reference_rate)


if __name__ == "__main__":
    main()
