"""Lattice-free MMI: loss and gradient over a denominator graph of some thousand states, on one core and on a GPU if there is one.

Prints
- lattice_free_dense: output frames a CPU second, reference: sums frame by frame and utterance by utterance with a dense matrix of
  all states and all pdfs' likelihoods spread over its arcs; log likelihoods must agree, or the benchmark fails.
- lattice_free_torch: the same against torch's sparse products.
- lattice_free_of_lstm: against forward and backward of an LSTM (2 x 256 cells, as in the recipes) with frame cross-entropy.
- lattice_free_hours: hours of speech an hour of loss and gradient alone, at 30 ms an output.
The graph: a phone language model of random sentences, in which few phones are likely after any other two; a chain topology.
"""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from torch import Tensor

from asrtool.criterion.cross_entropy import cross_entropy
from asrtool.criterion.lattice_free_denominator import Denominator
from asrtool.criterion.lattice_free_loss import LatticeFreeLoss
from asrtool.graph.denominator import DenominatorGraph
from asrtool.graph.hmm_arrays import HmmArrays
from asrtool.graph.make_denominator import denominator_fst, pdf_kinds
from asrtool.hmm.topology import HmmState, HmmTopology
from asrtool.hmm.transition_model import TransitionModel
from asrtool.lm.phone_lm import PhoneLmOptions, estimate_phone_lm
from asrtool.loader.batch import Batch
from asrtool.nnet.lstm import Lstm, LstmConfig
from asrtool.tree.context_dependency import ContextDependency
from asrtool.tree.event_map import PDF_CLASS, ConstantEventMap, TableEventMap

NUM_PHONES, UTTERANCES, FRAMES, FRAME_S = 42, 16, 150, 0.03
ROUNDS = 5


def make_graph() -> DenominatorGraph:
    topology = HmmTopology([(HmmState(0, 1, ((0, 0.5), (1, 0.5))), HmmState())], dict.fromkeys(range(1, NUM_PHONES + 1), 0))
    tree = make_tree(topology)
    model = TransitionModel.from_tree(tree, topology)
    rng = np.random.default_rng(0)
    likely = rng.integers(1, NUM_PHONES + 1, (NUM_PHONES + 1, NUM_PHONES + 1, 3))
    sentences = []
    for _ in range(2000):
        sentence = [0, 0]
        for _ in range(25):
            random = rng.random() < 0.1
            sentence.append(
                int(rng.integers(1, NUM_PHONES + 1)) if random else int(rng.choice(likely[sentence[-2], sentence[-1]]))
            )
        sentences.append(np.array(sentence[2:]))
    phone_lm = estimate_phone_lm(sentences, PhoneLmOptions())
    return DenominatorGraph.from_graph(denominator_fst(phone_lm.graph, HmmArrays(tree, model)), pdf_kinds(model), 3)


