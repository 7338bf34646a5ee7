"""The exact fast form of the origin gradient: all images start at one point, so they share the decoder there.

Its activations and its Jacobian J are the same for all, and with cotangents r_i = dL_i/dF the gradient of image i is
J^T r_i: ordinary code that is differentiated once, so that a step can be compiled or captured. The book's chapter
"The encoder is a matrix" derives it. `origin.descend` is the definition that it equals.
"""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .decoders import Linearised
from .normalisation import batchnorms, mixes_images

if TYPE_CHECKING:
    from .models import Model


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
        self.output, self._columns, self._pull = linearise(model.decoder, model.origin_input(), copies)
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
        if not self.splits:
            g = r.flatten(1) @ self.jacobian.T if self.by_columns else self._pull(r)
        else:
            mean = self.model.mean_image[None] if self.model.population else None
            centre = r.mean(0, keepdim=True) if mean is None else self.model.inner_cotangent(self.output, mean)
            if self.by_columns:
                g = (r - centre).flatten(1) @ self.jacobian.T + self._pull(centre)
            else:
                g = self._pull(torch.cat([r - centre, centre]))
                g = g[:-1] + g[-1:]
        return self.model.origin_gradient(g)


def can_linearise(model: "Model") -> bool:
    """Whether the fast form is exact for a model's decoder in its present mode.

    It is for decoders that linearise themselves, and for any other that neither couples the images of a batch nor
    draws random numbers.
    """
    return hasattr(model.decoder, "linearise") or not (model.mixes or mixes_images(model.decoder))


def linearise(decoder: nn.Module, start: Float[Tensor, "1 k"], copies: int) -> Linearised:
    """A decoder at the latent `start`: by its own `linearise` where it has one, else by `torch.func`."""
    if hasattr(decoder, "linearise"):
        return decoder.linearise(start, copies)
    (point,) = start

    def one(z):
        return decoder(z[None])[0]

    def columns():
        directions = torch.eye(len(point), dtype=point.dtype, device=point.device)
        return torch.func.vmap(lambda t: torch.func.jvp(one, (point,), (t,))[1])(directions)

    def pull(u):
        return torch.func.vmap(torch.func.vjp(one, point)[1])(u)[0]

    return Linearised(decoder(start), columns, pull)
