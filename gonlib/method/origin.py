"""The paper's idea: a latent is minus the gradient of the loss at the origin (equations 6-9, 12).

Two forms of the same rule. `descend` is the definition: autograd through autograd. `SharedOrigin` is the exact
fast form: all images start at the same z0, so the decoder's activations and its Jacobian J there are the same for
all, and with cotangents r_i = dL_i/dF the gradient of image i is J^T r_i. It is ordinary code that is differentiated
once, so a step can be compiled or captured. The book's chapter "The encoder is a matrix" derives it.
"""

from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn

from .decoders import Activation, BatchNorm, ConvDecoder, ImplicitDecoder, batchnorms


class OriginGradient(nn.Module):
    """Inference rule of a GON: z = -grad of the inner loss at z0 = 0.

    Its variants are parameters: the number and size of steps, `detach` (no gradient through z), origins drawn from
    N(0, origin_sd^2 I), and z = z0 - grad (`add_origin`); Table 1, figures 2b and 11. `exact` chooses the fast form
    where it applies: the first step, from an origin that all images share, without noise in the network.
    """

    def __init__(self, steps=1, step_size=1.0, detach=False, origin_sd=0.0, add_origin=False, exact=True):
        super().__init__()
        self.steps, self.step_size, self.detach = steps, step_size, detach
        self.origin_sd, self.add_origin, self.exact = origin_sd, add_origin, exact

    def forward(self, model, x, index=None, shared=None):
        """Latents (N, k) of images x (N, C, H, W); `shared` is a `SharedOrigin` made before, else made here."""
        if model.population:
            check_population(model)
        z0 = x.new_zeros(len(x), model.decoder.latents)
        if self.origin_sd:
            z0 = self.origin_sd * model.noise(z0)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.detach):
            z, left = z0, self.steps
            if self.shares_origin(model):
                z, left = z0 - self.step_size * (shared or SharedOrigin(model, len(x))).gradient(x), left - 1
            if left:
                z = descend(model, x, z, left, self.step_size)
        return z if self.add_origin else z - z0

    def shares_origin(self, model):
        """Whether the first step is the same network at the same point for every image.

        `population` statistics are defined by the shared origin, so they do not ask for `exact`.
        """
        return (self.exact or model.population) and not self.origin_sd and not model.noisy_origin


def descend(model, x, z, steps=1, step_size=1.0):
    """The readable reference: z - step_size * grad of the inner loss, `steps` times, (N, k).

    Differentiable in the weights when gradients are enabled: autograd through autograd, as published.
    """
    keep_graph = torch.is_grad_enabled()
    for _ in range(steps):
        with torch.enable_grad(), inner_pass(model):
            z = z if z.requires_grad else z.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(model.inner_loss(x, z).sum(), z, create_graph=keep_graph)
        z = z - step_size * gradient
    return z


@contextmanager
def inner_pass(model):
    """Mark passes that only serve to find latents: batch normalisation keeps their statistics apart."""
    layers = batchnorms(model)
    for layer in layers:
        layer.inner = True
    try:
        yield
    finally:
        for layer in layers:
            layer.inner = False


def check_population(model):
    """Raise ValueError if a GON with batch normalisation cannot be evaluated with `population` statistics.

    They need one network at one origin for all images, and a likelihood for which the mean image's cotangent is the
    mean cotangent. Without batch normalisation an image is encoded alone anyway.
    """
    if not isinstance(model.inference, OriginGradient) or not batchnorms(model.decoder):
        return
    remedy = "use evaluation='batch'"
    if not model.likelihood.affine:
        raise ValueError("population statistics put the training set's mean image in place of the mean over a batch, "
                         "exact only if the likelihood's cotangent is affine in the image, as for squared_error and "
                         f"bernoulli; for this likelihood {remedy}")
    if model.stochastic is not None or model.inference.origin_sd:
        raise ValueError("population statistics ask for one origin that all images share; in training this model has "
                         f"noise there, so {remedy}")


class SharedOrigin:
    """A model linearised at z0 = 0, where all of `copies` images share one forward pass.

    With batch normalisation an image's cotangent splits into the batch's mean and its deviation from it: deviations
    see a frozen scale, because their batch means vanish, and the mean goes once through the full rule. At evaluation
    with `population` statistics the training set's mean image stands for the batch's mean, so every image is
    encoded alone.
    """

    def __init__(self, model, copies=1):
        self.model = model
        k, start = model.decoder.latents, model.origin_input()
        linearise = {ConvDecoder: _linearise_conv, ImplicitDecoder: _linearise_implicit}[type(model.decoder)]
        self.output, self._columns, self._pull = linearise(model.decoder, start, copies)
        self.splits = any(_own_statistics(layer) for layer in batchnorms(model.decoder))
        self.by_columns = self._pull is None or k <= copies or not model.training
        self._jacobian = None

    @property
    def jacobian(self):
        """J^T as (k, outputs): the columns of J, pushed through the decoder with its statistics frozen."""
        if self._jacobian is None:
            self._jacobian = self._columns().flatten(1)
        return self._jacobian

    def gradient(self, x):
        """Gradient (N, k) of each image's inner loss at the origin."""
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


