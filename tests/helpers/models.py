"""Models whose denoiser is exact: images of four pixels, from a Gaussian or a mixture of two."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.config.sampling import Bound
from jaxdiff.gaussian import grids
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.gaussian.schedules import vp
from jaxdiff.modalities.images.low_resolution import specs
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines.model import Model
from jaxdiff.types import class_label

SHAPE, N = (2, 2, 1), 4000
MEANS = np.array([[0.5, 0.4, -0.2, 0.1], [-0.6, -0.2, 0.3, 0.5]]).reshape(2, *SHAPE)
STD = 0.2
TRACES = []
PATH = vp()


def bind(params, condition):
    """The mixture, or, with labels, the one component that a label names."""

    def denoiser(x_t, t):
        TRACES.append(1)
        both = [gaussian_mixture(vp(), np.ones(1), MEANS[k][None], np.full((1, *SHAPE), STD)) for k in (0, 1)]
        first, second = (d(x_t, t) for d in both)
        either = gaussian_mixture(vp(), np.ones(2), MEANS, np.full((2, *SHAPE), STD))(x_t, t)
        label = (jnp.full(len(x_t), -1) if condition is None else condition["label"])[:, None, None, None]
        return jnp.where(label < 0, either, jnp.where(label == 0, first, second))

    return Bound(PATH, denoiser)


def a_model(classes=0, steps=100):
    return Model(
        params=jnp.zeros(()),
        spec=image_spec(SHAPE),
        conditions={"label": class_label(classes)} if classes else {},
        grid=lambda n: grids.uniform(n, 1.0, 1e-3),
        steps=steps,
        sampler={"name": "ancestral"},
        options={"clip": np.inf},
        bind=bind,
        path=PATH,
    )


def images(n=N, component=0, seed=0):
    noise = np.random.default_rng(seed).normal(size=(n, *SHAPE))
    return (MEANS[component] + STD * noise).clip(-1, 1).astype(np.float32)


def flat(x):
    return np.asarray(x, np.float64).reshape(len(x), -1)


def conditional(classes=0):
    """Images are the one that is told, with a spread of 0.1, and 0.2 more for each unit of noise that is told."""

    def bind(params, condition):
        def denoiser(x_t, t):
            std = (0.1 + 0.2 * condition["low_res_noise"])[:, :, None, None] * jnp.ones(x_t.shape)
            one = lambda x, mean, std: gaussian_mixture(vp(), np.ones(1), mean[None], std[None])(x[None], t)[0]
            return jax.vmap(one)(x_t, condition["low_res"], std)

        return Bound(PATH, denoiser)

    model = a_model(classes)
    told = model.conditions | specs(model.shape)
    return dataclasses.replace(model, bind=bind, conditions=told, upscales=2)
