"""What kind of file a file is, by its content: which of `asrtool show`'s displays describes it."""

import re
from pathlib import Path

from asrtool.errors import AsrtoolError
from asrtool.fst.csr import MAGIC
from asrtool.io.whole_file import opened

_FST = MAGIC.to_bytes(4, "little")
_OBJECTS = {
    b"ContextDependency": "tree-info",
    b"<Topology>": "copy-topo",
    b"<Nnet>": "nnet1-info",
    b"FM": "matrix-info",
    b"DM": "matrix-info",
    b"CM": "matrix-info",
    b"CM2": "matrix-info",
    b"CM3": "matrix-info",
    b"FV": "copy-vector",
    b"DV": "copy-vector",
}
_TABLES = (  # what stands behind the first key of a table
    (re.compile(rb"\0B(FM|DM|CM[23]?) "), "feat-info"),
    (re.compile(rb"\0B[FD]V "), "copy-vector-archive"),
    (re.compile(rb"\0B\x04"), "ali-info"),
    (re.compile(re.escape(_FST)), "lattice-info"),
    (re.compile(rb"[ \t]*\[[ \t]*\n"), "feat-info"),
    (re.compile(rb"[ \t]*\[[^\]\n]*\][ \t]*\["), "post-info"),
    (re.compile(rb"[ \t]*\["), "copy-vector-archive"),
    (re.compile(rb"[ \t]*\n\d+[ \t]"), "lattice-info"),
    (re.compile(rb"[ \t]*(\d+[ \t]+)*\d+[ \t]*(\n|$)"), "ali-info"),
)


def kind_of(path: str | Path) -> str:
    """The name of the display.

    Raises:
        AsrtoolError: no such file, or none of the kinds that are known.
    """
    path = Path(path)
    if path.is_dir():
        return _kind_of_directory(path)
    with opened(path) as file:
        head = file.read(1 << 16)
    kind = _kind_of_object(head) or (_kind_of_table(path, head) if head else None)
    if kind is None:
        raise AsrtoolError(f"{path}: not a kind of file that is known here; name what to show: asrtool show --help lists it")
    return kind


def _kind_of_directory(path: Path) -> str:
    for pattern, kind in (("lat.*.gz", "lattice-info"), ("ali.*.gz", "ali-info")):
        if any(path.glob(pattern)):
            return kind
    raise AsrtoolError(f"{path}: a directory without lat.*.gz and ali.*.gz; name a file in it")


def _kind_of_object(head: bytes) -> str | None:
    if head.startswith(_FST):
        return "fstinfo"
    if head.startswith((b"RIFF", b"fLaC", b"OggS")):
        return "wav-info"
    if head.startswith(b"PK\3\4"):
        return "nnet-info"
    content = head[2:] if head.startswith(b"\0B") else head.lstrip()
    token = re.match(rb"[^ \n]*", content)[0]
    if token == b"<TransitionModel>":
        return "model-info"
    if not head.startswith(b"\0B") and token == b"[":
        return "matrix-info" if re.match(rb"\[[ \t]*\n", content) else "copy-vector"
    return _OBJECTS.get(token)


def _kind_of_table(path: Path, head: bytes) -> str | None:
    if path.name == "wav.scp":
        return "wav-info"
    if path.suffix == ".scp":
        return "feat-info"
    key = re.match(rb"\s*[^\s\0]+( |(?=[ \t]*\n))", head)
    if key is None:
        return None
    rest = head[key.end() :]
    return next((kind for pattern, kind in _TABLES if pattern.match(rest)), None)
