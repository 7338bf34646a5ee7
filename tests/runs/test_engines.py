"""Engines: several runs at once are the runs made alone; a Ray cluster picks up a killed worker's run."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import same_result

from gonlib import cli, files
from gonlib.errors import UserError
from gonlib.method import models
from gonlib.runs import beside
from gonlib.runs import run as runs_run
from gonlib.runs.engines import Stopped, Turns, at_once, in_processes, on_ray, one_by_one
from gonlib.runs.store import Store
from gonlib.study import status
from gonlib.training import loop
from gonlib.training.config import Config

TINY = Config(size=16, train_images=64, test_images=16, epochs=3, filters=2, latents=4, batch_size=16)
BAD = TINY.replace(variational=True, likelihood="bernoulli", learning_rate=100.0)  # its loss becomes NaN
MIXED = [TINY, TINY.replace(seed=1), TINY.replace(variational=True, likelihood="bernoulli"), TINY.replace(origin_sd=0.1),
         TINY.replace(inference="free", free_steps=2), TINY.replace(snapshots=True),
         TINY.replace(inference="encoder")]


@pytest.fixture
def often(monkeypatch):
    """A turn for every step, so that runs really mix."""

    def advance(self, until):
        self.run_step()
        self.done += 1

    monkeypatch.setattr(loop.Training, "advance", advance)


def assert_same(store, other, config):
    run, alone = store.find(config), other.find(config)
    assert same_result(run, alone)
    weights, others = (load_file(r.weights_file) for r in (run, alone))
    assert all(torch.equal(weights[name], others[name]) for name in others)


@pytest.mark.slow
def test_several_at_once_are_the_runs_made_alone(tmp_path, often):
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    assert [config for config, _ in one_by_one(MIXED, alone)] == MIXED
    pairs = list(at_once(iter(MIXED), together, 3))
    assert {config.hash for config, _ in pairs} == {config.hash for config in MIXED}
    for config in MIXED:
        assert_same(together, alone, config)
    made = together.find(TINY).provenance
    assert (made["form"], made["at_once"]) == ("eager", 3)
    assert alone.find(TINY).provenance["at_once"] == 1
    assert not list(together.root.glob("*/lock"))


def test_a_run_that_fails_does_not_hurt_the_others(tmp_path, often):
    store = Store(tmp_path)
    found = {config.hash: run.status for config, run in at_once([BAD, TINY, TINY.replace(seed=1)], store, 3)}
    assert found == {BAD.hash: "failed", TINY.hash: "done", TINY.replace(seed=1).hash: "done"}


def test_models_are_made_in_turns(tmp_path, monkeypatch):
    """Their weights are drawn from torch's random numbers, which threads share: two at a time would be others."""
    made, most = [], []

    def build(*args, **options):
        made.append(1)
        most.append(len(made))
        time.sleep(0.02)
        found = models.build(*args, **options)
        made.pop()
        return found

    for module in (beside, loop, runs_run):
        monkeypatch.setattr(module, "build", build)
    configs = [TINY.replace(seed=s, epochs=1, evaluation="running") for s in range(3)]
    assert len(list(at_once(iter(configs), Store(tmp_path), 3))) == 3
    assert max(most) == 1 and len(most) == 9  # to see that there is one, to train it, to measure it


def test_runs_that_wait_for_another_process_stop_with_the_others(tmp_path):
    store = Store(tmp_path)

    def configs():
        yield TINY
        until = time.monotonic() + 20
        while threading.active_count() < before + 1 and time.monotonic() < until:
            time.sleep(0.01)
        raise KeyboardInterrupt

    before = threading.active_count()
    with files.locked(store.folder(TINY), files.busy), pytest.raises(KeyboardInterrupt):
        list(at_once(configs(), store, 2))
    assert threading.active_count() == before


@pytest.mark.parametrize("engine", [one_by_one, at_once])
def test_wrong_input_is_told_and_costs_only_its_run(tmp_path, often, engine):
    wrong, good = TINY.replace(decoder="siren", inference="encoder"), TINY.replace(epochs=1)
    store = Store(tmp_path)
    found = dict(engine([wrong, good], store, **({"runs": 2} if engine is at_once else {})))
    assert isinstance(found[wrong], UserError) and "no model" in str(found[wrong])
    assert found[good].status == "done" and threading.active_count() < 5
    assert [run.hash for run in store.runs()] == [good.hash] and not store.folder(wrong).exists()


