"""Settings: a documented dataclass <- YAML file <- command line (`key=value`, dots for nesting).

An unknown key or a value of the wrong type is an error that names the key; the resolved settings are saved
in the experiment directory.
"""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

import yaml

from asrtool.errors import AsrtoolError
from asrtool.io.atomic_file import write_text
from asrtool.io.whole_file import read_text

Config = TypeVar("Config")


def load_config(cls: type[Config], path: str | Path | None = None, overrides: list[str] = ()) -> Config:
    """Builds the dataclass `cls` from a YAML file and `key=value` overrides.

    Raises:
        AsrtoolError: no such file, not YAML, an unknown key, or a value that does not fit its field.
    """
    settings: dict[str, Any] = {}
    where = str(path or "command line")
    if path is not None:
        if not Path(path).is_file():
            raise AsrtoolError(f"{path}: no such settings file")
        try:
            settings = yaml.safe_load(read_text(path)) or {}
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise AsrtoolError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
        if not isinstance(settings, dict):
            raise AsrtoolError(f"{path}: the file must hold 'key: value' lines")
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise AsrtoolError(f"'{override}': settings on the command line are written key=value")
        *parents, leaf = key.strip().split(".")
        node = settings
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = yaml.safe_load(value)
    return from_dict(cls, settings, where)


def from_dict(cls: type[Config], settings: dict[str, Any], where: str) -> Config:
    """Builds the dataclass `cls` (nested ones too) from plain dictionaries; `where` is named in errors."""
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(map(str, set(settings) - set(fields)))
    if unknown:
        raise AsrtoolError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in settings and field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise AsrtoolError(f"{where}: the key '{missing[0]}' is missing")
    values = {name: _convert(hints[name], value, f"{where}: {name}") for name, value in settings.items()}
    try:
        return cls(**values)
    except ValueError as error:  # raised by a __post_init__ that checks ranges
        raise AsrtoolError(f"{where}: {error}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise AsrtoolError(f"{where}: expected a block of settings, found {value!r}")
        return from_dict(kind, value, where)
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in typing.get_args(kind):
            return None
        return _convert(next(option for option in typing.get_args(kind) if option is not type(None)), value, where)
    if origin in (list, tuple):
        if not isinstance(value, (list, tuple)):
            raise AsrtoolError(f"{where}: expected a list, found {value!r}")
        return origin(_convert(typing.get_args(kind)[0], item, where) for item in value)
    if origin is typing.Literal:
        if value not in typing.get_args(kind):
            raise AsrtoolError(f"{where}: expected one of {', '.join(map(str, typing.get_args(kind)))}, found {value!r}")
        return value
    if origin is dict or kind is dict or kind is Any:
        return value
    if kind is float and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:  # YAML reads 1e-5 as a string
            return float(value)
        except ValueError:
            raise AsrtoolError(f"{where}: expected a number, found {value!r}") from None
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise AsrtoolError(f"{where}: expected {kind.__name__}, found {value!r}")
    return value


def save_config(path: str | Path, config: Any) -> None:
    """Writes a dataclass as YAML."""
    write_text(path, yaml.safe_dump(dataclasses.asdict(config), sort_keys=False, allow_unicode=True))
