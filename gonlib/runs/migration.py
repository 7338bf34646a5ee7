"""Once: stores in which a run's name held its length too, and `.partial` folders, become stores of runs that grow.

`python -m gonlib migrate local|recorded|FOLDER`. Every number is compared before anything old is deleted. Runs that turn out
to be parts of one trajectory become one: what was another length or another look is kept in its history or beside it.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

import pandas as pd
from safetensors import safe_open

from .. import files
from ..errors import UserError
from ..method.decoders import count_parameters
from ..method.models import RULES, build
from ..training import checkpoint, forms
from ..training.config import Config
from ..training.evaluation import is_recorded
from ..training.snapshots import is_point
from . import journal
from .contents import CHECKPOINT, SNAPSHOTS, is_old, read_json
from .merging import Merge, disagreement, merge_run
from .run import USUAL, Run

OLD = re.compile(r"[0-9a-f]{16}(\.partial)?")
FILES = ("config.json", "metrics.json", "history.csv", "provenance.json", "weights.safetensors", CHECKPOINT, SNAPSHOTS,
         "snapshots.csv", "lock")


def old_runs(root: Path) -> list[Path]:
    """The folders of a store that hold runs of the old layout: finished ones, and checkpoints of others."""
    named = [folder for folder in sorted(root.iterdir()) if OLD.fullmatch(folder.name) and is_old(folder)]
    return [folder for folder in named if not folder.name.endswith(".partial") or (folder / CHECKPOINT).is_file()]


def convertible(folder: Path) -> bool:
    """Whether a run is of today's layout, or an old one that is whole: a damaged one must not stop the others of a pack."""
    with tempfile.TemporaryDirectory() as into:
        try:
            if is_old(folder):
                _convert(folder, Path(into) / folder.name)
        except Exception:  # readers of broken files raise all kinds
            return False
    return True


def migrate(root: Path) -> list[str]:
    """Bring a store to the new layout; returns what was found, line by line.

    Raises `UserError`, with nothing deleted, if a number would be lost.
    """
    root, fresh, said = Path(root), Path(root) / ".migrated", []
    if not (fresh / "complete").is_file():
        shutil.rmtree(fresh, ignore_errors=True)
        old = old_runs(root)
        if not old:
            return [f"{root} holds no run of the old layout."]
        said += _convert_all(old, fresh)
        files.write(fresh / "complete", "\n".join(folder.name for folder in old).encode())
    for name in (fresh / "complete").read_text().split():
        shutil.rmtree(root / name, ignore_errors=True)
    for folder in sorted(fresh.glob("[0-9a-f]" * 16)):
        merge_run(folder, root / folder.name, Merge())
    shutil.rmtree(fresh)
    return said


def _convert_all(old: list[Path], fresh: Path) -> list[str]:
    """Convert each old run by itself, join those of one trajectory, and compare every number; see `migrate`."""
    parts = {folder: fresh / "parts" / folder.name / _config(folder).hash for folder in old}
    for folder, new in parts.items():
        _convert(folder, new)
    said = []
    # The longest first, so that the others are found to be parts of it.
    for folder, new in sorted(parts.items(), key=lambda pair: (-_steps(pair[1]), pair[0].name)):
        config, here, report = _config(folder), fresh / new.name, Merge()
        mine = journal.find(here, config)
        run = journal.find(new, config)
        merge_run(new, here, report)
        if mine and run:
            if report.conflicts:
                raise UserError(f"nothing was migrated: {folder} and another run of the same trajectory differ "
                                f"({disagreement(run, mine)}); move one of them away.")
            said += _joined(folder.name, config, run, mine)
    lost = [text for folder in old for text in _lost(folder, fresh)]
    if lost:
        raise UserError(f"nothing was migrated, because numbers would be lost: {'; '.join(lost)}.")
    shutil.rmtree(fresh / "parts")
    return [f"{len(old)} runs became {len(list(fresh.glob('[0-9a-f]' * 16)))}; every number was compared.", *said]


def _joined(name: str, config: Config, run: Run, mine: Run) -> list[str]:
    """Say how a run became part of a longer one. Where the two differ, its own numbers at its end are kept beside."""
    words = f"{name} ({config.json}) is now a part of {mine.hash}, which has {mine.reached.epochs} epochs"
    step, rows = run.reached.steps, run.rows()
    differs = journal.differences(mine, [rows[step]] if step in rows else [], journal.SAME)
    if not differs or config.look != USUAL:
        return [f"{words}."]
    journal.add_beside(mine.folder, [journal.as_usual(rows[step])])
    return [f"{words}; {differs}: both are kept."]


def _config(folder: Path) -> Config:
    values = read_json(folder, "config.json")
    return Config.from_dict(values | ({"snapshots": bool(values["snapshots"])} if "snapshots" in values else {}))


def _steps(new: Path) -> int:
    run = journal.find(new)
    return run.reached.steps if run else -1


