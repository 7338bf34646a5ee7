"""Packs of runs: taken whole, or refused with a sentence; a stranger's pack can do no harm."""

import errno
import gzip
import io
import json
import lzma
import os
import random
import subprocess
import tarfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gonlib.errors import UserError
from gonlib.runs import packs

RUN = "0123456789abcdef"


@pytest.fixture
def store(tmp_path):
    """A folder of two runs, one of them unfinished, as `packs` sees it: names and files."""
    for name, size in ((f"{RUN}/config.json", 10), (f"{RUN}/weights.safetensors", 30_000),
                       ("fedcba9876543210.partial/checkpoint.safetensors", 700)):
        path = tmp_path / "store" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(size).randbytes(size))
    return tmp_path / "store"


def entries(store):
    return [(str(path.relative_to(store)), path) for path in sorted(store.rglob("*")) if path.is_file()]


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def taken(source, tmp_path, wanted=lambda name: True):
    """What is copied from a source, and what is said of it."""
    into = tmp_path / f"into-{len(list(tmp_path.iterdir()))}"
    into.mkdir()
    copied = packs.copy_runs(source, into, wanted)
    return content(into), copied


def refuses(source, tmp_path, words="cannot read runs from"):
    """A source is refused by one sentence, and nothing of it is left."""
    into = tmp_path / "refused"
    into.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=words) as told:
        packs.copy_runs(source, into, lambda name: True)
    assert "\n" not in str(told.value)
    assert len(str(told.value)) < 600


@pytest.mark.parametrize("name, magic", [("a.tar", None), ("a.tar.gz", b"\x1f\x8b"), ("a.tgz", b"\x1f\x8b"),
                                         ("a.tar.xz", b"\xfd7zXZ"), ("a.txz", b"\xfd7zXZ")])
def test_a_pack_is_what_its_name_says_and_comes_back_whole(store, tmp_path, name, magic):
    path = tmp_path / name
    assert packs.pack(path, entries(store)) == []
    assert magic is None or path.read_bytes().startswith(magic)
    listed = subprocess.run(["tar", "tf", str(path)], capture_output=True, text=True, check=True).stdout.split()
    assert listed[-1] == "manifest.json" and len(listed) == 4
    found, copied = taken(path, tmp_path)
    assert found == content(store)
    assert (copied.refused, copied.notes) == ([], [])
    assert set(taken(path, tmp_path, lambda name: "weights" in name)[0]) == {f"{RUN}/weights.safetensors"}


@pytest.mark.parametrize("name", ["a.zip", "a", "a.tar.bz2", "a.tarr", "x" * 5000])
def test_names_that_promise_something_else_are_refused(store, tmp_path, name):
    with pytest.raises(UserError, match="name has to end in .tar, .tar.gz") as told:
        packs.pack(tmp_path / name, entries(store))
    assert len(str(told.value)) < 500 and not (tmp_path / name[:200]).exists()


def test_devices_and_folders_are_not_replaced_by_a_pack(store, tmp_path):
    os.mkfifo(tmp_path / "pipe.tar")
    (tmp_path / "folder.tar").mkdir()
    (tmp_path / "null.tar").symlink_to("/dev/null")
    for name in ("pipe.tar", "folder.tar", "null.tar"):
        with pytest.raises(UserError, match="it is not a plain file"):
            packs.pack(tmp_path / name, entries(store))
    assert Path("/dev/null").is_char_device()


def test_a_link_to_a_file_stays_a_link(store, tmp_path):
    (tmp_path / "real.tar").write_text("old")
    (tmp_path / "link.tar").symlink_to("real.tar")
    packs.pack(tmp_path / "link.tar", entries(store))
    assert (tmp_path / "link.tar").is_symlink()
    assert tarfile.is_tarfile(tmp_path / "real.tar")


def test_a_run_that_vanishes_while_it_is_packed_is_left_out_and_named(store, tmp_path):
    listed = entries(store)
    (store / RUN / "config.json").unlink()
    assert packs.pack(tmp_path / "a.tar", listed) == [RUN]
    assert set(taken(tmp_path / "a.tar", tmp_path)[0]) == {"fedcba9876543210.partial/checkpoint.safetensors"}


# --- packs made by hand, and by older versions ---


@pytest.mark.parametrize("what, where", [(["."], "store"), (["store"], ""), (["./store"], ""), ([RUN], "store")])
def test_what_tar_makes_of_a_store_is_taken_with_a_note(store, tmp_path, what, where):
    (store / ".DS_Store").write_text("x")
    (store / RUN / "._config.json").write_text("x")
    (store / ".new-1-abc").mkdir()
    (store / ".new-1-abc" / "x").write_text("x")
    subprocess.run(["tar", "czf", str(tmp_path / "x.tgz"), *what], cwd=tmp_path / where, check=True)
    found, copied = taken(tmp_path / "x.tgz", tmp_path)
    assert found[f"{RUN}/weights.safetensors"] == (store / RUN / "weights.safetensors").read_bytes()
    assert not [name for name in found if "._" in name or "DS_Store" in name or "new" in name]
    assert copied.refused == []
    assert "does not say what it should hold" in copied.notes[0]


