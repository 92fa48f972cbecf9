"""Guidance: towards a condition, a classifier, an energy or a measurement, one method a file."""

from jaxdiff.guidance.classifier import of_class
from jaxdiff.guidance.classifier_free import cfg_pp, classifier_free, within
from jaxdiff.guidance.compositional import all_of, any_of
from jaxdiff.guidance.ddnm import ddnm
from jaxdiff.guidance.ddrm import ddrm
from jaxdiff.guidance.dps import dps
from jaxdiff.guidance.energy import LogDensity, by_density, by_energy
from jaxdiff.guidance.hands import handed
from jaxdiff.guidance.held import context, held
from jaxdiff.guidance.inpainting import repaint, replace
from jaxdiff.guidance.moment_matching import moment_matching
from jaxdiff.guidance.pigdm import pigdm
from jaxdiff.guidance.twisted import twisted

__all__ = [
    "LogDensity",
    "all_of",
    "any_of",
    "by_density",
    "by_energy",
    "cfg_pp",
    "classifier_free",
    "context",
    "ddnm",
    "ddrm",
    "dps",
    "handed",
    "held",
    "moment_matching",
    "of_class",
    "pigdm",
    "repaint",
    "replace",
    "twisted",
    "within",
]