def _convert(folder: Path, new: Path) -> None:
    """Write an old run, finished or not, as a new one."""
    config, made = _config(folder), read_json(folder, "provenance.json")
    new.mkdir(parents=True)
    (new / "config.json").write_text(config.trajectory.json + "\n")
    if folder.name.endswith(".partial"):
        metrics, history = _convert_checkpoint(folder, new, config, made["device_type"])
    else:
        metrics, history = read_json(folder, "metrics.json"), _rows(folder / "history.csv")
    last = history[-1] if history else {}
    metrics |= {"epochs": last.get("epoch", 0), "steps": last.get("step", 0)}
    if config.look != USUAL:
        beside = [row | {"evaluation": config.look[0], "free_steps": config.look[1]} for row in _recorded(history, config)
                  if any(key.startswith("test_") for key in row)]
        journal.add_beside(new, beside)
        history = [{k: v for k, v in row.items() if not _looked_at(k, config)} for row in history]
        metrics = {k: v for k, v in metrics.items() if not _looked_at(k, config)}
    # Whatever drew random numbers at evaluation has other ones today: those of variational models and random origins.
    numerics = 0 if config.variational or config.origin_sd else 1
    stretches = [_stretch(part, 0, numerics) for part in made.pop("earlier", [])]
    stretches.append(_stretch(made, metrics["steps"], numerics))
    journal.write_table(new / "history.csv", _recorded(history, config))
    files.write_json(new / "provenance.json", {"data": made["data"], "stretches": stretches})
    if metrics["steps"] or metrics["status"] == "failed":
        files.write_json(new / "metrics.json", metrics)
    _carry(folder, new, metrics["steps"])


def _carry(folder: Path, new: Path, step: int) -> None:
    """Copy weights, tables and pictures under names with their step; snapshots only if they stand at today's points."""
    if (folder / "weights.safetensors").is_file():
        shutil.copy(folder / "weights.safetensors", new / f"weights-{step}.safetensors")
    if (folder / "snapshots.csv").is_file():
        steps = set(pd.read_csv(folder / "snapshots.csv").step)
        if steps == {s for s in range(step + 1) if is_point(s)}:
            for name in (SNAPSHOTS, "snapshots.csv"):
                shutil.copy(folder / name, new / name)
    for file in folder.iterdir():
        if file.name not in FILES and file.suffix in (".csv", ".png"):
            shutil.copy(file, new / f"{file.stem}-{step}{file.suffix}")


def _convert_checkpoint(folder: Path, new: Path, config: Config, device: str) -> tuple[dict, list[dict]]:
    """Rewrite a checkpoint; its numbers at the last epoch, and its history."""
    with safe_open(folder / CHECKPOINT, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        meta = json.loads(file.metadata()["state"])
    tensors.pop("snapshots", None)
    usual = config.look == USUAL
    history = [{k: v for k, v in row.items() if usual or not _looked_at(k, config)} for row in meta["history"]]
    recorded = _recorded(history, config)
    checkpoint.write(new / CHECKPOINT, tensors, {
        "done": meta["done"], "seconds": meta["seconds"], "history": recorded, "last": recorded[-1] if recorded else {},
        "reconstruct_seconds": 0.0, "snapshots": [], "device": device})
    channels, images = len(tensors["model.mean_image"]), len(tensors["order"])
    classes = len(tensors.get("model.classifier.linear.bias", ()))
    model = build(config.trajectory, channels, images, classes)
    rows = _recorded(meta["history"], config)
    numbers = {k: v for k, v in rows[-1].items() if k.startswith(("train_", "test_"))} if rows else {}
    facts = {"channels": channels, "images": images, "parameters": count_parameters(model), "status": "done",
             "seconds": rows[-1]["seconds"] if rows else 0.0}
    return facts | numbers | ({"classes": classes} if classes else {}), rows


def _rows(path: Path) -> list[dict]:
    try:
        return [{k: v for k, v in row.items() if v == v} for row in pd.read_csv(path).to_dict("records")]
    except pd.errors.EmptyDataError:
        return []


def _recorded(history: list[dict], config: Config) -> list[dict]:
    """The rows at points that the history has today; the end stays, whatever it is."""
    per_epoch = history[0]["step"] if history else 1
    return [row for row in history if row["step"] % per_epoch == 0 and
            is_recorded(row["epoch"], rarely=RULES[config.inference].costly)]


def _looked_at(key: str, config: Config) -> bool:
    """Whether a number depends on how the model is measured; GLO's training images have latents of their own."""
    own = RULES[config.inference].costly
    return key.startswith("test_") or (key.startswith("train_") and key != "train_loss" and not own)


def _stretch(made: dict, to: int, numerics: int) -> dict:
    """An old provenance as a stretch; where one of several ended was not recorded."""
    known = {k: v for k, v in made.items() if k not in ("data", "earlier")}
    return {"form": "eager", "at_once": 1, "precision": forms.PRECISION, "wall_seconds": 0.0} | known | {
        "from": 0, "to": to, "numerics": numerics}


def _lost(folder: Path, fresh: Path) -> list[str]:
    """Which numbers of an old run the new store does not give when it is asked for the same."""
    config = _config(folder)
    if folder.name.endswith(".partial"):
        return [] if (fresh / config.hash / CHECKPOINT).is_file() else [f"the checkpoint of {folder.name}"]
    run = journal.find(fresh / config.hash, config)
    if run is None:
        return [f"all of {folder.name}"]
    old, now = read_json(folder, "metrics.json"), run.metrics
    keys = [k for k in old if k.startswith(("train_", "test_")) or k in ("status", "parameters", "channels", "classes")]
    return [f"{key} of {folder.name} ({old[key]}, now {now.get(key)})" for key in keys if not _equal(old[key], now.get(key))]


def _equal(old: object, now: object) -> bool:
    if isinstance(old, float) and isinstance(now, float):
        return abs(old - now) <= journal.SAME * max(abs(old), 0.1)
    return old == now
