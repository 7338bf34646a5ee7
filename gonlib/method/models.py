"""The paper's models by name, each a change to one configuration, and the model that a configuration stands for."""

from . import checks
from .decoders import DECODERS
from .encoders import Encoder, TiedEncoder
from .free_latents import FreeLatents
from .inference import InferenceRule
from .likelihoods import LIKELIHOODS, Likelihood
from .model import Model
from .origin import OriginGradient
from .tasks import TASKS

RULES: dict[str, type[InferenceRule]] = {  # name in a configuration: class
    "origin": OriginGradient, "encoder": Encoder, "tied_encoder": TiedEncoder, "free": FreeLatents,
}
# The paper's names as changes to the default configuration, which is a convolutional GON.
MODELS = {
    "GON": {},
    "AE": {"inference": "encoder"},
    "Tied AE": {"inference": "tied_encoder"},
    "1 step, detached": {"detach": True},
    "10 steps, detached": {"detach": True, "inner_steps": 10, "step_size": 0.1},
    "10 steps": {"inner_steps": 10, "step_size": 0.1},
    "GLO": {"inference": "free"},
    "VGON": {"variational": True, "likelihood": "bernoulli"},
    "VAE": {"variational": True, "likelihood": "bernoulli", "inference": "encoder"},
    "implicit GON": {"decoder": "siren"},
}


def build(config, channels: int, images: int = 1, classes: int = 0) -> Model:
    """The model of a configuration.

    Args:
        config: a `Config`.
        channels: channels of the images.
        images: number of training images.
        classes: number of classes that a classifier tells apart.

    Raises:
        ValueError: for a combination that does not exist, such as an encoder for an implicit decoder.
    """
    for what, number, least in (("channels", channels, 1), ("images", images, 0), ("classes", classes, 0)):
        checks.count(what, number, least)
    likelihood: Likelihood = LIKELIHOODS[config.likelihood]
    decoder = DECODERS[config.decoder].from_config(config, channels * likelihood.outputs, likelihood.final)
    rule = RULES[config.inference].from_config(config, decoder, channels, images)
    task = TASKS[config.task]
    if config.snapshots and not task.draws:
        raise ValueError("a classifier alone draws no pictures to keep")
    model = Model(decoder, config.latents, config.likelihood, (channels, config.size, config.size), rule,
                  config.variational, task, classes, config.latent_scale, (config.inner_fraction, config.outer_fraction))
    if config.evaluation == "population" and (reason := model.no_population()):
        raise ValueError(reason)  # before the training, not after its first epoch
    model.recipe = {"config": config.to_dict(), "channels": channels, "classes": classes}
    return model
