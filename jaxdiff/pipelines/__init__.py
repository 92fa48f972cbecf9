"""Pipelines: uses of a trained model, arrays in and arrays out, one compiled call for each shape.

Images are (n, height, width, channels) in [-1, 1], of the model's size unless something else is said; `options` are
those of `Model.sample`: steps, sampler, condition (none by default), guidance, first ...
"""

from jaxdiff.pipelines.anomaly import detect
from jaxdiff.pipelines.autoguide import autoguide
from jaxdiff.pipelines.cascade import cascade
from jaxdiff.pipelines.conformers import conformers
from jaxdiff.pipelines.denoise import denoise
from jaxdiff.pipelines.follow import follow
from jaxdiff.pipelines.fragments import fragments
from jaxdiff.pipelines.guide import guide
from jaxdiff.pipelines.hold import bridge, extend, hold
from jaxdiff.pipelines.img2img import img2img
from jaxdiff.pipelines.infill import impute, infill
from jaxdiff.pipelines.inpaint import inpaint, outpaint
from jaxdiff.pipelines.invert import class_swap, interpolate
from jaxdiff.pipelines.plan import plan, rollout
from jaxdiff.pipelines.receding import receding
from jaxdiff.pipelines.resized import resized
from jaxdiff.pipelines.restore import restore
from jaxdiff.pipelines.super_resolve import super_resolve
from jaxdiff.pipelines.synthesize import synthesize
from jaxdiff.pipelines.upscale import upscale

__all__ = [
    "autoguide",
    "bridge",
    "cascade",
    "class_swap",
    "conformers",
    "denoise",
    "detect",
    "extend",
    "follow",
    "fragments",
    "guide",
    "hold",
    "img2img",
    "impute",
    "infill",
    "inpaint",
    "interpolate",
    "outpaint",
    "plan",
    "receding",
    "resized",
    "restore",
    "rollout",
    "super_resolve",
    "synthesize",
    "upscale",
]
