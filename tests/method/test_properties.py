"""Properties of models of random configurations; `properties.check` lists them."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from properties import check, small

from gonlib.method.decoders import ACTIVATIONS, DECODERS
from gonlib.method.likelihoods import LIKELIHOODS
from gonlib.method.models import MODELS, RULES
from gonlib.method.tasks import TASKS

FIELDS = {
    "decoder": st.sampled_from(list(DECODERS)), "likelihood": st.sampled_from(list(LIKELIHOODS)),
    "inference": st.sampled_from([*RULES, "origin", "origin"]), "activation": st.sampled_from(list(ACTIVATIONS)),
    "task": st.sampled_from(["reconstruct", "reconstruct", *TASKS]), "variational": st.booleans(),
    "latents": st.sampled_from([1, 4, 9]), "batchnorm": st.booleans(), "encoder_batchnorm": st.booleans(),
    "inner_steps": st.sampled_from([1, 1, 3]), "step_size": st.sampled_from([1.0, 0.1]), "detach": st.booleans(),
    "origin_sd": st.sampled_from([0.0, 0.0, 0.2]), "add_origin": st.booleans(), "latent_scale": st.sampled_from([1.0, 30.0]),
    "inner_fraction": st.sampled_from([1.0, 1.0, 0.5]), "evaluation": st.sampled_from(["batch", "population", "running"]),
}


@given(fields=st.fixed_dictionaries({}, optional=FIELDS), channels=st.sampled_from([1, 3]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_configurations(fields, channels, tmp_path):
    if fields.get("inner_steps", 1) > 1:
        fields["step_size"] = 0.1  # several steps of size 1 may diverge, as any gradient descent
    check(small(**fields), tmp_path, channels)


def test_every_model_of_the_paper(tmp_path):
    for fields in MODELS.values():
        check(small(**fields), tmp_path)
