"""The registry: each table and figure of the paper as a grid of configurations, the paper's numbers beside them."""

import dataclasses
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from ..data import datasets as data
from ..errors import UserError, unknown
from ..method.decoders import ACTIVATIONS
from ..method.likelihoods import LIKELIHOODS
from ..method.models import MODELS
from ..runs.store import find_run, local_store, recorded_store
from ..training.config import Config
from ..training.loop import OutOfTime
from . import paper
from .chapters import implicit, interpolation, latents, more_steps, samples
from .chapters import monte_carlo as montecarlo
from .chapters import super_resolution as superresolution
from .chapters import tasks as generalisations
from .profiles import parameters

FIELDS = {f.name: f.default for f in dataclasses.fields(Config) if f.name not in ("dataset", "seed")}


@dataclass(frozen=True)
class Cell:
    """A cell of a table or a curve of a figure: row, column, a config per seed, the paper's (mean, sd) or None."""

    row: str
    column: str
    configs: tuple
    paper: tuple | None = None


@dataclass(frozen=True)
class Experiment:
    """A table or figure. `grid` maps the parameters (data sets, seeds, fields of Config, its own) to cells."""

    name: str
    title: str
    grid: Callable
    metric: str = "test_error"
    last: tuple = ()  # rows that cost most and teach least: run after all other rows of all experiments
    keep: Callable | None = None  # (run, device): compute what is kept beside a finished run, unless it is there

    @property
    def parameters(self):
        """Name -> default of everything that can be set: `dataset`, `seeds`, the grid's own, every field of Config."""
        own = {k: p.default for k, p in inspect.signature(self.grid).parameters.items() if p.default is not p.empty}
        return FIELDS | {"dataset": "digits", "seeds": 1} | own

    def cells(self, profile=None, **overrides):
        """The grid's cells with a profile's parameters; overrides that are None are left to the profile."""
        given = {k: v for k, v in overrides.items() if v is not None}
        values = parameters(profile, self.name, given, self.parameters)
        datasets, seeds = split_names(values.pop("dataset")), range(values.pop("seeds"))
        if not seeds:
            raise UserError("parameter seeds must be a whole number of at least 1.")
        for name in values.get("models", []):
            if name not in MODELS:
                raise unknown("model", name, MODELS)
        own = {k: values.pop(k) for k in list(values) if k not in FIELDS}
        changed = {k: v for k, v in values.items() if v != FIELDS[k]}
        cells = []
        for dataset in datasets:
            for row, column, change in self.grid(dataset, **own):
                # a variant's own fields are what the row is about: they win over parameters meant for all
                configs = tuple(Config.from_dict({"dataset": dataset, "seed": s, **changed, **change}) for s in seeds)
                cells.append(Cell(row, column, configs, PAPER.get(self.name, {}).get(row, {}).get(column)))
        return cells

    def finish(self, run, device="cpu"):
        """Keep pictures and tables of a finished run beside it, so that they can be shown without its data."""
        if self.keep and run.status == "done" and run.has_weights:
            self.keep(run, device)


OVER_LEVELS = tuple(name for name, likelihood in LIKELIHOODS.items() if not likelihood.affine)
# The paper does not name the likelihood of its Table 2: its value stands beside each.
TABLE2 = {f"{row}, {kind}": cells for row, cells in paper.TABLE2.items() for kind in LIKELIHOODS}
PAPER = {"table1": paper.TABLE1, "table2": TABLE2, "table2-celeba": TABLE2}
EXPERIMENTS = {}  # in the order of worth for GPU time


def experiment(name, title, **options):
    """Register a grid function: (dataset, own parameters) to triples (row, column, changes to the configuration)."""

    def register(grid):
        EXPERIMENTS[name] = Experiment(name, title, grid, **options)
        return grid

    return register


def get(name):
    """The experiment of that name; `UserError` with the nearest names if there is none."""
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


