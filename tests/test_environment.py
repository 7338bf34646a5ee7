"""pyproject.toml is the one source of what is installed; the lock, environment.yml and the Makefile follow it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
import yaml
from conftest import ROOT, listed_as_slow
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gonlib import cli
from gonlib.book import build

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAKEFILE = (ROOT / "Makefile").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
REQUIRED = [Requirement(text) for text in sum(PROJECT["optional-dependencies"].values(), PROJECT["dependencies"])]


ENTRIES = re.split(r"^(?=[A-Za-z0-9])", LOCK, flags=re.MULTILINE)[1:]


def locked(name):
    """The versions of a package that the lock holds: more than one where they depend on Python's version."""
    pins = [Requirement(entry.split("\\")[0]) for entry in ENTRIES]
    return {str(pin.specifier).removeprefix("==") for pin in pins
            if canonicalize_name(pin.name) == canonicalize_name(name)}


@pytest.mark.parametrize("requirement", REQUIRED, ids=str)
def test_the_lock_pins_every_requirement_within_its_range(requirement):
    versions = locked(requirement.name)
    assert versions and all(requirement.specifier.contains(version, prereleases=True) for version in versions)


def test_what_builds_gonlib_itself_is_in_the_lock():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    for requirement in map(Requirement, build):
        assert all(requirement.specifier.contains(version) for version in locked(requirement.name))


def test_every_pin_has_hashes_and_nothing_names_an_address():
    for entry in ENTRIES:
        assert re.match(r"[A-Za-z0-9._-]+(\[.*\])?==\S+", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry
    assert not re.search(r"://|--index|--extra-index|--find-links|--trusted|@ ", LOCK)


def test_the_pair_of_the_recorded_gpu_runs_is_pinned():
    for name, series in (("torch", "2.11."), ("torchvision", "0.26.")):
        (version,) = locked(name)
        assert version.startswith(series) and f"{name}=={version}" in (ROOT / "Makefile").read_text()


def test_conda_users_get_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, packages = environment["dependencies"]
    assert Requirement(f"python=={python.split('=')[1]}.*").specifier.contains("3.11.5") and pip == "pip"
    assert f">={python.split('=')[1]}" == PROJECT["requires-python"]
    assert packages == {"pip": ["-r requirements.lock"]}


def test_what_is_installed_is_what_the_lock_says():
    code = "import importlib.metadata as m; print(*(f'{d.name}=={d.version}' for d in m.distributions()), sep='\\n')"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    installed = dict(line.rsplit("==", 1) for line in printed.split())
    installed = {canonicalize_name(name): version for name, version in installed.items()}
    for requirement in REQUIRED:
        version = installed.get(canonicalize_name(requirement.name))
        assert version is None or version.split("+")[0] in locked(requirement.name), f"{requirement.name} {version}"


def make(*words, **options):
    return subprocess.run(["make", "--no-print-directory", *words], capture_output=True, text=True, **options)


def test_make_alone_prints_help_that_names_every_target():
    printed = make(cwd=ROOT).stdout
    targets = re.search(r"^\.PHONY: help (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert all(f"make {target} " in printed for target in targets)
    assert printed == make("help", cwd=ROOT).stdout


@pytest.fixture
def checkout(tmp_path):
    """A folder with the Makefile and an interpreter that only says how it was called."""
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!{sys.executable}\nimport json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))\n")
    python.chmod(0o755)
    (tmp_path / ".venv" / "ready").touch()
    return tmp_path


@pytest.mark.parametrize("params, folder", [
    ('-p dataset "folder:/my $HOME/$(shell touch run1) `touch run2`;touch run3 #2"',
     "folder:/my $HOME/$(shell touch run1) `touch run2`;touch run3 #2"),
    ("-p dataset patches", "patches"),
    ("-p dataset 'folder:/it: \"quoted\" & more'", 'folder:/it: "quoted" & more'),
])
def test_make_hands_on_what_was_typed(checkout, monkeypatch, params, folder):
    words = ["reproduce", "PROFILE=smoke", "NOTEBOOKS=04-table1 02-b;touch run4", "DEVICE=cuda", f"PARAMS={params}"]
    arguments, environment = json.loads(make(*words, cwd=checkout).stdout)
    assert arguments == ["-m", "gonlib", "book", "--from-make"]
    assert not list(checkout.glob("run*"))
    found = {}
    monkeypatch.setattr(build, "build", lambda *options: found.update(options=options) or 0)
    for name, value in environment.items():
        if name.startswith("GONLIB_MAKE"):
            monkeypatch.setenv(name, value)
    assert cli.main(arguments[2:]) == 0
    profile, given, notebooks, device, out, execute = found["options"]
    assert (profile, notebooks, device, out, execute) == ("smoke", ["04-table1", "02-b;touch", "run4"], "cuda", None, True)
    assert given == [["dataset", folder]]


def test_make_tells_a_quote_without_a_partner(checkout, monkeypatch, capsys):
    monkeypatch.setenv("GONLIB_MAKE_PARAMS", "-p dataset 'digits")
    assert cli.main(["book", "--from-make"]) == 2
    assert capsys.readouterr().err == "gonlib: a quote in PARAMS has no partner.\n"


