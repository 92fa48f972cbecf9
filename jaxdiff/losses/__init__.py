"""Losses, one a file: `(params, key, batch) -> (loss, metrics)`; and their weights and time samplers."""

from jaxdiff.losses.adversary import adversarial_reconstruction
from jaxdiff.losses.classification import classification_loss
from jaxdiff.losses.diffusion import diffusion_loss
from jaxdiff.losses.frames import frames_loss, held_loss
from jaxdiff.losses.hybrid import hybrid_loss
from jaxdiff.losses.importance import importance_loss
from jaxdiff.losses.reconstruction import reconstruction_loss
from jaxdiff.losses.sliced import sliced_loss
from jaxdiff.losses.vlb import bound_loss

__all__ = [
    "adversarial_reconstruction",
    "bound_loss",
    "classification_loss",
    "diffusion_loss",
    "frames_loss",
    "held_loss",
    "hybrid_loss",
    "importance_loss",
    "reconstruction_loss",
    "sliced_loss",
]
