"""Discrete diffusion in JAX alone: processes of symbols, parameterizations, denoisers, losses and samplers."""

from jaxdiff.discrete.denoiser import enumerated, guided, make_denoiser, nucleus, tempered
from jaxdiff.discrete.likelihood import by_count, by_time, interval
from jaxdiff.discrete.losses import chain_loss, count_loss, symbol_loss
from jaxdiff.discrete.parameterization import Symbols, logits, subs
from jaxdiff.discrete.process import Replacement, marginals, masked, multinomial, perturb, plug_in, posterior, prior
from jaxdiff.discrete.samplers import ancestral_symbols, first_hitting, infill, most_confident

__all__ = [
    "Replacement",
    "Symbols",
    "ancestral_symbols",
    "by_count",
    "by_time",
    "chain_loss",
    "count_loss",
    "enumerated",
    "first_hitting",
    "guided",
    "infill",
    "interval",
    "logits",
    "make_denoiser",
    "marginals",
    "masked",
    "most_confident",
    "multinomial",
    "nucleus",
    "perturb",
    "plug_in",
    "posterior",
    "prior",
    "subs",
    "symbol_loss",
    "tempered",
]
