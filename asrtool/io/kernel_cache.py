"""Keeps numba's cache honest across files.

numba recompiles a cached function when its own file changes, but not when a function that it calls from another file does: after
an update it would go on with the old code. A kernel file that calls kernels of others says so at its import.
"""

from pathlib import Path
from types import ModuleType


def forget_older_than(caller: str, *callees: ModuleType) -> None:
    """Removes what numba cached of the file `caller` before one of the modules `callees` changed."""
    changed = max(Path(module.__file__).stat().st_mtime for module in callees)
    for index in (Path(caller).parent / "__pycache__").glob(f"{Path(caller).stem}.*.nbi"):
        try:
            if index.stat().st_mtime < changed:
                index.unlink()
        except OSError:  # another process was faster, or the folder is read-only
            continue
