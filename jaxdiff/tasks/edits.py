"""Edits: the tasks of `jaxdiff.edit`, each made once for the same words, so that it compiles once."""

import functools
from collections.abc import Callable

from jaxdiff.tasks import inpaint, restore, translate
from jaxdiff.tasks.ddrm import Spectrum, ddrm, of_mask, of_operator
from jaxdiff.tasks.restore import Operator
from jaxdiff.tasks.task import Inputs, Task
from jaxdiff.types import Array

OPERATORS: dict[str, Callable[[Inputs, int], Operator]] = {
    "mask": lambda inputs, height: restore.masked(inputs.each["mask"]),
    "blur": lambda inputs, height: restore.blurred(inputs.shared["kernel"]),
    "shrink": lambda inputs, height: restore.shrunk(height // inputs.each["y"].shape[1]),
    "grey": lambda inputs, height: restore.grey(),
}
MIXED = {"blur": (0, 1), "shrink": (0, 1), "grey": (2,)}
"""The axes of an image that an operator mixes."""
GUIDES = {"moment_matching": restore.moment_matching, "pigdm": restore.pigdm, "ddnm": restore.ddnm}
METHODS = (*GUIDES, "ddrm", "dps")


def _repaint(process, denoiser, sampler, inputs):
    return inpaint.repaint(process, sampler, inputs.each["y"], inputs.each["mask"], inputs.shared)


def _keep(images: Array, inputs: Inputs) -> Array:
    return inpaint.keep(images, inputs.each["y"][: len(images)], inputs.each["mask"][: len(images)])


INPAINT = Task(steer=_repaint, finish=_keep)
SDEDIT, AS_NOISY = Task(begin=translate.sdedit), Task(begin=translate.as_noisy)


@functools.cache
def restoration(method: str, operator: str, shape: tuple[int, ...], keep: bool = False) -> Task:
    """What an operator hides of images of this shape, found by a method; the inputs hold "y", and "noise" and "scale".

    Args:
      keep: whether pixels that a mask shows come back as they were.
    """

    def guide(process, denoiser, inputs):
        A = OPERATORS[operator](inputs, shape[0])
        return GUIDES[method](process, denoiser, A, inputs.each["y"], inputs.shared["noise"])

    def by_dps(process, denoiser, sampler, inputs):
        A = OPERATORS[operator](inputs, shape[0])
        return restore.dps(process, denoiser, sampler, A, inputs.each["y"], inputs.shared["scale"])

    def by_ddrm(process, denoiser, sampler, inputs):
        return ddrm(process, denoiser, spectrum(inputs), inputs.each["y"], inputs.shared["noise"])

    def spectrum(inputs) -> Spectrum:
        if operator == "mask":
            return of_mask(inputs.each["mask"])
        return of_operator(OPERATORS[operator](inputs, shape[0]), shape, MIXED[operator])

    steer = {"dps": by_dps, "ddrm": by_ddrm}
    task = Task(steer=steer[method]) if method in steer else Task(guide=guide)
    return task._replace(finish=_keep) if keep else task
