"""Runs carried from store to store: folders and packs bring what is missing, and nothing of a stranger's gets out."""

import json
import tarfile
import time
from io import BytesIO

import pytest
from tiny_runs import LONG, TINY, assert_same, copy, tree

from gonlib.errors import UserError
from gonlib.runs.store import Store
from gonlib.training import loop


def test_merging_takes_what_is_missing_and_counts_the_rest(trained, tmp_path):
    made = Store(tmp_path)
    assert made.merge(trained.root).copied == [TINY.hash]
    assert_same(made.find(TINY), trained.find(TINY))
    before = tree(tmp_path)
    again = made.merge(trained.root)
    assert (again.copied, again.identical, again.clean) == ([], [TINY.hash], True)
    assert tree(tmp_path) == before
    assert made.merge(tmp_path).identical == [TINY.hash]  # itself


def test_merging_completes_a_run_that_is_here(trained, tmp_path):
    other, folder = copy(trained, tmp_path / "other")
    (folder / "diversity.csv").write_text("later")
    made, bare = Store(tmp_path / "here"), tmp_path / "here" / TINY.hash
    made.merge(trained.root, weights=False)
    assert made.merge(other.root, weights=False).identical == [TINY.hash]
    assert (bare / "diversity.csv").read_text() == "later" and not made.find(TINY).has_weights
    made.merge(other.root)
    assert made.find(TINY).has_weights and tree(bare) == tree(folder)


def test_a_different_result_is_reported_and_not_overwritten(trained, tmp_path):
    made, folder = copy(trained, tmp_path / "a")
    metrics = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text(json.dumps(metrics | {"seconds": 1e6}))
    assert made.merge(trained.root).identical == [TINY.hash]
    (folder / "metrics.json").write_text(json.dumps(metrics | {"test_error": 1.0}))
    before = tree(tmp_path)
    report = made.merge(trained.root)
    assert report.conflicts == [TINY.hash]
    assert not report.clean
    assert f"{TINY.hash}: a different result is here, kept." in str(report)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("name", ["metrics.json", "provenance.json", "config.json"])
def test_a_damaged_run_elsewhere_is_reported_and_skipped(trained, tmp_path, name):
    other, folder = copy(trained, tmp_path / "a")
    (folder / name).write_text("{")
    report = Store(tmp_path / "b").merge(other.root)
    assert (report.damaged, report.copied) == ([TINY.hash], [])
    assert list((tmp_path / "b").iterdir()) == []


@pytest.mark.parametrize("name", ["runs.tar", "runs.tar.xz"])
def test_a_pack_carries_runs_and_checkpoints(trained, tmp_path, uninterrupted, name):
    made, _ = copy(trained, tmp_path / "a")
    with pytest.raises(loop.OutOfTime):
        made.run(LONG, deadline=time.monotonic())
    made.pack(tmp_path / name)
    with tarfile.open(tmp_path / name) as tar:
        assert all((m.uname, m.uid, m.mtime) == ("", 0, 0) for m in tar)
        assert not [m.name for m in tar if m.name.endswith(("lock", ".tmp"))]
    there = Store(tmp_path / "b")
    report = there.merge(tmp_path / name)
    assert (report.copied, report.begun) == ([TINY.hash], [LONG.hash])
    assert there.state(LONG) == "growing"
    assert_same(there.run(LONG), uninterrupted)
    assert there.merge(tmp_path / name).begun == []


def test_a_pack_without_weights_leaves_numbers_and_weights_can_follow(trained, tmp_path):
    trained.pack(tmp_path / "small.tar", [TINY, TINY.replace(seed=9)], weights=False)
    made = Store(tmp_path / "b")
    made.merge(tmp_path / "small.tar")
    assert not made.find(TINY).has_weights
    assert made.find(TINY).metrics == trained.find(TINY).metrics
    made.merge(trained.root, weights=False)
    assert not made.find(TINY).has_weights
    made.merge(trained.root)
    assert_same(made.find(TINY), trained.find(TINY))


def evil_tar(path):
    """A tar whose members try to leave the folder in every way; returns their names."""
    run = "0123456789abcdef"
    with tarfile.open(path, "w") as tar:
        outside = ("../escaped", "/tmp/escaped", f"{run}/../../escaped", f"{run}/sub/escaped", "escaped", f"{run}/..")
        for name in outside:
            entry = tarfile.TarInfo(name)
            entry.size = 4
            tar.addfile(entry, BytesIO(b"evil"))
        for name, kind in ((f"{run}/link", tarfile.SYMTYPE), (f"{run}/hard", tarfile.LNKTYPE), (run, tarfile.SYMTYPE),
                           (f"{run}/device", tarfile.CHRTYPE), (f"{run}/pipe", tarfile.FIFOTYPE)):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = kind, "../../escaped"
            tar.addfile(entry)
        return tar.getnames()


def test_names_that_leave_the_folder_are_refused_and_reported(trained, tmp_path):
    names = evil_tar(tmp_path / "evil.tar")
    made, _ = copy(trained, tmp_path / "store")
    before = tree(made.root)
    report = made.merge(tmp_path / "evil.tar")
    assert report.refused == names
    assert "../escaped: refused: not a plain file of a run that can be read." in str(report)
    assert tree(made.root) == before
    assert not list(tmp_path.rglob("escaped"))


def test_links_in_a_folder_are_refused(trained, tmp_path):
    other, folder = copy(trained, tmp_path / "a")
    (tmp_path / "secret").write_text("secret")
    (folder / "picture.png").symlink_to(tmp_path / "secret")
    (other.root / "0123456789abcdef").symlink_to(tmp_path)
    report = Store(tmp_path / "b").merge(other.root)
    assert sorted(report.refused) == ["0123456789abcdef", f"{TINY.hash}/picture.png"]
    assert not list((tmp_path / "b").rglob("*.png"))


def test_what_is_not_a_pack_is_told(trained, tmp_path):
    (tmp_path / "no.tar").write_bytes(b"not a tar at all" * 100)
    trained.pack(tmp_path / "all.tar.xz")
    (tmp_path / "cut.tar.xz").write_bytes((tmp_path / "all.tar.xz").read_bytes()[:-2000])
    for name in ("no.tar", "cut.tar.xz", "absent.tar"):
        with pytest.raises(UserError, match=f"cannot read runs from .*{name}"):
            Store(tmp_path / "store").merge(tmp_path / name)
    assert list((tmp_path / "store").iterdir()) == []
