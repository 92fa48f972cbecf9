"""What the methods share: a memory, its average, a guided teacher, an even clock, and what a student must not be."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.gaussian.parameterization import Parameterization, check_defined
from jaxdiff.gaussian.process import Process
from jaxdiff.guidance.classifier_free import classifier_free
from jaxdiff.types import Array, Condition, ConditionSpec, Denoiser, Network, Params, expand

__all__ = [
    "Memory",
    "check_straight",
    "check_student",
    "fixed",
    "followed",
    "huber",
    "make_teacher",
    "mean_square",
    "remember",
    "scale_of",
    "untold",
]

fixed = jax.lax.stop_gradient


class Memory(NamedTuple):
    """What a student remembers.

    Attributes:
      seen: how many examples it has seen, by which a method's stages are counted.
      teacher: the parameters with which the student began, or, in progressive distillation, a stage began.
      average: of the student's parameters; a moving target.
    """

    seen: Array
    teacher: Params = ()
    average: Params = ()


def remember(teacher: bool = False, average: bool = False):
    """`params -> memory`, with those of its parts."""

    def begin(params: Params) -> Memory:
        copy = lambda wanted: jax.tree.map(jnp.copy, params) if wanted else ()
        return Memory(jnp.zeros((), jnp.int32), copy(teacher), copy(average))

    return begin


def followed(memory: Memory, params: Params, batch: int, half_life: float) -> Memory:
    """The memory after a batch.

    Args:
      half_life: examples in which the average halves its distance to the parameters; 0 for at once.
    """
    keep, average = (0.5 ** (batch / half_life) if half_life else 0.0), memory.average
    if jax.tree.leaves(average):
        average = jax.tree.map(lambda a, p: keep * a + (1 - keep) * fixed(p), average, params)
    return memory._replace(seen=memory.seen + batch, average=average)


def make_teacher(
    process: Process,
    parameterization: Parameterization,
    network: Network,
    params: Params,
    condition: Condition | None,
    guidance: float | Array,
    conditions: Mapping[str, ConditionSpec] = {},
) -> Denoiser:
    """The denoiser of a teacher, under classifier-free guidance unless its scale is 1 or nothing is told.

    Args:
      guidance: the scale, one for all or (batch,).
      conditions: what the network can be told, by name.
    """
    bind = lambda told: make_denoiser(process, parameterization, network, fixed(params), told)
    if not condition or (isinstance(guidance, int | float) and guidance == 1):
        return bind(condition)
    towards, away = bind(condition), bind(untold(condition, conditions))
    return lambda x_t, t: classifier_free(towards, away, expand(jnp.asarray(guidance), x_t))(x_t, t)


def scale_of(condition: Condition | None, guidance: float) -> float | Array:
    """The scale of a teacher's guidance: (batch,), where the student is told each (`jaxdiff.transforms.scale`)."""
    return condition["guidance"][:, 0] if condition and "guidance" in condition else guidance


def untold(condition: Condition, conditions: Mapping[str, ConditionSpec] = {}) -> Condition | None:
    """What is left of a condition that guidance leads away from.

    That is how x_t was augmented, which is no secret, and what the network is always told, such as a picture to follow
    and the scale itself.
    """
    always = {"augment", "guidance", *(name for name, one in conditions.items() if one.missing is None)}
    return {name: value for name, value in condition.items() if name in always} or None


def huber(difference: Array, c: float) -> Array:
    """`sqrt(|d|² + c²) - c` of each example, (batch,), with c of one component times the root of their number."""
    d = difference.reshape(difference.shape[0], -1)
    c = c * np.sqrt(d.shape[1])
    return jnp.sqrt(jnp.square(d).sum(1) + c**2) - c


def mean_square(x: Array) -> Array:
    """Of the components of each example: (batch,)."""
    return jnp.square(x).reshape(x.shape[0], -1).mean(axis=1)


def check_student(process: Process, parameterization: Parameterization, boundary: bool = False) -> None:
    """Refuse a student whose output says nothing of the data at t = 1, where its first, or only, step begins.

    Args:
      boundary: whether x̂_0 must be x_t at t = 0 by the parameterization alone, as of a consistency function.

    Raises:
      InputError: eps, a score, or what else is undefined at t = 1; or x0 with `boundary`.
    """
    with jax.ensure_compile_time_eval():
        of_x_0, _ = map(float, parameterization.coefficients(process, jnp.float32(0.5)))
        _, of_eps = map(float, parameterization.coefficients(process, jnp.float32(0)))
    if of_x_0 == 0:
        raise InputError(
            "a student of few steps must not predict eps or the score, from which its first step has to "
            "divide by alpha: train its teacher with v, velocity or edm"
        )
    check_defined(process, parameterization, np.array([1.0, 0.0], np.float32))
    if boundary and of_eps == 0:
        raise InputError(
            "a consistency function is x_t at t = 0 by its parameterization, and x0 is not: take v, velocity or edm"
        )


def check_straight(process: Process, parameterization: Parameterization, what: str) -> None:
    """Refuse what is not the velocity of the straight path, `(1 - t) x_0 + t eps`.

    Raises:
      InputError: another process or parameterization.
    """
    t = np.linspace(0, 1, 5, dtype=np.float32)
    with jax.ensure_compile_time_eval():
        a, b = parameterization.coefficients(process, jnp.asarray(t))
        found: list[Any] = [process.alpha(jnp.asarray(t)), process.sigma(jnp.asarray(t)), a, b]
    if not all(np.allclose(f, wanted, atol=1e-5) for f, wanted in zip(found, (1 - t, t, -1, 1), strict=True)):
        raise InputError(
            f"{what} learns velocities of the straight path: set process.name=flow and parameterization.name=velocity"
        )
