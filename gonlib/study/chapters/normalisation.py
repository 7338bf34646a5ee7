"""Batch normalisation at the origin: three ways to evaluate, its eps, and the scale of the latents."""

from ..experiment import experiment


@experiment("batch-normalisation", "Three ways to evaluate a GON with batch normalisation", rows=("evaluation",))
def evaluation_modes(dataset, modes=("batch", "population", "running")):
    return [{"evaluation": mode} for mode in modes]


@experiment("batch-normalisation-eps", "The eps of batch normalisation, and none at all", rows=("evaluation",),
            columns=("bn_eps",))
def epsilons(dataset, epsilons=(1e-5, 1e-4, 1e-3, 1e-2, 1e-1), modes=("batch", "population")):
    return [{"evaluation": mode, "bn_eps": eps} for mode in modes for eps in epsilons]


@experiment("batch-normalisation-scale", "The scale of the latents, with and without batch normalisation",
            rows=("batchnorm",), columns=("latent_scale",))
def latent_scales(dataset, scales=(1.0, 1024.0, 65536.0)):
    return [{"batchnorm": there, "latent_scale": scale} for there in (True, False) for scale in scales]