def split_names(text):
    """Names in a text, separated by commas or blanks (a folder: path is one name); a list is itself."""
    if not isinstance(text, str):
        return list(text)
    return [text] if text.startswith("folder:") else re.split(r"[,\s]+", text.strip())


# --- running and collecting ------------------------------------------------------------------------------------------


def run(name, profile="quick", device="cpu", deadline=None, **overrides):
    """Train what is missing of an experiment and collect it: one DataFrame row per run (see `collect`)."""
    cells = get(name).cells(profile, **overrides)
    for config in (config for cell in cells for config in cell.configs):
        found = find_run(config, [local_store(), recorded_store()])
        if not (found and found.complete):
            try:
                found = local_store().run(config, device=device, deadline=deadline)
            except OutOfTime:
                break
        get(name).finish(found, device)
    return collect(cells)


def stored(name, profile="quick", **overrides):
    """The runs of an experiment that are there already, trained by others, as `collect` gives them."""
    return collect(get(name).cells(profile, **overrides))


def recorded(name, **overrides):
    """The runs recorded at full schedule (profile `paper`) that come with the book, as `collect` gives them."""
    return collect(get(name).cells("paper", **overrides), [recorded_store()])


def collect(cells, stores=None):
    """A DataFrame with a row per run: row, column, seed, state, hash, every metric, `run` (the Run or None)."""
    rows = []
    for cell in cells:
        for config in cell.configs:
            found = find_run(config, stores or [local_store(), recorded_store()])
            found = found if found and found.complete else None
            about = {"row": cell.row, "column": cell.column, "seed": config.seed, "hash": config.hash, "run": found}
            state = found.status if found else "not run"
            rows.append(about | (found.metrics if found else {}) | {"state": state, "config": config, "paper": cell.paper})
    return pd.DataFrame(rows)


def curves(runs):
    """The histories of `collect`ed runs as one long DataFrame: row, column, seed, epoch, step, seconds, errors."""
    parts = [r.run.history.assign(row=r.row, column=r.column, seed=r.seed) for r in runs.itertuples() if r.run]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def load_data(config, device="cpu"):
    """The data set that a configuration trains on."""
    return data.load(config.dataset, config.size, config.train_images, config.test_images, device)


def signal_share(run, seconds):
    """Share of the signal that a run with snapshots had modelled after so many seconds of training (claim C14).

    It is 1 - error / error of the training set's mean image. Returns (share, error, step), or None if the run was over
    before.
    """
    shots = run.snapshots[1]
    if shots.seconds.iloc[-1] < seconds:
        return None
    last = shots[shots.seconds <= seconds].iloc[-1]
    return 1 - last.test_error / last.mean_image_error, last.test_error, int(last.step)


# --- the grids -------------------------------------------------------------------------------------------------------

SEVEN = ("GON", "AE", "Tied AE", "1 step, detached", "10 steps, detached", "10 steps", "GLO")
SINGLE_STEP = SEVEN[:4]


# What the paper leaves unsaid, one change at a time from the profile's setting (chapter 12).
CHANGES = {
    "as assumed": {},
    "32 latents": {"latents": 32}, "64 latents": {"latents": 64}, "128 latents": {"latents": 128},
    "512 latents": {"latents": 512},
    "8 filters": {"filters": 8}, "32 filters": {"filters": 32},
    "batch 256": {"batch_size": 256}, "batch 1024": {"batch_size": 1024},
    "rate 1e-3": {"learning_rate": 1e-3}, "rate 3e-3": {"learning_rate": 3e-3}, "rate 1e-2": {"learning_rate": 1e-2},
    "population statistics": {"evaluation": "population"}, "no normalisation": {"batchnorm": False},
    "encoder without normalisation": {"encoder_batchnorm": False},
}


@experiment("settings", "What were the settings of Table 1? One change at a time, short runs")
def settings(dataset, changes=tuple(CHANGES), models=SINGLE_STEP):
    data = paper.DATASETS.get(dataset, dataset)
    return [(model, f"{data}: {name}", MODELS[model] | CHANGES[name]) for name in changes for model in models]


