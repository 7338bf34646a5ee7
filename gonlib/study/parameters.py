"""One reading of parameters: `gonlib run -p`, `gonlib book -p`, make's PARAMS and papermill give one value for one text.

A text is read by the type of the parameter that it is for, never by what it looks like.
"""

import json
import math
import reprlib
from collections.abc import Collection, Sequence
from typing import Any

from ..errors import UserError

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list",
         dict: "names and values, written as JSON"}

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 80
_repr.maxlevel = 2


def shown(value: Any) -> str:
    """A value as it stands in a message: as Python writes it, the middle of a long one left out."""
    return _repr.repr(value)


def parse(name: str, text: str, example: Any) -> Any:
    """The value that a text means for the parameter `name`.

    Args:
        name: The parameter, for the message.
        text: What the user wrote. A list is written with commas, or with blanks where no item has one, or as JSON.
        example: A value of the parameter's type: its default, see `example_of`. None: by what the text looks like.

    Raises:
        UserError: If the text is none of that type.
    """
    if isinstance(example, dict):
        return _object(name, text)
    if isinstance(example, list | tuple) or (example is None and text.startswith("[")):
        kind = example[0] if example else None
        return [_single(item, kind) if isinstance(item, str) else item for item in _items(name, text, example or ())]
    return _single(text, example)


def _object(name: str, text: str) -> dict:
    """The names and values of a text such as {"batch_size": 128}."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise UserError(f'parameter {name} must be {KINDS[dict]}, such as {{"batch_size": 128}}, not {shown(text)}.')
    return found


def _single(text: str, example: Any) -> Any:
    """What a text means that is no list; the text itself if it has not the type of `example`."""
    if isinstance(example, str):
        return text
    if isinstance(example, bool):
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    for kind in (int, float) if example is None else (type(example),):
        try:
            return kind(text)
        except ValueError:
            continue
    return {"true": True, "false": False, "none": None}.get(text.lower(), text) if example is None else text


def _items(name: str, text: str, example: Sequence) -> list:
    """The items of a list written as a text."""
    text = text.strip()
    if text in example:  # an item may have commas and blanks in it, such as "10 steps, detached"
        return [text]
    if text.startswith("["):
        try:
            return list(json.loads(text))
        except (ValueError, RecursionError):
            text = text.removeprefix("[").removesuffix("]")
    if "," in text or any(" " in str(item) for item in example):
        items = [item.strip() for item in text.split(",")]
    else:
        items = text.split()
    if not items or not all(items):
        raise UserError(f"parameter {name} has an empty item in {shown(text)}.")
    return items


def typed(name: str, value: Any, example: Any) -> Any:
    """`value` if it has the type of `example`; a text is read as `parse` does, a single item serves as a list.

    Raises:
        UserError: If it has another type.
    """
    if isinstance(value, str) and example is not None:
        value = parse(name, value, example)
    if isinstance(example, float) and type(value) is int:
        value = float(value)
    if isinstance(example, list | tuple):
        items = list(value) if isinstance(value, list | tuple) else [value]
        return [typed(f"{name}, in a list,", item, example[0]) for item in items] if example else items
    if example is not None and type(value) is not type(example):
        from ..training.config import Config, check_field  # here: it loads torch, which building pages does not need

        if name in Config.__dataclass_fields__ and not isinstance(value, list | dict):
            check_field(Config.__dataclass_fields__[name], value)  # names the range too
        raise UserError(f"parameter {name} must be {KINDS[type(example)]}, not {shown(value)}.")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"parameter {name} must be a finite number, not {value}.")
    return value


def read(name: str, text: str, example: Any) -> Any:
    """The value of the type of `example` that a text means; see `parse` and `typed`."""
    return typed(name, parse(name, text, example), example)


def example_of(name: str, default: Any) -> Any:
    """A value of the type of a page's parameter: its `default`, or where that is None what the experiments take."""
    if default is not None:
        return default
    from .registry import EXPERIMENTS  # here: it imports this module, and loads torch

    known = [e.parameters[name] for e in EXPERIMENTS.values() if e.parameters.get(name) is not None]
    return known[0] if known else "" if name.endswith("dataset") else None


def refuse_twice(overrides: dict, names: Collection[str]) -> None:
    """`UserError` if a page's `overrides` hold one of its parameters `names`, or what is none of an experiment."""
    for name in overrides:
        if name in names or name in ("name", "profile", "device", "deadline"):
            raise UserError(f"overrides cannot hold {shown(name)}: it is a parameter of its own, -p {str(name)[:40]} VALUE.")


def split_names(text: str | Sequence[str]) -> list[str]:
    """Names of data sets in a text, separated by commas or blanks; a list is itself.

    A name that begins with `folder:` goes to the end of the text: a folder may have blanks and commas in its name.

    Raises:
        UserError: If a name is empty or stands there twice.
    """
    if not isinstance(text, str):
        return list(text)
    plain, folder, path = text.partition("folder:")
    parts = plain.rstrip(", \t\n").split(",") if folder and plain else plain.split(",") if not folder else []
    names = [name for part in parts for name in part.split() or [""]] + ([folder + path] if folder else [])
    if "" in names:
        raise UserError(f"there is an empty name in the list of data sets {shown(text)}.")
    if len(set(names)) < len(names):
        raise UserError(f"a name stands twice in the list of data sets {shown(text)}.")
    return names
