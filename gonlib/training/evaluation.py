"""The errors of a model on a set of images, batch by batch on the device."""

import torch

from ..method.likelihoods import bits_per_dim
from .forms import repeatable


def as_float(images):
    """uint8 images to floats in [0, 1]."""
    return images.float() / 255


def evaluate(model, images, config, index=None):
    """Summed squared error per image, mean over `images` (uint8); for other likelihoods also bits/dim (the ELBO's).

    Batches are those of training, because with `batch` statistics a latent depends on its batch-mates. `index` gives
    the numbers of training images, whose free latents (GLO) are known. Returns a dict of numbers.
    """
    return Evaluation(model, images, config, index)()


class Evaluation:
    """What `evaluate` does, for many times: batch by batch on the device, the numbers fetched once at the end."""

    def __init__(self, model, images, config, index=None, form="eager", labels=None):
        self.model, self.images, self.config, self.index, self.labels = model, images, config, index, labels
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
    def __call__(self):
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
        if self.model.likelihood.nats or self.config.variational:
            out["bits"] = bits_per_dim(loss, self.images[0].numel())
        if self.config.variational:
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
        if self.labels is not None:
            self.totals[3] += model.classifier.hits(z, self.labels[at])
        self.start += len(offsets)
        if not model.task.draws:
            return
        error = (model.decode(z) - x).square().sum()
        loss, kl = torch.zeros_like(error), torch.zeros_like(error)
        if self.config.variational:
            kl = model.stochastic(z)[1].sum()
            loss = model.loss_at(x, z, noise.outer).sum() + (1 - model.kl_weight) * kl  # the bound itself, annealed or not
        elif model.likelihood.nats:
            loss = model.loss_at(x, z).sum()
        self.totals[:3] += torch.stack([error, loss, kl])
