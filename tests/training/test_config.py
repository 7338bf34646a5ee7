"""The configuration: its hash is a run's name for ever, and bad values are told in one sentence."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gonlib.errors import UserError
from gonlib.training.config import Config


def values_of(f):
    """A strategy for the allowed values of a field."""
    if "choices" in f.metadata:
        return st.sampled_from(list(f.metadata["choices"]))
    low, high = f.metadata.get("range", (0, 1))
    if f.type is float:
        return st.floats(low, high)
    if f.type is int:
        return st.integers(low, int(min(high, 2**53)))
    return st.booleans() if f.type is bool else st.sampled_from(["digits", "cifar10", "folder:my images"])


configs = st.fixed_dictionaries({}, optional={f.name: values_of(f) for f in dataclasses.fields(Config)}).map(
    Config.from_dict
)


def test_names_of_runs_never_change():
    """Golden values: if this fails, every recorded run has lost its name. Do not change a default."""
    assert (Config().json, Config().hash) == ("{}", "44136fa355b3678a")
    config = Config(dataset="cifar10", latents=256, learning_rate=0.0002, detach=True, seed=2)
    assert config.json == '{"dataset":"cifar10","detach":true,"latents":256,"learning_rate":0.0002,"seed":2}'
    assert config.hash == "1846c5bbd1d82be0"


@settings(max_examples=40, deadline=None)
@given(configs)
def test_json_gives_the_config_back(config):
    assert Config.from_dict(json.loads(config.json)) == config
    assert Config.from_dict(dataclasses.asdict(config)).hash == config.hash
    assert config.json == json.dumps(json.loads(config.json), sort_keys=True, separators=(",", ":"))


@settings(max_examples=40, deadline=None)
@given(configs, st.integers(0, 2**31))
def test_equal_configs_have_one_name_and_others_another(config, seed):
    other = config.replace(seed=seed)
    assert (config == other) == (config.hash == other.hash)
    assert other.replace(seed=config.seed).hash == config.hash


@settings(max_examples=40, deadline=None)
@given(configs)
def test_defaults_are_left_out(config):
    assert all(getattr(Config(), name) != value for name, value in config.to_dict().items())


@settings(max_examples=40, deadline=None)
@given(configs)
def test_what_is_asked_of_a_run_and_what_cannot_matter_is_no_part_of_its_name(config):
    trajectory = config.trajectory
    assert trajectory.trajectory == trajectory and trajectory.hash == config.hash
    assert config.replace(epochs=7, steps=3, evaluation="running", free_steps=9, snapshots=True).hash == config.hash
    changed = {f.name: values_of(f) for f in dataclasses.fields(Config) if f.name in config.irrelevant()}
    assert not changed or config.replace(**{name: getattr(Config(), name) for name in changed}).hash == config.hash


@pytest.mark.parametrize("fields, idle", [
    ({}, {"hidden", "layers", "omega", "encoder_batchnorm", "add_origin", "free_steps", "free_learning_rate", "kl_anneal"}),
    ({"decoder": "siren"}, {"filters", "spatial", "activation", "batchnorm", "bn_eps"}),
    ({"inference": "encoder"}, {"inner_steps", "step_size", "detach", "origin_sd", "add_origin", "latent_scale"}),
    ({"inference": "free"}, {"inner_steps", "encoder_batchnorm"}), ({"batchnorm": False}, {"bn_eps"}),
])
def test_fields_that_cannot_matter(fields, idle):
    assert idle <= Config(**fields).irrelevant()
    assert not {"latents", "batch_size", "learning_rate", "seed"} & Config(**fields).irrelevant()


def test_where_a_config_asks_a_training_to_end():
    assert Config(epochs=3, batch_size=16).end(96) == (3, 18) and Config(epochs=3, batch_size=500).end(96) == (3, 3)
    assert Config(epochs=30, steps=15, batch_size=16).end(96) == (3, 15)


def test_one_number_has_one_name():
    assert Config(learning_rate=1).hash == Config(learning_rate=1.0).hash
    assert Config(step_size=-0.0).hash == Config(step_size=0.0).hash


@pytest.mark.unchecked
@pytest.mark.parametrize("wrong, said", [
    ({"latent": 3}, "unknown parameter 'latent'; did you mean latents"),
    ({"latents": 0}, "parameter latents must be a whole number from 1 to 65536, not 0."),
    ({"latents": 3.0}, "parameter latents must be a whole number from 1 to 65536, not 3.0."),
    ({"latents": True}, "parameter latents must be a whole number from 1 to 65536, not True."),
    ({"epochs": "ten"}, "parameter epochs must be a whole number from 1 to 100000, not 'ten'."),
    ({"learning_rate": "fast"}, "parameter learning_rate must be a number from 0.0 to 100.0, not 'fast'."),
    ({"learning_rate": float("nan")}, "parameter learning_rate must be a number from 0.0 to 100.0, not nan."),
    ({"step_size": 10**400}, "parameter step_size must be a number from 0.0 to 1000000.0, not 1000"),
    ({"detach": 1}, "parameter detach must be true or false, not 1."),
    ({"train_images": -1}, "parameter train_images must be a whole number of at least 0, not -1."),
    ({"activation": "rely"}, "unknown value of activation 'rely'; did you mean relu"),
    ({"dataset": "mnits"}, "unknown data set 'mnits'; did you mean mnist"),
    ({"dataset": 3}, "parameter dataset must be a text, not 3."),
])
def test_a_wrong_value_is_told_in_one_sentence(wrong, said):
    with pytest.raises(UserError) as fault:
        Config.from_dict(wrong)
    assert str(fault.value).startswith(said)
    assert "\n" not in str(fault.value)