def make_tree(topology: HmmTopology) -> ContextDependency:
    """Over pairs of phones: each phone and pdf class has four leaves by the quarter that the phone before it is in."""
    leaf, table = 0, [None]
    for _ in topology.phones:
        classes = []
        for _ in range(2):
            lefts = tuple(ConstantEventMap(leaf + 4 * left // (NUM_PHONES + 1)) for left in range(NUM_PHONES + 1))
            classes.append(TableEventMap(0, lefts))
            leaf += 4
        table.append(TableEventMap(PDF_CLASS, tuple(classes)))
    return ContextDependency(2, 1, TableEventMap(1, tuple(table)))


def dense_loglike(graph: DenominatorGraph, loglikes_TP: Tensor, leak: float) -> Tensor:
    """Of one utterance, through a dense matrix [S, S] of arc probabilities times likelihoods; differentiable by autograd."""
    row = torch.from_numpy(np.repeat(np.arange(len(graph.row_pdf)), np.diff(graph.row_begin)))
    state, pdf, source = (torch.from_numpy(part.astype(np.int64)) for part in (graph.row_state, graph.row_pdf, graph.arc_state))
    initial, size = torch.from_numpy(graph.initial), graph.num_states
    alpha, total = initial * (1 + leak), torch.zeros(())
    for frame in loglikes_TP:
        values = torch.from_numpy(graph.arc_prob) * (frame - frame.max().detach()).exp()[pdf[row]]
        matrix = torch.zeros(size, size).index_put((state[row], source), values, accumulate=True)
        alpha = matrix @ alpha
        total = total + alpha.sum().log() + frame.max().detach()
        alpha = alpha / alpha.sum() + leak * initial
    return total + alpha.sum().log()


def interleaved_medians(kinds: dict[str, Callable], rounds: int) -> dict[str, float]:
    """CPU seconds of each callable: all in turns, the median of the rounds."""
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, call in kinds.items():
            start = time.process_time()
            call()
            times[name].append(time.process_time() - start)
    return {name: median(values) for name, values in times.items()}


def make_batch(graph: DenominatorGraph, utterances: int) -> tuple[Tensor, Batch]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(utterances, FRAMES, graph.num_pdfs, generator=generator)
    known = torch.from_numpy(np.unique(graph.row_pdf).astype(np.int64))
    target = known[torch.randint(len(known), (utterances, FRAMES), generator=generator)]
    names = [str(number) for number in range(utterances)]
    reset = torch.ones(utterances, dtype=torch.bool)
    return logits, Batch(torch.zeros(0), target, reset, 3 * target.numel(), target.numel(), names)


def report(name: str, ours: float, reference: float) -> None:
    print(f"{name} ours={ours:.0f} reference={reference:.0f} ratio={ours / reference:.2f} unit=frames/CPU-s", flush=True)


def on_cpu(graph: DenominatorGraph) -> None:
    logits, batch = make_batch(graph, UTTERANCES)
    loss_of, slow = LatticeFreeLoss(graph, stride=3), LatticeFreeLoss(graph, stride=3)
    slow.denominator = Denominator(graph, kernels=False)
    model = Lstm(LstmConfig(num_layers=2, num_cells=256, fc_dim=256), 120, graph.num_pdfs)
    x_BTF = torch.randn(FRAMES, UTTERANCES, 120).transpose(0, 1)
    few = 4  # frames of the dense reference

    def loss(criterion: LatticeFreeLoss) -> Tensor:
        leaf = logits.clone().requires_grad_()
        criterion(leaf, batch)[0].backward()
        return leaf.grad

    def dense() -> float:
        leaf = logits[0, :few].clone().requires_grad_()
        value = dense_loglike(graph, leaf, 1e-5)
        value.backward()
        return value.item()

    def lstm() -> None:
        outputs, _ = model(x_BTF, model.initial_state(UTTERANCES))
        cross_entropy(outputs, batch.target_BT)[0].backward()
        model.zero_grad()

    expected = Denominator(graph)(logits[:1], [few]).loglike_B.item()
    torch.testing.assert_close(torch.tensor(dense()), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(loss(loss_of), loss(slow), rtol=1e-4, atol=1e-4)  # also compiles kernels
    lstm()
    times = interleaved_medians(
        {"ours": lambda: loss(loss_of), "torch": lambda: loss(slow), "lstm": lstm, "dense": dense}, ROUNDS
    )
    frames = UTTERANCES * FRAMES
    report("lattice_free_dense", frames / times["ours"], few / times["dense"])
    report("lattice_free_torch", frames / times["ours"], frames / times["torch"])
    report("lattice_free_of_lstm", frames / times["ours"], frames / times["lstm"])
    print(f"lattice_free_hours ours={frames * FRAME_S / times['ours']:.0f} unit=hours/CPU-hour", flush=True)


def on_gpu(graph: DenominatorGraph) -> None:
    for utterances in (64, 256):
        logits, batch = make_batch(graph, utterances)
        loss_of, leaf, times = LatticeFreeLoss(graph, stride=3, device="cuda"), logits.cuda().requires_grad_(), []
        for _ in range(ROUNDS):
            torch.cuda.synchronize()
            start = time.perf_counter()
            loss_of(leaf, batch)[0].backward()
            torch.cuda.synchronize()
            times.append(time.perf_counter() - start)
        rate = utterances * FRAMES * FRAME_S / median(times)
        print(f"lattice_free_hours_gpu_{utterances}_utterances ours={rate:.0f} unit=hours/hour", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    graph = make_graph()
    print(f"lattice_free_graph states={graph.num_states} arcs={graph.num_arcs} pdfs={graph.num_pdfs}", flush=True)
    on_cpu(graph)
    if torch.cuda.is_available():
        on_gpu(graph)


if __name__ == "__main__":
    main()
