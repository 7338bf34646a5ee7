"""What an independent replication measured over 500 epochs, to read our shorter curves by.

Bozkurt trained the GON, the autoencoder and the detached step of Table 1 in Julia in 2021: 256 latents, 16 filters, Adam
at 2e-4, batches of 64, one seed. book/replication.csv has the test errors of its logs at some epochs.
"""

import pandas as pd

from ..data.registry import facts
from ..method.likelihoods import bits_per_dim
from ..runs.provenance import repository_root
from .experiment import curves
from .judging import compare, where
from .numbers import Html, listed, say
from .paper import DATASETS, TABLE1, TABLE2

EPOCHS = 500
# The negative bound of its variational models under the Bernoulli after 1,000 epochs, nats per test image of 32 x 32.
NATS = {"mnist": {"VGON": 149.905, "VAE": 140.303}, "fashion_mnist": {"VGON": 326.080, "VAE": 319.531},
        "cifar10": {"VGON": 1828.250, "VAE": 1817.117}}


def errors() -> pd.DataFrame:
    """The replication's test errors, summed squared error per image: `dataset`, `model`, `epoch`, `test_error`."""
    return pd.read_csv(repository_root() / "book" / "replication.csv")


def final() -> pd.DataFrame:
    """Its test errors at the last epoch: a line per data set, a column per model."""
    last = where(errors(), epoch=EPOCHS)
    return last.pivot(index="dataset", columns="model", values="test_error").loc[last.dataset.unique()]


def over_the_gon(recorded: pd.DataFrame) -> pd.DataFrame:
    """The autoencoder's error over the GON's, a line per data set (`column`), source (`row`) and epoch, as `ratio`.

    The sources are recorded runs of `table1`, the mean over their seeds as far as both models are, the replication, and
    the paper at its last epoch.
    """
    theirs = errors()
    paper = [{"dataset": name, "model": row, "epoch": EPOCHS, "test_error": TABLE1[row][name][0]}
             for name in theirs.dataset.unique() for row in ("GON", "AE")]
    sources = {"recorded": curves(where(recorded, model=("GON", "AE"))), "replication": theirs, "paper": pd.DataFrame(paper)}
    parts = []
    for name, found in sources.items():
        if len(found):
            table = found.pivot_table(index=["dataset", "epoch"], columns="model", values="test_error")
            ratio = (table["AE"] / table["GON"]).dropna().rename("ratio").reset_index()
            parts.append(ratio[ratio.dataset.isin(theirs.dataset)].assign(row=name))
    together = pd.concat(parts)
    order = list(DATASETS)  # of the panels
    together = together.sort_values("dataset", key=lambda names: names.map(order.index), kind="stable", ignore_index=True)
    return together.assign(column=together.dataset.map(DATASETS))


def sentences() -> list[Html]:
    """For each data set what the autoencoder and the detached step had at the end, as multiples of the GON's error."""
    lines = []
    for name, ours in final().iterrows():
        told = [say("{} times that (in the paper {})", f"{words} {ours[model] / ours['GON']:.2f}",
                    f"{_paper(name, model):.2f}")
                for model, words in {"AE": "the autoencoder has", "1 step, detached": "one detached step"}.items()]
        lines.append(say("{}, after 500 epochs: the GON has an error of {} (in the paper {}); {}.", DATASETS[name],
                         f"{ours['GON']:.2f}", f"{TABLE1['GON'][name][0]:.2f}", Html(" and ").join(told)))
    return lines


def _paper(dataset, model):
    """The paper's error of a model over that of its GON."""
    return TABLE1[model][dataset][0] / TABLE1["GON"][dataset][0]


def conclusion() -> Html:
    """In one sentence who is ahead after 500 epochs, by the rule for one seed, and what the paper has."""
    last, ahead = final(), {"holds": [], "undecided": [], "fails": []}
    for name, ours in last.iterrows():
        ahead[compare([ours["GON"]], [ours["AE"]]).verdict].append(DATASETS[name])
    words = {"holds": "the GON ahead on {}", "undecided": "the two level on {}", "fails": "the autoencoder ahead on {}"}
    told = listed(say(words[verdict], listed(names)) for verdict, names in ahead.items() if names)
    papers = [_paper(name, "AE") for name in last.index]
    return say("An independent replication (one seed) that went to 500 epochs has {}; the paper's autoencoder has {} to {} "
               "times the GON's error there.", told, f"{min(papers):.1f}", f"{max(papers):.1f}")


def variational() -> list[Html]:
    """For each data set the bounds of the variational models in bits per dimension, and the paper's."""
    lines = []
    for name, nats in NATS.items():
        pixels = 32 * 32 * facts(name).channels
        ours = [f"{model} {bits_per_dim(value, pixels):.3f}" for model, value in nats.items()]
        papers = [f"{model} {TABLE2[model][name][0]}" for model in nats]
        lines.append(say("{}: {} bits/dim (the paper: {}).", DATASETS[name], ", ".join(ours), ", ".join(papers)))
    return lines
