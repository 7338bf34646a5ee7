"""What the tests of commands share: two small experiments, and a command called as a user calls it."""

import json

import pytest

from gonlib import cli
from gonlib.method.models import MODELS
from gonlib.runs import provenance
from gonlib.study import profiles, status
from gonlib.study.experiment import Experiment


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Two small experiments, profiles of their own, and empty stores: a folder with all that a command touches."""

    def small(dataset, models=("GON", "AE")):
        return [{"model": name} for name in models]

    def breaking(dataset, rate=100.0):
        return [({"model": "NaN"}, MODELS["VGON"] | {"learning_rate": rate}), {"model": "GON"}]

    grids = {"small": small, "breaking": breaking}
    found = {name: Experiment(name, f"The {name} one", grid) for name, grid in grids.items()}
    monkeypatch.setattr(status, "EXPERIMENTS", found)
    folder = tmp_path / "checkout" / "book" / "profiles"
    folder.mkdir(parents=True)
    common = "train_images: 128, test_images: 64, epochs: 2, filters: 2, latents: 4"
    (folder / "quick.yml").write_text(f"common: {{device: cpu, {common}}}\nsmall: {{seeds: 2}}\n")
    monkeypatch.setattr(profiles, "repository_root", lambda: tmp_path / "checkout")
    monkeypatch.setattr(provenance, "repository_root", lambda: tmp_path / "checkout")
    monkeypatch.setenv("GONLIB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("GONLIB_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def call(capsys):
    """Calls a command; gives its exit code, standard output and standard error."""

    def command(*words):
        return cli.main([str(word) for word in words]), *capsys.readouterr()

    return command


@pytest.fixture
def states(call):
    """Gives the state of each cell of `status --json`."""

    def found(*words):
        code, out, _ = call("status", *words, "--json")
        assert code == 0
        return {f"{e['name']}/{c['row']}": c["state"] for e in json.loads(out)["experiments"] for c in e["cells"]}

    return found
