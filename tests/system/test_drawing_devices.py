"""What simulated devices of a CPU draw with: one of them, as loops over network calls are not safe on several."""

import subprocess
import sys

SCRIPT = """
import dataclasses
import jax, numpy as np
from jaxdiff.training.sharding import drawing_mesh, make_mesh, on_mesh, replicated
from tests.helpers.models import a_model, PATH
from jaxdiff.config.sampling import Bound

assert (jax.device_count(), make_mesh().size, drawing_mesh().size, drawing_mesh(make_mesh()).size) == (2, 2, 1, 1)
everywhere = jax.device_put(np.ones(3), replicated(make_mesh()))
there = on_mesh(drawing_mesh(), {"a": everywhere, "b": 1.0})
assert there["a"].devices() == {jax.devices()[0]} and there["b"] == 1.0

model = a_model(classes=2, steps=4)
bind = lambda params, condition: model.bind(params, condition)._replace(denoiser=lambda x, t: params * x)
for params in (np.float32(0.5), jax.device_put(np.float32(0.5), replicated(make_mesh()))):
    own = dataclasses.replace(model, bind=bind, params=params, mesh=make_mesh())
    images = own.sample(jax.random.key(0), 3, condition=jax.device_put(np.arange(3) % 2, replicated(make_mesh())))
    assert images.devices() == {jax.devices()[0]}
    own.sample(jax.random.key(0), 3, progress=True)
print("drawn")
"""


def test_one_device_draws_whatever_holds_the_parameters(environment):
    flags = environment | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=flags, capture_output=True, text=True, timeout=300)
    assert run.stdout == "drawn\n", run.stderr
