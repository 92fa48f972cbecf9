"""Show: images as grids, and the reverse process as a film strip and a GIF."""

from pathlib import Path

import numpy as np

from jaxdiff.data.tokenizer import decode, from_details
from jaxdiff.modalities.images import pictures
from jaxdiff.modalities.images.coded import latent_codec, pictures_of
from jaxdiff.types import Batch, Spec

__all__ = ["describe", "preview", "save_chain", "save_samples"]

SHOWN, BESIDE, CHAIN = 64, 0, 16
STRIP, LARGEST = 12, 256


def describe(spec: Spec) -> str:
    """What an image is: "images of 8x8, 1 channel, 17 levels"."""
    height, width, channels = spec.shape
    of = pictures_of(spec)
    told = f"{'latents' if of else 'images'} of {height}x{width}, {channels} channel{'s' if channels > 1 else ''}"
    if of:
        return f"{told}, of {describe(of)}"
    return f"{told}, {spec.levels} levels" if spec.levels else told


def preview(spec: Spec, drawn: Batch, real: Batch | None) -> np.ndarray:
    """A grid of what was drawn; pixels that are not finite are black.

    Where images were drawn for what is known of real ones, these are below, and images among what is known above.
    """
    images = np.nan_to_num(np.asarray(drawn.x_0), nan=-1.0, posinf=-1.0, neginf=-1.0)
    if real is None:
        return pictures.grid(images)
    given = (drawn.condition or {}).values()
    above = [value for value in given if np.shape(value) == np.shape(real.x_0)]
    return pictures.grid(np.concatenate([*above, images, real.x_0]), len(images))


def save_chain(folder: Path, spec: Spec, frames: np.ndarray, note: str) -> list[str]:
    """Write chain.gif, and chain.png, where time runs to the right; latents are decoded at each time."""
    if pictures_of(spec):
        frames = np.stack([np.asarray(latent_codec(spec).decode(frame)) for frame in frames])
    pictures.save_gif(folder / "chain.gif", frames, note=note)
    strip = np.round(np.linspace(0, len(frames) - 1, min(STRIP, len(frames)))).astype(int)
    pictures.save_film_strip(folder / "chain.png", frames[strip], note=note)
    return ["chain.gif", "chain.png"]


def save_samples(folder: Path, spec: Spec, drawn: Batch, real: Batch | None, note: str) -> list[str]:
    """Write grid.png, of the first 256 images, above as many real ones where there are some.

    Of a model that reads captions also captions.png, the first 64 images above their captions.
    """
    images = [np.array(batch.x_0[:LARGEST]) for batch in (drawn, real) if batch is not None]
    pictures.save_grid(folder / "grid.png", np.concatenate(images), note=note)
    ids, details = (drawn.condition or {}).get("text"), spec.details.get("text")
    if ids is None or details is None:
        return ["grid.png"]
    tokenizer = from_details(details)
    said = [decode(tokenizer, row) for row in np.asarray(ids[:SHOWN])]
    pictures.save_sheet(folder / "captions.png", drawn.x_0[:SHOWN], said, note=note)
    return ["captions.png", "grid.png"]
