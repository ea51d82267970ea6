"""lhotse's manifests as they are on disk: JSON objects, one a line (.jsonl, .jsonl.gz), read and written one at a time."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from asrtool.errors import AsrtoolError
from asrtool.io.whole_file import opened, text_to_write


def lhotse() -> ModuleType:
    """The package; manifests of files and times are read and written without it, sound and features are not."""
    try:
        import lhotse
    except ImportError as error:
        raise AsrtoolError(
            f"lhotse cannot be imported ({error}); install the extra `lhotse`: pip install 'asrtool[lhotse]', or "
            "ASRTOOL_EXTRAS=lhotse with path.sh"
        ) from None
    return lhotse


def reason(error: Exception) -> str:
    """What an error of lhotse or its audio libraries says, in one line of at most 200 characters."""
    return " ".join(str(error).split("[extra info]")[0].split())[:200]


def read_lines(path: str | Path) -> Iterator[dict[str, Any]]:
    """The objects of a manifest.

    Raises:
        AsrtoolError: no such file, another format, or a line that is not a JSON object.
    """
    path = Path(path)
    if not path.name.endswith((".jsonl", ".jsonl.gz")):
        raise AsrtoolError(f"{path}: expected a .jsonl or .jsonl.gz manifest; make one with 'lhotse copy {path} NEW.jsonl.gz'")
    number = 0
    try:
        with opened(path, "no such manifest") as file:
            for number, line in enumerate(file, 1):  # noqa: B007
                if not line.strip():
                    continue
                item = json.loads(line)
                if not isinstance(item, dict):
                    raise ValueError("not an object")
                yield item
    except (ValueError, RecursionError) as error:
        raise AsrtoolError(f"{path}: line {number or 1}: damaged or not a manifest ({error}); make it again") from None


def write_lines(path: str | Path, items: Iterable[dict[str, Any]]) -> int:
    """Writes a manifest, whole or not at all, the same bytes for the same items; returns their number."""
    number = 0
    with text_to_write(path, level=6) as file:
        for item in items:
            file.write(json.dumps(item, ensure_ascii=False) + "\n")
            number += 1
    return number
