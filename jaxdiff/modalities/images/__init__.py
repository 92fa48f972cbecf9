"""Images: sources, pictures of them, and how they are prepared."""

from jaxdiff.modalities.images.arrays import arrays
from jaxdiff.modalities.images.coded import latents
from jaxdiff.modalities.images.digits import digits
from jaxdiff.modalities.images.folder import folder, read_picture
from jaxdiff.modalities.images.learned import learned
from jaxdiff.modalities.images.scenes import scenes
from jaxdiff.modalities.images.spec import AXES, RANGE, image_spec, make_codec, range_of
from jaxdiff.modalities.images.tfds import tfds

__all__ = [
    "AXES",
    "RANGE",
    "arrays",
    "digits",
    "folder",
    "image_spec",
    "latents",
    "learned",
    "make_codec",
    "range_of",
    "read_picture",
    "scenes",
    "tfds",
]
