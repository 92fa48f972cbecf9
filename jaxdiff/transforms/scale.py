"""Scales of guidance: a student learns all between two at once, and is told which (Meng et al. 2023)."""

import jax

from jaxdiff.types import ConditionSpec, Transform

__all__ = ["SPEC", "scaled"]

SPEC = ConditionSpec((1,), missing=None)
"""Of the condition "guidance": the scale."""


def scaled(low: float, high: float) -> Transform:
    """Tell each example a scale of guidance, drawn evenly between two; its teacher is guided by that."""

    def tell(key, batch):
        scale = jax.random.uniform(key, (batch.x_0.shape[0], 1), minval=low, maxval=high)
        return batch._replace(condition={**(batch.condition or {}), "guidance": scale})

    return tell
