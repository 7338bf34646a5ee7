"""The paper: a decoder whose latents are gradients at the origin, its likelihoods, and what it is compared with.

These modules import torch (and `gonlib.errors`) only: no data, no training loop, no files of runs.
"""
