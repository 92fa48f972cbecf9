"""Makes the pictures of generated data in sound_video.md: `python docs/sound_video.py`. Nothing is trained."""

from pathlib import Path

import numpy as np
from PIL import Image

from jaxdiff.modalities import make_codec
from jaxdiff.modalities.audio import notes
from jaxdiff.modalities.audio.measured import spectrograms
from jaxdiff.modalities.audio.show import tiles
from jaxdiff.modalities.video import moving_digits
from jaxdiff.modalities.video.file import write_clip
from jaxdiff.modalities.video.show import sheets

IMAGES = Path(__file__).parent / "images"


def main() -> None:
    """Write sound-notes.png and video-digits.gif."""
    source = notes("test", n=240, length=4096)
    batch = source.take(np.arange(240))
    labels = np.asarray(batch.condition["label"])
    at = [int(np.flatnonzero(labels == note)[0]) for note in range(12)]
    names = [source.spec.details["classes"][note] for note in range(12)]
    shown = spectrograms(source.spec, make_codec(source.spec).decode(batch.x_0[at]), bands=60)
    Image.fromarray(tiles(shown, 6, names)).save(IMAGES / "sound-notes.png", optimize=True)
    digits = moving_digits("test", n=12, frames=32).take(np.arange(12)).x_0
    write_clip(IMAGES / "video-digits.gif", sheets(np.concatenate([digits, digits[:, ::-1]], 1)), 12)


if __name__ == "__main__":
    main()
