"""The slow twin of the decoder, for the tests in this folder."""

import importlib.util
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def slow():
    """The module random_graph.py beside this file."""
    spec = importlib.util.spec_from_file_location("random_graph", Path(__file__).with_name("random_graph.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
