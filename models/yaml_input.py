"""YAML in, validated objects out; every complaint names the file and the line."""

from __future__ import annotations

from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from .errors import InputError, unknown_name

Model = TypeVar("Model", bound=BaseModel)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises InputError when it is missing, unreadable, a folder or not text.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise InputError("no such file", str(path)) from None
    except IsADirectoryError:
        raise InputError("is a folder, a file is needed", str(path)) from None
    except PermissionError:
        raise InputError("cannot be read: permission denied", str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", str(path)) from None
    if b"\0" in data:
        raise InputError("is a binary file, a text file is needed", str(path))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Old configurations hold Latin-1 descriptions; every byte decodes there, and NUL bytes were refused above.
        return data.decode("latin-1")


def load_yaml(path: Path) -> Any:
    """Return the parsed YAML document as plain dictionaries, lists and scalars.

    Raises InputError with ``file:line`` for a syntax error or a repeated key.
    """
    return _parse(read_text(path), path, "safe")


def place(path: Path, location: tuple[int | str, ...]) -> str:
    """Return ``file:line`` of the key path ``location``, or of its nearest known parent."""
    # Line marks cost seven times the time of reading, so that only a complaint pays for them.
    node = _parse(read_text(path), path, "rt")
    line: int | None = None
    for key in location:
        marks = getattr(node, "lc", None)
        try:
            if marks is not None and isinstance(node, dict):
                line = marks.key(key)[0] + 1
            elif marks is not None:
                line = marks.item(key)[0] + 1
            node = node[key]
        except (KeyError, IndexError, TypeError, AttributeError):
            break
    return f"{path}:{line}" if line else str(path)


def _parse(text: str, path: Path, kind: Literal["safe", "rt"]) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        return YAML(typ=kind).load(text)
    except MarkedYAMLError as error:
        # What was opened and never closed is found at the end of the file; the user wants to know where it began.
        at_end = error.problem_mark is not None and error.problem_mark.line >= text.rstrip().count("\n") + 1
        mark = (error.context_mark if at_end else None) or error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        problem = (error.problem or error.context or "broken YAML").splitlines()[0]
        raise InputError(f"broken YAML: {problem}", where) from None
    except YAMLError as error:
        raise InputError(f"broken YAML: {str(error).splitlines()[0]}", str(path)) from None


def _allowed_keys(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Return the keys that are allowed beside the last one of ``location``; empty when that cannot be told."""
    inside: list[object] = [model]
    for key in location[:-1]:
        models = _models(inside)
        if models:
            fields = [f for m in models for name, f in m.model_fields.items() if key in (name, f.alias)]
            inside = [field.annotation for field in fields]
        else:
            # A key of a dictionary or a place in a list: what counts is what such a container holds.
            inside = [part for alternative in _alternatives(inside) for part in get_args(alternative)]
    return [field.alias or name for m in _models(inside) for name, field in m.model_fields.items()]


def _alternatives(annotations: list[object]) -> list[object]:
    """Return these annotations with ``X | Y`` taken apart."""
    return [part for a in annotations for part in (get_args(a) if isinstance(a, UnionType) else (a,))]


def _models(annotations: list[object]) -> list[type[BaseModel]]:
    """Return the models among these annotations."""
    return [part for part in _alternatives(annotations) if isinstance(part, type) and issubclass(part, BaseModel)]


def validate(document: Any, model: type[Model], path: Path, within: tuple[str, ...] = ()) -> Model:
    """Return ``model`` made from ``document``; the first fault becomes one InputError with its line.

    ``within``: the keys that lead to ``document`` in the file, when it is only a part of it.
    """
    if not isinstance(document, dict):
        raise InputError("a mapping of keys is needed at the top", str(path))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        # A misspelt required key is two faults; the one that names what was written is the useful one.
        fault = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
        location = fault["loc"]
        where = place(path, (*within, *location))
        name = ".".join(str(part) for part in (*within, *location))
        if fault["type"] == "extra_forbidden":
            allowed = _allowed_keys(model, location)
            if allowed:
                raise unknown_name("key", str(location[-1]), allowed, where) from None
        message = fault["msg"].removeprefix("Value error, ")
        found = fault["input"]
        if fault["type"] not in ("missing", "value_error") and isinstance(found, (str, int, float)):
            message = f"found {found!r}; {message[0].lower()}{message[1:]}"
        raise InputError(f"{name}: {message}" if name else message, where) from None


def read_yaml(path: Path, model: type[Model]) -> Model:
    """Read and validate one YAML file. Raises InputError."""
    return validate(load_yaml(path), model, path)
