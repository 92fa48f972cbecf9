"""Choices by data, machine and time: they fit the schema, grow with what there is, and leave what the user has set."""

import pytest

from jaxdiff.config.budget import Speed, early, nice, within
from jaxdiff.config.build import build_core
from jaxdiff.config.choose import (
    Facts,
    accumulate_of,
    attention_of,
    batch_of,
    choose,
    got,
    learning_rate_of,
    levels_of,
    patch_of,
    size_of,
    width_of,
)
from jaxdiff.config.schema import check_fields
from jaxdiff.modalities.images.spec import image_spec
from tests.helpers.cases import tiers
from tests.helpers.configs import get_config

PICTURES = Facts(300, (64, 64, 3), device="cpu", cores=2)
GPU = PICTURES._replace(device="gpu", cores=16, memory=80 * 2**30)
MACHINES = {"cpu": PICTURES, "gpu": GPU, "eight": GPU._replace(devices=8), "tpu": GPU._replace(device="tpu")}


def a_config(file="ddpm", kind="folder"):
    return get_config(f"{kind}=x", file)


def sides_of(config):
    return config["data"]["size"] // config["net"]["patch"]


# ---- what comes out is a configuration


@pytest.mark.system
@pytest.mark.parametrize("file", tiers(["ddpm", "edm", "flow", "vdm", "iddpm"], ["edm"]))
@pytest.mark.parametrize("machine", tiers(MACHINES, ["cpu", "eight"]))
@pytest.mark.parametrize("examples", [300, 2_000_000])
def test_is_valid(file, machine, examples):
    config, made = choose(MACHINES[machine]._replace(examples=examples, classes=3), a_config(file), ())
    check_fields(config)
    side = config["data"]["size"]
    shapes = build_core(config, image_spec((side, side, 3))).shapes
    assert shapes
    assert {one.field for one in made} >= {"data.size", "net.channels", "train.batch_size", "train.minutes"}
    assert all(got(config, one.field) == one.value for one in made)
    assert all(str(one).startswith("  --config.") and "\n" not in str(one) and one.why for one in made)


@pytest.mark.system
@pytest.mark.parametrize("height", tiers([8, 9, 12, 28, 30, 32, 45, 48, 64, 96, 128], [9, 28]))
@pytest.mark.parametrize("width", tiers([8, 28, 31, 32, 64], [28, 31]))
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_network_for_any_size(height, width, device):
    facts = PICTURES._replace(shape=(height, width, 1), device=device)
    config, _ = choose(facts, a_config(kind="arrays"), ())
    assert build_core(config, image_spec((height, width, 1))).shapes


# ---- more of anything never chooses less


def test_is_monotone():
    minutes = [1, 15, 60, 120, 240, 1440, 10_000]
    for facts in MACHINES.values():
        for what in (size_of, width_of):
            found = [what(facts._replace(shape=(512, 512, 3), examples=20_000, minutes=m)) for m in minutes]
            assert found == sorted(found), (what, found)
        found = [width_of(facts._replace(examples=n)) for n in (10, 300, 5000, 10**6)]
        assert found == sorted(found)
        found = [batch_of(facts._replace(devices=n)) for n in (1, 2, 8, 64)]
        assert found == sorted(found)
        assert all(batch_of(facts._replace(devices=n)) % n == 0 for n in (1, 2, 3, 7, 8, 64))
    rates = [learning_rate_of(width) for width in (32, 48, 64, 96, 128, 256)]
    assert rates == sorted(rates, reverse=True)
    assert (rates[0], rates[4]) == (2e-3, 2e-4)
    parts = [accumulate_of(GPU._replace(memory=m * 2**30), 64**2, 128, 128) for m in (80, 24, 8, 4)]
    assert parts == sorted(parts)
    assert parts[-1] > 1


