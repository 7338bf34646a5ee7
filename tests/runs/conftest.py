"""Runs that are trained once for all tests of stores, which change none of them."""

import pytest
from tiny_runs import LONG, TINY

from gonlib.runs.store import Store


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A store with one run."""
    made = Store(tmp_path_factory.mktemp("store"))
    made.run(TINY)
    return made


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """A longer run, which never stopped."""
    return Store(tmp_path_factory.mktemp("long")).run(LONG)
