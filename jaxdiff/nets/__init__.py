"""Networks: Flax lives here."""

from jaxdiff.nets.autoencoder import Autoencoder
from jaxdiff.nets.classifier import Classifier
from jaxdiff.nets.columns import Columns
from jaxdiff.nets.diffwave import DiffWave
from jaxdiff.nets.dit import DiT
from jaxdiff.nets.egnn import EGNN
from jaxdiff.nets.mlp import MLP
from jaxdiff.nets.patch_critic import PatchCritic
from jaxdiff.nets.schedule import MonotoneLogSNR
from jaxdiff.nets.sequence import Sequence
from jaxdiff.nets.set_transformer import SetTransformer
from jaxdiff.nets.tensor_axis import tensor_axis
from jaxdiff.nets.text import TextTransformer
from jaxdiff.nets.unet import UNet
from jaxdiff.nets.unet1d import UNet1D
from jaxdiff.nets.unet_video import UNetVideo

__all__ = [
    "EGNN",
    "MLP",
    "Autoencoder",
    "Classifier",
    "Columns",
    "DiT",
    "DiffWave",
    "MonotoneLogSNR",
    "PatchCritic",
    "Sequence",
    "SetTransformer",
    "TextTransformer",
    "UNet",
    "UNet1D",
    "UNetVideo",
    "tensor_axis",
]
