"""Data and models that the tests of training share; each model is trained once."""

import functools

import pytest
from tiny_trainings import tiny

from gonlib.data.datasets import load
from gonlib.training.loop import train


@pytest.fixture(scope="session")
def digits():
    return load("digits", 8, 96, 40)


@pytest.fixture(scope="session")
def trained(digits):
    """Name of the registry, and what is changed -> its trained model; each is trained once."""
    return functools.cache(lambda name, **changes: train(tiny(name, **changes), digits))
