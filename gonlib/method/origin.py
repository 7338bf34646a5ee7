"""The paper's idea: a latent is minus the gradient of the loss at the origin (equations 6-9, 12).

`descend` is the definition: autograd through autograd. Where all images start at the same z0, `OriginGradient` takes
the same step in its exact fast form (shared_origin.py).
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .inference import FixedNoise, InferenceRule
from .normalisation import batchnorms, inner_pass
from .shared_origin import NOT_FAST, SharedOrigin, can_linearise

if TYPE_CHECKING:
    from .model import Model


class OriginGradient(InferenceRule):
    """Inference rule of a GON: z = -grad of the inner loss at z0 = 0.

    Args:
        steps: number of gradient steps; Table 1 has 1 and 10.
        step_size: factor of the gradient.
        detach: whether the outer loss has no gradient through z (Table 1).
        origin_sd: above 0, each z0 is drawn from N(0, origin_sd^2 I) (figure 11).
        add_origin: whether z = z0 - grad instead of -grad (figure 11b).
        exact: whether the first step may take the fast form. It does where all images share the origin: not from
            random origins, nor with noise in the network, nor with a decoder that cannot be linearised.

    Source: equations 6-9 and 12.
    """

    fields = ("inner_steps", "step_size", "detach", "origin_sd", "add_origin", "latent_scale")
    settings = ("steps", "step_size", "detach", "origin_sd", "add_origin", "exact")

    def __init__(self, steps: int = 1, step_size: float = 1.0, detach: bool = False, origin_sd: float = 0.0,
                 add_origin: bool = False, exact: bool = True) -> None:
        super().__init__()
        self.steps, self.step_size, self.detach = steps, step_size, detach
        self.origin_sd, self.add_origin, self.exact = origin_sd, add_origin, exact

    @classmethod
    def from_config(cls, config, decoder, channels: int, images: int) -> "OriginGradient":
        """The rule of a configuration."""
        return cls(config.inner_steps, config.step_size, config.detach, config.origin_sd, config.add_origin)

    def forward(self, model: "Model", x: Float[Tensor, "n c *grid"], index: Int[Tensor, " n"] | None = None,
                shared: SharedOrigin | None = None, noise: FixedNoise | None = None) -> Float[Tensor, "n k"]:
        """Latents of images x; `shared` is what `prepare` made before."""
        if model.population and (reason := self.no_population(model)):
            raise ValueError(reason)
        z0 = x.new_zeros(len(x), model.latents)
        if self.origin_sd:
            z0 = self.origin_sd * (model.noise(z0) if noise is None else noise.origin)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            z, left = z0, self.steps
            if self.shares_origin(model):
                z, left = z0 - self.step_size * (shared or SharedOrigin(model, len(x))).gradient(x), left - 1
            if left:
                z = descend(model, x, z, left, self.step_size, noise)
        return z if self.add_origin else z - z0

    def shares_origin(self, model: "Model") -> bool:
        """Whether the first step is the same network at the same point for every image, and takes the fast form.

        `population` statistics are defined by the shared origin, so they do not ask for `exact`.
        """
        wanted = self.exact or (model.population and bool(batchnorms(model.decoder)))
        return wanted and not self.origin_sd and not model.noisy_origin and can_linearise(model)

    def prepare(self, model: "Model") -> SharedOrigin | None:
        """The linearised model, made once for all batches of an evaluation."""
        if not self.shares_origin(model):
            return None
        shared = SharedOrigin(model)
        shared.jacobian  # noqa: B018 (computed here, once)
        return shared

    def differentiates_twice(self, model: "Model") -> bool:
        """Whether a training step runs autograd inside autograd, as all but the fast single step do."""
        return self.steps > 1 or not self.shares_origin(model)

    def form(self, model: "Model") -> str:
        """`fast form`, or `reference form` and why."""
        if self.shares_origin(model):
            return "fast form"
        reason = "" if can_linearise(model) else f": the decoder {NOT_FAST}"
        return f"reference form{reason}"

    @property
    def random(self) -> bool:
        """Whether latents depend on random numbers of the rule's own."""
        return bool(self.origin_sd)

    def no_population(self, model: "Model") -> str | None:
        """Why a GON cannot be evaluated with `population` statistics, in one sentence; None if it can.

        They need one network at one origin for all images, and a likelihood for which the mean image's cotangent is
        the mean cotangent. Without batch normalisation an image is encoded alone anyway.
        """
        if not batchnorms(model.decoder):
            return None
        if not model.likelihood.affine:
            return ("population statistics put the training set's mean image in place of the mean over a batch, "
                    "exact only if the likelihood's cotangent is affine in the image, as for squared_error and "
                    "bernoulli; for this likelihood use evaluation='batch'")
        if model.stochastic is not None or self.origin_sd:
            return ("population statistics ask for one origin that all images share; in training this model has "
                    "noise there, so use evaluation='batch'")
        if not hasattr(model.decoder, "linearise"):
            return ("population statistics ask for a decoder that linearises its own batch normalisation; "
                    "for this one use evaluation='batch'")
        return None


def descend(model: "Model", x: Float[Tensor, "n c *grid"], z: Float[Tensor, "n k"], steps: int = 1,
            step_size: float = 1.0, noise: FixedNoise | None = None) -> Float[Tensor, "n k"]:
    """The readable reference: z - step_size * grad of the inner loss, `steps` times.

    Differentiable in the weights when gradients are enabled: autograd through autograd, as published.
    """
    keep_graph = torch.is_grad_enabled()
    for _ in range(steps):
        with torch.enable_grad(), inner_pass(model.statistics):
            z = z if z.requires_grad else z.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(model.inner_loss(x, z, noise).sum(), z, create_graph=keep_graph)
        z = z - step_size * gradient
    return z


def encoder_matrix(model: "Model") -> tuple[Float[Tensor, "k pixels"], Float[Tensor, " k"]]:
    """A trained GON's encoder as what it is: (M, b) with z = M x + b, where x are pixels in the order (C, H, W).

    Statistics of the origin are the population's, as if `evaluation="population"`.

    Raises:
        ValueError: where z is not an affine function of x, or is one only by the batch: other inference rules, several
            steps, random origins, a likelihood that is not affine, a decoder that cannot be linearised.

    Source: claim C22.
    """
    rule = model.inference
    if not isinstance(rule, OriginGradient) or rule.steps > 1 or rule.origin_sd or not model.likelihood.affine:
        raise ValueError("z is an affine function of x only for one origin-gradient step and an affine likelihood")
    with torch.no_grad(), model.inferring(exact=True), model.evaluating("population"):
        if not rule.shares_origin(model):
            raise ValueError(f"this model has no encoder matrix: {model.form}")
        shared, black = SharedOrigin(model), torch.zeros_like(model.mean_image)[None]
        offset = rule(model, black, shared=shared)[0]
        slope = model.inner_cotangent(shared.output, black + 1) - model.inner_cotangent(shared.output, black)
        columns = shared.jacobian * slope.flatten(1)
        if model.stochastic is not None:
            columns = model.stochastic.mu.weight.T @ columns
        matrix = -rule.step_size * columns
    return matrix, offset