def test_what_file_managers_leave_in_a_folder_is_passed_over(store, tmp_path):
    expected = content(store)
    (store / ".DS_Store").write_text("x")
    (store / RUN / "._config.json").write_text("x")
    (store / RUN / "Thumbs.db").write_text("x")
    found, copied = taken(store, tmp_path)
    assert (found, copied.refused) == (expected, [])


# --- damaged and hostile ones ---


def test_a_pack_that_was_cut_anywhere_is_refused(store, tmp_path):
    packs.pack(tmp_path / "a.tar", entries(store))
    whole = (tmp_path / "a.tar").read_bytes()
    used = whole.rstrip(b"\0")
    for end in [*range(0, len(used), 512), *random.Random(0).choices(range(len(used)), k=20)]:
        (tmp_path / "cut.tar").write_bytes(whole[:end])
        refuses(tmp_path / "cut.tar", tmp_path)


def test_an_old_pack_that_was_cut_at_the_end_of_a_member_is_refused(store, tmp_path):
    with tarfile.open(tmp_path / "old.tar", "w") as tar:
        for name, path in entries(store):
            tar.add(path, name)
    assert taken(tmp_path / "old.tar", tmp_path)[0] == content(store)
    with tarfile.open(tmp_path / "old.tar") as tar:
        ends = [member.offset for member in tar][1:]
    for end in ends:
        (tmp_path / "cut.tar").write_bytes((tmp_path / "old.tar").read_bytes()[:end])
        refuses(tmp_path / "cut.tar", tmp_path)


def test_a_flipped_byte_of_a_file_is_found(store, tmp_path):
    packs.pack(tmp_path / "a.tar", entries(store))
    damaged = bytearray((tmp_path / "a.tar").read_bytes())
    damaged[5000] ^= 1
    (tmp_path / "a.tar").write_bytes(damaged)
    refuses(tmp_path / "a.tar", tmp_path)


