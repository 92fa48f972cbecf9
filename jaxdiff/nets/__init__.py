"""Networks: Flax lives here."""

from jaxdiff.nets.schedule import MonotoneLogSNR
from jaxdiff.nets.unet import UNet

__all__ = ["MonotoneLogSNR", "UNet"]
