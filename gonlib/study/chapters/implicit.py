"""Figure 4: implicit GONs with few parameters."""

import pandas as pd
import torch

from ...data import as_float
from ...runs.kept import collected
from ..experiment import experiment
from ..judging import MARKS, Finding, done, graded, rule, where
from ..linear import pca_error
from ..measures import evenly, mean_image
from ..numbers import Html, as_table, linked, listed, number, say, span, with_claim
from ..pictures import begun, how_far
from ..pictures import mean_image as mean_image_error

SHOWN = 8  # test images kept as pictures
FIGURE_4 = "34 latents, 4 x 32"  # the network with the 4,385 parameters of figure 4, which 32 latents and 3 layers have not
SLOWER = 5e-4  # learning rate of Small NORB beside the profile's, at which it is not learned


def siren_parameters(inputs, hidden, layers, outputs=1):
    """Number of weights and biases of a SIREN: `layers` hidden layers of `hidden` units, then a linear output."""
    return (inputs + 1) * hidden + (layers - 1) * (hidden + 1) * hidden + (hidden + 1) * outputs


def networks_with(count, widths=(8, 16, 24, 32, 48, 64, 96, 128)):
    """Every SIREN of up to 8 layers with exactly `count` parameters: a DataFrame with the columns hidden, layers, inputs."""
    found = []
    for hidden in widths:
        for layers in range(1, 9):
            inputs, rest = divmod(count - siren_parameters(0, hidden, layers), hidden)
            if rest == 0 and inputs >= 3:  # two coordinates and a latent at least
                found.append({"hidden": hidden, "layers": layers, "inputs": inputs, "latents": inputs - 2})
    return pd.DataFrame(found)


def puzzle(count=4385) -> Html:
    """Which network has the number of parameters that the paper states."""
    text = [f"{siren_parameters(34, 32, layers):,}" for layers in (3, 4)]
    (fits,) = networks_with(count, widths=[32]).query("layers == 4").itertuples()
    return say("The network of the text, 3 layers of 32 units with 2 + 32 inputs, has {} parameters; with a fourth layer it "
               "has {}. Exactly {} take 4 layers and {} inputs. There are four layers if the “3 hidden layers” count the "
               "matrices between them; for two more inputs the paper gives no reason. The network with 4,385 parameters on "
               "this page is that one, with {} latents.", *text, f"{count:,}", fits.inputs, fits.latents)


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


@experiment("implicit", "Figure 4: implicit GONs with few parameters", columns=("dataset", "rate"), keep=pictures)
def implicit(dataset):
    as_others = {"model": "implicit GON", "rate": ""}
    if dataset.partition("@")[0] != "small_norb":
        return [as_others]
    return [as_others, (as_others | {"rate": f"rate {SLOWER:g}"}, {"learning_rate": SLOWER})]


@experiment("implicit-parameters", "Claim C10: error against the number of parameters", rows=("network",),
            keep=pictures)
def parameter_counts(dataset, widths=(8, 16, 32, 64, 128)):
    sizes = [{"model": "implicit GON", "network": f"{hidden} units", "hidden": hidden} for hidden in widths]
    return [*sizes, ({"model": "implicit GON", "network": FIGURE_4}, {"hidden": 32, "layers": 4, "latents": 34})]


def yardsticks(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with their yardsticks: `pca_error`, `numbers`, `mean_error`."""
    yards = collected(runs, "yardsticks")
    return yards.assign(mean_error=[mean_image_error(run) for run in yards.run] if len(yards) else [])


def kept_table(runs: pd.DataFrame) -> Html:
    """For each data set what a network has kept of the signal, beside PCA with as many components as it has latents."""
    lines = []
    for row in yardsticks(runs).itertuples():
        if row.test_error < row.mean_error:  # else it has learned nothing yet, or that is not known
            ours, theirs = (f"{1 - error / row.mean_error:.1%}" for error in (row.test_error, row.pca_error))
            lines.append({"data": row.column, "trained": how_far(row), "parameters": f"{row.parameters:,.0f}",
                          "signal kept": linked(ours, runs[runs.hash == row.hash]),
                          "PCA's parameters": f"{_pca_parameters(row):,}", "PCA keeps": theirs})
    return as_table(pd.DataFrame(lines), index=False, kind="means")


def in_short(full: pd.DataFrame, runs: pd.DataFrame, counts: pd.DataFrame) -> list[Html]:
    """How much networks of a few thousand parameters keep, of recorded data and of this build's; what the paper says."""
    told = [line for source, some in (("Recorded", full), ("This build", runs)) for line in _kept(source, begun(some))]
    told += [say("Networks of several sizes: {}", line) for line in count_sentences(counts)[:1]]
    return with_claim(told, "The paper: MNIST can be “well-represented with just 4,385 parameters”.")


def _kept(source, runs):
    """The shares of the signal that networks keep of all data sets, beside those of PCA, in one sentence."""
    seen = yardsticks(runs)
    seen = seen[seen.test_error < seen.mean_error] if len(seen) else seen
    if seen.empty:
        return []
    ours, theirs = (1 - seen[name] / seen.mean_error for name in ("test_error", "pca_error"))
    times = [_pca_parameters(row) / row.parameters for row in seen.itertuples()]
    far = seen.groupby([how_far(one) for one in seen.itertuples()], sort=False).column.unique()
    how = "; ".join(f"{listed(columns)} {how}" for how, columns in far.items())
    share = linked(span(ours, ".1%"), runs[runs.hash.isin(seen.hash)])
    return [say("With {} parameters a network keeps {} of the signal, of what the mean image leaves unexplained; PCA with "
                "as many components as latents keeps {}, with {} times the parameters. <small>({}: {})</small>",
                span(seen.parameters, ",.0f"), share, span(theirs, ".1%"), span(times, ".0f"), source, how),
            *(_lost(runs))]


def _lost(runs):
    """A sentence on the runs that have learned less than the mean image."""
    yards = yardsticks(runs)
    each = [say("{} at a rate of {:g} (error {}; of the mean image {:.2f})", one.column, one.config.learning_rate,
                number(runs[runs.hash == one.hash], "test_error"), one.mean_error)
            for one in yards[yards.test_error >= yards.mean_error].itertuples()]
    return [say("Nothing is learned of {}.", listed(each))] if each else []


def _pca_parameters(row):
    """The numbers that PCA with as many components as a network has latents stores: these and the mean, as images."""
    return (row.config.latents + 1) * int(row.channels) * row.config.size**2


def count_sentences(runs: pd.DataFrame) -> list[Html]:
    """How the network of figure 4 compares with the best of the experiment `implicit-parameters`, and with PCA."""
    ended = done(begun(runs), "test_error")
    few, pca = where(ended, network=FIGURE_4), collected(ended, "yardsticks")
    if few.empty or pca.empty or len(ended) < 2:
        return []
    best, one = ended[ended.test_error == ended.test_error.min()], few.iloc[0]
    return [say("{}, {}: {} parameters reach a test error of {}; the lowest is {} with {} ({}). PCA has {}.", one.column,
                how_far(one), f"{one.parameters:,.0f}", number(few, "test_error"), number(best, "test_error"),
                f"{best.parameters.iloc[0]:,.0f}", best.network.iloc[0], f"{pca.pca_error.min():.2f}")]


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
