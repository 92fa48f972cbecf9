"""Sources of images."""

from jaxdiff.data.arrays import arrays
from jaxdiff.data.digits import digits
from jaxdiff.data.folder import folder, read_picture
from jaxdiff.data.source import Source, batches
from jaxdiff.data.tfds import tfds

__all__ = ["Source", "arrays", "batches", "digits", "folder", "read_picture", "tfds"]
