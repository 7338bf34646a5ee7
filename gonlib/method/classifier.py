"""The classifier GON of section 3.5: a single linear layer on the origin gradient, trained with cross-entropy."""

import torch.nn.functional as F
from torch import nn

TASKS = ("classify", "both")  # the classifier alone (equation 13), or together with the outer loss of the images


class Classifier(nn.Module):
    """f of equation 13: latents (N, k) to logits (N, classes); the softmax is in the loss.

    `labels` (images,) are those of the training images, which a run puts here.
    """

    def __init__(self, latents, classes):
        super().__init__()
        self.linear = nn.Linear(latents, classes)
        self.labels = None

    def forward(self, z):
        return self.linear(z)

    def loss(self, z, index):
        """Cross-entropy (N,) in nats of the training images numbered `index`, whose latents are z."""
        return F.cross_entropy(self.linear(z), self.labels[index], reduction="none")

    def hits(self, z, labels):
        """Number of latents whose most probable class is their label."""
        return (self.linear(z).argmax(1) == labels).sum()
