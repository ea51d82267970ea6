"""Building HCLG of the triphone model tri1 with the lang directory that Kaldi made.

Prints
    make_graph         user seconds of `asrtool make-graph`, all of it, against those of the OpenFst operations of Kaldi's
                       mkgraph.sh alone (composition, determinization and minimisation of LG, C o LG, H o CLG and their like, by
                       kaldifst), in turns in this run. Kaldi's own steps that kaldifst lacks (pushing, local epsilon removal) and
                       all its reading, writing and checking come on top of the reference
    make_graph_kaldi   the same against Kaldi's own figure, 1.8 s by the clock on two cores, which Kaldi gave in another run on a
                       machine of this kind: so the ratio is only as good as this machine is idle and alike
    make_graph_memory  peak memory in MiB against 2 GiB
The shortest of several times, because other programs can only add to it.
"""

import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from kaldi_context import as_arrays, compose_context

from asrtool.fst import openfst
from asrtool.graph.h_transducer import h_transducer
from asrtool.graph.hmm_arrays import HmmArrays
from asrtool.hmm.transition_model import TransitionModel
from asrtool.tree.context_dependency import ContextDependency

REPEATS = 5
KALDI_S = 1.8
shared = Path(os.environ.get("ASRTOOL_SHARED", Path(__file__).resolve().parents[3] / "shared")) / "kaldi"
model_dir = shared / "gmm" / "tri1"


def ours(lang: Path, graph: Path) -> tuple[float, float]:
    """(user seconds, MiB at the peak) of the command."""
    for directory in (graph, lang / "tmp"):
        shutil.rmtree(directory, ignore_errors=True)
    command = [sys.executable, "-m", "asrtool.cli", "make-graph", str(lang), str(model_dir), str(graph)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit("make-graph failed")
    return usage.ru_utime, usage.ru_maxrss / 1024


def reference(lang: Path, scratch: Path) -> float:
    """User seconds of Kaldi's operations; what we must do to call them does not count."""
    import kaldifst

    tree, model = ContextDependency.read_file(model_dir / "tree"), TransitionModel.read_file(model_dir / "final.mdl")
    disambiguation = [int(line) for line in (lang / "phones" / "disambig.int").read_text().split()]
    lexicon, grammar = openfst.read(lang / "L_disambig.fst"), openfst.read(lang / "G.fst")
    start = user_s()
    lg = openfst.compose(lexicon, grammar)
    openfst.determinize(lg, "LG")
    kaldifst.minimize_encoded(lg)
    clg, meanings = compose_context(disambiguation, tree.context_width, tree.central_position, lg)
    spent = user_s() - start
    h = openfst.to_openfst(h_transducer(HmmArrays(tree, model), as_arrays(meanings, tree.context_width), 1.0)[0], scratch)
    start = user_s()
    hclg = openfst.compose(h, clg)
    openfst.determinize(hclg, "HCLG")
    kaldifst.minimize_encoded(hclg)
    return spent + user_s() - start


def user_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime


def main() -> None:
    if not shared.is_dir():
        sys.exit(f"{shared} is absent: set ASRTOOL_SHARED to the folder that holds the reference files")
    with tempfile.TemporaryDirectory() as directory:
        scratch = Path(directory)
        lang = scratch / "lang"
        shutil.copytree(shared / "lang", lang, copy_function=shutil.copyfile)
        lang.chmod(0o755)
        ours(lang, scratch / "graph")  # compiles the kernels
        times, references = [], []
        for _ in range(REPEATS):
            references.append(reference(lang, scratch))
            times.append(ours(lang, scratch / "graph"))
    seconds, mebibytes = min(times)[0], max(memory for _, memory in times)
    for name, we, they, unit in (
        ("make_graph", seconds, min(references), "s"),
        ("make_graph_kaldi", seconds, KALDI_S, "s"),
        ("make_graph_memory", mebibytes, 2048, "MiB"),
    ):
        print(f"{name} ours={we:.4g} reference={they:.4g} ratio={they / we:.2f} unit={unit}")


main()
