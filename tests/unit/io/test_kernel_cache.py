"""numba's cache across files."""

import os
import types

from asrtool.io.kernel_cache import forget_older_than


def test_only_what_was_cached_before_a_callee_changed_is_removed(tmp_path):
    callee, cache = tmp_path / "callee.py", tmp_path / "__pycache__"
    callee.touch()
    cache.mkdir()
    old, new, other = (cache / name for name in ("caller.f-1.nbi", "caller.g-2.nbi", "elsewhere.h-3.nbi"))
    for path, seconds in ((old, 100), (new, 300), (other, 100), (callee, 200)):
        path.touch()
        os.utime(path, (seconds, seconds))
    module = types.ModuleType("callee")
    module.__file__ = str(callee)
    forget_older_than(str(tmp_path / "caller.py"), module)
    assert not old.exists() and new.exists() and other.exists()