@experiment("table1", "Table 1: validation reconstruction error", last=SEVEN[4:])
def table1(dataset, models=SEVEN, fit_steps=100):
    fit = {"GLO": {"free_steps": fit_steps}}  # of the others no part of the configuration
    return [(name, dataset, MODELS[name] | fit.get(name, {})) for name in models]


@experiment("table2-celeba", "Table 2, CelebA: 150 epochs", metric="test_bits")
@experiment("table2", "Table 2: variational GON and VAE, bits/dim", metric="test_bits")
def table2(dataset, likelihoods=("bernoulli", *OVER_LEVELS)):
    return [(f"{name}, {kind}", dataset, MODELS[name] | {"likelihood": kind})
            for kind in split_names(likelihoods) for name in ("VGON", "VAE")]


@experiment("table2-annealing", "Table 2 with the weight of the KL term growing from 0 to 1", metric="test_bits")
def table2_annealing(dataset, anneals=(0, 30)):
    return [(name, f"annealed over {n} epochs" if n else "full weight from the start", MODELS[name] | {"kl_anneal": n})
            for n in anneals for name in ("VGON", "VAE")]


@experiment("steps-and-gap", "Figure 2b: joint and detached gradient steps")
def steps_and_gap(dataset, step_counts=(3, 5, 10)):
    # The paper states 0.1 for ten steps: one tenth, so that the steps add up to one.
    several = {k: {"inner_steps": k, "step_size": 1 / k} for k in step_counts}
    joint = {"GON": {}} | {f"{k} steps": change for k, change in several.items()}
    detached = {"1 step": {}} | {f"{k} steps": change for k, change in several.items()}
    changes = joint | {f"{name}, detached": change | {"detach": True} for name, change in detached.items()}
    return [(name, dataset, change) for name, change in changes.items()]


@experiment("architectures-latents", "Figure 10c: training error for several latent sizes", metric="train_error")
@experiment("steps-and-gap-latents", "Figures 2a and 2c: GON and AE for several latent sizes")
def latent_sizes(dataset, sizes=(32, 64, 128, 256, 512), models=("GON", "AE")):
    return [(name, f"{k} latents", MODELS[name] | {"latents": k}) for k in sizes for name in models]


@experiment("activations", "Figure 3: activation functions for several latent sizes")
def activations(dataset, names=tuple(ACTIVATIONS), sizes=(512, 128, 32), models=("GON", "AE")):
    return [(f"{model}, {name}", f"{k} latents", MODELS[model] | {"activation": name, "latents": k})
            for k in sizes for model in models for name in names]


@experiment("architectures-spatial", "Figure 10a: latents with a spatial size, blocks left out", metric="train_error")
def spatial_sizes(dataset, sides=(1, 4, 8, 16), models=("GON", "AE")):
    return [(name, f"{s} x {s}", MODELS[name] | {"spatial": s}) for s in sides for name in models]


@experiment("architectures-filters", "Figure 10b: numbers of filters", metric="train_error")
def filter_counts(dataset, counts=(8, 16, 32, 64), models=("GON", "AE")):
    return [(name, f"{f} filters", MODELS[name] | {"filters": f}) for f in counts for name in models]


@experiment("origins", "Figure 11: origins drawn from a normal distribution")
def origins(dataset, sds=(0.0, 0.01, 0.1, 1.0)):
    forms = {"-grad": False, "z0 - grad": True}
    return [(f"{form}, sd {sd:g}", dataset, {"origin_sd": sd, "add_origin": add and sd > 0})
            for form, add in forms.items() for sd in sds]


@experiment("generalisation", "Figure 16: training and test error on several data sets")
def generalisation(dataset, models=("GON", "AE")):
    return [(name, dataset, MODELS[name]) for name in models]


@experiment("batch-normalisation", "Three ways to evaluate a GON with batch normalisation")
def evaluation_modes(dataset, modes=("batch", "population", "running")):
    return [(mode, dataset, {"evaluation": mode}) for mode in modes]


