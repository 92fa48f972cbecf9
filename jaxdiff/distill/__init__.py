"""Few steps: losses by which a model learns to draw in one to four, one method a file, for the one trainer.

A student is trained as any model is. Where a method has a teacher, that is what the student begins as (`train.init`),
and the loss remembers it; what moves along, such as an average, lies in the loss's memory, too.
"""

from jaxdiff.distill.consistency import consistency_distillation, consistency_training
from jaxdiff.distill.continuous import continuous_distillation, continuous_training
from jaxdiff.distill.ddgan import adversarial_loss
from jaxdiff.distill.dmd import distribution_matching, judged_matching
from jaxdiff.distill.ect import easy_consistency
from jaxdiff.distill.mean_flow import mean_flow_loss
from jaxdiff.distill.moment_matching import moment_matching_loss
from jaxdiff.distill.progressive import progressive_loss
from jaxdiff.distill.shortcut import shortcut_loss

__all__ = [
    "adversarial_loss",
    "consistency_distillation",
    "consistency_training",
    "continuous_distillation",
    "continuous_training",
    "distribution_matching",
    "easy_consistency",
    "judged_matching",
    "mean_flow_loss",
    "moment_matching_loss",
    "progressive_loss",
    "shortcut_loss",
]
