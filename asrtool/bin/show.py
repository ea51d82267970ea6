"""Print what a file holds, as Kaldi's small programs do: models, trees, graphs, alignments, lattices, features, audio."""

import importlib
import sys
import tempfile
from pathlib import Path

from asrtool.arguments import parser
from asrtool.errors import AsrtoolError

# other verbs: what they do and, where they write a file, that it goes to standard output as text
_VERBS = {
    "ali-to-phones": ("phones of alignments; options: asrtool ali-to-phones --help", True),
    "ali-to-pdf": ("pdf-ids of alignments", True),
    "lattice-copy": ("lattices as text; --write-compact false: state-level", True),
    "lattice-depth": ("depth of lattices", True),
    "lattice-info": ("frames, states, arcs, paths and depth of lattices", False),
    "nnet-info": ("a network's kind, sizes, features and training", False),
}
_SHORT = {
    "transitions": "show-transitions",
    "alignments": "show-alignments",
    "graph-info": "fstinfo",
    "wav-to-duration": "wav-info",
}


def main(arguments: list[str]) -> int:
    from asrtool.bin import _show_features, _show_graphs, _show_ids, _show_models

    displays = _show_models.DISPLAYS | _show_graphs.DISPLAYS | _show_ids.DISPLAYS | _show_features.DISPLAYS
    summaries = {name: display.summary for name, display in displays.items()} | {name: one for name, (one, _) in _VERBS.items()}
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage(summaries))
        return 0 if arguments else 1
    name, *rest = arguments
    name = _SHORT.get(name, name)
    if name not in summaries and Path(name).exists():
        from asrtool.report.show_kind import kind_of

        name, rest = kind_of(name), arguments
    if name in _VERBS:
        return _run_verb(name, rest)
    if name not in displays:
        raise AsrtoolError(f"'{name}' is neither a file nor something to show; asrtool show --help lists what there is")
    display = displays[name]
    given = display.parser(name).parse_args(rest)
    for line in display.lines(given):
        print(line, end=display.end)
    return 0


def _usage(summaries: dict[str, str]) -> str:
    example = "asrtool show exp/tri/final.mdl\n      asrtool show show-transitions data/lang/phones.txt exp/tri/final.mdl"
    text = parser("show", __doc__, example).format_help()
    width = max(map(len, summaries))
    head, _, tail = text.partition("options:")
    lines = [f"  {name:<{width}}  {summary}" for name, summary in sorted(summaries.items())]
    head = head.replace("[-h]", "FILE | asrtool show WHAT [options] ...")
    intro = "FILE alone: the display is chosen by the file's content. WHAT is one of:"
    return "\n".join([f"{head}{intro}", *lines, "", f"options:{tail}".rstrip()])


def _run_verb(name: str, arguments: list[str]) -> int:
    """Runs another verb; the file that it writes is printed."""
    run = importlib.import_module(f"asrtool.bin.{name.replace('-', '_')}").main
    if not _VERBS[name][1] or {"-h", "--help"} & set(arguments):
        return run(arguments)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "text"
        status = run([*arguments, f"ark,t:{path}"])
        with open(path, encoding="utf-8") as file:
            for line in file:
                sys.stdout.write(line)
    return status
