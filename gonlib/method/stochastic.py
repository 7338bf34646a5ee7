"""Section 3.3: the stochastic layer of a variational GON, which stands before the decoder."""

from jaxtyping import Float
from torch import Tensor, nn

from .likelihoods import kl_to_standard_normal


class Stochastic(nn.Module):
    """Section 3.3: linear maps to mu and log-variance, then the reparameterisation trick; (n, k) to (n, k)."""

    def __init__(self, latents: int) -> None:
        super().__init__()
        self.mu, self.logvar = nn.Linear(latents, latents), nn.Linear(latents, latents)

    def forward(self, z: Float[Tensor, "n k"], noise: Float[Tensor, "n k"] | None = None,
                ) -> tuple[Float[Tensor, "n k"], Float[Tensor, " n"]]:
        """The decoder's input (the mean without `noise`) and the KL term in nats."""
        mu, logvar = self.mu(z), self.logvar(z)
        sample = mu if noise is None else mu + (0.5 * logvar).exp() * noise
        return sample, kl_to_standard_normal(mu, logvar)

    def kl_gradient(self) -> Float[Tensor, " k"]:
        """Derivative of the KL term at z0 = 0."""
        return self.mu.bias @ self.mu.weight + 0.5 * (self.logvar.bias.exp() - 1) @ self.logvar.weight
