"""Makes toy_corpus.py beside this file importable by the tests in this folder."""

import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("toy_corpus", Path(__file__).with_name("toy_corpus.py"))
sys.modules["toy_corpus"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(sys.modules["toy_corpus"])
