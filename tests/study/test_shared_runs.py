"""Profiles in which an experiment shows the runs of another one say so truly: nothing is trained twice."""

import pytest

from gonlib.study import registry

SHARED = [
    ("quick", "table2-celeba", "table2"), ("quick", "more-steps", "steps-and-gap"), ("quick", "glo-steps", "table1"),
    ("quick", "more-steps-implicit", "implicit"), ("quick", "architectures-latents", "steps-and-gap-latents"),
    ("quick", "settings-length", "settings"), ("quick", "interpolation", "super-resolution-half"),
    ("paper", "gon", "table1"), ("paper", "generalisation", "table1"), ("paper", "glo-steps", "table1"),
    ("paper", "more-steps", "table1"), ("paper", "samples", "table2"), ("paper", "samples-9b", "table2-celeba"),
    ("paper", "more-steps-implicit", "implicit"), ("paper", "architectures-latents", "steps-and-gap-latents"),
    ("smoke", "settings-length", "settings"), ("smoke", "table2-celeba", "table2"), ("smoke", "more-steps", "steps-and-gap"),
]


@pytest.mark.parametrize("profile, part, whole", SHARED)
def test_runs_are_shared(profile, part, whole):
    names = [{c.hash for cell in registry.get(name).cells(profile) for c in cell.configs} for name in (part, whole)]
    assert names[0] <= names[1]
