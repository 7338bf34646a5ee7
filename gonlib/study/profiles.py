"""Profiles say how much is run: book/profiles/<name>.yml holds `common` parameters and a group per experiment."""

import copy
import functools
from pathlib import Path

import yaml

from ..errors import UserError, unknown
from ..runs.provenance import repository_root
from .parameters import typed

ALIASES = {"datasets": "dataset"}  # readers write either, whether an experiment has one data set or several
COUNTS = ("train_images", "test_images")
LARGEST = 1_000_000  # bytes: a profile is written by hand


def load_profile(name):
    """Group name -> parameters, as written in book/profiles/<name>.yml."""
    folder = (repository_root() or Path.cwd()) / "book" / "profiles"
    known = sorted(path.stem for path in folder.glob("*.yml"))
    if name not in known:
        raise unknown("profile", name, known) if known else UserError(f"there are no profiles in {folder}.")
    path, fault = folder / f"{name}.yml", None
    if path.is_file() and path.stat().st_size <= LARGEST:
        try:
            found = _groups(path.read_text(encoding="utf-8"))
            if all(_flat(value) for values in found.values() for value in values.values()):
                return copy.deepcopy(found)
        except (OSError, yaml.YAMLError, TypeError, ValueError, AttributeError, RecursionError) as found:
            fault = found
    raise UserError(f"{path} is not a mapping of groups to parameters; see the other profiles.") from fault


@functools.lru_cache(8)
def _groups(text):
    """What a profile's text holds; remembered, because every experiment asks for it and YAML is slow to read."""
    return {group: dict(values or {}) for group, values in (yaml.safe_load(text) or {}).items()}


def _flat(value):
    """Whether a value is a single one, or a list or a mapping of single ones: what is nested may be endless in YAML."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not any(isinstance(part, dict | list) for part in parts)


def device_of(profile):
    """The device that a profile's `common` group names, else cpu."""
    return load_profile(profile).get("common", {}).get("device", "cpu")


def parameters(profile, group, overrides=None, known=None):
    """The parameters of a group: those in `common`, then the group's own, then `overrides`.

    `profile` is a name, a dictionary of groups, or None for none. `known` (name -> default) limits the names and gives
    the types: parameters in `common` that it lacks belong to others; elsewhere they raise `UserError`. How many images a
    profile takes is meant for its own data: of a folder that the overrides name all are taken, unless they say how many.
    """
    groups = load_profile(profile) if isinstance(profile, str) else profile or {}
    asked = _named_alike(overrides or {}, known or ())
    given = _named_alike(groups.get(group, {}), known or ()) | asked
    common = groups.get("common", {})
    if known is None:
        return common | given
    for name in given:
        if name not in known:
            raise unknown(f"parameter of {group}", name, known)
    merged = {name: value for name, value in common.items() if name in known} | given
    if "folder:" in str(asked.get("dataset")):
        merged |= {name: 0 for name in COUNTS if name in known and name not in asked}
    return known | {name: typed(name, value, known[name]) for name, value in merged.items()}


def _named_alike(values, known):
    """Parameters under the names that an experiment or a notebook knows them by."""
    return {ALIASES[name] if name in ALIASES and name not in known else name: value for name, value in values.items()}
