"""The exact denoiser of one rigid body in all orientations, with noise of zero center.

The posterior of the rotation R, `x_0 = body Rᵀ`, is a matrix Fisher law: p(R | x_t) ~ exp(tr(Fᵀ R)), with
`F = alpha / sigma² x_tᵀ body` = U diag(s) Vᵀ, U and V proper; E[R] = U diag(d) Vᵀ, where (Lee 2018)

    d_k = E[u],    u in [-1, 1] with density ~ I0((s_i - s_j)(1 - u) / 2) I0((s_i + s_j)(1 + u) / 2) e^(s_k u)

with i and j the other two.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import i0e

from jaxdiff.types import expand

BODY = np.float32([[0, 0, 0], [1.5, 0, 0], [2.0, 1.4, 0], [0.3, 1.0, 1.1], [-0.8, 0.2, 2.0]])
BODY = BODY - BODY.mean(0)
"""Five points that no reflection brings onto themselves."""

V, W = np.polynomial.legendre.leggauss(64)
V, W = (V + 1) / 2, W / 2


def mean_rotation(f):
    """E[R] of matrix Fisher laws, (batch, 3, 3)."""
    return moments(f)[0]


def moments(f):
    """E[R], and the logarithm of the integral of exp(tr(Fᵀ R)) over uniform R, but for a constant."""
    u, s, vt = jnp.linalg.svd(f)
    hands = jnp.linalg.det(u), jnp.linalg.det(vt)
    ones = jnp.ones_like(hands[0])
    u = u * jnp.stack([ones, ones, hands[0]], -1)[:, None]
    vt = vt * jnp.stack([ones, ones, hands[1]], -1)[..., None]
    s = s * jnp.stack([ones, ones, hands[0] * hands[1]], -1)
    means, logs = zip(*(_mean(s[:, (k + 1) % 3], s[:, (k + 2) % 3], s[:, k]) for k in range(3)), strict=True)
    return (u * jnp.stack(means, -1)[:, None]) @ vt, logs[2]


def _mean(a, b, c):
    """E[u] and the integral, by quadrature in v, `1 - u = 2 v^6`, dense where the law of a strong F is."""
    v, w = jnp.asarray(V, a.dtype), jnp.asarray(W, a.dtype)
    gap = 2 * v**6  # 1 - u
    p, q = jnp.abs(a - b)[:, None] * gap / 2, jnp.abs(a + b)[:, None] * (2 - gap) / 2
    # The exponents less their value at u = 1, where that of a strong law is greatest.
    log = jnp.log(i0e(p)) + jnp.log(i0e(q)) + p - (jnp.abs(a + b) / 2 + c)[:, None] * gap + jnp.log(12 * v**5 * w)
    whole = jax.nn.logsumexp(log, axis=1)
    return 1 - jnp.exp(jax.nn.logsumexp(log + jnp.log(gap), axis=1) - whole), whole + jnp.abs(a + b) + c


def rigid_body(process, body):
    """`(x_t, t) -> E[x_0 | x_t]` of body (points, 3), of mean 0, turned at random."""

    def denoise(x_t, t):
        t = jnp.asarray(t, x_t.dtype)
        scale = process.alpha(t) / process.sigma(t) ** 2
        return body @ mean_rotation(expand(scale, x_t) * (x_t.mT @ body)).mT

    return denoise


def both_hands(process, body):
    """The same of a body and its mirror image, each as often."""
    bodies = body, body * jnp.array([1.0, 1, -1])

    def denoise(x_t, t):
        t = jnp.asarray(t, x_t.dtype)
        scale = expand(process.alpha(t) / process.sigma(t) ** 2, x_t)
        found = [moments(scale * (x_t.mT @ one)) for one in bodies]
        share = jax.nn.softmax(jnp.stack([log for _, log in found]), axis=0)
        means = [one @ turn.mT for one, (turn, _) in zip(bodies, found, strict=True)]
        return sum(w[:, None, None] * mean for w, mean in zip(share, means, strict=True))

    return denoise
