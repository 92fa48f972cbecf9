"""Edits: the tasks of `jaxdiff.pipelines.edit`, each made once for the same words, so that it compiles once."""

import functools
from collections.abc import Callable

from jaxdiff.gaussian.process import prior
from jaxdiff.guidance import ddnm, dps, linear, moment_matching, pigdm
from jaxdiff.guidance import inpainting as inpaint
from jaxdiff.guidance import sdedit as translate
from jaxdiff.guidance.ddrm import Spectrum, ddrm, of_mask, of_operator
from jaxdiff.guidance.ddrm import begin as by_the_spectrum
from jaxdiff.modalities.images import operators
from jaxdiff.pipelines.task import Inputs, Task
from jaxdiff.types import Array, Operator

OPERATORS: dict[str, Callable[[Inputs, int], Operator]] = {
    "mask": lambda inputs, height: operators.masked(inputs.each["mask"]),
    "blur": lambda inputs, height: operators.blurred(inputs.shared["kernel"]),
    "shrink": lambda inputs, height: operators.shrunk(height // inputs.each["y"].shape[1]),
    "grey": lambda inputs, height: operators.grey(),
}
MIXED = {"blur": (0, 1), "shrink": (0, 1), "grey": (2,)}
"""The axes of an image that an operator mixes."""
GUIDES = {"moment_matching": moment_matching, "pigdm": pigdm, "ddnm": ddnm}
METHODS = (*GUIDES, "ddrm", "dps")


def _repaint(process, denoiser, sampler, inputs):
    return inpaint.repaint(process, sampler, inputs.each["y"], inputs.each["mask"], inputs.shared["repeats"])


def _from_noise(process, key, x, times, inputs):
    """Noise of the key that a pair of draws shares, and in the second of them its opposite (antithetic variates)."""
    return inputs.shared["sign"] * prior(process, inputs.shared["pair"], x, times[0])


def _keep(images: Array, inputs: Inputs) -> Array:
    return inpaint.keep(images, inputs.each["y"][: len(images)], inputs.each["mask"][: len(images)])


INPAINT = Task(begin=_from_noise, steer=_repaint, finish=_keep)
SDEDIT = Task(begin=lambda process, key, x, times, inputs: translate.sdedit(process, key, inputs.each, times[0]))
AS_NOISY = Task(begin=lambda process, key, x, times, inputs: translate.as_noisy(process, inputs.each, times[0]))


@functools.cache
def restoration(method: str, operator: str, shape: tuple[int, ...], keep: bool = False) -> Task:
    """What an operator hides of images of this shape, found by a method.

    The inputs hold "y", and, for all examples, "noise", "scale", and the "pair" and "sign" of `_from_noise`.

    Args:
      keep: whether pixels that a mask shows come back as they were.
    """

    def guide(process, denoiser, inputs):
        A = OPERATORS[operator](inputs, shape[0])
        return GUIDES[method](process, denoiser, A, inputs.each["y"], inputs.shared["noise"])

    def by_dps(process, denoiser, sampler, inputs):
        A = OPERATORS[operator](inputs, shape[0])
        return dps(process, denoiser, sampler, A, inputs.each["y"], inputs.shared["scale"])

    def by_ddrm(process, denoiser, sampler, inputs):
        return ddrm(process, denoiser, spectrum(inputs), inputs.each["y"], inputs.shared["noise"])

    def spectrum(inputs) -> Spectrum:
        if operator == "mask":
            return of_mask(inputs.each["mask"])
        return of_operator(OPERATORS[operator](inputs, shape[0]), shape, MIXED[operator])

    def begin(process, key, x, times, inputs):
        x_1, y, noise = _from_noise(process, key, x, times, inputs), inputs.each["y"], inputs.shared["noise"]
        if method == "ddrm":
            return by_the_spectrum(process, x_1, spectrum(inputs), y, noise, times[0])
        return linear.begin(process, x_1, OPERATORS[operator](inputs, shape[0]), y, noise, times[0])

    steer = {"dps": by_dps, "ddrm": by_ddrm}
    task = Task(begin, steer=steer[method]) if method in steer else Task(begin, guide)
    return task._replace(finish=_keep) if keep else task
