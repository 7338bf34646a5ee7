"""The registry: every experiment by name, in the order in which GPU time is best spent; running and finding its runs."""

import pandas as pd

from ..errors import unknown
from ..runs import store
from ..runs.contents import Unreadable
from ..training.loop import OutOfTime
from .chapters import (
    activations,
    architectures,
    first_minute,
    generalisation,
    gon,
    implicit,
    interpolation,
    latents,
    linearity,
    monte_carlo,
    normalisation,
    origins,
    samples,
    settings,
    steps_and_gap,
    super_resolution,
    table1,
    table2,
    tasks,
    your_images,
)
from .experiment import Cell, Experiment, as_far, collect, curves, split_names  # noqa: F401 (part of what it offers)
from .paper import VARIANTS

CHAPTERS = (table1, table2, steps_and_gap, activations, normalisation, architectures, origins, generalisation, settings,
            first_minute, implicit, super_resolution, interpolation, samples, tasks, latents, monte_carlo, linearity,
            your_images)

# in the order in which GPU time is best spent
EXPERIMENTS = {made.name: made for made in (
    settings.settings,
    table1.table1,
    table2.table2,
    table2.celeba,
    table2.annealing,
    steps_and_gap.steps_and_gap,
    steps_and_gap.latent_sizes,
    architectures.latent_sizes,
    activations.activations,
    architectures.spatial_sizes,
    architectures.filter_counts,
    origins.origins,
    generalisation.generalisation,
    normalisation.evaluation_modes,
    normalisation.epsilons,
    normalisation.latent_scales,
    gon.gon,
    first_minute.first_minute,
    settings.full_length,
    settings.stability,
    table1.glo_steps,
    steps_and_gap.more_steps,
    implicit.implicit,
    steps_and_gap.more_steps_implicit,
    implicit.parameter_counts,
    super_resolution.large,
    super_resolution.half_size,
    interpolation.interpolation,
    samples.samples,
    samples.large_reconstructions,
    samples.large_samples,
    tasks.classifier,
    tasks.classifier_both,
    tasks.conversion,
    latents.latents,
    latents.early_samples,
    monte_carlo.monte_carlo,
    monte_carlo.large,
    your_images.your_images,
)}

# What `recorded` shows where the paper's own setting has no run; it never counts for a verdict. One step of the published
# SIREN (4 layers of 256 units) takes seconds on a CPU: a quarter of the units, and where latents are few a higher rate.
# Of LSUN's bedrooms all images of the part at hand.
SMALLER: dict[str, dict] = {name: {"hidden": 64, "learning_rate": 5e-4} for name in (
    "interpolation", "latents", "latents-early", "classifier")}
SMALLER |= {name: {"hidden": 64} for name in ("super-resolution", "super-resolution-half")}
SMALLER["samples-9a"] = {"train_images": 0, "test_images": 0}


def get(name: str) -> Experiment:
    """The experiment of that name; `UserError` with the nearest names if there is none."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def run(name: str, profile="quick", device="cpu", deadline=None, **overrides) -> pd.DataFrame:
    """Train what is missing of an experiment and collect it: one row per run (see `collect`).

    Args:
        name: The experiment.
        profile: A profile's name, or the dictionary of its groups, or None.
        device: cpu, cuda or cuda:N.
        deadline: A value of `time.monotonic()` after which nothing more is trained.
        overrides: Parameters of the experiment (data sets, seeds, the grid's own, fields of `Config`) that win over
            the profile's.
    """
    cells = get(name).cells(profile, **overrides)
    for config in (config for cell in cells for config in cell.configs):
        try:
            found = store.find_run(config, [store.local_store(), store.recorded_store()])
            if not (found and found.complete):
                found = store.local_store().run(config, device=device, deadline=deadline)
            get(name).finish(found, device)
        except OutOfTime:
            break
        except Unreadable:  # one damaged run does not stop the others; `collect` names it
            continue
    return collect(cells)


def stored(name: str, profile="quick", **overrides) -> pd.DataFrame:
    """The runs of an experiment that are there already, trained by others, as `collect` gives them."""
    return collect(get(name).cells(profile, **overrides))


def at_full_schedule(name: str, stores, **overrides) -> list[Cell]:
    """The cells of an experiment in profile `paper`; where a data set has no run, those of its variant that has some."""
    experiment = get(name)
    cells = experiment.cells("paper", **overrides)
    given = dict.fromkeys(cell.factors["dataset"] for cell in cells)
    if "dataset" in overrides or given.keys().isdisjoint(VARIANTS):
        return cells

    def begun(dataset):
        those = experiment.cells("paper", **overrides | {"dataset": dataset})
        return any(store.find_readable(config, stores) for cell in those for config in cell.configs)

    names = [VARIANTS[one] if one in VARIANTS and not begun(one) and begun(VARIANTS[one]) else one for one in given]
    return cells if names == list(given) else experiment.cells("paper", **overrides | {"dataset": " ".join(names)})


def recorded(name: str, **overrides) -> pd.DataFrame:
    """The runs of profile `paper` that come with the book, as `collect` gives them, growing ones as far as they are.

    In columns that are still growing, runs are `done` at the `epoch` that their rows share, before the one `asked` for
    (see `as_far`). Where a data set has no run but a variant of it has, the variant's stand in its place; where none has
    the paper's setting, those of a smaller one do (see `SMALLER`).
    """
    stores = [store.recorded_store()]
    cells = at_full_schedule(name, stores, **overrides)
    if name in SMALLER:
        cells = _with_smaller(cells, at_full_schedule(name, stores, **SMALLER[name] | overrides), stores)
    return as_far(collect(cells, stores))


def _with_smaller(cells, smaller, stores):
    """The cells of each data set that has numbers, or else its cells with a smaller network if those have some."""
    def there(config):
        run = store.find_readable(config, stores)
        return run is not None and run.metrics["steps"] > 0

    chosen = []
    for dataset in dict.fromkeys(_set_of(cell) for cell in cells):
        ways = [[cell for cell in grid if _set_of(cell) == dataset] for grid in (cells, smaller)]
        chosen += next((way for way in ways if any(there(one) for cell in way for one in cell.configs)), ways[0])
    return chosen


def _set_of(cell):
    return cell.factors["dataset"].partition("@")[0]