@pytest.mark.slow
def test_at_a_deadline_all_stop_with_checkpoints_and_go_on_to_the_same_result(tmp_path):
    alone, store = Store(tmp_path / "alone"), Store(tmp_path / "store")
    configs, stops = [TINY.replace(seed=s, epochs=6) for s in range(3)], 0
    list(one_by_one(configs, alone))
    while not all(store.state(config) == "done" for config in configs):
        left = [config for config in configs if store.state(config) != "done"]
        list(at_once(left, store, 3, deadline=time.monotonic() + 0.05))
        stops += 1
        if stops == 1:
            assert {store.state(config) for config in configs} <= {"growing", "done"}
    assert stops > 1
    for config in configs:
        assert_same(store, alone, config)


@pytest.mark.unchecked
def test_runs_that_are_about_time_are_made_alone(tmp_path, monkeypatch):
    going, most = [], {}

    class Slow:
        def run(self, config, **_):
            going.append(config)
            most[config.hash] = max(most.get(config.hash, 0), len(going))
            time.sleep(0.05)
            going.remove(config)
            return config.seed

    configs = [TINY.replace(seed=s, snapshots=s == 2) for s in range(6)]
    assert sorted(run for _, run in at_once(configs, Slow(), 3)) == [0, 1, 2, 3, 4, 5]
    assert most[configs[2].hash] == 1
    assert max(most.values()) <= 3


def test_turns_go_round_in_order_and_end():
    """Whoever asks first is next: three that always ask again take strict turns."""
    turns, seen, left = Turns(3), [], dict.fromkeys("abc", 4)

    def others_wait(name, others):
        until = time.monotonic() + 60
        while len(turns._queue) < 1 + others:
            assert time.monotonic() < until, f"{name} waits for others that never ask"
            time.sleep(0.001)

    def take(name):
        while left[name]:
            with turns:
                seen.append(name)
                left[name] -= 1
                others_wait(name, sum(left[other] > 0 for other in "abc" if other != name))

    threads = [threading.Thread(target=take, args=(name,)) for name in "abc"]
    with turns:
        for number, thread in enumerate(threads, 1):
            thread.start()
            others_wait("the first", number)
    for thread in threads:
        thread.join()
    assert seen == list("abc" * 4)
    turns.stop()
    with pytest.raises(Stopped), turns:
        pass


def test_the_time_left_counts_what_a_checkpoint_holds(tmp_path, monkeypatch):
    def advance(self, until):
        self.run_step()
        self.done, self.seconds = self.done + 1, self.seconds + 0.1

    monkeypatch.setattr(loop.Training, "advance", advance)
    store, config = Store(tmp_path), TINY.replace(epochs=100)
    assert status.Clock([store]).seconds(config) is None
    while not store.runs():  # each call is late after one step
        with pytest.raises(loop.OutOfTime):
            store.run(config, deadline=0.0)
    (run,) = store.runs()
    clock = status.Clock([store])
    assert 0 < run.reached.steps < 400
    whole = clock.seconds(config.replace(seed=1))
    assert clock.seconds(config) == pytest.approx(whole * (400 - run.reached.steps) / 400)
    assert whole == pytest.approx(400 * run.stretches[0]["wall_seconds"] / run.reached.steps)