def test_sizes():
    assert size_of(PICTURES) == 32
    assert size_of(PICTURES._replace(minutes=180)) == 64
    assert size_of(GPU) == 64
    assert size_of(PICTURES._replace(shape=(20, 90, 3))) == 16  # no more than there is, a multiple of 8
    assert [patch_of(s, s, "cpu") for s in (8, 16, 28, 32, 64, 31)] == [1, 1, 2, 2, 4, 1]
    assert [patch_of(s, s, "gpu") for s in (32, 64, 128, 256)] == [1, 1, 2, 4]
    assert levels_of(16, 16, "cpu") == (1, 2, 2)
    assert levels_of(14, 14, "cpu") == (1, 2)
    assert levels_of(15, 16, "cpu") == (1,)
    assert (attention_of(16, 3, "cpu"), attention_of(32, 4, "gpu"), attention_of(15, 1, "cpu")) == ((8,), (16,), ())


def test_what_the_data_are():
    grey = PICTURES._replace(shape=(64, 64, 1), mirrored=True, rms=0.7, classes=4)
    config, _ = choose(grey, a_config("edm"), ())
    assert (config["data"]["channels"], config["data"]["flip"], config["net"]["num_classes"]) == (1, True, 4)
    assert config["parameterization"]["sigma_data"] == config["loss"]["weight"]["sigma_data"] == 0.7
    floats = PICTURES._replace(values=(0.0, 0.98))
    config, _ = choose(floats, a_config("ddpm", "arrays"), ())
    assert (config["data"]["low"], config["data"]["high"]) == (0, 1)
    assert choose(floats._replace(values=(0.0, 250.0)), a_config("ddpm", "arrays"), ())[0]["data"]["high"] == 255
    assert choose(floats._replace(values=(-0.9, 0.98)), a_config("ddpm", "arrays"), ())[0]["data"]["low"] == -1


# ---- what the user has set stays


def test_what_is_set_is_never_changed():
    """Each choice in turn, set to another value by the user, and the parts that contain it."""
    _, made = choose(PICTURES._replace(classes=3), a_config("edm"), ())
    for one in made:
        for fixed in (one.field, one.field.rpartition(".")[0]):
            config, others = choose(PICTURES._replace(classes=3), a_config("edm"), (fixed,))
            assert got(config, one.field) == got(a_config("edm"), one.field)
            assert one.field not in {other.field for other in others}


def test_held_out_pictures_are_brought_to_the_same_range():
    """Read from -1 to 1, those of floats from 0 to 1 would be grey, and no error would say so."""
    config = a_config("ddpm", "arrays") | {"held_out": {"name": "arrays", "path": "test.npy"}}
    floats = PICTURES._replace(values=(0.0, 0.98))
    held_out = choose(floats, config, ())[0]["held_out"]
    assert (held_out["low"], held_out["high"]) == (0, 1)
    config["held_out"]["low"] = 0.2
    assert choose(floats, config, ("held_out.low",))[0]["held_out"]["low"] == 0.2
    assert "low" not in choose(floats, config | {"held_out": {"name": "digits"}}, ())[0]["held_out"]


def test_choices_follow_what_is_set():
    config = a_config()
    config["data"]["size"] = 64
    chosen, _ = choose(PICTURES, config, ("data.size",))
    assert (chosen["data"]["size"], chosen["net"]["patch"], sides_of(chosen)) == (64, 4, 16)
    config["net"] = {**config["net"], "channels": 32}
    chosen, _ = choose(PICTURES, config, ("data.size", "net.channels"))
    assert (chosen["net"]["channels"], chosen["optimizer"]["learning_rate"]) == (32, 2e-3)
    config["net"] = {"name": "mlp"}
    assert choose(PICTURES, config, ("net.name",))[0]["net"] == {"name": "mlp"}


def test_is_pure():
    config = a_config()
    before = repr(config)
    assert choose(PICTURES, config, ()) == choose(PICTURES, config, ())
    within(config, 600, Speed(0.1), ())
    assert repr(config) == before


# ---- time


@pytest.mark.parametrize("file", ["ddpm", "edm", "iddpm", "score_sde", "ncsn", "vdm", "flow", "guided"])
def test_within_is_valid(file):
    config, made = within(get_config("vp" if file == "score_sde" else "digits", file), 900, Speed(0.2, 10), ())
    check_fields(config)
    assert {"train.steps", "optimizer.warmup", "optimizer.schedule"} <= {one.field for one in made}
    steps, warmup = config["train"]["steps"], config["optimizer"]["warmup"]
    assert warmup <= steps / 20
    assert config["optimizer"]["schedule"] == {"name": "cosine_decay_schedule", "decay_steps": steps - warmup}
    assert all(1 / (1 - decay) <= steps / 20 + 1 for decay in config["ema"]["decay"])