def test_the_readers_settings_of_python_and_pip_stay_out(checkout):
    theirs = {"PYTHONPATH": "/x", "PYTHONHOME": "/x", "PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": "1",
              "PIP_USER": "1", "PIP_TARGET": "/x"}
    kept = {"PIP_INDEX_URL": "https://mirror.example/simple"}
    _, environment = json.loads(make("book", cwd=checkout, env=os.environ | theirs | kept).stdout)
    assert {name: environment.get(name) for name in theirs} == dict.fromkeys(theirs) | {"PIP_USER": "0"}
    assert kept.items() <= environment.items()


@pytest.mark.parametrize("python, message", [
    ("no-such-python", "no-such-python was not found; install Python 3.11 or newer"),
    ("./old-python", "This needs Python 3.11 or newer, and ./old-python is Python 3.8.2"),
])
def test_a_python_that_is_missing_or_too_old_is_named(tmp_path, python, message):
    for name in ("Makefile", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path)
    old = tmp_path / "old-python"
    old.write_text('#!/bin/sh\nif [ "$1" = --version ]; then echo Python 3.8.2; else exit 1; fi\n')
    old.chmod(0o755)
    done = make("test", f"PYTHON={python}", cwd=tmp_path)
    assert done.returncode == 2 and message in done.stdout and not (tmp_path / ".venv").exists()


def test_make_clean_keeps_trained_runs(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for folder in ("build/html", "build/store/0123456789abcdef"):
        (tmp_path / folder).mkdir(parents=True)
    assert make("clean", cwd=tmp_path).returncode == 0
    assert [path.name for path in (tmp_path / "build").iterdir()] == ["store"]
    assert (tmp_path / "build/store/0123456789abcdef").is_dir()


def test_ci_runs_readmes_test_command():
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("\nmake test")
    assert "make test" in (ROOT / "README.md").read_text()
    for name, command in (("test", "make test"), ("publish", "make reproduce")):
        steps = [step for job in yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text())["jobs"].values()
                 for step in job["steps"]]
        assert any((step.get("run") or "").startswith(command) for step in steps)


def test_ci_covers_the_versions_of_python_that_are_promised():
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]["test"]["strategy"]["matrix"]
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert matrix["python"][0] == oldest and len(matrix["python"]) >= 3
    assert {case["cpu"] for case in matrix["include"]} == set(re.findall(r"^CPU_(\w+)", MAKEFILE, re.MULTILINE))


def test_what_contributors_are_told_is_there():
    """Files, commands and tools that CONTRIBUTING and the hooks name."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for folder in re.findall(r"`(gonlib/\w+/|tests/)`", text):
        assert (ROOT / folder).is_dir(), folder
    for file in set(re.findall(r"`([\w/]+\.(?:py|txt|md|yml))`", text)) - {"study/chapters/NAME.py"}:
        places = (ROOT, ROOT / "gonlib", ROOT / "gonlib" / "method")
        assert any((place / file).is_file() for place in places), file
    for name, file in re.findall(r"`([A-Z]+)`(?: and `[A-Z]+`)? in `([\w/]+\.py)`", text):
        assert re.search(rf"^{name}\b", (ROOT / "gonlib" / file).read_text(), re.MULTILINE), name
    for target in set(re.findall(r"\bmake ([\w-]+)", text)):
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = MAKEFILE.partition("\nlint:")[2].partition("\n\n")[0]
    for tool in [hook["entry"].split()[0].removeprefix(".venv/bin/") for hook in hooks]:
        assert f"$(VENV)/bin/{tool}" in lint


@pytest.mark.parametrize("cpu, expected", [("", None), ("avx2", "ATEN_CPU_CAPABILITY=avx2"),
                                           ("sse41", "ATEN_CPU_CAPABILITY=default"), ("z80", None)])
def test_make_test_can_round_as_other_processors_do(cpu, expected):
    done = make("-n", "-o", ".venv/ready", "test", f"CPU={cpu}", cwd=ROOT)
    assert done.returncode == (2 if cpu == "z80" else 0)
    assert ("there is no CPU=z80" in done.stderr) == (cpu == "z80")
    assert (expected or "pytest") in done.stdout + done.stderr + "pytest"
    assert ("ATEN_CPU_CAPABILITY" in done.stdout) == bool(expected)


def test_readmes_table_is_that_of_the_recorded_runs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import results

    text = (ROOT / "README.md").read_text()
    assert results.table().count("\n") > 2 and results.written_into(text) == text, "run tools/results.py"


def test_readmes_examples_of_the_library_run(capsys, tmp_path, monkeypatch):
    first, second = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(first.replace("epochs=5", "steps=3"), names)
    x, z, gon = names["x"], names["z"], names["gon"]
    assert z.shape == (8, 32) and names["images"].shape == (8, 1, 32, 32)
    assert float(capsys.readouterr().out) > 0
    assert (x.flatten(1) / 255 @ names["matrix"].T + names["offset"] - z).norm() < 1e-3 * z.norm()
    assert (gon.encode(x) == z).all()  # saved and loaded; what was called in between changed nothing
    exec(second, names)
    assert names["pictures"].shape == x.shape


def test_the_list_of_slow_tests_names_tests():
    for test, _ in listed_as_slow():
        path, _, name = test.partition("::")
        assert f"\ndef {name}(" in (ROOT / path).read_text(encoding="utf-8"), test
