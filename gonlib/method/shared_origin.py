"""The exact fast form of the origin gradient: all images start at one point, so they share the decoder there.

Its activations and its Jacobian J are the same for all, and with cotangents r_i = dL_i/dF the gradient of image i is
J^T r_i: ordinary code that is differentiated once, so that a step can be compiled or captured. The book's chapter
"The encoder is a matrix" derives it. `origin.descend` is the definition that it equals.
"""

import copy
import warnings
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .decoders import Linearised
from .normalisation import batchnorms, mixes_images

if TYPE_CHECKING:
    from .model import Model


NOT_FAST = "couples the images of a batch, draws random numbers, or is none that torch.func can differentiate"


class SharedOrigin:
    """A model linearised at z0 = 0, where all of `copies` images share one forward pass.

    With batch normalisation an image's cotangent splits into the batch's mean and its deviation from it: deviations
    see a frozen scale, because their batch means vanish, and the mean goes once through the full rule. At evaluation
    with `population` statistics the training set's mean image stands for the batch's mean, so every image is
    encoded alone.

    Args:
        model: the model, in the mode in which it is to be linearised.
        copies: number of images that pass there.
    """

    def __init__(self, model: "Model", copies: int = 1) -> None:
        self.model = model
        self.output, self._columns, self._pull = linearise(model.decoder, origin_input(model), copies)
        self.splits = any(layer.own_statistics for layer in batchnorms(model.decoder))
        self.by_columns = self._pull is None or model.latents <= copies or not model.training
        self._jacobian: Tensor | None = None

    @property
    def jacobian(self) -> Float[Tensor, "k outputs"]:
        """J^T: the columns of J, pushed through the decoder with its statistics frozen."""
        if self._jacobian is None:
            self._jacobian = self._columns().flatten(1)
        return self._jacobian

    def gradient(self, x: Float[Tensor, "n c *grid"]) -> Float[Tensor, "n k"]:
        """Gradient of each image's inner loss at the origin."""
        r = self.model.inner_cotangent(self.output, x)
        if self._pull is None or (self.by_columns and not self.splits):
            g = r.flatten(1) @ self.jacobian.T
        elif not self.splits:
            g = self._pull(r)
        else:
            mean = self.model.mean_image[None] if self.model.population else None
            centre = r.mean(0, keepdim=True) if mean is None else self.model.inner_cotangent(self.output, mean)
            if self.by_columns:
                g = (r - centre).flatten(1) @ self.jacobian.T + self._pull(centre)
            else:
                g = self._pull(torch.cat([r - centre, centre]))
                g = g[:-1] + g[-1:]
        return at_z0(self.model, g)


def origin_input(model: "Model") -> Float[Tensor, "1 k"]:
    """The decoder's input at z0 = 0: zero, or the stochastic layer's mean."""
    zero = model.mean_image.new_zeros(1, model.latents)
    return zero if model.stochastic is None else model.stochastic.mu(zero)


def at_z0(model: "Model", gradient: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """From gradients at the decoder's input to those at z0, before the stochastic layer, where the KL term adds its own."""
    if model.stochastic is None:
        return gradient
    return gradient @ model.stochastic.mu.weight + model.inner_scale * model.stochastic.kl_gradient()


def can_linearise(model: "Model") -> bool:
    """Whether the fast form is exact for a model's decoder in its present mode.

    It is for decoders that linearise themselves, and for any other that torch.func can differentiate, if it neither
    couples the images of a batch nor draws random numbers.
    """
    if hasattr(model.decoder, "linearise"):
        return True
    return model.differentiable and not mixes_images(model.decoder) and (model.steady or not model.decoder.training)


def linearise(decoder: nn.Module, start: Float[Tensor, "1 k"], copies: int) -> Linearised:
    """A decoder at the latent `start`: by its own `linearise` where it has one, else by `torch.func`."""
    if (own := getattr(decoder, "linearise", None)) is not None:
        return own(start, copies)
    (point,) = start

    def one(z):
        return decoder(z[None])[0]

    def columns():
        directions = torch.eye(len(point), dtype=point.dtype, device=point.device)
        return torch.func.vmap(lambda t: torch.func.jvp(one, (point,), (t,))[1])(directions)

    def pull(u):
        return torch.func.vmap(torch.func.vjp(one, point)[1])(u)[0]

    return Linearised(decoder(start), columns, pull)


def agrees_with_definition(decoder: nn.Module, k: int) -> bool:
    """Whether torch.func differentiates a decoder, in evaluation, as autograd inside autograd does.

    It is tried once, in float64, on a copy with its parameters a little moved. For some modules torch.func fails, or
    loses a part of the second derivatives, as in torch 2.11 with layer and instance normalisation.
    """
    try:
        gradients = _gradients_both_ways(decoder, k)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):
        return False
    first = gradients[0]
    return all(torch.allclose(one, first, rtol=1e-6, atol=1e-9 * float(first.abs().max())) for one in gradients[1:])


def _gradients_both_ways(decoder: nn.Module, k: int) -> list[Float[Tensor, " numbers"]]:
    """A gradient at the origin and its derivatives in the parameters: by autograd, by J's columns, by the pull-back."""
    chance, found = torch.Generator().manual_seed(0), []
    twin = copy.deepcopy(decoder).double().cpu().eval()
    parameters = [p for p in twin.parameters() if p.requires_grad]
    with torch.inference_mode(False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, when torch.func is first used
        for p in parameters:
            p.data.add_(torch.randn(p.shape, generator=chance, dtype=p.dtype), alpha=0.1)
        z, direction = torch.zeros(1, k, dtype=torch.float64), torch.randn(k, generator=chance, dtype=torch.float64)
        shared = linearise(twin, z, 1)
        u = torch.randn(shared.output.shape, generator=chance, dtype=torch.float64)
        with torch.no_grad():  # where some modules take another path, which torch.func may not know: attention
            quiet = linearise(twin, z, 1)
            assert quiet.pull and shared.pull  # torch.func gives both
            quiet.columns(), quiet.pull(u)
        (defined,) = torch.autograd.grad((twin(z.requires_grad_()) * u).sum(), z, create_graph=True)
        for gradient in (defined[0], shared.columns().flatten(1) @ u.flatten(), shared.pull(u)[0]):
            second = torch.autograd.grad(gradient @ direction, parameters, allow_unused=True, materialize_grads=True)
            found.append(torch.cat([gradient.detach(), *(part.flatten() for part in second)]))
    return found
