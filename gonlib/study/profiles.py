"""Profiles say how much is run: book/profiles/<name>.yml holds `common` parameters and a group per experiment."""

from pathlib import Path

import yaml

from ..errors import UserError, unknown
from ..runs.provenance import repository_root

ALIASES = {"datasets": "dataset"}  # readers write either, whether an experiment has one data set or several
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", list: "a list"}


def load_profile(name):
    """Group name -> parameters, as written in book/profiles/<name>.yml."""
    folder = (repository_root() or Path.cwd()) / "book" / "profiles"
    known = sorted(path.stem for path in folder.glob("*.yml"))
    if name not in known:
        raise unknown("profile", name, known) if known else UserError(f"there are no profiles in {folder}.")
    try:
        groups = yaml.safe_load((folder / f"{name}.yml").read_text()) or {}
        return {group: dict(values or {}) for group, values in groups.items()}
    except (yaml.YAMLError, TypeError, ValueError, AttributeError) as fault:
        raise UserError(f"{folder / name}.yml is not a mapping of groups to parameters; see the other profiles.") from fault


def device_of(profile):
    """The device that a profile's `common` group names, else cpu."""
    return load_profile(profile).get("common", {}).get("device", "cpu")


def parameters(profile, group, overrides=None, known=None):
    """The parameters of a group: those in `common`, then the group's own, then `overrides`.

    `profile` is a name, a dictionary of groups, or None for none. `known` (name -> default) limits the names and gives
    the types: parameters in `common` that it lacks belong to others; elsewhere they raise `UserError`.
    """
    groups = load_profile(profile) if isinstance(profile, str) else profile or {}
    given = dict(groups.get(group, {})) | dict(overrides or {})
    given = {ALIASES[name] if name in ALIASES and name not in (known or ()) else name: v for name, v in given.items()}
    common = groups.get("common", {})
    if known is None:
        return common | given
    for name in given:
        if name not in known:
            raise unknown(f"parameter of {group}", name, known)
    merged = {name: value for name, value in common.items() if name in known} | given
    return known | {name: typed(name, value, known[name]) for name, value in merged.items()}


def typed(name, value, present):
    """`value` if it has the type of the value already `present`; a single item serves as a list. Else `UserError`."""
    if isinstance(present, float) and type(value) is int:
        return float(value)
    if isinstance(present, list | tuple):
        items = list(value) if isinstance(value, list | tuple) else [value]
        return [typed(f"{name}, in a list,", item, present[0]) for item in items] if present else items
    if present is not None and type(value) is not type(present):
        from ..training.config import Config, check_field  # here: it loads torch, which building pages does not need

        if name in Config.__dataclass_fields__:
            check_field(Config.__dataclass_fields__[name], value)  # names the range too
        raise UserError(f"parameter {name} must be {KINDS[type(present)]}, not {value!r}.")
    return value


def parse(name, text, present):
    """The value that `-p NAME TEXT` means where `present` stands: the text itself, or a YAML scalar or list."""
    if isinstance(present, str):
        return text
    try:
        return typed(name, _float(yaml.safe_load(text)), present)
    except yaml.YAMLError as fault:
        raise UserError(f"parameter {name} cannot be read from {text!r}.") from fault


def _float(value):
    """YAML 1.1 takes 1e-3 for a text; everybody else for a number."""
    if isinstance(value, list):
        return [_float(item) for item in value]
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