def _own_statistics(layer):
    """Whether at the origin a batch normalisation uses the pass's own mean and variance."""
    return layer.training or layer.statistics != "running"


# --- the convolutional decoder: one rule per kind of layer ---------------------------------------------------------
# A rule maps the layer and the one shared input to (output, push, pull): push sends tangents forward, pull sends
# cotangents back. In a pull through a batch normalisation the last row is the mean cotangent.


def _linearise_convolution(layer, x, copies):
    if x.shape[2:] == (1, 1) and layer.padding == (0, 0):  # from a single pixel it is a matrix product
        matrix, sides = layer.weight.flatten(1), layer.weight.shape[1:]
        output = torch.addmm(layer.bias.repeat_interleave(sides[1:].numel()), x.flatten(1), matrix).unflatten(1, sides)
        return output, lambda t: (t.flatten(1) @ matrix).unflatten(1, sides), lambda u: u.flatten(1) @ matrix.T

    def push(t):
        return F.conv_transpose2d(t, layer.weight, None, layer.stride, layer.padding)

    def pull(u):
        return F.conv2d(u, layer.weight, None, layer.stride, layer.padding)

    return layer(x), push, pull


def _linearise_activation(layer, x, copies):
    slope = layer.derivative(x)
    return layer(x), slope.mul, slope.mul


def _linearise_batchnorm(layer, x, copies):
    if not _own_statistics(layer):
        scale = (layer.weight * (layer.running_var + layer.eps).rsqrt())[:, None, None]
        return layer(x), scale.mul, scale.mul
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    if layer.training:  # the unbiased factor of all the images' pixels, as if each had passed
        n = copies * x[0, 0].numel()
        layer.record(mean.flatten(), var.flatten() * n / max(n - 1, 1), inner=True)
    inverse = (var + layer.eps).rsqrt()
    scale, normal = layer.weight[:, None, None] * inverse, (x - mean) * inverse

    def pull(u):
        last = u[-1:]
        coupled = last - last.mean((2, 3), keepdim=True) - normal * (last * normal).mean((2, 3), keepdim=True)
        return scale * (coupled if len(u) == 1 else torch.cat([u[:-1], coupled]))

    return normal * layer.weight[:, None, None] + layer.bias[:, None, None], scale.mul, pull


RULES = {nn.ConvTranspose2d: _linearise_convolution, Activation: _linearise_activation, BatchNorm: _linearise_batchnorm}


def _linearise_conv(decoder, start, copies):
    """Output (1, C, H, W), a function giving the columns of J (k, C, H, W), and the pull-back to (n, k)."""
    x, pushes, pulls = start.view(1, *decoder.latent_shape), [], []
    for layer in decoder.layers:
        x, push, pull = RULES[type(layer)](layer, x, copies)
        pushes.append(push)
        pulls.append(pull)

    def columns():
        t = torch.eye(decoder.latents, dtype=x.dtype, device=x.device).view(-1, *decoder.latent_shape)
        for push in pushes:
            t = push(t)
        return t

    def pull_back(u):
        for pull in reversed(pulls):
            u = pull(u)
        return u.flatten(1)

    return x, columns, pull_back


# --- the implicit decoder -------------------------------------------------------------------------------------------


def _linearise_implicit(decoder, start, copies):
    """Output (1, C, H, W) and the columns of J (k, C, H, W): C reverse passes over the grid, whatever the batch."""
    weight_z, omega = decoder.layers[0].weight[:, 2:], decoder.omega
    h = decoder.project(decoder.coordinates()) + F.linear(start, weight_z)
    slopes = []
    for layer in decoder.layers[1:]:
        slopes.append(omega * torch.cos(omega * h))
        h = layer(torch.sin(omega * h))

    def columns():
        u = decoder.layers[-1].weight[:, None] * slopes[-1]  # (C, P, hidden): one reverse pass per channel
        for layer, slope in zip(reversed(decoder.layers[1:-1]), reversed(slopes[:-1]), strict=True):
            u = (u @ layer.weight) * slope
        return decoder.arranged((u @ weight_z).permute(2, 0, 1))

    return decoder.arranged(h.mT[None]), columns, None


def encoder_matrix(model):
    """A trained GON's encoder as what it is: (M, b) with z = M x + b, M (k, C H W) and b (k,); claim C22.

    Statistics of the origin are the population's, as if `evaluation="population"`. Raises ValueError where z is
    not an affine function of x: other inference rules, several steps, random origins, a likelihood that is not affine.
    """
    rule = model.inference
    if not isinstance(rule, OriginGradient) or rule.steps != 1 or rule.origin_sd or not model.likelihood.affine:
        raise ValueError("z is an affine function of x only for one origin-gradient step and an affine likelihood")
    with torch.no_grad(), model.evaluating("population"):
        shared, black = SharedOrigin(model), torch.zeros_like(model.mean_image)[None]
        offset = rule(model, black, shared=shared)[0]
        slope = model.inner_cotangent(shared.output, black + 1) - model.inner_cotangent(shared.output, black)
        matrix = -rule.step_size * model.origin_matrix(shared.jacobian * slope.flatten(1))
    return matrix, offset
