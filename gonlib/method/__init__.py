"""The paper: a decoder whose latents are gradients at the origin, its likelihoods, and what it is compared with.

These modules import torch, `gonlib.errors` and `gonlib.files` only: no data, no training loop, no runs.
"""