@pytest.mark.parametrize("arguments, said", [
    ("--form fast", "unknown form 'fast'"), ("--form captured", "the form captured needs a CUDA device"),
    ("--at-once 0", "--at-once is a whole number from 1 to 1000"),
    ("--at-once 99999999999999999999", "--at-once is a whole number from 1 to 1000"),
    ("--engine spark", "argument --engine: invalid choice"),
    ("--gpus-per-run 0.5", "--gpus-per-run is for --engine ray"),
    ("--gpus-per-run=nan", "--gpus-per-run a number of at least 0"),
    ("--gpus-per-run inf --engine ray", "--gpus-per-run a number of at least 0"),
    ("--engine ray --at-once 2", "with --engine ray, runs share a GPU by --gpus-per-run"),
])
def test_bad_options_are_one_sentence(capsys, arguments, said):
    assert cli.main(["run", "table1", "--profile", "smoke", *arguments.split()]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_at_once_from_the_command_line(tmp_path, capsys, monkeypatch):
    changes = {"models": "[GON, AE]", "seeds": 1, "train_images": 64, "epochs": 1, "filters": 2}
    overrides = [word for name, value in changes.items() for word in ("-p", name, str(value))]
    command = ["run", "table1", "--profile", "smoke", "--store", str(tmp_path), "--at-once", "2", *overrides]
    assert cli.main(command) == 0
    assert "2 runs trained, 0 were there already, 0 left." in capsys.readouterr().out
    assert cli.main(command) == 0
    assert "0 runs trained, 2 were there already, 0 left." in capsys.readouterr().out


# --- Ray -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_several_processes_train_what_one_does_and_say_what_is_wrong(tmp_path):
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    configs = [TINY, TINY.replace(seed=1), TINY.replace(inference="encoder", epochs=5)]
    list(one_by_one(configs, alone))
    assert {config.hash for config, _ in in_processes(iter(configs), together, 2)} == {config.hash for config in configs}
    for config in configs:
        assert_same(together, alone, config)
    assert together.find(TINY).provenance["threads"] == 1 and not list(together.root.glob("*/lock"))
    ((_, fault),) = in_processes([TINY.replace(decoder="siren", inference="encoder")], together, 2)
    assert isinstance(fault, UserError) and "no model" in str(fault)
    assert list(in_processes([TINY.replace(epochs=10000)], together, 2, deadline=time.monotonic())) == []


LONG = TINY.replace(epochs=100_000)


def holder(store):
    """The process that holds the lock of a run, as soon as one does."""
    lock, until = store.folder(LONG) / "lock", time.monotonic() + 100
    while time.monotonic() < until:
        if lock.exists():
            locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
            if found := [int(words[4]) for words in locks if words[5].endswith(f":{lock.stat().st_ino}")]:
                return found[0]
        time.sleep(0.05)
    raise AssertionError("nobody trains")


def ends(pid):
    """Whether a process ends soon."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.slow
@pytest.mark.parametrize("what", ["killed", "interrupted"])
def test_processes_that_are_killed_or_no_longer_wanted(tmp_path, what):
    store, workers = Store(tmp_path), []

    def configs():
        yield LONG
        workers.append(holder(store))
        if what == "interrupted":
            raise KeyboardInterrupt
        os.kill(workers[0], signal.SIGKILL)
        yield TINY

    said = {"killed": (UserError, "most likely for want of memory: ask for fewer at a time by --at-once"),
            "interrupted": (KeyboardInterrupt, "")}
    with pytest.raises(said[what][0], match=said[what][1]):
        list(in_processes(configs(), store, 2))
    assert ends(workers[0])


@pytest.mark.slow
def test_processes_end_with_the_one_that_began_them(tmp_path):
    script = ("import sys\nfrom gonlib.runs.engines import in_processes\nfrom gonlib.runs.store import Store\n"
              "from gonlib.training.config import Config\n"
              f"list(in_processes([Config.from_dict({LONG.to_dict()})], Store({str(tmp_path)!r}), 1))")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], env=environment) as main:
        worker = holder(Store(tmp_path))
        main.kill()
    assert worker != main.pid and ends(worker)


def test_ray_is_loaded_only_when_asked_for_and_missing_it_is_told(tmp_path, monkeypatch, capsys):
    list(one_by_one([TINY.replace(epochs=1)], Store(tmp_path)))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match="pip install gonlib\\[cluster\\]"):
        list(on_ray([TINY], Store(tmp_path)))
    assert cli.main(["run", "table1", "--profile", "smoke", "--engine", "ray"]) == 2
    assert "pip install gonlib[cluster]" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_worker_s_run_goes_on_from_its_checkpoint(tmp_path):
    ray = pytest.importorskip("ray", reason="the optional extra cluster is not installed")
    alone, store = Store(tmp_path / "alone"), Store(tmp_path / "store")
    configs = [TINY.replace(epochs=60), TINY.replace(seed=1)]
    killed, begun = [], []

    def kill_one():
        """As soon as the long run has a checkpoint, kill the process that holds its lock."""
        folder = store.folder(configs[0])
        while not (folder / "checkpoint.safetensors").exists():
            time.sleep(0.01)
        begun.append((folder / "provenance.json").read_text())
        inode = os.stat(folder / "lock").st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
        (pid,) = {int(words[4]) for words in locks if words[5].endswith(f":{inode}")}
        os.kill(pid, signal.SIGKILL)
        killed.append(pid)

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=80 * 2**20)
    try:
        thread = threading.Thread(target=kill_one, daemon=True)
        thread.start()
        found = dict(on_ray(configs, store, save_every=0.0))
        thread.join(1)
    finally:
        ray.shutdown()
    assert set(found) == set(configs)
    assert len(killed) == 1
    made = store.find(configs[0]).provenance
    assert len(begun) == 1 and made["from"] == 0  # not begun again
    assert {run.status for run in found.values()} == {"done"}
    list(one_by_one(configs, alone))
    for config in configs:
        assert_same(store, alone, config)