def test_steps_fit_and_grow_with_time():
    config = choose(PICTURES, a_config("edm"), ())[0]
    speed = Speed(0.3, 20)
    steps = [within(config, s, speed, ())[0]["train"]["steps"] for s in (1, 60, 300, 900, 3600)]
    assert steps == sorted(steps)
    assert steps[0] == 1
    assert 0.7 * 900 < steps[3] * 0.3 + 20 < 900
    slower = within(config, 900, Speed(0.6, 20), ())[0]["train"]["steps"]
    assert slower < 0.55 * steps[3]


def test_steps_get_their_part_of_a_short_time():
    """Where compiling takes all of two minutes, half as long again goes to the steps."""
    config = choose(PICTURES, a_config("edm"), ())[0]
    assert within(config, 60, Speed(0.5, 120), (), least=60)[0]["train"]["steps"] == 120
    assert within(config, 900, Speed(0.5, 1), (), least=60) == within(config, 900, Speed(0.5, 1), ())


def test_pictures_do_not_take_the_time_of_the_steps():
    """64 pictures in 30 steps of a sampler take as long as 40 steps of 32 examples."""
    config = a_config("edm")
    config["train"]["batch_size"], config["sample"]["steps"] = 32, 30
    every = [within(config, s, Speed(1.0), ())[0]["train"]["sample_every"] for s in (60, 4000)]
    assert every == [nice(3 * 40), nice(3400 / 4)]


def test_lengths_of_schedules_are_scaled():
    config = a_config()
    config["train"]["steps"] = 1000
    config["optimizer"]["schedule"] = {"name": "exponential_decay", "transition_steps": 500, "decay_rate": 0.5}
    config["ema"] = {"decay": (0.9, 0.9999), "half_life": (1e9,), "sigma_rel": (0.1,)}
    out = within(config, 600, Speed(0.1), ())[0]
    steps = out["train"]["steps"]
    assert out["optimizer"]["schedule"]["transition_steps"] == round(steps / 2)
    assert out["ema"]["decay"] == (0.9, round(1 - 20 / steps, 6))
    assert out["ema"]["half_life"] == (steps * 128 / 20,)
    assert out["ema"]["sigma_rel"] == (0.1,)


def test_what_is_set_stays_within_a_budget():
    config = get_config()
    _, made = within(config, 900, Speed(0.2), ())
    for one in made:
        out, others = within(config, 900, Speed(0.2), (one.field,))
        assert got(out, one.field) == got(config, one.field)
        assert one.field not in {other.field for other in others}


def test_early_pictures():
    config = get_config()
    config["train"] |= {"steps": 10_000, "sample_every": 2500}
    config["sample"]["steps"] = 10
    assert early(Speed(0.1), config, 1) == (200, 400, 800, 1600)  # 20 s, and then twice as long each time
    assert early(Speed(0.1), config, 50) == (200, 400, 800, 1600)
    assert all(step % 64 == 0 for step in early(Speed(0.1), config, 64))
    config["sample"]["steps"] = 1000  # a preview takes 64 * 2 * 1000 / 3 of an example's time, here 33 s
    assert early(Speed(0.1), config, 1)[0] * 0.1 > 60
    config["train"]["sample_every"] = 100
    assert early(Speed(0.1), config, 1) == ()


def test_nice_numbers():
    assert [nice(x) for x in (0.3, 1, 3, 9, 10, 24, 26, 49, 99, 101, 260, 999, 2600)] == [
        1, 1, 2, 5, 10, 10, 25, 25, 50, 100, 250, 500, 2500,
    ]  # fmt: skip


def test_facts_need_no_minutes():
    assert choose(PICTURES, a_config(), ())[0]["train"]["minutes"] == 15
    assert choose(GPU, a_config(), ())[0]["train"]["minutes"] == 60
    assert choose(PICTURES, a_config(), ("train.steps",))[0]["train"]["minutes"] == 0
    assert "train.minutes" not in {one.field for one in choose(PICTURES._replace(minutes=3), a_config(), ())[1]}
