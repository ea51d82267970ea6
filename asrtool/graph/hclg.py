"""Decoding graphs: HCLG.fst from a lang directory, a tree and a model, as Kaldi's utils/mkgraph.sh makes them."""

import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from asrtool.errors import AsrtoolError
from asrtool.fst import openfst
from asrtool.fst.csr import CsrGraph
from asrtool.fst.minimize import minimize
from asrtool.fst.push import push_special
from asrtool.fst.remove_epsilons import remove_epsilons_local
from asrtool.graph.compose_context import compose_context
from asrtool.graph.compose_h import compose_h, share_hmms
from asrtool.graph.h_transducer import Meanings, h_transducer
from asrtool.graph.hmm_arrays import HmmArrays
from asrtool.graph.self_loops import add_self_loops
from asrtool.graph.training_graph import read_oov
from asrtool.hmm.transition_model import TransitionModel
from asrtool.io.atomic_file import atomic_path, write_text
from asrtool.io.symbols import SymbolTable
from asrtool.tree.context_dependency import ContextDependency

_REQUIRED = ("L_disambig.fst", "G.fst", "phones.txt", "words.txt", "phones/silence.csl", "phones/disambig.int")
_COPIED = ("phones.txt", "phones/disambig.*", "phones/silence.csl", "phones/word_boundary.*", "phones/align_lexicon.*")


def make_hclg(
    lang_dir: str | Path,
    tree_path: str | Path,
    model_path: str | Path,
    out_dir: str | Path,
    transition_scale: float = 1.0,
    self_loop_scale: float = 0.1,
    remove_oov: bool = False,
) -> bool:
    """Writes HCLG.fst (const), the same as arrays (graph.csr/), words.txt, phones.txt, num_pdfs and phones/ into `out_dir`.

    Each file appears whole, HCLG.fst last. Nothing is done where it is newer than all it depends on and was made with the same
    options. LG is kept in lang_dir/tmp, for other models on the same language.

    Args:
        remove_oov: leave out all paths with the word of lang_dir/oov.int.

    Returns:
        False where the graph was there already.

    Raises:
        AsrtoolError: a file is missing or damaged; lang, tree and model do not fit; the graph is empty.
    """
    lang_dir, out_dir = Path(lang_dir), Path(out_dir)
    required = [lang_dir / name for name in _REQUIRED] + [Path(tree_path), Path(model_path)]
    for path in required:
        if not path.is_file():
            raise AsrtoolError(f"{path}: no such file; {_mend(path.name)}")
    options = (
        f"--transition-scale {transition_scale} --self-loop-scale {self_loop_scale} --remove-oov {str(remove_oov).lower()}\n"
    )
    target, options_file = out_dir / "HCLG.fst", out_dir / "graph_opts"
    if _is_newer(target, required) and options_file.is_file() and options_file.read_text() == options:
        return False
    tree, model = ContextDependency.read_file(tree_path), TransitionModel.read_file(model_path)
    hmms = HmmArrays(tree, model)
    _check_lang(lang_dir, model)
    steps = _Steps(out_dir)
    with _scratch(out_dir) as scratch:
        clg, meanings = _clg(lang_dir, tree, remove_oov, scratch, steps)
        graph, disambiguation = _hclg_without_loops(hmms, clg, meanings, transition_scale, scratch, steps)
    if graph.num_arcs == 0 or graph.start < 0:
        raise AsrtoolError(f"{out_dir}: the graph is empty: L_disambig.fst and G.fst in {lang_dir} have no sentence in common")
    steps(f"self-loops of {graph.num_arcs} arcs, writing")
    graph = add_self_loops(graph, model, self_loop_scale)
    target.unlink(missing_ok=True)
    graph.save(out_dir / "graph.csr")
    for pattern in _COPIED:
        _copy(lang_dir, out_dir, pattern)
    write_text(out_dir / "words.txt", (lang_dir / "words.txt").read_text(encoding="utf-8"))
    write_text(out_dir / "disambig_tid.int", "".join(f"{label}\n" for label in disambiguation))
    write_text(out_dir / "num_pdfs", f"{model.num_pdfs}\n")
    write_text(options_file, options)
    graph.write_fst_file(target)
    return True


def _mend(name: str) -> str:
    if name == "G.fst":
        return "make it from an ARPA with utils/format_lm.sh"
    if name in ("tree", "final.mdl"):
        return "train the model first"
    return "make the lang directory with utils/prepare_lang.sh"


