"""Profiles: what of them an experiment takes, and one that cannot be read."""

import os

import pytest

from gonlib.errors import UserError
from gonlib.study import profiles, registry, status


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A checkout with one profile, `quick`; the folder of profiles."""
    made = tmp_path / "book" / "profiles"
    made.mkdir(parents=True)
    (made / "quick.yml").write_text("small: {seeds: 2}\n")
    monkeypatch.setattr(profiles, "repository_root", lambda: tmp_path)
    return made


def test_parameters_are_those_of_the_profile_then_the_group_then_the_overrides(folder):
    known = {"epochs": 1, "learning_rate": 0.1, "dataset": "digits", "models": ("GON",), "detach": False, "free": None}
    groups = {"common": {"epochs": 2, "device": "cpu", "dataset": "patches"}, "a": {"epochs": 3}}
    assert profiles.parameters(groups, "a", known=known) == known | {"epochs": 3, "dataset": "patches"}
    assert profiles.parameters(groups, "b", known=known)["epochs"] == 2
    assert profiles.parameters(None, "a", {"datasets": "mnist", "learning_rate": 1}, known) == known | {
        "dataset": "mnist", "learning_rate": 1.0}
    assert profiles.parameters(groups, "a", {"models": "AE"}, known)["models"] == ["AE"]
    assert profiles.parameters(groups, "a", {"free": 3}, known)["free"] == 3
    assert profiles.parameters("quick", "small")["seeds"] == 2
    for wrong, said in (({"epoch": 1}, "unknown parameter of a 'epoch'; did you mean epochs"),
                        ({"detach": 0}, "parameter detach must be true or false"),
                        ({"models": [3]}, "parameter models, in a list, must be a text, not 3.")):
        with pytest.raises(UserError, match=said):
            profiles.parameters(groups, "a", wrong, known)
    with pytest.raises(UserError, match="unknown parameter of a 'epoch'"):
        profiles.parameters({"a": {"epoch": 3}}, "a", known=known)


def test_the_book_s_own_profiles_fit_its_experiments():
    for name in ("smoke", "quick", "paper"):
        assert {e.name for e, cells in status.plan([], name) if cells} == set(registry.EXPERIMENTS)


BOMB = "bomb:\n  b0: &b0 [1, 1]\n" + "".join(f"  b{i}: &b{i} [*b{i - 1}, *b{i - 1}]\n" for i in range(1, 60))


@pytest.mark.parametrize("text", [
    "- a\n- b\n", "common: [1]", "common: " + "[" * 1000, "common: \udcff", BOMB, "common: {a: !!python/name:os.system }",
    "a: &a {b: *a}", "pipe", "x" * 2_000_000])
def test_a_profile_that_cannot_be_read_is_named(folder, text):
    path = folder / "odd.yml"
    if text == "pipe":
        os.mkfifo(path)
    else:
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(UserError, match="odd.yml is not a mapping of groups"):
        profiles.load_profile("odd")
