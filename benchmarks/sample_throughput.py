"""Images drawn a second: jaxdiff, the same chain as a Python loop in JAX, and diffusers' pipeline.

    python benchmarks/sample_throughput.py                             digits, DDPM in 1000 steps, batches of 1, 4, 64
    python benchmarks/sample_throughput.py --net small --batch 16 --sampler ddim --steps 10
    python benchmarks/sample_throughput.py --net cifar10 --batch 1 256 --dtype bfloat16            on a GPU

The network has random weights. "forwards alone" is the network called as often as the chain calls it, and nothing else:
what jaxdiff's chain takes beyond it is the cost of the chain. Needs the extra `parity`.
"""

import jax
import jax.numpy as jnp
import measure
import nets
import numpy as np

from jaxdiff.config.sampling import Bound
from jaxdiff.gaussian import betas, grids, parameterization, schedules
from jaxdiff.gaussian.denoiser import make_denoiser
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines.model import Model
from jaxdiff.training import sharding


def prepared(arguments):
    """`(shape, module, network, params)` with random parameters."""
    shape, module, network = nets.ours(arguments.net, dtype=arguments.dtype)
    params = jax.jit(module.init)(jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1))["params"]
    return shape, network, params


def jaxdiff(arguments) -> measure.Ready:
    """`Model.sample`."""
    sharding.use_cpu_devices(1)
    shape, network, params = prepared(arguments)
    chain, meaning = schedules.ddpm(betas.linear(1000)), parameterization.eps()

    def bind(params, condition):
        return Bound(chain, make_denoiser(chain, meaning, network, params, condition))

    sampler = {"name": "ancestral", "variance": "fixed_large"} if arguments.sampler == "ddpm" else {"name": "ddim"}
    model = Model(
        params=params,
        spec=image_spec(shape),
        grid=lambda steps: grids.trailing(steps, 1000),
        steps=arguments.steps,
        sampler=sampler,
        options={"clip": 1.0},
        bind=bind,
        path=chain,
    )
    key, batch = jax.random.key(1), arguments.batch[0]
    return measure.warm(lambda: np.asarray(model.sample(key, batch)), batch)


def forwards(arguments) -> measure.Ready:
    """The network alone, as often as the chain calls it."""
    sharding.use_cpu_devices(1)
    shape, network, params = prepared(arguments)
    batch, mesh = arguments.batch[0], sharding.make_mesh()
    place = sharding.split(mesh) if batch % jax.device_count() == 0 else sharding.replicated(mesh)
    x = jax.device_put(np.ones((batch, *shape), np.float32), place)
    t = jax.device_put(np.full(batch, 500.0, np.float32), place)
    params = jax.device_put(params, sharding.replicated(mesh))
    forward = jax.jit(network)

    def run():
        for _ in range(arguments.steps):
            out = forward(params, x, t)
        jax.block_until_ready(out)

    return measure.warm(run, batch)


def usual_jax(arguments) -> measure.Ready:
    """A Python loop around a jitted step, with Flax's layers."""
    with nets.usual_layers():
        return _usual_jax(arguments)


def _usual_jax(arguments) -> measure.Ready:
    shape, network, params = prepared(arguments)
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, 1000))
    times = np.round(np.arange(1000, 0, -1000 / arguments.steps)).astype(int) - 1
    before = np.append(alpha_bar[times[1:]], 1.0)
    share = 1.0 if arguments.sampler == "ddpm" else 0.0

    @jax.jit
    def step(key, x, t, a_t, a_s):
        eps = network(params, x, jnp.full(len(x), t, jnp.float32))
        x_0 = jnp.clip((x - jnp.sqrt(1 - a_t) * eps) / jnp.sqrt(a_t), -1, 1)
        variance = share * (1 - a_s) / (1 - a_t) * (1 - a_t / a_s)
        eps = (x - jnp.sqrt(a_t) * x_0) / jnp.sqrt(1 - a_t)
        mean = jnp.sqrt(a_s) * x_0 + jnp.sqrt(jnp.maximum(1 - a_s - variance, 0)) * eps
        return mean + jnp.sqrt(variance) * jax.random.normal(key, x.shape)

    def run():
        key = jax.random.key(1)
        x = jax.random.normal(key, (arguments.batch[0], *shape))
        for t, a_t, a_s in zip(times, alpha_bar[times], before, strict=True):
            key, now = jax.random.split(key)
            x = step(now, x, t, np.float32(a_t), np.float32(a_s))
        return np.asarray(x)

    return measure.warm(run, arguments.batch[0])


def torch_with(*, compiled: bool = False):
    """diffusers' own pipeline, without its progress bar."""

    def contender(arguments) -> measure.Ready:
        import torch
        from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler

        torch.manual_seed(0)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        net = nets.theirs(arguments.net).to(device, memory_format=torch.channels_last).eval()
        if arguments.dtype == "bfloat16":
            net = net.to(torch.bfloat16)
        make, scheduler = (
            (DDPMPipeline, DDPMScheduler(variance_type="fixed_large"))
            if arguments.sampler == "ddpm"
            else (DDIMPipeline, DDIMScheduler())
        )
        pipeline = make(torch.compile(net) if compiled else net, scheduler)
        pipeline.set_progress_bar_config(disable=True)
        batch = arguments.batch[0]
        return measure.warm(
            lambda: pipeline(batch_size=batch, num_inference_steps=arguments.steps, output_type="numpy"), batch
        )

    return contender


CONTENDERS: dict[str, measure.Contender] = {
    "diffusers' pipeline": torch_with(),
    "diffusers' pipeline, compiled": torch_with(compiled=True),
    "usual JAX": usual_jax,
    "jaxdiff": jaxdiff,
    "jaxdiff's network, forwards alone": forwards,
}


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--net", choices=nets.NETS, default="digits")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 4, 64])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--sampler", choices=("ddpm", "ddim"), default="ddpm")
    parser.add_argument("--steps", type=int, default=1000)
    arguments = parser.parse_args()
    if arguments.worker:
        measure.serve(CONTENDERS[arguments.worker](arguments))
        return
    contenders = CONTENDERS
    if jax.default_backend() == "cpu":
        contenders = {name: make for name, make in CONTENDERS.items() if "compiled" not in name}
    flops = nets.forward_flops(arguments.net) * arguments.steps
    rows = []
    for batch in arguments.batch:
        argv = ["--net", arguments.net, "--batch", str(batch), "--dtype", arguments.dtype]
        argv += ["--sampler", arguments.sampler, "--steps", str(arguments.steps)]
        print(f"{arguments.net}, {arguments.sampler} in {arguments.steps} steps, batch {batch}, {arguments.dtype}")
        some = measure.compete(contenders, arguments, argv, flops)
        measure.show(some)
        setting = {"net": arguments.net, "sampler": arguments.sampler, "steps": arguments.steps, "batch": batch}
        rows += [setting | {"dtype": arguments.dtype} | row for row in some]
    measure.record(arguments.json, rows)


if __name__ == "__main__":
    main()