class _Steps:
    """Says which step of making a graph begins, and when it did."""

    NUMBER = 6

    def __init__(self, out_dir: Path) -> None:
        self.out_dir, self.done, self.start = out_dir, 0, time.monotonic()

    def __call__(self, what: str) -> None:
        self.done += 1
        after = f"{time.monotonic() - self.start:.1f} s"
        print(f"{self.out_dir}: step {self.done} of {self.NUMBER}, after {after}: {what}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def _scratch(out_dir: Path) -> Iterator[Path]:
    """A directory for intermediate files in `out_dir`; those that killed runs left there are removed."""
    out_dir.mkdir(parents=True, exist_ok=True)
    for left_over in (*out_dir.glob(".scratch*"), *out_dir.glob(".graph.csr.tmp*")):
        shutil.rmtree(left_over)
    with tempfile.TemporaryDirectory(dir=out_dir, prefix=".scratch") as directory:
        yield Path(directory)


def _is_newer(target: Path, sources: list[Path]) -> bool:
    return target.is_file() and all(source.stat().st_mtime <= target.stat().st_mtime for source in sources)


def _check_lang(lang_dir: Path, model: TransitionModel) -> None:
    """AsrtoolError where labels of L or G are not in the symbol tables, or a phone of L has no model."""
    phones, words = SymbolTable.read(lang_dir / "phones.txt"), SymbolTable.read(lang_dir / "words.txt")
    disambiguation = _read_ints(lang_dir / "phones" / "disambig.int")
    lexicon, grammar = (CsrGraph.from_fst_file(lang_dir / name) for name in ("L_disambig.fst", "G.fst"))
    if not disambiguation or not np.isin(disambiguation, lexicon.arc_ilabel).any():
        raise AsrtoolError(
            f"{lang_dir}/L_disambig.fst: no disambiguation symbols of phones/disambig.int on its input side; "
            "make the lang directory again with utils/prepare_lang.sh"
        )
    missing = sorted(set(np.unique(lexicon.arc_ilabel).tolist()) - set(model.phones) - set(disambiguation) - {0})
    if missing:
        name = phones.id_to_symbol.get(missing[0], missing[0])
        raise AsrtoolError(
            f"{lang_dir}: phone {name} has no model in {model.name} ({len(missing)} such phones): "
            "model and lang directory were made for different phone tables"
        )
    if grammar.num_arcs == 0:
        raise AsrtoolError(f"{lang_dir}/G.fst: it is empty; make it again with utils/format_lm.sh")
    for name, labels in (("L_disambig.fst", lexicon.arc_olabel), ("G.fst", grammar.arc_ilabel)):
        if int(labels.max()) not in words.id_to_symbol:
            raise AsrtoolError(f"{lang_dir}/{name}: word {labels.max()} is not in words.txt; make it again with this words.txt")


def _read_ints(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text().split()]
    except ValueError:
        raise AsrtoolError(f"{path}: expected integers") from None


def _lg(lang_dir: Path, scratch: Path, steps: _Steps) -> CsrGraph:
    """min(det(L o G)), pushed; from lang_dir/tmp when it is there and newer than L and G."""
    kept = lang_dir / "tmp" / "LG.fst"
    sources = [lang_dir / "L_disambig.fst", lang_dir / "G.fst"]
    steps("L o G, determinized")
    if _is_newer(kept, sources):
        steps(f"{kept} is there")
        return CsrGraph.from_fst_file(kept)
    fst = openfst.compose(*(openfst.read(path) for path in sources))
    openfst.determinize(fst, f"{lang_dir}: L_disambig.fst o G.fst")
    graph = openfst.from_openfst(fst, scratch)
    del fst
    steps(f"LG of {graph.num_arcs} arcs, minimized")
    graph = minimize(graph)
    pushed = push_special(graph)
    if pushed.num_arcs == 0:
        raise AsrtoolError(f"{lang_dir}: L_disambig.fst and G.fst have no sentence in common; make G.fst with this words.txt")
    if os.access(lang_dir, os.W_OK) and lang_dir.stat().st_mode & 0o222:  # else it is made each time
        pushed.write_fst_file(kept, "vector")
    return pushed


def _clg(lang_dir: Path, tree: ContextDependency, remove_oov: bool, scratch: Path, steps: _Steps) -> tuple[CsrGraph, Meanings]:
    """C o LG for the tree's context, and what its input labels stand for; not kept, since composing is quick."""
    disambiguation = _read_ints(lang_dir / "phones" / "disambig.int")
    lg = _lg(lang_dir, scratch, steps)
    steps("C o LG")
    clg, meanings = compose_context(lg, disambiguation, tree.context_width, tree.central_position)
    if remove_oov:
        keep = np.flatnonzero(clg.arc_olabel != read_oov(lang_dir))
        kept = (column[keep] for column in (clg.arc_ilabel, clg.arc_olabel, clg.arc_nextstate, clg.arc_cost))
        clg = CsrGraph.from_arcs(clg.start, clg.arc_source[keep], *kept, clg.final_cost)
    return clg, meanings


def _hclg_without_loops(
    hmms: HmmArrays, clg: CsrGraph, meanings: Meanings, transition_scale: float, scratch: Path, steps: _Steps
) -> tuple[CsrGraph, list[int]]:
    """min(rmeps(det(H o CLG))) with disambiguation symbols made epsilons, and what these symbols were."""
    h_graph, disambiguation = h_transducer(hmms, meanings, transition_scale)
    steps(f"H o CLG of {clg.num_arcs} arcs, determinized")
    composed = compose_h(h_graph, share_hmms(clg, h_graph))
    fst = openfst.to_openfst(composed, scratch)
    del composed
    openfst.determinize(fst, f"{hmms.model.name}: H o CLG")
    graph = openfst.from_openfst(fst, scratch)
    del fst
    steps(f"HCLG of {graph.num_arcs} arcs, minimized")
    graph.arc_ilabel[graph.arc_ilabel > hmms.model.num_transition_ids] = 0
    return minimize(remove_epsilons_local(graph)), disambiguation  # minimising also drops states that nothing leads to any more


def _copy(lang_dir: Path, out_dir: Path, pattern: str) -> None:
    for source in sorted(lang_dir.glob(pattern)):
        with atomic_path(out_dir / source.relative_to(lang_dir)) as temporary:
            shutil.copyfile(source, temporary)
