"""Files are whole or not there, a folder is held by one process, and what dead processes left goes away."""

import errno
import os
import subprocess
import sys
import time

import pytest

from gonlib import files
from gonlib.errors import UserError


def test_a_file_is_the_old_one_until_it_is_the_new_one(tmp_path):
    path = tmp_path / "numbers.json"
    files.write_json(path, {"a": [1.5, float("nan")]})
    before = path.read_bytes()
    assert before == b'{\n "a": [\n  1.5,\n  null\n ]\n}\n'
    with pytest.raises(KeyboardInterrupt), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["numbers.json"]
    files.write(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["numbers.json"]


def test_a_name_as_long_as_names_may_be_can_be_written(tmp_path):
    files.write(tmp_path / ("x" * 255), b"x")
    with files.disk_space(tmp_path), pytest.raises(UserError, match="too long for this file system"), \
            files.disk_space(tmp_path):
        files.write(tmp_path / ("x" * 256), b"x")
    assert os.listdir(tmp_path) == ["x" * 255]


def dies(code, folder):
    """Run Python code that ends with SIGKILL in a folder."""
    code = f"import os, signal, pathlib; from gonlib import files; here = pathlib.Path('.')\n{code}"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment)
    assert done.returncode == -9


KILL = "os.kill(os.getpid(), signal.SIGKILL)"


def test_what_a_killed_process_left_goes_at_the_next_use(tmp_path):
    dies(f"with files.replacing(here / 'a') as t: t.write_text('half'); {KILL}", tmp_path)
    (left,) = os.listdir(tmp_path)
    assert files.is_temporary(left)
    files.write(tmp_path / "a", b"whole")
    assert os.listdir(tmp_path) == ["a"]

    dies(f"with files.scratch(here) as new: (new / 'x').write_text('x'); {KILL}", tmp_path)
    (left,) = set(os.listdir(tmp_path)) - {"a"}
    assert files.is_temporary(left)
    with files.scratch(tmp_path):
        assert left not in os.listdir(tmp_path)
    assert os.listdir(tmp_path) == ["a"]

    dies(f"with files.locked(here / 'run', None), files.replacing(here / 'run' / 'b') as t: t.touch(); {KILL}", tmp_path)
    assert len(os.listdir(tmp_path / "run")) == 2
    with files.locked(tmp_path / "run", None) as folder:
        assert os.listdir(folder) == ["lock"]


def test_what_a_living_process_is_writing_stays(tmp_path):
    with files.replacing(tmp_path / "a") as mine:
        mine.write_text("mine")
        files.write(tmp_path / "a", b"another thread's")
        files.sweep(tmp_path)
        assert mine.exists()
    assert (tmp_path / "a").read_text() == "mine"


def test_temporary_files_of_other_machines_go_when_they_are_old(tmp_path):
    young, old = tmp_path / "a.00000000-1-abc.tmp", tmp_path / "b.tmp"
    young.touch()
    old.touch()
    os.utime(old, (time.time() - 2 * files.DAY,) * 2)
    files.sweep(tmp_path)
    assert os.listdir(tmp_path) == [young.name]


def test_a_device_or_a_pipe_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # of devices, which only root could replace, none is tried
    with pytest.raises(UserError, match="it is not a plain file"):
        files.write(tmp_path / "pipe", b"x")
    assert (tmp_path / "pipe").is_fifo() and os.listdir(tmp_path) == ["pipe"]


def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("precious")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "lock").symlink_to(tmp_path / "precious")
    with pytest.raises(UserError, match=r"run/lock cannot be used: it is a link"), files.disk_space(tmp_path), \
            files.locked(tmp_path / "run", None):
        pass
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "run" / "lock").mkdir(parents=True)
    with pytest.raises(UserError, match=r"run/lock is a folder where a file should be"), files.disk_space(tmp_path), \
            files.locked(tmp_path / "run", None):
        pass


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(UserError, match=r"file system of .*run/lock does not support locks"), \
            files.disk_space(tmp_path), files.locked(tmp_path / "run", None):
        pass


def test_a_folder_is_held_by_one_process_at_a_time(tmp_path, capsys):
    waits = []

    def waiting():
        waits.append(1)
        if len(waits) == 3:
            raise TimeoutError

    with files.locked(tmp_path / "run", None), pytest.raises(TimeoutError), files.locked(tmp_path / "run", waiting):
        pass
    assert capsys.readouterr().err.count("waiting for another process") == 1
    with files.locked(tmp_path / "run", None):
        pass


def test_a_lock_of_a_folder_that_was_moved_away_counts_for_nothing(tmp_path):
    moved = []

    def waiting():
        if not moved:
            (tmp_path / "run").rename(tmp_path / "done")
            moved.append(1)

    with files.locked(tmp_path / "run", None), files.locked(tmp_path / "run", waiting) as folder:
        assert (folder / "lock").exists()
    assert (tmp_path / "done" / "lock").exists()


@pytest.mark.parametrize("code, words", [
    ("ENOSPC", "no space is left on the disk"), ("EDQUOT", "no space is left on the disk"),
    ("EFBIG", "larger than a file may be"), ("EROFS", "cannot be written to"), ("EACCES", "permission denied"),
    ("EPERM", "permission denied"), ("ENOTDIR", "a file where a folder should be"), ("EIO", "cannot be read or written"),
    ("ENAMETOOLONG", "too long"), ("ENOENT", "there is no file or folder"), ("ESTALE", "cannot be read or written"),
])
def test_what_the_system_says_is_one_sentence_with_the_file(code, words, tmp_path):
    number = getattr(errno, code)
    with pytest.raises(UserError) as told, files.disk_space(tmp_path):
        raise OSError(number, os.strerror(number), str(tmp_path / "it"))
    message = str(told.value)
    assert words in message
    assert str(tmp_path) in message
    assert message.endswith(".") and "\n" not in message and "delete" not in message


def test_a_lock_and_an_empty_folder_do_not_stay(tmp_path):
    with files.locked(tmp_path / "run", files.busy), pytest.raises(files.Busy), files.locked(tmp_path / "run", files.busy):
        pass
    assert not list(tmp_path.iterdir())
    dies(f"with files.locked(here / 'run', None) as f: (f / 'x').touch(); (f / 'y.tmp.new').mkdir(); {KILL}", tmp_path)
    files.tidy(tmp_path / "run")
    assert sorted(os.listdir(tmp_path / "run")) == ["x", "y.tmp.new"]  # of that one it is not known whose it is
    with files.locked(tmp_path / "run", files.busy):
        files.tidy(tmp_path / "run")  # held: nothing
        assert (tmp_path / "run" / "lock").exists()


def test_names_with_brackets_are_swept_too(tmp_path):
    dies(f"with files.replacing(here / 'a[1]*') as t: t.write_text('half'); {KILL}", tmp_path)
    files.write(tmp_path / "a[1]*", b"whole")
    assert os.listdir(tmp_path) == ["a[1]*"]
