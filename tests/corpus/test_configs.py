"""Configurations with values that are missing, of a wrong type or impossible."""

import pytest

from tests.helpers.cases import case, refused
from tests.helpers.configs import FILES, begin, get_config, leaves, small, with_field

NAN = float("nan")


WRONG = {
    bool: ("yes", 2, None, []),
    int: ("many", 2.5, NAN, None, [1], {}, True, -(10**30)),
    float: ("much", NAN, None, [0.5], {}, True),
    str: (3, None, [], {}, True),
    tuple: ("(1, 2)", 3, None, {}, ("a",), (1.5,), [[1]]),
    dict: ("text", 3, None, []),
}


RIGHT = [("loss.times.steps", None), ("ema.half_life", (1.5,))]


def wrong_types():
    seen, kinds = set(), set()
    for name, setting in FILES.items():
        for field, right in leaves(get_config(setting, name)):
            kind = tuple if isinstance(right, list) else type(right)
            if (field, kind) in seen or field == "held_out":
                continue
            seen.add((field, kind))
            for i, wrong in enumerate(WRONG[kind]):
                if (field, wrong) not in RIGHT:
                    # Of each other file and kind of value another few values.
                    slow = name != "ddpm" and (i + len(seen)) % len(WRONG[kind]) > 0
                    first, kinds = kind not in kinds, kinds | {kind}
                    yield case(name, field, wrong, name=f"{name}-{field}-{wrong!r}", slow=slow, unit=first)


@pytest.mark.parametrize(("name", "field", "value"), list(wrong_types()))
def test_a_value_of_a_wrong_type_is_refused(name, field, value):
    with refused(f"{field.split('.')[-1]}|must be fields by name|unknown"):
        begin(with_field(small(name), field, value))


NEEDED = [field for field, _ in leaves(get_config()) if field not in ("held_out", "held_out.name", "held_out.split")]
DEFAULTED = ("data.split", "process.betas.", "loss.times.steps", "sample.grid.total", "sample.sampler.variance", "net.")
DEFAULTED += ("train.features", "train.patience", "train.samples")


@pytest.mark.parametrize("field", NEEDED)
def test_a_field_that_is_missing_is_refused_or_has_its_default(field):
    config = with_field(small(), field, ...)
    if field.startswith(DEFAULTED) and not field.endswith(("name", "attention")):
        begin(config)
    else:
        with refused(field.split(".")[-1] + "|unknown"):
            begin(config)


