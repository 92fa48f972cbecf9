"""Training steps a second: jaxdiff, the same network in a usual JAX program, and diffusers' in PyTorch.

    python benchmarks/train_throughput.py                                     small network, batch 16, float32
    python benchmarks/train_throughput.py --net cifar10 --batch 128 512 2048 --dtype bfloat16          on a GPU
    python benchmarks/train_throughput.py --what forward                      the network alone

A step is the noising of new random images from the host, the loss on eps, its gradient clipped by the global norm,
Adam, and an exponential average of the parameters. PyTorch runs eagerly, with channels last, and on a GPU compiled;
bfloat16 is autocast there. `of matmul` is the network's arithmetic (forward; three times that for a step) over what a
large matrix product reaches on the same machine at the end. Needs the extra `parity`.
"""

import jax
import jax.numpy as jnp
import measure
import nets
import numpy as np
import optax

from jaxdiff.data.source import Source, read_ahead
from jaxdiff.gaussian import betas, parameterization, schedules
from jaxdiff.losses import diffusion
from jaxdiff.losses import times as loss_times
from jaxdiff.losses import weights as loss_weights
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.training import feed, sharding
from jaxdiff.training.ema import warmed_up
from jaxdiff.training.step import in_calls, init_state, make_train_step
from jaxdiff.types import Batch

SIZE = 4096


def pictures(shape, batch):
    """As many random images as all benchmarks train on."""
    size = max(SIZE, batch)
    return np.random.default_rng(0).normal(size=(size, *shape)).astype(np.float32)


def jaxdiff(arguments) -> measure.Ready:
    """As train.py does it."""
    sharding.use_cpu_devices(arguments.devices)
    shape, module, network = nets.ours(arguments.net, dtype=arguments.dtype, remat=arguments.remat)
    batch, mesh = arguments.batch[0], sharding.make_mesh()
    params = jax.jit(module.init, out_shardings=sharding.replicated(mesh))(
        jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1)
    )["params"]
    if arguments.what == "forward":
        x = jax.device_put(pictures(shape, batch)[:batch], sharding.split(mesh))
        t = jax.device_put(np.full(batch, 500.0, np.float32), sharding.split(mesh))
        forward = jax.jit(network)
        return measure.warm(lambda: jax.block_until_ready(forward(params, x, t)), batch)

    chain = schedules.ddpm(betas.linear(1000))
    loss_fn = diffusion.diffusion_loss(
        chain, parameterization.eps(), network, loss_weights.simple(), loss_times.uniform(steps=1000)
    )
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-4))
    state = jax.jit(lambda p: init_state(p, optimizer, ["average"]))(params)
    step = make_train_step(loss_fn, optimizer, {"average": warmed_up(0.9999)}, jax.random.key(1))
    step = jax.jit(in_calls(step, feed.examples), donate_argnums=0)
    images = pictures(shape, batch)
    source = Source(len(images), image_spec(shape), lambda i: Batch(images[i]))
    food = feed.make_feed(source, mesh, batch, 0, "auto")
    n = feed.steps_per_call(0, {"calls": arguments.steps}, images[:batch].nbytes)
    stream = read_ahead(lambda call: food.read(*call), feed.Calls(0, 10**9, n))
    pending = []

    def run():
        nonlocal state
        for _ in range(arguments.steps // n):
            state, metrics = step(state, food.resident, next(stream))
            pending.append(metrics)
            if len(pending) > 2:
                jax.block_until_ready(pending.pop(0))
        jax.block_until_ready(state)

    return measure.warm(run, batch * arguments.steps)


def usual_jax(arguments) -> measure.Ready:
    """A Python loop around a jitted step, Flax's layers, nothing donated or read ahead, no settings of XLA."""
    with nets.usual_layers():
        return _usual_jax(arguments)


def _usual_jax(arguments) -> measure.Ready:
    shape, module, network = nets.ours(arguments.net, dtype=arguments.dtype)
    batch = arguments.batch[0]
    params = module.init(jax.random.key(0), jnp.zeros((1, *shape)), jnp.zeros(1))["params"]
    images = pictures(shape, batch)
    if arguments.what == "forward":
        forward, x, t = jax.jit(network), jnp.asarray(images[:batch]), jnp.full(batch, 500.0)
        return measure.warm(lambda: jax.block_until_ready(forward(params, x, t)), batch)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-4))
    alpha_bar = jnp.asarray(np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)), jnp.float32)

    @jax.jit
    def step(params, average, opt_state, key, x_0):
        key_t, key_eps = jax.random.split(key)
        t = jax.random.randint(key_t, (len(x_0),), 0, 1000)
        eps = jax.random.normal(key_eps, x_0.shape)
        a = alpha_bar[t][:, None, None, None]

        def loss_fn(params):
            return jnp.mean((network(params, jnp.sqrt(a) * x_0 + jnp.sqrt(1 - a) * eps, t) - eps) ** 2)

        value, grads = jax.value_and_grad(loss_fn)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = optax.apply_updates(params, updates)
        average = jax.tree.map(lambda old, new: 0.9999 * old + 0.0001 * new, average, params)
        return params, average, opt_state, value

    state = params, params, optimizer.init(params)
    rng, key = np.random.default_rng(0), jax.random.key(1)

    def run():
        nonlocal state, key
        for _ in range(arguments.steps):
            key, now = jax.random.split(key)
            *state, _ = step(*state, now, images[rng.integers(len(images), size=batch)])
        jax.block_until_ready(state)

    return measure.warm(run, batch * arguments.steps)


