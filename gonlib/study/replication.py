"""What an independent replication measured over 500 epochs, to read our shorter curves by.

Bozkurt trained the GON, the autoencoder and the detached step of Table 1 in Julia in 2021: 256 latents, 16 filters, Adam
at 2e-4, batches of 64, one seed. book/replication.csv has the test errors of its logs at some epochs.
"""

import pandas as pd

from ..data.registry import facts
from ..method.likelihoods import bits_per_dim
from ..runs.provenance import repository_root
from .experiment import curves
from .judging import where
from .numbers import Html, listed, say
from .paper import DATASETS, TABLE1, TABLE2

EPOCHS = 500
# The negative bound of its variational models under the Bernoulli after 1,000 epochs, nats per test image of 32 x 32.
NATS = {"mnist": {"VGON": 149.905, "VAE": 140.303}, "fashion_mnist": {"VGON": 326.080, "VAE": 319.531},
        "cifar10": {"VGON": 1828.250, "VAE": 1817.117}}


def errors() -> pd.DataFrame:
    """The replication's test errors, summed squared error per image: `dataset`, `model`, `epoch`, `test_error`."""
    return pd.read_csv(repository_root() / "book" / "replication.csv")


SHORT = {"AE": "the autoencoder", "1 step, detached": "one detached step"}


def final(dataset: str, model: str) -> float:
    """The replication's test error at its last epoch."""
    return float(where(errors(), dataset=dataset, model=model, epoch=EPOCHS).test_error.iloc[0])


def over_the_gon(recorded: pd.DataFrame, model: str = "AE") -> pd.DataFrame:
    """A model's error over the GON's, a line per data set (`column`), source (`row`) and epoch, as `ratio`.

    The sources are recorded runs of `table1`, the mean over their seeds as far as both models are, the replication, and
    the paper at its last epoch.
    """
    paper = [{"dataset": name, "model": row, "epoch": EPOCHS, "test_error": TABLE1[row][name][0]}
             for name in errors().dataset.unique() for row in ("GON", model)]
    sources = {"recorded": curves(where(recorded, model=("GON", model))), "replication": errors(),
               "paper": pd.DataFrame(paper)}
    parts = []
    for name, found in sources.items():
        if len(found):
            table = found.pivot_table(index=["dataset", "epoch"], columns="model", values="test_error")
            ratio = (table[model] / table["GON"]).dropna().rename("ratio").reset_index()
            parts.append(ratio[ratio.dataset.isin(errors().dataset)].assign(row=name))
    together = pd.concat(parts)
    order = list(DATASETS)  # of the panels
    together = together.sort_values("dataset", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)
    return together.assign(column=together.dataset.map(DATASETS))


def sentences() -> list[Html]:
    """For each data set what the autoencoder and the detached step had at the end, as multiples of the GON's error."""
    lines = []
    for name in errors().dataset.unique():
        told = []
        for model in SHORT:
            theirs, papers = (final(name, model) / final(name, "GON"), TABLE1[model][name][0] / TABLE1["GON"][name][0])
            told.append(say("{} times that with {} (in the paper {})", f"{theirs:.2f}", SHORT[model], f"{papers:.2f}"))
        gons = f"{final(name, 'GON'):.2f}", f"{TABLE1['GON'][name][0]:.2f}"
        lines.append(say("{}, after 500 epochs: the GON has an error of {} (in the paper {}); it is {}.", DATASETS[name],
                         *gons, Html(" and ").join(told)))
    return lines


def conclusion() -> Html:
    """In one sentence who is ahead after 500 epochs, and by how much in the paper."""
    names = [name for name in errors().dataset.unique() if final(name, "AE") < final(name, "GON")]
    papers = [TABLE1["AE"][name][0] / TABLE1["GON"][name][0] for name in names]
    return say("An independent replication that went to 500 epochs has the autoencoder slightly ahead on {}; the paper's "
               "has {} to {} times the GON's error there.", listed([DATASETS[name] for name in names]), f"{min(papers):.1f}",
               f"{max(papers):.1f}")


def variational() -> list[Html]:
    """For each data set the bounds of the variational models in bits per dimension, and the paper's."""
    lines = []
    for name, nats in NATS.items():
        pixels = 32 * 32 * facts(name).channels
        ours = [f"{model} {bits_per_dim(value, pixels):.3f}" for model, value in nats.items()]
        papers = [f"{model} {TABLE2[model][name][0]}" for model in nats]
        lines.append(say("{}: {} bits/dim (the paper: {}).", DATASETS[name], ", ".join(ours), ", ".join(papers)))
    return lines