IMPOSSIBLE = {
    "seed": [-1, 2**63, 10**30],
    "color": ["red"],
    "data.name": ["", "none", "../digits"],
    "data.split": ["", "validation"],
    "data.color": ["red"],
    "process": [
        {},
        {"name": "learned"},
        {"name": "interpolant"},
        {"name": "shifted", "process": "vp"},
        {"name": "shifted", "process": {"name": "vp"}, "factor": 0.0},
        {"name": "vp", "beta_max": 0.01},
        {"name": "ve", "sigma_min": 0.0},
        {"name": "ve", "sigma_max": 1e-3},
        {"name": "edm", "sigma_max": -1.0},
        {"name": "ncsn", "levels": 1},
        {"name": "cosine", "s": -1.0},
        {"name": "sigmoid", "tau": 0.0},
        {"name": "sigmoid", "start": 4.0},
    ],
    "process.betas": [
        [],
        [0.5, 1.0],
        [0.5, NAN],
        ["a"],
        [[0.5]],
        3,
        {"name": "linear", "beta_min": -1.0},
        {"name": "quadratic", "beta_min": -1.0},
        {"name": "cosine", "s": -1.0},
    ],
    "process.betas.steps": [0, -5, 10**12],
    "process.zero_terminal_snr": [3],
    "parameterization": [
        {"name": "edm", "sigma_data": 0.0},
        {"name": "edm", "sigma_data": -1.0},
        {"name": "x0", "unit_input": "no"},
    ],
    "net.channels": [0, -32, 33, 10**12],
    "net.multipliers": [(), (0,), (-1,), (1,) * 50, (10**9,), (1, 1.5)],
    "net.blocks": [0, -1, 10**9],
    "net.attention": [(3,), (0,), (-4,), (16,)],
    "net.dropout": [-0.1, 1.5],
    "net.num_classes": [-1, 3, 10**12],
    "net.sequence": [-1, 10**12],
    "net.head_channels": [-1, 7, 10**12],
    "net.outputs": [1, 0],
    "net.groups": [0, -1, 64, 7],
    "net.heads": [0, -2, 7],
    "net.dtype": ["float16", "int8", ["float32"]],
    "net.attention_kernel": ["cuda", "cudnn"],
    "net.remat": ["some"],
    "net.fourier": [(2000,), (0.5,)],
    "net.parent": [None],
    "net.color": ["red"],
    "loss": [
        {},
        {"name": "none"},
        {"weight": "simple", "times": "uniform"},
        {"name": "importance", "weight": {"name": "simple"}, "steps": 0},
        {"name": "hybrid", "levels": 1},
        {"name": "hybrid", "steps": 10**9},
    ],
    "loss.weight": [
        {},
        {"name": "min_snr", "gamma": -1.0},
        {"name": "edm", "sigma_data": 0.0},
        {"name": "p2", "k": -1.0},
        {"name": "elbo", "gamma": 1.0},
    ],
    "loss.times": [
        {},
        {"name": "uniform", "t_min": 1.0},
        {"name": "uniform", "t_min": -0.5},
        {"name": "log_normal", "std": -1.0},
        {"name": "uniform", "steps": 0},
    ],
    "optimizer.learning_rate": [-1.0, 10**40],
    "optimizer.warmup": [-1, 10**12],
    "optimizer.clip": [-1.0],
    "optimizer.b1": [1.5, -0.1, "0.9"],
    "optimizer.mu_dtype": ["float99", 3],
    "optimizer.nesterov": ["yes"],
    "optimizer.momentum": [0.9],
    "ema": [{"decay": [], "half_life": [], "power": []}, {"decay": [0.9]}],
    "ema.decay": [(-0.1,), (1.1,), (1.0,), (0.99999999, 0.9999999)],
    "ema.half_life": [(0,), (-1.0,)],
    "ema.sigma_rel": [(0.0,), (0.3,), (1e-200,)],
    "ema.color": ["red"],
    "train.color": ["red"],
    "train.steps": [-1, 2**31],
    "train.batch_size": [0, -16, 10**12],
    "train.accumulate": [0, -1, 7],
    "train.log_every": [0, -5],
    "train.sample_every": [0],
    "train.checkpoint_every": [0],
    "train.keep": [0],
    "train.keep_every": [-1],
    "train.max_hours": [-1.0],
    "train.cond_dropout": [-0.1, 1.5],
    "train.augment": [-0.1, 1.5],
    "train.readers": [0, 10**12],
    "train.held_out_examples": [-1],
    "train.guard": [
        {"patience": 0, "rollbacks": 3, "spike": 0.0},
        {"patience": 10, "rollbacks": -1, "spike": 0.0},
        {"patience": 10, "rollbacks": 3, "spike": 0.5},
        {"patience": 10},
    ],
    "train.guard.color": ["red"],
    "train.cpu_devices": [0, -2, 10**12],
    "train.mesh": [
        {"data": 0, "fsdp": 1, "tensor": 1},
        {"data": -1, "fsdp": -1, "tensor": 1},
        {"data": 7, "fsdp": 1, "tensor": 1},
    ],
    "train.mesh.pipeline": [1],
    "train.steps_per_call": [-1, 7],
    "train.device_data": ["sometimes"],
    "debug.color": ["red"],
    "sample.steps": [0, -1, 1001, 10**12],
    "sample.clip": [-1.0, "wide", NAN],
    "sample.color": ["red"],
    "sample.sampler.name": ["ddimm"],
    "sample.sampler.color": ["red"],
    "sample.sampler.variance": ["large", "learned_", [], 3],
    "sample.sampler": [
        {"name": "annealed_langevin", "repeats": 10**12},
        {"name": "ddim", "eta": 2.0},
        {"name": "ddim", "corrector": []},
    ],
    "sample.grid": [
        {},
        {"name": "trailing", "total": 0},
        {"name": "uniform", "t_max": 2.0},
        {"name": "karras", "rho": 0.0},
        {"name": "beta", "a": -1.0},
        {"name": "leading", "offset": -1},
        {"name": "table", "sigmas": []},
        {"name": "table", "sigmas": "a"},
    ],
    "sample.process": ["vp", 3, {"name": "learned"}],
}
UNIT = {field.split(".")[0]: field for field in IMPOSSIBLE}.values()
"""One field of each part."""


@pytest.mark.system
@pytest.mark.parametrize(
    ("field", "value"),
    [
        case(field, value, name=f"{field}-{value!r}", slow=i % 2 > 0, unit=i == 0 and field in UNIT)
        for field, values in IMPOSSIBLE.items()
        for i, value in enumerate(values)
    ],
)
def test_an_impossible_value_is_refused(field, value):
    with refused():
        begin(with_field(small(), field, value))


@pytest.mark.system
@pytest.mark.parametrize(
    "arguments",
    [
        "--config.train.log_every=0",
        "--config.net.multipliers=(1,'a')",
        *(
            pytest.param(argument, marks=pytest.mark.slow)
            for argument in (
                "--config.seed=-1",
                "--config.train.color=red",
                "--config.net.multipliers=()",
                "--config.train.max_hours=nan",
                "--config.data.split=none",
                "--config=configs/nothing.py",
                "--config=README.md",
            )
        ),
    ],
)
def test_train_says_so(refuse, tmp_path, arguments):
    refuse("train.py", "--config=configs/ddpm.py", arguments, f"--workdir={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()
