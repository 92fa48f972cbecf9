"""Audio: recordings as sources, their spectrograms, and how they are shown and saved."""

from jaxdiff.modalities.audio.notes import notes
from jaxdiff.modalities.audio.recordings import recordings, waves
from jaxdiff.modalities.audio.spec import AXES, RANGE, audio_spec, make_codec

__all__ = ["AXES", "RANGE", "audio_spec", "make_codec", "notes", "recordings", "waves"]
