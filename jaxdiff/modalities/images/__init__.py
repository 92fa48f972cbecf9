"""Images: sources, pictures of them, and how they are prepared."""

from jaxdiff.modalities.images.arrays import arrays
from jaxdiff.modalities.images.digits import digits
from jaxdiff.modalities.images.folder import folder, read_picture
from jaxdiff.modalities.images.tfds import tfds

__all__ = ["arrays", "digits", "folder", "read_picture", "tfds"]
