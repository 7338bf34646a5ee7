"""What the paper compares with: an encoder, a tied encoder, and free latents (GLO). Each is an inference rule."""

import torch
import torch.nn.functional as F
from torch import nn

from .decoders import Activation, BatchNorm, ConvDecoder


class Encoder(nn.Module):
    """Mirror image of the convolutional decoder: convolutions from (N, C, H, W) to latents (N, k); the row AE."""

    def __init__(self, decoder, channels, activation="elu", batchnorm=True, bn_eps=1e-5):
        super().__init__()
        if not isinstance(decoder, ConvDecoder):
            raise ValueError("an encoder mirrors the convolutional decoder; an implicit decoder has no mirror image")
        blocks = [layer for layer in decoder.layers if isinstance(layer, nn.ConvTranspose2d)][::-1]
        layers, width = [], channels
        for i, block in enumerate(blocks):
            layers.append(nn.Conv2d(width, block.in_channels, 4, block.stride, block.padding))
            width = block.in_channels
            if i < len(blocks) - 1:
                layers += [BatchNorm(width, bn_eps)] if batchnorm else []
                layers.append(Activation(activation))
        self.layers = nn.Sequential(*layers)

    def forward(self, model, x, index=None):
        return self.layers(x).flatten(1)


class TiedEncoder(nn.Module):
    """The decoder's own weights, transposed, with biases and normalisation of their own; the row Tied AE."""

    def __init__(self, decoder, activation="elu", batchnorm=True, bn_eps=1e-5):
        super().__init__()
        if not isinstance(decoder, ConvDecoder):
            raise ValueError("a tied encoder transposes the convolutional decoder; an implicit decoder has no transpose")
        widths = [layer.in_channels for layer in decoder.layers if isinstance(layer, nn.ConvTranspose2d)][::-1]
        self.biases = nn.ParameterList(torch.zeros(width) for width in widths)
        self.norms = nn.ModuleList(BatchNorm(width, bn_eps) if batchnorm else nn.Identity() for width in widths[:-1])
        self.activation = Activation(activation)

    def forward(self, model, x, index=None):
        blocks = [layer for layer in model.decoder.layers if isinstance(layer, nn.ConvTranspose2d)][::-1]
        for i, (block, bias) in enumerate(zip(blocks, self.biases, strict=True)):
            x = F.conv2d(x, block.weight, bias, block.stride, block.padding)
            if i < len(self.norms):
                x = self.activation(self.norms[i](x))
        return x.flatten(1)


class FreeLatents(nn.Module):
    """A latent per training image, learned with the network; the row GLO (Bojanowski et al. 2018).

    Latents start at N(0, 0.1^2 I) and follow Adam, row by row: only the rows of a batch move. Unseen images get
    theirs by `fit_steps` Adam steps from the origin with the network fixed. The paper leaves both schedules open.
    """

    def __init__(self, images, latents, learning_rate=1e-2, fit_steps=100):
        super().__init__()
        self.learning_rate, self.fit_steps = learning_rate, fit_steps
        self.register_buffer("table", 0.1 * torch.randn(images, latents))
        self.register_buffer("moments", torch.zeros(2, images, latents))
        self.register_buffer("visits", torch.zeros(images, 1))
        self._rows = None

    def forward(self, model, x, index=None):
        """Latents of the training images numbered `index`; without it, latents fitted to x."""
        if index is None:
            return self.fit(model, x)
        self._rows = self.table[index].requires_grad_(torch.is_grad_enabled())
        return self._rows

    @torch.no_grad()
    def update(self, index):
        """One Adam step on the rows that the last batch used; call after the backward pass."""
        gradient, visits = self._rows.grad, self.visits[index] + 1
        first = self.moments[0, index].lerp(gradient, 0.1)
        second = self.moments[1, index].lerp(gradient.square(), 0.001)
        step = (first / (1 - 0.9**visits)) / ((second / (1 - 0.999**visits)).sqrt() + 1e-8)
        self.table[index] = self._rows - self.learning_rate * step
        self.moments[0, index], self.moments[1, index], self.visits[index] = first, second, visits

    def fit(self, model, x):
        """Latents of unseen images, (N, k): Adam on their loss, the network fixed."""
        with torch.enable_grad():
            z = x.new_zeros(len(x), self.table.shape[1]).requires_grad_()
            adam = torch.optim.Adam([z], lr=self.learning_rate, capturable=z.is_cuda)
            for _ in range(self.fit_steps):
                (z.grad,) = torch.autograd.grad(model.loss_at(x, z).sum(), z)
                adam.step()
        return z.detach()
