"""Makes the denominator graph of lattice-free MMI from alignments, as Kaldi's chain-est-phone-lm and chain-make-den-fst do."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import CsrGraph
from asrtool.fst.minimize import minimize, trim
from asrtool.fst.push import push_special
from asrtool.fst.remove_epsilons import remove_epsilons_local
from asrtool.graph import denominator
from asrtool.graph.compose_context import compose_context
from asrtool.graph.compose_h import compose_h
from asrtool.graph.denominator import BOTH, FORWARD_ONLY, LOOP_ONLY, DenominatorGraph
from asrtool.graph.h_transducer import h_transducer
from asrtool.graph.hmm_arrays import HmmArrays
from asrtool.graph.self_loops import add_self_loops
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.alignment import read_alignments
from asrtool.io.tally import Tally
from asrtool.lm.phone_lm import PhoneLm, PhoneLmOptions, estimate_phone_lm
from asrtool.tree.context_dependency import ContextDependency


def make_denominator(
    ali_dir: str | Path,
    out_dir: str | Path,
    options: PhoneLmOptions | None = None,
    frame_subsampling_factor: int | None = None,
    real_final: bool = False,
) -> DenominatorGraph:
    """Writes denominator.npz, denominator.json, den.fst and phone_lm.fst into `out_dir`; denominator.npz comes last.

    Args:
        ali_dir: with ali.*.gz, final.mdl and tree.
        frame_subsampling_factor: of the alignments; None: what ali_dir/frame_subsampling_factor says, else 1.
        real_final: see DenominatorGraph.from_graph.

    Raises:
        AsrtoolError: a file is missing or damaged; too many alignments are none of the model's.
    """
    ali_dir, out_dir = Path(ali_dir), Path(out_dir)
    for name in ("final.mdl", "tree"):
        if not (ali_dir / name).is_file():
            raise AsrtoolError(f"{ali_dir / name}: no such file; is {ali_dir} an alignment directory?")
    factor = _factor(ali_dir) if frame_subsampling_factor is None else frame_subsampling_factor
    model, tree = TransitionModel.read_file(ali_dir / "final.mdl"), ContextDependency.read_file(ali_dir / "tree")
    phone_lm = estimate_phone_lm(_phones(ali_dir, model), options)
    fst = denominator_fst(phone_lm.graph, HmmArrays(tree, model))
    graph = DenominatorGraph.from_graph(fst, pdf_kinds(model), factor, real_final)
    (out_dir / denominator.FILE).unlink(missing_ok=True)
    phone_lm.graph.write_fst_file(out_dir / denominator.PHONE_LM, "vector")
    fst.write_fst_file(out_dir / denominator.FST, "vector")
    graph.save(out_dir, _info(ali_dir, phone_lm))
    return graph


def denominator_fst(phone_lm: CsrGraph, hmms: HmmArrays) -> CsrGraph:
    """The acceptor of pdfs plus 1 without epsilons: H o C o phone_lm, transition probabilities and self-loops at scale 1.

    Kaldi minimises the reversed graph as well; that makes little difference here and is left out.
    """
    model, tree = hmms.model, hmms.tree
    context, meanings = compose_context(phone_lm, [], tree.context_width, tree.central_position)
    h_graph, _ = h_transducer(hmms, meanings, transition_scale=1.0)
    graph = compose_h(h_graph, context)
    graph.arc_ilabel[graph.arc_ilabel > model.num_transition_ids] = 0
    graph = add_self_loops(graph, model, self_loop_scale=1.0)
    graph.arc_ilabel = np.where(graph.arc_ilabel > 0, model.tid_to_pdf[graph.arc_ilabel] + 1, 0).astype(np.int32)
    graph.arc_olabel = graph.arc_ilabel.copy()
    graph = remove_all_epsilons(trim(remove_epsilons_local(graph)))
    return push_special(minimize(push_special(graph)))


def remove_all_epsilons(graph: CsrGraph) -> CsrGraph:
    """The same acceptor without epsilon arcs: a state has the arcs of all that its epsilons lead to, in the log semiring.

    Raises:
        AsrtoolError: a cycle of epsilons.
    """
    from scipy.sparse import coo_array, csr_array

    size, source = graph.num_states, graph.arc_source
    prob = np.exp(-graph.arc_cost.astype(np.float64))
    epsilon = graph.arc_ilabel == 0
    step = csr_array(coo_array((prob[epsilon], (source[epsilon], graph.arc_nextstate[epsilon])), shape=(size, size)))
    reached = power = csr_array(coo_array((np.ones(size), (np.arange(size), np.arange(size))), shape=(size, size)))
    for _ in range(size + 1):
        power = power @ step
        if power.nnz == 0:
            break
        reached = reached + power
    else:
        raise AsrtoolError("denominator graph: a cycle without emitting arcs: a topology that graphs here do not know")
    arcs = np.flatnonzero(~epsilon)
    one_each = csr_array((prob[arcs], (source[arcs], np.arange(len(arcs)))), shape=(size, len(arcs)))
    taken = (reached @ one_each).tocoo()
    arc = arcs[taken.col]
    with np.errstate(divide="ignore"):
        final_cost = -np.log(reached @ np.exp(-graph.final_cost.astype(np.float64)))
    return trim(
        CsrGraph.from_arcs(
            graph.start,
            taken.row,
            graph.arc_ilabel[arc],
            graph.arc_olabel[arc],
            graph.arc_nextstate[arc],
            -np.log(taken.data),
            final_cost,
        )
    )


def pdf_kinds(model: TransitionModel) -> np.ndarray:
    """int8 [P], see DenominatorGraph.pdf_kind."""
    forward, loop = model.tuples[:, 2], model.tuples[:, 3]
    kinds = np.full(model.num_pdfs, BOTH, np.int8)
    has_loop = model.self_loop > 0
    same = np.unique(forward[has_loop & (forward == loop)])
    kinds[np.setdiff1d(forward, same)] = FORWARD_ONLY
    kinds[np.setdiff1d(loop[has_loop], forward)] = LOOP_ONLY
    kinds[np.intersect1d(forward, loop[has_loop])] = BOTH
    return kinds


def _phones(ali_dir: Path, model: TransitionModel) -> Iterable[np.ndarray]:
    tally = Tally()
    for utterance, alignment in read_alignments(ali_dir).items():
        try:
            phones, _ = model.phone_segments(alignment)
        except AsrtoolError as error:
            tally.failed(utterance, str(error))
            continue
        if len(phones) == 0:
            tally.failed(utterance, "an alignment of no frames")
            continue
        tally.ok()
        yield phones
    tally.close()


def _factor(ali_dir: Path) -> int:
    path = ali_dir / "frame_subsampling_factor"
    try:
        return int(path.read_text()) if path.is_file() else 1
    except ValueError:
        raise AsrtoolError(f"{path}: expected a number of frames") from None


def _info(ali_dir: Path, phone_lm: PhoneLm) -> dict:
    return {
        "alignments": str(ali_dir),
        "phone_lm_states": phone_lm.graph.num_states,
        "phone_lm_arcs": phone_lm.graph.num_arcs,
        "phone_lm_perplexity": round(phone_lm.perplexity, 4),
        "phones": phone_lm.num_phones,
    }
