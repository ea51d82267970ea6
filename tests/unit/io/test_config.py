"""Settings from YAML and the command line."""

import dataclasses
from typing import Literal

import pytest

from asrtool.errors import AsrtoolError
from asrtool.io.config import load_config, save_config


@dataclasses.dataclass
class Inner:
    beam: float = 13.0
    sizes: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Settings:
    name: str
    kind: Literal["lstm", "dnn"] = "lstm"
    inner: Inner = dataclasses.field(default_factory=Inner)
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise ValueError("limit must not be negative")


def test_yaml_then_command_line(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("name: x\ninner: {beam: 10, sizes: [1, 2]}\n")
    settings = load_config(Settings, path, ["inner.beam=1e-3", "limit=5"])
    assert settings == Settings("x", "lstm", Inner(1e-3, [1, 2]), 5)


def test_saved_settings_read_back_equal(tmp_path):
    settings = Settings("x", "dnn", Inner(2.0, [3]), None)
    save_config(tmp_path / "b.yaml", settings)
    assert load_config(Settings, tmp_path / "b.yaml") == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\nbeem: 3\n", "unknown key 'beem'"),
        ("kind: lstm\n", "the key 'name' is missing"),
        ("name: x\nkind: rnn\n", "kind: expected one of lstm, dnn, found 'rnn'"),
        ("name: x\ninner: {beam: wide}\n", "inner: beam: expected a number, found 'wide'"),
        ("name: x\ninner: {sizes: 3}\n", "sizes: expected a list"),
        ("name: x\nlimit: true\n", "limit: expected int, found True"),
        ("name: x\nlimit: -1\n", "limit must not be negative"),
        ("name: [x\n", "not YAML"),
        ("- x\n", "must hold 'key: value' lines"),
    ],
)
def test_bad_settings_name_the_file_and_the_key(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(AsrtoolError) as error:
        load_config(Settings, path)
    assert str(path) in str(error.value) and message in str(error.value) and "\n" not in str(error.value)


def test_missing_settings_file(tmp_path):
    with pytest.raises(AsrtoolError, match="no such settings file"):
        load_config(Settings, tmp_path / "none.yaml")
