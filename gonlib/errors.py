"""What a user is told: every foreseen fault is a `UserError`, one sentence naming what is wrong and what to do."""

import difflib


class UserError(Exception):
    """Bad input: one clear sentence naming what is wrong and what to do (the command line exits with 2)."""


def unknown(kind, name, known):
    """The error for an unknown `name` of some `kind`, with the nearest `known` names suggested."""
    near = difflib.get_close_matches(str(name), list(known), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(sorted(known))}."
    return UserError(f"unknown {kind} {name!r}; {hint}")
