"""One text means one value, whoever reads it: the command line, the book, make or papermill."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from papermill.cli import _resolve_type

from gonlib.errors import UserError
from gonlib.study.parameters import example_of, read, split_names, typed
from gonlib.study.registry import EXPERIMENTS

MODELS = ("GON", "10 steps, detached")


@pytest.mark.parametrize("text, example, value", [
    ("20", 1, 20), ("1e-3", 0.1, 0.001), ("3", 0.1, 3.0), ("true", False, True), ("False", True, False),
    ("123", "digits", "123"), ("no", "digits", "no"), ("", "digits", ""), ("7", None, 7), ("0.5", None, 0.5),
    ("folder:/my cats #2: all", "digits", "folder:/my cats #2: all"), ("some text", None, "some text"),
    ("[AE, GON]", ("GON",), ["AE", "GON"]), ("AE", ("GON",), ["AE"]), ("AE GON", ("GON",), ["AE", "GON"]),
    ("4, 8", (1,), [4, 8]), ("4 8", (1,), [4, 8]), ("4,8", (0.5,), [4.0, 8.0]), ("[4, 8]", (1,), [4, 8]),
    ("10 steps, detached", MODELS, ["10 steps, detached"]), ("GON, AE", MODELS, ["GON", "AE"]),
    ('["10 steps, detached", "GON"]', MODELS, ["10 steps, detached", "GON"]), ("1 step", MODELS, ["1 step"]),
])
def test_a_text_is_read_by_the_type_of_its_parameter(text, example, value):
    found = read("name", text, example)
    assert (found, type(found)) == (value, type(value))
    guessed = _resolve_type(text)  # papermill's own first guess
    if not isinstance(example, str) or isinstance(guessed, str):  # a number where a text is wanted is refused, see below
        found = typed("name", guessed, example)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("text, example, said", [
    ("many", 1, "parameter name must be a whole number, not 'many'."),
    ("2.5", 1, "parameter name must be a whole number, not '2.5'."),
    ("&a [*a, *a]", 1, "parameter name must be a whole number, not "),
    ("{a: 1}", 0.5, "parameter name must be a number, not "),
    ("nan", 0.5, "parameter name must be a finite number, not nan."),
    ("1e999", 0.5, "parameter name must be a finite number, not inf."),
    ("no", True, "parameter name must be true or false, not 'no'."),
    ("4,,8", (1,), "parameter name has an empty item in '4,,8'."),
    ("", (1,), "parameter name has an empty item in ''."),
    ("4,x", (1,), "parameter name, in a list, must be a whole number, not 'x'."),
    ("[[1]]", (1,), "parameter name, in a list, must be a whole number, not [1]."),
])
def test_what_is_none_is_refused(text, example, said):
    with pytest.raises(UserError) as fault:
        read("name", text, example)
    assert str(fault.value).startswith(said)


def test_a_number_is_no_text():
    with pytest.raises(UserError, match="parameter dataset must be a text, not 123"):
        typed("dataset", 123, "digits")


@pytest.mark.parametrize("text, example, value", [
    ("no", "digits", None), ("2024-01-01", "digits", None), ("[digits, shapes]", "digits", None), ("12:30", "digits", None),
    ("0o17", 1, None), ("3.5", 1, None), ("yes", 1, None), ("{a: 1}", ("GON",), None), ("[[1]]", (1,), None),
    (".nan", 0.5, None), ("!!binary aGk=", "digits", None), ("~", 1, None), ("1_000", 1, 1000), ("3", 0.5, 3.0),
    ("folder:/a b", "digits", "folder:/a b"), ("[GON, AE]", ("GON",), ["GON", "AE"]), ("on", False, True),
])
def test_what_papermill_reads_as_yaml_has_the_parameter_s_type_or_is_refused(text, example, value):
    """Its option -y gives values as YAML reads them; they are never taken for something else."""
    given = yaml.safe_load(text)
    if value is None:
        with pytest.raises(UserError, match="parameter name.* must be a"):
            typed("name", given, example)
    else:
        assert (typed("name", given, example), type(typed("name", given, example))) == (value, type(value))


EXAMPLES = [1, 0.5, True, "digits", (1,), ("GON",), MODELS, (), None]


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_long_or_deep_text_is_a_value_or_one_short_sentence(example):
    for text in ("9" * 5000, "[" * 100_000, "x " * 10_000, "0x" + "f" * 5000):
        try:
            read("name", text, example)
        except UserError as fault:
            assert len(str(fault)) < 300


@given(text=st.text(max_size=300), example=st.sampled_from(EXAMPLES))
def test_any_text_is_a_value_or_one_short_sentence(text, example):
    try:
        read("name", text, example)
    except UserError as fault:
        assert len(str(fault)) < 300 and "\n" not in str(fault)


def test_one_name_has_one_type_in_all_experiments():
    kinds = {}
    for experiment in EXPERIMENTS.values():
        for name, default in experiment.parameters.items():
            kind = (type(default), *{type(item) for item in default}) if isinstance(default, tuple) else type(default)
            assert kinds.setdefault(name, kind) == kind, f"{name} of {experiment.name}"
    assert example_of("latents", None) > 0 and isinstance(example_of("dataset", None), str)
    assert example_of("rate", 0.5) == 0.5 and example_of("large_dataset", None) == "" and example_of("odd", None) is None


DATA = ("digits", "patches", "shapes", "folder:/somewhere")


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["smoke", "quick", "paper"])
def test_every_experiment_can_be_planned_on_any_data(profile):
    for experiment in EXPERIMENTS.values():
        for dataset in DATA:
            cells = experiment.cells(profile, dataset=dataset)
            assert cells and all(config.dataset == dataset for cell in cells for config in cell.configs)
            counts = {config.train_images for cell in cells for config in cell.configs}
            assert not dataset.startswith("folder") or counts == {0}  # of the reader's own images all, however few
    (cell,) = EXPERIMENTS["gon"].cells("smoke", datasets=DATA[-1], train_images=7)[:1]
    assert (cell.configs[0].train_images, cell.configs[0].test_images) == (7, 0)
    assert EXPERIMENTS["your-images"].cells("smoke")[0].configs[0].train_images == 64  # the profile's own folder


def test_names_of_data_sets():
    assert split_names("mnist cifar10") == split_names("mnist, cifar10") == split_names(["mnist", "cifar10"])
    assert split_names(" mnist ") == ["mnist"]
    assert split_names("folder:/my pictures, all") == ["folder:/my pictures, all"]
    assert split_names("digits, folder:/my pictures") == ["digits", "folder:/my pictures"]
    for text in ("digits,,digits", "digits,", "", ",", " , "):
        with pytest.raises(UserError, match="there is an empty name in the list of data sets"):
            split_names(text)
    with pytest.raises(UserError, match="a name stands twice"):
        split_names("digits digits")


def test_further_parameters_are_an_object():
    assert read("overrides", '{"batch_size": 128, "activation": "relu"}', {}) == {"batch_size": 128, "activation": "relu"}
    for text in ("batch_size", "[1]", "{", "128"):
        with pytest.raises(UserError, match="overrides must be names and values, written as JSON"):
            read("overrides", text, {})
