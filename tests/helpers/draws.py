"""A program: four examples of the model at a path, as an array at another."""

import sys

import jax
import numpy as np

import jaxdiff
from jaxdiff.modalities.images.controls import as_condition
from jaxdiff.pipelines.conformers import conformers

model, key = jaxdiff.load(sys.argv[1]), jax.random.key(1)
if "conformers" in model.spec.details:
    drawn = [molecule.GetConformer().GetPositions() for molecule in conformers(model, key, "CC(=O)C", 4)]
elif "text" in model.spec.details:
    drawn = model.sample(key, 4, prompt="a red circle")
elif "control" in model.conditions:
    drawn = model.sample(key, 4, condition=as_condition(np.ones((4, *model.shape), np.float32)))
else:
    drawn = model.sample(key, 4)
np.save(sys.argv[2], np.asarray(drawn), allow_pickle=False)
print(jax.device_count(), "devices")
