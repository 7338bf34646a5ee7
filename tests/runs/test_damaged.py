"""A run's folder that is damaged, or that may not be read, is named in one sentence."""

import errno
import os
from pathlib import Path

import pytest
from tiny_runs import TINY, copy

from gonlib import files
from gonlib.errors import UserError


@pytest.mark.parametrize("name, text", [
    ("config.json", '{"seed":1}'), ("config.json", "{"), ("config.json", '{"sede":1}'), ("metrics.json", ""),
    ("metrics.json", "[]"), ("metrics.json", "{}"), ("provenance.json", None), ("history.csv", None),
    ("metrics.json", "\udcff"),
])
def test_a_damaged_run_is_named(trained, tmp_path, name, text):
    made, folder = copy(trained, tmp_path)
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UserError, match=f"{TINY.hash} is damaged: delete that folder"):
        made.find(TINY)


def test_damaged_tables_and_weights_are_named_when_read(trained, tmp_path):
    made, folder = copy(trained, tmp_path)
    (folder / "history.csv").write_bytes(b"epoch,step\n1,2\n3,4,5,6\n")
    with pytest.raises(UserError, match="is damaged"):
        len(made.find(TINY).history)
    (folder / "history.csv").write_bytes((trained.folder(TINY) / "history.csv").read_bytes())
    weights = folder / "weights-4.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(UserError, match="is damaged"):
        made.find(TINY).load_model()
    weights.unlink()
    with pytest.raises(UserError, match="was stored without its weights"):
        made.find(TINY).load_model()


@pytest.mark.parametrize("name", ["config.json", "metrics.json", "provenance.json", "history.csv", "weights*"])
def test_what_may_not_be_read_is_not_called_damaged(trained, tmp_path, monkeypatch, name):
    made, folder = copy(trained, tmp_path)
    (it,) = folder.glob(name)

    def denied(path, *arguments):
        if Path(path) == it:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return open(path, *arguments)

    monkeypatch.setattr(files, "open", denied, raising=False)
    with pytest.raises(UserError, match=f"{it.name} cannot be read or written: permission denied") as told:
        made.find(TINY).load_model()
    assert "delete" not in str(told.value)


@pytest.mark.parametrize("name", ["config.json", "provenance.json", "history.csv"])
def test_a_pipe_in_a_run_is_damage_and_nothing_waits_for_it(trained, tmp_path, name):
    made, folder = copy(trained, tmp_path)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    with pytest.raises(UserError, match="is damaged"):
        made.find(TINY).load_model()


def test_json_nested_without_end_is_damage(trained, tmp_path):
    made, folder = copy(trained, tmp_path)
    (folder / "metrics.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match="is damaged"):
        made.find(TINY)
