"""A checkpoint proves itself: whatever was altered is found, and what is found whole goes on to the same result."""

import json

import pytest
import torch
from harm import FEW, MANY, harmed, replaced
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from gonlib.errors import UserError
from gonlib.method import tensors
from gonlib.training import checkpoint

TENSORS = {"model.a": torch.arange(6.0).reshape(2, 3), "generator": torch.arange(8, dtype=torch.uint8),
           "done": torch.tensor(3)}
META = {"done": 3, "seconds": 1.5, "history": [{"epoch": 1, "step": 3}], "snapshots": [], "device": "cpu"}


def check(folder, raw):
    path = folder / "checkpoint.safetensors"
    path.write_bytes(raw)
    try:
        found, meta = checkpoint.read(path)
    except UserError as told:
        assert "checkpoint.safetensors cannot be read" in str(told) and "delete it" in str(told) and "\n" not in str(told)
    else:
        assert meta == META and all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    try:
        assert checkpoint.reached(path)["steps"] >= 0
    except UserError as told:
        assert "\n" not in str(told)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "checkpoint.safetensors"
    checkpoint.write(path, TENSORS, META)
    return path.read_bytes()


@FEW
@given(data=st.data())
def test_harmed_checkpoints(data, raw, tmp_path_factory):
    check(tmp_path_factory.getbasetemp(), data.draw(harmed(raw)))


@pytest.mark.nightly
@MANY
@given(data=st.data())
def test_thousands_of_harmed_checkpoints(data, raw, tmp_path_factory):
    check(tmp_path_factory.getbasetemp(), data.draw(harmed(raw)))


@FEW
@given(data=st.data())
def test_a_checkpoint_that_says_nonsense_is_refused_where_it_is_looked_at(data, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "checkpoint.safetensors"
    save_file(TENSORS, path, {"state": json.dumps(replaced(data, META))})
    with pytest.raises(UserError, match="cannot be read"):
        checkpoint.read(path)
    try:
        checkpoint.reached(path)
    except UserError as told:
        assert "checkpoint.safetensors" in str(told)


def test_tensors_without_a_hash_are_of_an_older_version_and_a_text_is_hashed_too(tmp_path):
    save_file(TENSORS, tmp_path / "old")
    assert tensors.read(tmp_path / "old")[0].keys() == TENSORS.keys()
    tensors.write(tmp_path / "new", TENSORS, said="a")
    raw = (tmp_path / "new").read_bytes()
    (tmp_path / "new").write_bytes(raw.replace(b'"said":"a"', b'"said":"b"'))
    with pytest.raises(ValueError, match="its SHA-256 is not that of what it holds"):
        tensors.read(tmp_path / "new")
