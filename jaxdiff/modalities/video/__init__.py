"""Video: clips as sources, digits that move, and how they are shown and saved."""

from jaxdiff.modalities.video.clips import clips, video_arrays
from jaxdiff.modalities.video.moving import moving_digits
from jaxdiff.modalities.video.spec import AXES, RANGE, make_codec, video_spec

__all__ = ["AXES", "RANGE", "clips", "make_codec", "moving_digits", "video_arrays", "video_spec"]