@experiment("batch-normalisation-eps", "The eps of batch normalisation, and none at all")
def normalisation_eps(dataset, epsilons=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), modes=("batch", "population")):
    return [(mode, f"eps {eps:g}", {"evaluation": mode, "bn_eps": eps}) for mode in modes for eps in epsilons]


@experiment("batch-normalisation-scale", "The scale of the latents, with and without batch normalisation")
def latent_scales(dataset, scales=(1.0, 1024.0, 65536.0)):
    return [(f"{name} normalisation", f"scale {scale:g}", {"batchnorm": name == "with", "latent_scale": scale})
            for name in ("with", "without") for scale in scales]


@experiment("gon", "Equation 8: a GON, with and without gradients through the latent")
def gon(dataset, models=("GON", "1 step, detached")):
    return [(name, dataset, MODELS[name]) for name in models]


@experiment("first-minute", "Figure 8: the first minute of training")
def first_minute(dataset):
    return [(name, dataset, MODELS[name]) for name in ("GON", "AE")]


experiment("settings-length", "What were the settings of Table 1? Some of them at full length")(settings)


@experiment("settings-stability", "Claim C15: final error over learning rates and batch sizes")
def stability(dataset, learning_rates=(1e-4, 3e-4, 1e-3, 3e-3, 1e-2), batch_sizes=(16, 64, 256), models=("GON", "AE")):
    return [(model, f"rate {rate:g}, batch {batch}", MODELS[model] | {"learning_rate": rate, "batch_size": batch})
            for model in models for rate in learning_rates for batch in batch_sizes]


@experiment("glo-steps", "GLO: how long the latents of unseen images are fitted")
def glo_steps(dataset, fits=(100, 500, 2000)):
    return [(f"GLO, {steps:,} steps", dataset, MODELS["GLO"] | {"free_steps": steps}) for steps in fits]


@experiment("more-steps", "Why several steps gain nothing: more of them at evaluation", keep=more_steps.keep)
def further_steps(dataset, models=("GON", "10 steps", "1 step, detached", "10 steps, detached")):
    return [(name, dataset, MODELS[name]) for name in models]


@experiment("more-steps-implicit", "More steps at evaluation, without normalisation", keep=more_steps.keep)
@experiment("implicit", "Figure 4: implicit GONs with few parameters", keep=implicit.keep)
def implicit_gon(dataset):
    return [("implicit GON", dataset, MODELS["implicit GON"])]


@experiment("implicit-parameters", "Claim C10: error against the number of parameters", keep=implicit.keep)
def implicit_parameters(dataset, widths=(8, 16, 32, 64, 128)):
    # 34 latents and 4 layers of 32 have the 4,385 parameters of figure 4, which 32 latents and 3 layers have not
    figure_4 = {"decoder": "siren", "hidden": 32, "layers": 4, "latents": 34}
    sizes = [(f"{hidden} units", dataset, MODELS["implicit GON"] | {"hidden": hidden}) for hidden in widths]
    return [*sizes, ("34 latents, 4 x 32", dataset, figure_4)]


@experiment("super-resolution", "Figures 5 and 17: trained small, shown at 256 x 256", keep=superresolution.keep)
def super_resolution(dataset, small=0):
    side = small or (28 if dataset in ("mnist", "fashion_mnist") else 32)
    return [("implicit GON", dataset, MODELS["implicit GON"] | {"size": side})]


@experiment("super-resolution-half", "Claim C11: trained at half size, scored at full size", keep=superresolution.keep)
def super_resolution_half(dataset, small=0):
    side = small or int(min(superresolution.TRUE_SIZES.get(dataset, 64) / 2, 32))
    return [("implicit GON", dataset, MODELS["implicit GON"] | {"size": side})]


@experiment("interpolation", "Figure 6: from one latent to another", keep=interpolation.keep)
def interpolate(dataset):
    return [("implicit GON", dataset, MODELS["implicit GON"])]


