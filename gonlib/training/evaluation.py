"""The errors of a model on a set of images, batch by batch on the device, and when a training measures them."""

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from ..data import as_float
from ..method import checks
from ..method.likelihoods import bits_per_dim
from ..method.model import Model
from .config import Config
from .forms import repeatable


def is_recorded(epoch: int, rarely: bool = False) -> bool:
    """Whether the history has a row at the end of this epoch (from 1), however long the training is to be.

    Every epoch up to 100, then every 5th up to 500, then every 10th. `rarely` is for rules that fit each unseen image
    (GLO): 1, 2, 5, 10, 20, 50, every 100th up to 500, then every 500th.
    """
    if rarely:
        return epoch in (1, 2, 5, 10, 20, 50) or (epoch % 100 == 0 and epoch <= 500) or epoch % 500 == 0
    return epoch <= 100 or (epoch % 5 == 0 and epoch <= 500) or epoch % 10 == 0


def evaluate(model: Model, images: UInt8[Tensor, "n c h w"], config: Config,
             index: Int64[Tensor, " n"] | None = None) -> dict[str, float]:
    """The errors of a model on images, in batches of `config.batch_size` and with `config.evaluation` statistics.

    Batches are those of training, because with `batch` statistics a latent depends on its batch-mates.

    Args:
        index: the numbers of training images, whose free latents (GLO) are known.

    Returns:
        `error`, the summed squared error per image, mean over the images; for other likelihoods and for variational
        models also `bits` per dimension (the ELBO's), and `kl` in nats.
    """
    return Evaluation(model, images, config, index)()


class Evaluation:
    """What `evaluate` does, for many times: batch by batch on the device, the numbers fetched once at the end.

    With `labels` a classifier's `accuracy` is measured too. `form` says how a batch runs (forms.py).
    """

    def __init__(self, model: Model, images: UInt8[Tensor, "n c h w"], config: Config,
                 index: Int64[Tensor, " n"] | None = None, form: str = "eager",
                 labels: Int64[Tensor, " n"] | None = None):
        self.model, self.images, self.config, self.index, self.labels = model, images, config, index, labels
        if not len(images) or images.dtype != torch.uint8:
            raise ValueError(f"a model is measured on uint8 images, at least one, not {images.dtype} {tuple(images.shape)}")
        checks.images(images[:1], model)
        batch, device = min(config.batch_size, len(images)), images.device
        self.whole, rest = divmod(len(images), batch)
        self.noise = model.fixed_noise(len(images))  # the same for each image, whatever its batch
        self.totals = torch.zeros(4, dtype=torch.float64, device=device)  # error, loss, KL, hits of the classifier
        self.start = torch.zeros((), dtype=torch.int64, device=device)
        self.shared, self.offsets = None, torch.arange(batch, device=device)
        self.rest = self.offsets[:rest]
        # The origin's tensors are made anew for each evaluation: where it is captured, in the same places.
        self.prepare = repeatable(self._share, form, dict)
        self.add_batch = repeatable(lambda: self._add(self.offsets), form, self._state)

    @torch.no_grad()
    def __call__(self) -> dict[str, float]:
        """Measure the model as it is now."""
        self.totals.zero_()
        self.start.zero_()
        with self.model.evaluating(self.config.evaluation):
            self.prepare()
            for _ in range(self.whole):
                self.add_batch()
            if len(self.rest):
                self._add(self.rest)
        error, loss, kl, hits = (self.totals / len(self.images)).tolist()
        out = {"error": error} if self.model.task.draws else {}
        if self.labels is not None:
            out["accuracy"] = hits
        if self.model.likelihood.nats or self.model.stochastic is not None:
            out["bits"] = bits_per_dim(loss, self.images[0].numel())
        if self.model.stochastic is not None:
            out["kl"] = kl
        return out

    def _state(self):
        return {"totals": self.totals, "start": self.start}

    def _share(self):
        self.shared = self.model.inference.prepare(self.model)

    def _add(self, offsets):
        """Add the numbers of the next batch."""
        model, at = self.model, self.start + offsets
        x, noise = as_float(self.images[at]), None if self.noise is None else self.noise[at]
        index = None if self.index is None else self.index[at]
        z = model.inference(model, model.task.source(x), index, self.shared, noise)
        if model.classifier is not None and self.labels is not None:
            self.totals[3] += model.classifier.hits(z, self.labels[at])
        self.start += len(offsets)
        if not model.task.draws:
            return
        error = (model.decode(z) - x).square().sum()
        loss, kl = torch.zeros_like(error), torch.zeros_like(error)
        if model.stochastic is not None and noise is not None:
            kl = model.stochastic(z)[1].sum()
            loss = model.loss_at(x, z, noise.outer).sum() + (1 - model.kl_weight) * kl  # the bound itself, annealed or not
        elif model.likelihood.nats:
            loss = model.loss_at(x, z).sum()
        self.totals[:3] += torch.stack([error, loss, kl])
