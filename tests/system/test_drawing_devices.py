"""What draws: one of a CPU's simulated devices, as the flag of XLA's that training sets makes loops unsafe on several;
and a whole mesh, which JAX's own flags leave right: what accelerators do."""

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
    flags = environment | {"XLA_FLAGS": f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count=2"}
    run = subprocess.run([sys.executable, "-c", SCRIPT], env=flags, capture_output=True, text=True, timeout=300)
    assert run.stdout == "drawn\n", run.stderr


SPLIT = """
import dataclasses
import jax, jax.numpy as jnp, numpy as np
from jaxdiff.config.sampling import Bound
from jaxdiff.gaussian import denoiser, parameterization
from jaxdiff.nets.unet import UNet
from jaxdiff.pipelines import model as pipelines
from jaxdiff.training.sharding import make_mesh
from tests.helpers.models import PATH, a_model

net = UNet(channels=16, multipliers=(1, 2), blocks=1, attention=(4,), patch=2, groups=8, dropout=0.0, num_classes=3)
first = net.init(jax.random.key(0), jnp.zeros((1, 16, 16, 3)), jnp.zeros(1), {"label": jnp.zeros(1, int)}, train=False)
params = jax.tree.map(lambda p: p + 0.1 * jax.random.normal(jax.random.key(p.size), p.shape), first)
network = lambda params, x, t, condition, key: net.apply(params, x, t, condition, train=False)
bind = lambda params, condition: Bound(
    PATH, denoiser.make_denoiser(PATH, parameterization.x0(), network, params, condition)
)
model = a_model(classes=3, steps=20)
spec = model.spec._replace(shape=(16, 16, 3))
model = dataclasses.replace(model, params=params, spec=spec, bind=bind)
ask = dict(condition=np.arange(7) % 3, guidance=2.0, sampler="heun", clip=1.0)
one = model.sample(jax.random.key(1), 7, **ask)
assert len(one.devices()) == 1
pipelines.drawing_mesh = lambda mesh: make_mesh()
both = dataclasses.replace(model, mesh=make_mesh()).sample(jax.random.key(1), 7, **ask)
assert len(both.devices()) == 2
print(float(abs(np.asarray(one) - np.asarray(both)).max()))
"""


def test_a_mesh_draws_what_one_device_draws(environment):
    flags = environment | {"XLA_FLAGS": f"{environment['XLA_FLAGS']} --xla_force_host_platform_device_count=2"}
    run = subprocess.run([sys.executable, "-c", SPLIT], env=flags, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    assert float(run.stdout) < 1e-3