def torch_with(*, channels_last: bool = False, compiled: bool = False):
    """diffusers' network in a plain PyTorch loop."""

    def contender(arguments) -> measure.Ready:
        import torch

        torch.manual_seed(0)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        layout = torch.channels_last if channels_last else torch.contiguous_format
        shape, batch = nets.NETS[arguments.net][0], arguments.batch[0]
        net = nets.theirs(arguments.net).to(device, memory_format=layout)
        call = torch.compile(net) if compiled else net
        half = torch.autocast(device, torch.bfloat16, enabled=arguments.dtype == "bfloat16")
        images = torch.tensor(pictures(shape, batch)).permute(0, 3, 1, 2)
        if arguments.what == "forward":
            x = images[:batch].to(device, memory_format=layout)
            t = torch.full((batch,), 500, device=device)

            def forward():
                with torch.no_grad(), half:
                    call(x, t)
                if device == "cuda":
                    torch.cuda.synchronize()

            return measure.warm(forward, batch)
        optimizer = torch.optim.Adam(net.parameters(), 2e-4)
        weights = list(net.parameters())
        average = [w.detach().clone() for w in weights]
        alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0).to(device)

        def run():
            for _ in range(arguments.steps):
                x_0 = images[torch.randint(len(images), (batch,))].to(device, memory_format=layout)
                eps, t = torch.randn_like(x_0), torch.randint(1000, (batch,), device=device)
                a = alpha_bar[t][:, None, None, None]
                with half:
                    out = call(a.sqrt() * x_0 + (1 - a).sqrt() * eps, t).sample
                value = (out.float() - eps).square().mean()
                optimizer.zero_grad()
                value.backward()
                torch.nn.utils.clip_grad_norm_(weights, 1.0)
                optimizer.step()
                with torch.no_grad():
                    torch._foreach_lerp_(average, weights, 0.0001)
            if device == "cuda":
                torch.cuda.synchronize()

        return measure.warm(run, batch * arguments.steps)

    return contender


CONTENDERS: dict[str, measure.Contender] = {
    "diffusers, eager": torch_with(),
    "diffusers, channels last": torch_with(channels_last=True),
    "diffusers, channels last, compiled": torch_with(channels_last=True, compiled=True),
    "usual JAX": usual_jax,
    "jaxdiff": jaxdiff,
}


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--net", choices=nets.NETS, default="small")
    parser.add_argument("--batch", type=int, nargs="+", default=[16])
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--remat", choices=("none", "cheap", "full"), default="none", help="of jaxdiff's network")
    parser.add_argument("--what", choices=("step", "forward"), default="step")
    parser.add_argument("--steps", type=int, default=4, help="of a call")
    parser.add_argument("--devices", type=int, default=2, help="that jaxdiff makes of a CPU")
    parser.add_argument("--compiled", action="store_true", help="compile PyTorch on a CPU too")
    arguments = parser.parse_args()
    if arguments.worker:
        measure.serve(CONTENDERS[arguments.worker](arguments))
        return
    contenders = CONTENDERS
    if jax.default_backend() == "cpu" and not arguments.compiled:
        contenders = {name: make for name, make in CONTENDERS.items() if "compiled" not in name}
    flops = nets.forward_flops(arguments.net) * (3 if arguments.what == "step" else 1)
    rows = []
    for batch in arguments.batch:
        argv = ["--net", arguments.net, "--batch", str(batch), "--dtype", arguments.dtype, "--remat", arguments.remat]
        argv += ["--what", arguments.what, "--steps", str(arguments.steps), "--devices", str(arguments.devices)]
        print(f"{arguments.net}, {arguments.what}, batch {batch}, {arguments.dtype}")
        some = measure.compete(contenders, arguments, argv, flops)
        measure.show(some)
        setting = {"net": arguments.net, "what": arguments.what, "batch": batch, "dtype": arguments.dtype}
        rows += [setting | row for row in some]
    measure.record(arguments.json, rows)


if __name__ == "__main__":
    main()