@experiment("samples", "Figure 7: samples of variational models", metric="test_bits", keep=samples.keep_samples)
def variational_samples(dataset, models=("VGON", "VAE")):
    return [(name, dataset, MODELS[name]) for name in models]


@experiment("samples-9a", "Figure 9a: reconstructions at 128 x 128", keep=samples.keep_reconstructions)
def large_reconstructions(dataset):
    return [("GON", dataset, MODELS["GON"])]


@experiment("samples-9b", "Figure 9b: samples at 64 x 64", metric="test_bits", keep=samples.keep_samples)
def large_samples(dataset):
    return [("VGON", dataset, MODELS["VGON"])]


@experiment("classifier", "Figure 12 and equation 13: a GON as a classifier", metric="test_accuracy",
            keep=generalisations.keep_classes)
def classifier(dataset, models=("implicit GON", "GON"), sizes=(2, 10), step_counts=(1,)):
    several = {k: {"inner_steps": k, "step_size": 1 / k} if k > 1 else {} for k in step_counts}
    return [(f"{name}, {k} steps" if k > 1 else name, f"{latents} latents",
             MODELS[name] | several[k] | {"task": "classify", "latents": latents})
            for name in models for k in step_counts for latents in sizes]


@experiment("classifier-both", "Section 3.5: classifier and generator trained together")
def classifier_both(dataset, models=("GON",)):
    tasks = {"image alone": "reconstruct", "class alone": "classify", "both": "both"}
    return [(f"{name}, {told}", dataset, MODELS[name] | {"task": task}) for name in models for told, task in tasks.items()]


COLOURED = ("patches", "cifar10", "celeba", "lsun_bedroom")


@experiment("classifier-conversion", "Section 3.5: modality conversion", keep=generalisations.keep_conversion)
def conversion(dataset, sources=("from_edges", "from_left"), colour_sources=("from_edges", "from_grey"),
               models=("GON", "AE")):  # fmt: skip
    coloured = dataset in COLOURED or dataset.startswith("folder:")
    return [(name, f"{dataset}: {source.replace('_', ' ')}", MODELS[name] | {"task": source})
            for source in (colour_sources if coloured else sources) for name in models]


@experiment("latents", "Figures 13 and 14: latents after 800 steps", keep=latents.keep_latents)
def early_latents(dataset, models=("implicit GON", "VAE", "GON")):
    return [(name, dataset, MODELS[name]) for name in models]


@experiment("latents-early", "Figure 15: samples of implicit GONs stopped early", keep=latents.keep_fitted)
def early_samples(dataset, stops=(800, 8000)):
    return [(f"{steps:,} steps", dataset, MODELS["implicit GON"] | {"steps": steps}) for steps in stops]


@experiment("monte-carlo", "Equation 12 by Monte Carlo: a share of the coordinates per step", keep=montecarlo.keep)
def monte_carlo(dataset, fractions=(0.25, 0.0625), sizes=(64,)):
    shares = [(1.0, 1.0), *((f, f) for f in fractions), *((f, 1.0) for f in fractions), *((1.0, f) for f in fractions)]
    return [(f"inner {inner:g}, outer {outer:g}", f"{size} px",
             MODELS["implicit GON"] | {"size": size, "inner_fraction": inner, "outer_fraction": outer})
            for size in sizes for inner, outer in shares]


@experiment("monte-carlo-large", "Equation 12 by Monte Carlo: large images", keep=montecarlo.keep)
def monte_carlo_large(dataset, inner=1 / 16, outer=1 / 256):
    return [(f"inner {inner:g}, outer {outer:g}", dataset,
             MODELS["implicit GON"] | {"inner_fraction": inner, "outer_fraction": outer})]


@experiment("your-images", "A convolutional and an implicit GON on any folder of images")
def your_images(dataset):
    return [("convolutional GON", dataset, {}), ("implicit GON", dataset, MODELS["implicit GON"])]
