"""The rules of Table 2 and of figures 2, 3, 10, 11, 16: a verdict follows the numbers, and flips when they do."""

import pytest
from test_claims import table

from gonlib.study.ledger import judge
from gonlib.study.paper import TABLE2

PUBLISHED = {(f"{row}, gaussian", column): value for row, cells in TABLE2.items() for column, (value, _) in cells.items()}
LATENTS = {("GON", "32 latents"): 5.0, ("AE", "32 latents"): 6.0, ("GON", "256 latents"): 1.0, ("AE", "256 latents"): 3.0}
ACTIVATIONS = {("GON, elu", "32 latents"): 1.0, ("GON, relu", "32 latents"): 2.0,
               ("GON, leaky_relu", "32 latents"): 1.9, ("GON, silu", "32 latents"): 0.9}
SPATIAL = {("GON", "1 x 1"): 5.0, ("AE", "1 x 1"): 6.0, ("GON", "8 x 8"): 3.0, ("AE", "8 x 8"): 1.0}
FILTERS = {("GON", "8 filters"): 5.0, ("AE", "8 filters"): 9.0, ("GON", "64 filters"): 1.0, ("AE", "64 filters"): 2.0}
ORIGINS = {("-grad, sd 0", "cifar10"): 1.0, ("-grad, sd 1", "cifar10"): 1.2, ("z0 - grad, sd 1", "cifar10"): 1.5}


def swapped(values, *names):
    """The same numbers with two rows exchanged."""
    other = dict(zip(names, names[::-1], strict=True))
    return {(other.get(row, row), column): value for (row, column), value in values.items()}


def test_the_papers_own_table_2_bears_out_its_claim():
    assert judge("C6", {"table2": table(PUBLISHED, "test_bits")}).verdict == "holds"
    flipped = swapped(PUBLISHED, "VGON, gaussian", "VAE, gaussian")
    assert judge("C6", {"table2": table(flipped, "test_bits")}).verdict == "fails"
    wrong = PUBLISHED | {("VGON, gaussian", "fashion_mnist"): 3.0}
    assert judge("C6", {"table2": table(wrong, "test_bits")}).verdict == "mixed"


def test_gon_under_ae_with_half_the_parameters():
    def runs(values, ratio):
        frame = table(values)
        return {"steps-and-gap-latents": frame.assign(parameters=[1000 if r == "GON" else 1000 / ratio for r in frame.row])}

    assert judge("C7", runs(LATENTS, 0.5)).verdict == "holds"
    assert judge("C7", runs(LATENTS, 0.8)).verdict == "mixed"
    assert judge("C7", runs(swapped(LATENTS, "GON", "AE"), 0.8)).verdict == "fails"


@pytest.mark.parametrize("gaps, expected", [((0.1, 0.5), "holds"), ((0.5, 0.1), "fails"), ((0.3, 0.3), "mixed")])
def test_the_smaller_gap(gaps, expected):
    frame = table(LATENTS)
    gap = frame.row.map(dict(zip(("GON", "AE"), gaps, strict=True)))
    spread = 0.01 * frame.seed
    runs = frame.assign(train_error=frame.test_error - gap - spread)
    assert judge("C8", {"generalisation": runs}).verdict == expected


@pytest.mark.parametrize("changes, expected", [
    ({}, "holds"), ({"GON, silu": 0.5}, "mixed"), ({"GON, relu": 0.5, "GON, leaky_relu": 0.5, "GON, silu": 0.4}, "fails"),
    ({"GON, relu": 1.0}, "mixed"),
])
def test_activations(changes, expected):
    values = {(row, column): changes.get(row, value) for (row, column), value in ACTIVATIONS.items()}
    assert judge("C9", {"activations": table(values)}).verdict == expected


def test_activations_are_judged_only_where_both_without_curvature_have_run():
    some = {key: value for key, value in ACTIVATIONS.items() if key[0] != "GON, leaky_relu"}
    assert judge("C9", {"activations": table(some)}).verdict == "not yet run"


def test_architectures():
    def runs(spatial, filters, latents):
        named = {"architectures-spatial": spatial, "architectures-filters": filters, "architectures-latents": latents}
        return {name: table(values, "train_error") for name, values in named.items()}

    assert judge("C16", runs(SPATIAL, FILTERS, LATENTS)).verdict == "holds"
    assert judge("C16", runs(SPATIAL | {("AE", "8 x 8"): 4.0}, FILTERS, LATENTS)).verdict == "mixed"
    growing = FILTERS | {("AE", "64 filters"): 9.0}
    assert judge("C16", runs(SPATIAL, growing, LATENTS)).verdict == "mixed"
    shrinking = LATENTS | {("AE", "32 latents"): 9.0}
    assert judge("C16", runs(swapped(SPATIAL, "GON", "AE"), growing, shrinking)).verdict == "fails"


@pytest.mark.parametrize("changes, expected", [
    ({}, "holds"), ({"-grad, sd 0": 1.3, "-grad, sd 1": 1.2}, "mixed"), ({"-grad, sd 0": 1.7, "-grad, sd 1": 1.6}, "fails"),
])
def test_origins(changes, expected):
    values = {(row, column): changes.get(row, value) for (row, column), value in ORIGINS.items()}
    assert judge("C17", {"origins": table(values)}).verdict == expected


@pytest.mark.parametrize("claim", ["C6", "C7", "C8", "C9", "C16", "C17"])
def test_without_runs_nothing_is_judged(claim):
    assert judge(claim, {}).verdict == "not yet run"
