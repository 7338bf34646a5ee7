"""Figure 4: implicit GONs with few parameters."""

import pandas as pd
import torch

from ...data import as_float
from ...runs.kept import collected
from ..experiment import Experiment, experiment, models
from ..judging import MARKS, Finding, done, graded, rule, where
from ..linear import pca_error
from ..measures import evenly, mean_image
from ..numbers import number, say
from ..pictures import mean_image as mean_image_error

SHOWN = 8  # test images kept as pictures
FIGURE_4 = "34 latents, 4 x 32"  # the network with the 4,385 parameters of figure 4, which 32 latents and 3 layers have not


def siren_parameters(inputs, hidden, layers, outputs=1):
    """Number of weights and biases of a SIREN: `layers` hidden layers of `hidden` units, then a linear output."""
    return (inputs + 1) * hidden + (layers - 1) * (hidden + 1) * hidden + (hidden + 1) * outputs


def networks_with(count, widths=(8, 16, 24, 32, 48, 64, 96, 128), most_layers=8, outputs=1):
    """Every SIREN with exactly `count` parameters: a DataFrame with the columns hidden, layers, inputs."""
    found = []
    for hidden in widths:
        for layers in range(1, most_layers + 1):
            inputs, rest = divmod(count - siren_parameters(0, hidden, layers, outputs), hidden)
            if rest == 0 and inputs >= 3:  # two coordinates and a latent at least
                found.append({"hidden": hidden, "layers": layers, "inputs": inputs, "latents": inputs - 2})
    return pd.DataFrame(found)


def pictures(model, data, config):
    """A few test "images", what the model makes of them ("reconstructed"), and two yardsticks for its error.

    "yardsticks" has one row: `pca_error`, of as many principal components as latents, and `numbers`, how many numbers
    the training set consists of; the other is the "mean-image".
    """
    shown = as_float(evenly(data.test, SHOWN))
    with model.evaluating(), torch.no_grad():
        reconstructed = model.reconstruct(shown)
    yardsticks = pd.DataFrame([{"pca_error": pca_error(data, config.latents), "numbers": data.train.numel()}])
    return {"images": shown, "reconstructed": reconstructed, "yardsticks": yardsticks, "mean-image": mean_image(data)}


implicit = Experiment("implicit", "Figure 4: implicit GONs with few parameters", models("implicit GON"),
                      keep=pictures)


@experiment("implicit-parameters", "Claim C10: error against the number of parameters", rows=("network",),
            keep=pictures)
def parameter_counts(dataset, widths=(8, 16, 32, 64, 128)):
    sizes = [{"model": "implicit GON", "network": f"{hidden} units", "hidden": hidden} for hidden in widths]
    return [*sizes, ({"model": "implicit GON", "network": FIGURE_4}, {"hidden": 32, "layers": 4, "latents": 34})]


def yardsticks(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with their yardsticks: `pca_error`, `numbers`, `mean_error`."""
    yards = collected(runs, "yardsticks")
    return yards.assign(mean_error=[mean_image_error(run) for run in yards.run] if len(yards) else [])


def sentences(runs: pd.DataFrame) -> list[str]:
    """For each data set, what a network keeps of the signal, and what PCA would need for that."""
    lines = []
    for row in collected(runs, "yardsticks").itertuples():
        pca, mean = (row.config.latents + 1) * row.channels * row.config.size**2, mean_image_error(row.run)
        if mean is None or row.test_error >= mean:
            continue
        kept = [f"{1 - error / mean:.1%}" for error in (row.test_error, row.pca_error)]
        lines.append(f"{row.column}: {row.numbers / row.parameters:,.0f} numbers of training images for each parameter; "
                     f"{kept[0]} of the signal is kept, PCA keeps {kept[1]} with {pca:,} parameters, "
                     f"{pca / row.parameters:.1f} times as many.")
    return lines


def count_sentences(runs: pd.DataFrame) -> list[str]:
    """How the network of figure 4 compares with the best of the experiment `implicit-parameters`, and with PCA."""
    ended, pca = done(runs, "test_error"), collected(runs, "yardsticks")
    few = where(ended, network=FIGURE_4)
    if few.empty or pca.empty:
        return []
    few, best = few.iloc[0], ended.sort_values("test_error").iloc[0]
    return [f"In this build {few.parameters:,.0f} parameters reach an error of {few.test_error:.2f}; the lowest is "
            f"{best.test_error:.2f} with {best.parameters:,.0f} ({best.network}). PCA: {pca.pca_error.min():.2f}."]


@rule("C10", "implicit-parameters", says="the network with 4,385 parameters has an error at most that of a PCA with as "
      "many components as latents; fails above one and a half times it")
def c10(implicit_parameters):
    yards = collected(implicit_parameters, "yardsticks")
    for row in done(where(implicit_parameters, network=FIGURE_4), "test_error").itertuples():
        one = implicit_parameters[implicit_parameters.hash == row.hash]
        for pca in yards[yards.hash == row.hash].pca_error if len(yards) else ():
            outcome = graded(row.test_error, good=pca, bad=1.5 * pca)
            text = say("{}: {} parameters {}, PCA {} {}", row.column, f"{row.parameters:,.0f}", number(one, "test_error"),
                       f"{pca:.2f}", MARKS[outcome])
            yield Finding(outcome, text, one)
