"""Networks: Flax lives here."""

from jaxdiff.nets.unet import UNet

__all__ = ["UNet"]
