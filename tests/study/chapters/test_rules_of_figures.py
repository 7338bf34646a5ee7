"""The rules of Table 2 and of figures 2, 3, 10, 11, 16: a verdict follows the numbers, and flips when they do."""

import pytest
from study.fake_runs import table

from gonlib.study.ledger import judge
from gonlib.study.paper import TABLE2

BITS = ("model", "likelihood", "dataset")
PUBLISHED = {(row, "gaussian", column): value for row, cells in TABLE2.items() for column, (value, _) in cells.items()}
LATENTS = {("GON", 32): 5.0, ("AE", 32): 6.0, ("GON", 256): 1.0, ("AE", 256): 3.0}
CURVED = ("model", "activation", "latents")
ACTIVATIONS = {("GON", "elu", 32): 1.0, ("GON", "relu", 32): 2.0, ("GON", "leaky_relu", 32): 1.9, ("GON", "silu", 32): 0.9}
SPATIAL = {("GON", 1): 5.0, ("AE", 1): 6.0, ("GON", 8): 3.0, ("AE", 8): 1.0}
FILTERS = {("GON", 8): 5.0, ("AE", 8): 9.0, ("GON", 64): 1.0, ("AE", 64): 2.0}
FORMS = ("form", "origin_sd", "dataset")
ORIGINS = {("-grad", 0.0, "cifar10"): 1.0, ("-grad", 1.0, "cifar10"): 1.2, ("z0 - grad", 1.0, "cifar10"): 1.5}


def swapped(values, *models):
    """The same numbers with two models exchanged."""
    other = dict(zip(models, models[::-1], strict=True))
    return {(other.get(model, model), *rest): value for (model, *rest), value in values.items()}


def test_the_papers_own_table_2_bears_out_its_claim():
    assert judge("C6", {"table2": table(PUBLISHED, "test_bits", BITS)}).verdict == "holds"
    flipped = swapped(PUBLISHED, "VGON", "VAE")
    assert judge("C6", {"table2": table(flipped, "test_bits", BITS)}).verdict == "fails"
    wrong = PUBLISHED | {("VGON", "gaussian", "fashion_mnist"): 3.0}
    assert judge("C6", {"table2": table(wrong, "test_bits", BITS)}).verdict == "mixed"


def test_a_vgon_that_always_diverges_counts_against_it():
    runs = table(PUBLISHED, "test_bits", BITS)
    vgon = (runs.model == "VGON") & (runs.dataset == "coil20")
    verdict = judge("C6", {"table2": runs.assign(state=["failed" if bad else "done" for bad in vgon])})
    assert verdict.verdict == "mixed" and "of the VGON fail, where the VAE has" in verdict.sentence
    one = runs.assign(state=["failed" if bad and seed == 0 else "done" for bad, seed in zip(vgon, runs.seed, strict=True)])
    assert judge("C6", {"table2": one}).verdict == "holds"


def test_gon_under_ae_with_half_the_parameters():
    def runs(values, ratio):
        frame = table(values, names=("model", "latents"))
        counts = [1000 if model == "GON" else 1000 / ratio for model in frame.model]
        return {"steps-and-gap-latents": frame.assign(parameters=counts)}

    assert judge("C7", runs(LATENTS, 0.5)).verdict == "holds"
    assert judge("C7", runs(LATENTS, 0.8)).verdict == "mixed"
    assert judge("C7", runs(swapped(LATENTS, "GON", "AE"), 0.8)).verdict == "fails"


@pytest.mark.parametrize("gaps, expected", [((0.1, 0.5), "holds"), ((0.5, 0.1), "fails"), ((0.3, 0.3), "undecided")])
def test_the_smaller_gap(gaps, expected):
    frame = table(LATENTS, names=("model", "latents"))
    gap = frame.model.map(dict(zip(("GON", "AE"), gaps, strict=True)))
    spread = 0.01 * frame.seed
    runs = frame.assign(train_error=frame.test_error - gap - spread)
    assert judge("C8", {"generalisation": runs}).verdict == expected


@pytest.mark.parametrize("changes, expected", [
    ({}, "holds"), ({"silu": 0.5}, "mixed"), ({"relu": 0.5, "leaky_relu": 0.5, "silu": 0.4}, "fails"),
    ({"relu": 1.0}, "mixed"),
])
def test_activations(changes, expected):
    values = {key: changes.get(key[1], value) for key, value in ACTIVATIONS.items()}
    assert judge("C9", {"activations": table(values, names=CURVED)}).verdict == expected


def test_activations_are_judged_only_where_both_without_curvature_have_run():
    some = {key: value for key, value in ACTIVATIONS.items() if key[1] != "leaky_relu"}
    assert judge("C9", {"activations": table(some, names=CURVED)}).verdict == "not yet run"


def test_the_control_of_activations_counts():
    """That ReLU hurts says nothing of second derivatives if it hurts an autoencoder as much."""
    alike = ACTIVATIONS | {("AE", name, 32): 3 * ACTIVATIONS["GON", name, 32] for name in ("elu", "relu", "leaky_relu")}
    assert judge("C9", {"activations": table(alike, names=CURVED, seeds=1)}).verdict == "mixed"
    milder = alike | {("AE", name, 32): 3.1 for name in ("relu", "leaky_relu")}
    assert judge("C9", {"activations": table(milder, names=CURVED, seeds=1)}).verdict == "holds"


def test_elu_is_not_compared_with_itself():
    best = {key: value for key, value in ACTIVATIONS.items() if key[1] != "silu"}
    assert "the best other is GON, leaky ReLU" in judge("C9", {"activations": table(best, names=CURVED)}).sentence


def test_architectures():
    def runs(spatial, filters, latents):
        named = {"spatial": spatial, "filters": filters, "latents": latents}
        return {f"architectures-{name}": table(values, "train_error", ("model", name)) for name, values in named.items()}

    assert judge("C16", runs(SPATIAL, FILTERS, LATENTS)).verdict == "holds"
    assert judge("C16", runs(SPATIAL | {("AE", 8): 4.0}, FILTERS, LATENTS)).verdict == "mixed"
    growing = FILTERS | {("AE", 64): 9.0}
    assert judge("C16", runs(SPATIAL, growing, LATENTS)).verdict == "mixed"
    shrinking = LATENTS | {("AE", 32): 9.0}
    assert judge("C16", runs(swapped(SPATIAL, "GON", "AE"), growing, shrinking)).verdict == "fails"


@pytest.mark.parametrize("changes, expected", [
    ({}, "holds"), ({0.0: 1.3, 1.0: 1.2}, "mixed"), ({0.0: 1.7, 1.0: 1.6}, "fails"),
])
def test_origins(changes, expected):
    values = {key: changes.get(key[1], value) if key[0] == "-grad" else value for key, value in ORIGINS.items()}
    assert judge("C17", {"origins": table(values, names=FORMS)}).verdict == expected


@pytest.mark.parametrize("claim", ["C6", "C7", "C8", "C9", "C16", "C17"])
def test_without_runs_nothing_is_judged(claim):
    assert judge(claim, {}).verdict == "not yet run"