def make(path, *members):
    """A tar of members (name, content, changes of its header), a manifest only if one of them is it."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name, data, changes in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            for key, value in changes.items():
                setattr(entry, key, value)
            tar.addfile(entry, io.BytesIO(data) if not changes.get("type") else None)
    return path


def test_members_that_claim_what_they_do_not_hold(tmp_path):
    terabyte = make(tmp_path / "size.tar", (f"{RUN}/a.json", b"", {}))
    header = tarfile.TarInfo(f"{RUN}/a.safetensors")
    header.size = 2**40
    terabyte.write_bytes(header.tobuf() + b"\0" * 1024)
    refuses(terabyte, tmp_path)
    header.size, header.type = 2**40, tarfile.GNUTYPE_LONGNAME  # read into memory by tarfile
    terabyte.write_bytes(header.tobuf(format=tarfile.GNU_FORMAT) + b"\0" * 1024)
    refuses(terabyte, tmp_path)


def test_a_sparse_member_is_refused(tmp_path):
    (tmp_path / "store" / RUN).mkdir(parents=True)
    with open(tmp_path / "store" / RUN / "big.json", "wb") as file:
        file.truncate(10 * 2**20)
    for kind in ("gnu", "posix"):
        subprocess.run(["tar", "--sparse", f"--format={kind}", "-cf", str(tmp_path / "s.tar"), RUN],
                       cwd=tmp_path / "store", check=True)
        found, copied = taken(tmp_path / "s.tar", tmp_path)
        assert (found, len(copied.refused)) == ({}, 1)


def test_a_bomb_of_text_is_refused_without_filling_memory_or_disk(tmp_path):
    with lzma.open(tmp_path / "bomb.tar.xz", "wb", preset=0) as file:
        header = tarfile.TarInfo(f"{RUN}/metrics.json")
        header.size = 300 * 2**20
        file.write(header.tobuf())
        for _ in range(300):
            file.write(b"\0" * 2**20)
        file.write(b"\0" * 1024)
    found, copied = taken(tmp_path / "bomb.tar.xz", tmp_path)
    assert (found, copied.refused) == ({}, [f"{RUN}/metrics.json"])


def test_names_that_are_none_are_refused_and_can_be_printed(tmp_path):
    names = ["/etc/passwd", "../x", f"a/../{RUN}/x", f"{RUN}/a b", f"{RUN}/\udcff\udcfe", f"{RUN}/\x1b[31mred",
             f"{RUN}/\u202egpj", f"{RUN}//x", f"{RUN}/" + "x" * 3000, f"../{RUN}/x.json", f"/{RUN}/x.json"]
    path = make(tmp_path / "names.tar", *((name, b"x", {}) for name in names), (f"{RUN}/good.json", b"1", {}),
                (f"{RUN}/good.json", b"2", {}))
    found, copied = taken(path, tmp_path)
    assert found == {f"{RUN}/good.json": b"1"}
    assert len(copied.refused) == len(names) + 1
    assert all(name.isprintable() and name.encode() and len(name) < 500 for name in copied.refused)


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"files": []}', b'{"files": {"x": 1}}', b"\xff",
                                      b"[" * 100_000, b'{"files": {"' + RUN.encode() + b'/a": [1, null]}}'])
def test_manifests_that_are_none(tmp_path, manifest):
    refuses(make(tmp_path / "m.tar", (f"{RUN}/a", b"x", {}), ("manifest.json", manifest, {})), tmp_path)


def test_files_that_are_no_packs(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("not a tar at all" * 100)
    (tmp_path / "nothing.gz").write_bytes(gzip.compress(b"x" * 2000))
    (tmp_path / "cut.xz").write_bytes(lzma.compress(b"x" * 2000)[:-10])
    for name in ("pipe", "empty", "text", "nothing.gz", "cut.xz", "absent"):
        refuses(tmp_path / name, tmp_path)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_a_tar_holds_nothing_gets_out_and_nothing_but_a_sentence_is_raised(data, tmp_path_factory):
    """Random members, then bytes flipped and the end cut: files land inside or not at all, quickly."""
    tmp_path = tmp_path_factory.mktemp("hostile")
    part = st.sampled_from([RUN, f"{RUN}.partial", "..", ".", "", "a", "lock", "config.json", "/", "\udc80", "x" * 200])
    kind = st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE,
                            tarfile.DIRTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE])
    member = st.tuples(st.lists(part, min_size=1, max_size=4).map("/".join), st.binary(max_size=40), kind)
    members = [(name, content, {} if kind == tarfile.REGTYPE else {"type": kind, "linkname": "../../out", "size": 0})
               for name, content, kind in data.draw(st.lists(member, max_size=5))]
    path = make(tmp_path / "hostile.tar", *members, *([("manifest.json", json.dumps({"files": {}}).encode(), {})]
                                                      if data.draw(st.booleans()) else []))
    raw = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(0, 4))):
        raw[data.draw(st.integers(0, min(len(raw), 4000) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    (tmp_path / "deep" / "into").mkdir(parents=True)
    began = time.monotonic()
    try:
        copied = packs.copy_runs(path, tmp_path / "deep" / "into", lambda name: True)
        assert all(isinstance(name.encode(), bytes) for name in copied.refused)
    except UserError as told:
        assert "\n" not in str(told)
    assert time.monotonic() - began < 20
    outside = [p for p in tmp_path.rglob("*") if p not in (path, tmp_path / "deep", tmp_path / "deep" / "into")]
    for found in outside:
        assert packs.PLAIN.fullmatch(str(found.relative_to(tmp_path / "deep" / "into"))) or found.is_dir()
        assert not found.is_symlink()


def test_headers_and_manifests_have_a_measure(store, tmp_path, monkeypatch):
    packs.pack(tmp_path / "a.tar", entries(store))
    assert taken(tmp_path / "a.tar", tmp_path)[0] == content(store)
    monkeypatch.setattr(packs.contents, "LARGEST", 300)
    refused = taken(tmp_path / "a.tar", tmp_path)[1].refused
    assert "manifest.json" in refused
    long = make(tmp_path / "long.tar", *((f"{i}" + "x" * 150, b"", {}) for i in range(3)))
    refuses(long, tmp_path)


def test_a_run_that_may_not_be_read_does_not_stop_the_others(store, tmp_path, monkeypatch):
    copyfile = packs.shutil.copyfile

    def denied(source, target):
        if source.name == "config.json":
            raise PermissionError(13, "Permission denied", str(source))
        return copyfile(source, target)

    monkeypatch.setattr(packs.shutil, "copyfile", denied)
    found, copied = taken(store, tmp_path)
    assert list(found) == ["fedcba9876543210.partial/checkpoint.safetensors"] and copied.refused == [RUN]
    assert "permission denied" in copied.notes[0] and "delete" not in copied.notes[0]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, errno.EROFS])
def test_a_store_that_cannot_be_written_is_named_and_not_the_pack(code, store, tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError(code, os.strerror(code), str(source))

    monkeypatch.setattr(packs.shutil, "copyfile", refuse)
    (tmp_path / "there" / "new").mkdir(parents=True)
    with pytest.raises(UserError, match=f"{tmp_path}/there"):
        packs.copy_runs(store, tmp_path / "there" / "new", lambda name: True)
