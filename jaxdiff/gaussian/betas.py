"""Tables of beta: how much noise each step of a discrete chain adds.

`q(x_i | x_{i-1}) = N(sqrt(1 - beta_i) x_{i-1}, beta_i I)`. Each function gives a float64 NumPy table, one beta a step,
for
`jaxdiff.gaussian.schedules.ddpm`; any array of numbers in (0, 1) will do in its place.
"""

import numpy as np

__all__ = ["cosine", "linear", "quadratic", "sigmoid"]


def linear(steps: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02) -> np.ndarray:
    """Evenly spaced (Ho et al. 2020). The ends are used as given, whatever the number of steps.

    >>> print(linear(3))
    [0.0001  0.01005 0.02   ]
    """
    return np.linspace(beta_min, beta_max, steps)


def quadratic(steps: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02) -> np.ndarray:
    """Evenly spaced square roots ("quad" in the code of Ho et al. 2020, "scaled_linear" elsewhere)."""
    return np.linspace(beta_min**0.5, beta_max**0.5, steps) ** 2


def sigmoid(steps: int = 1000, beta_min: float = 1e-4, beta_max: float = 0.02) -> np.ndarray:
    """From beta_min to beta_max along a logistic curve over [-6, 6] (Xu et al. 2022, GeoDiff)."""
    return beta_min + (beta_max - beta_min) / (1 + np.exp(-np.linspace(-6, 6, steps)))


def cosine(steps: int = 1000, s: float = 0.008, beta_cap: float = 0.999) -> np.ndarray:
    """alpha-bar falls as a squared cosine; beta is capped near the end (Nichol and Dhariwal 2021, equation 17)."""
    alpha_bar = np.cos((np.arange(steps + 1) / steps + s) / (1 + s) * np.pi / 2) ** 2
    return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], beta_cap)
