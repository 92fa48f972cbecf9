"""Choose: what a configuration says of a data set, a machine and a time, where nobody has said it.

    facts                       what is chosen
    pictures, time              size: 32 pixels on a CPU in minutes, 64 in hours; never more than the pictures have
    size, kind of device        patch, width, levels and attention of the U-Net
    number of pictures          dropout; mirroring, where a mirrored picture cannot be told from others
    classes                     their number, and one in ten without, for guidance
    kind and number of devices  batch
    width                       learning rate
    time                        steps, and what follows from them (`jaxdiff.config.budget`)

All functions here are pure. `choose` puts them together, and leaves alone what the user has set; a choice sees what was
set or chosen before it.
"""

import copy
import math
from collections.abc import Collection
from typing import Any, NamedTuple

from jaxdiff.config.names import Spec

__all__ = [
    "Choice",
    "Facts",
    "accumulate_of",
    "attention_of",
    "batch_of",
    "choose",
    "dropout_of",
    "got",
    "is_set",
    "learning_rate_of",
    "levels_of",
    "minutes_of",
    "patch_of",
    "put",
    "size_of",
    "width_of",
]


class Facts(NamedTuple):
    """What is known before anything is chosen.

    Attributes:
      examples: how many there are.
      shape: (height, width, channels) of one; of a folder, the median side twice, and 1 channel if all are grey.
      classes: how many; 0 for none.
      mirrored: whether a mirrored picture is as good as any.
      rms: root mean square of the pixels in [-1, 1].
      values: lowest and highest value of floating-point pixels in a file; None of others.
      device: "cpu", "gpu" or "tpu", and `devices` how many.
      cores: of the CPU.
      memory: bytes of one device; 0 if unknown.
      minutes: allowed; 0 if nobody has said.
    """

    examples: int
    shape: tuple[int, int, int]
    classes: int = 0
    mirrored: bool = False
    rms: float = 0.5
    values: tuple[float, float] | None = None
    device: str = "cpu"
    devices: int = 1
    cores: int = 1
    memory: float = 0
    minutes: float = 0


class Choice(NamedTuple):
    """One line: what a field becomes, and why."""

    field: str
    value: Any
    why: str

    def __str__(self) -> str:
        field, value = self.field, self.value
        if isinstance(value, dict):
            field, value = f"{field}.name", value["name"]
        text = f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
        return f"  --config.{field}={repr(text) if isinstance(value, tuple) else text}".ljust(50) + f"  {self.why}"


def minutes_of(device: str) -> float:
    """A quarter of an hour on a CPU, an hour on an accelerator: what one waits for while doing something else."""
    return 15.0 if device == "cpu" else 60.0


def size_of(facts: Facts) -> int:
    """The side in pixels that pictures of a folder are brought to.

    The cost of a step grows with the pixels, and what has to be learned does too. With other work on the same 2 cores
    the network chosen here was timed at 79 pictures/s at 32 pixels; a similar one still drew blots after 16,000
    pictures of OpenMoji. 64 pixels are for four core-hours and more, and for accelerators, as Nichol and Dhariwal
    (2021) train on ImageNet; 128 for a day of these. Never more than the pictures have, and a multiple of 8.
    """
    hours = (facts.minutes or minutes_of(facts.device)) / 60
    if facts.device == "cpu":
        side = 64 if hours * facts.cores >= 4 else 32
    else:
        side = 128 if hours * facts.devices >= 24 else 64
    return max(8, min(side, min(facts.shape[:2]) // 8 * 8))


def patch_of(height: int, width: int, device: str) -> int:
    """The side of the squares of pixels that the network sees as one (Hoogeboom et al. 2023, section 3.3).

    On a CPU the grid becomes at most 16x16: measured at 32 pixels on 2 cores of an EPYC, 64 channels at 16x16 take
    13 ms of CPU an image, and 32 channels at 32x32, a quarter of the parameters, 17 ms. Accelerators, which have time
    to spare, see each pixel up to 64, and grids of 64 above.
    """
    grid, patch = 16 if device == "cpu" else 64, 1
    while max(height, width) > grid * patch and height % (2 * patch) == 0 and width % (2 * patch) == 0:
        patch *= 2
    return patch


def levels_of(height: int, width: int, device: str) -> tuple[int, ...]:
    """The width of each level as a multiple of the first, for a grid of patches; as often as both sides can be halved.

    CPU: two or three levels, down to 4x4: most parameters sit where there are fewest pixels. 64 channels in (1, 2, 2)
    take 13 ms of CPU an image for 4.5 million, 96 in (1, 2) 26 ms for 6.3. Accelerators: (1, 2, 2, 2) of DDPM at 32
    pixels, and (1, 2, 3, 4) of Nichol and Dhariwal (2021) at 64.
    """
    wanted = (1, 2, 2) if device == "cpu" else (1, 2, 3, 4) if max(height, width) >= 64 else (1, 2, 2, 2)
    count, both = 1, math.gcd(height, width)
    while both % 2 == 0 and min(height, width) >> count >= 4 and count < len(wanted):
        count, both = count + 1, both // 2
    return wanted[:count]


def width_of(facts: Facts) -> int:
    """The channels of the first level.

    CPU: 48 for less than an hour of a core or less than 1,000 pictures (in two levels 8.6 ms of CPU an image at 32
    pixels, and 1.6 million parameters, as guided.py has for Fashion-MNIST), else 64 (in three levels 13 ms), and 96
    from a day of a core on. Accelerators: 128, as in DDPM, 64 below 5,000 pictures, which 128 would know by heart.
    """
    if facts.device != "cpu":
        return 128 if facts.examples >= 5000 else 64
    hours = (facts.minutes or minutes_of("cpu")) / 60 * facts.cores
    if hours < 1 or facts.examples < 1000:
        return 48
    return 96 if hours >= 24 and facts.examples >= 10_000 else 64


def attention_of(height: int, levels: int, device: str) -> tuple[int, ...]:
    """The heights of the levels that attend: the first of at most 8 on a CPU; of 16 on accelerators, as in DDPM."""
    most = 8 if device == "cpu" else 16
    return tuple(height // 2**level for level in range(levels) if height // 2**level <= most)[:1]


def dropout_of(examples: int) -> float:
    """0.1 below 100,000 pictures, as in DDPM for CIFAR-10; 0 above, as there for LSUN."""
    return 0.1 if examples < 100_000 else 0.0


def batch_of(facts: Facts) -> int:
    """Examples a step: 32 on a CPU, where larger ones are no quicker an image; 128 on an accelerator, as in DDPM.

    Of more devices 64 each, as in EDM (512 on 8). A multiple of the number of devices.
    """
    wanted = 32 if facts.device == "cpu" else max(128, 64 * facts.devices)
    return max(wanted // facts.devices, 1) * facts.devices


def learning_rate_of(width: int) -> float:
    """DDPM's 2e-4 at 128 channels, rising as they fall, to 2e-3, which 32 channels bear on the digits."""
    return round(min(2e-3, 2e-4 * (128 / width) ** 2), 5)


def accumulate_of(facts: Facts, pixels: int, width: int, batch: int) -> int:
    """Parts of a batch, one after the other, so that its activations fit into half of a device's memory.

    An example of float32 keeps less than 100 values a pixel of the grid and channel of the first level: by XLA's own
    account of the gradient 92 in DDPM's network at 32 pixels, 81 in the one for 64, 68 in that for a CPU.
    """
    each = 4 * 100 * pixels * width * batch / facts.devices
    parts = 1
    while facts.memory and each / parts > facts.memory / 2 and batch % (2 * parts * facts.devices) == 0:
        parts *= 2
    return parts


def choose(facts: Facts, config: Spec, fixed: Collection[str] = ()) -> tuple[dict[str, Any], list[Choice]]:
    """The configuration with what was chosen, and each choice.

    Args:
      config: a configuration of images. Choices for a part that it does not name, such as betas, are left out.
      fixed: the dotted names of what the user has set; these, what is within them, and what they are within stay.
    """
    config, made = copy.deepcopy(dict(config)), []

    def chosen(field: str, value: Any, why: str) -> Any:
        if not is_set(field, fixed):
            put(config, field, value)
            made.append(Choice(field, value, why))
        return got(config, field)

    _data(facts, config, chosen)
    sides = _sides(facts, config)
    batch = chosen("train.batch_size", batch_of(facts), f"for {facts.devices} {facts.device} device(s)")
    width = _net(facts, config, chosen, sides)
    if width:
        pixels = math.prod(sides) // max(got(config, "net.patch") or 1, 1) ** 2
        parts = accumulate_of(facts, pixels, width, batch)
        if parts > 1:
            chosen("train.accumulate", parts, f"a device has {facts.memory / 2**30:.0f} GB")
        rate = learning_rate_of(width)
        chosen("optimizer.learning_rate", rate, f"the narrower the network the higher; {width} channels")
    if is_set("train.steps", fixed):
        chosen("optimizer.warmup", 200 if facts.device == "cpu" else 1000, "steps of a linear rise")
    if not is_set("ema.decay", fixed):
        chosen("ema.sigma_rel", (0.1,), "an average as wide as a tenth of training (Karras et al. 2024)")
        chosen("ema.decay", (), "no other average")
    if config["process"].get("betas", {}).get("name") == "linear" and max(sides) <= 64:
        betas = {"name": "cosine", "steps": config["process"]["betas"].get("steps", 1000)}
        chosen("process.betas", betas, "linear ones destroy small pictures too early (Nichol and Dhariwal 2021)")
    if config["parameterization"].get("name") == "edm":
        rms = round(facts.rms, 2)
        chosen("parameterization.sigma_data", rms, "root mean square of the pixels")
        if config["loss"].get("weight", {}).get("name") == "edm":
            chosen("loss.weight.sigma_data", rms, "the same")
    _sampling(config, chosen, facts)
    if not facts.minutes and "train.steps" not in fixed:
        chosen("train.minutes", minutes_of(facts.device), "to train for; the same as --minutes")
    return config, made


def _data(facts: Facts, config: dict[str, Any], chosen: Any) -> None:
    kind, (height, width, channels) = config["data"].get("name"), facts.shape

    def of_both(field: str, value: Any, why: str) -> None:
        value = chosen(f"data.{field}", value, why)
        if got(config, "held_out.name") == kind:
            chosen(f"held_out.{field}", value, f"as data.{field}")

    if kind == "folder":
        of_both("size", size_of(facts), f"pixels a side; the pictures have {min(height, width)}")
        of_both("channels", channels, "all are grey" if channels == 1 else "some have colors")
    if kind == "arrays" and facts.values:
        low, high = facts.values
        if low >= 0 and (high <= 1 or high <= 255):
            of_both("low", 0.0, f"the values are from {low:g} to {high:g}")
            of_both("high", 1.0 if high <= 1 else 255.0, "the same")
    if kind in ("folder", "arrays", "tfds"):
        why = "a mirrored picture is as good" if facts.mirrored else "mirrored pictures can be told from the others"
        chosen("data.flip", facts.mirrored, why)


def _sides(facts: Facts, config: dict[str, Any]) -> tuple[int, int]:
    """Height and width of an image as the network sees it."""
    size, factor = got(config, "data.size"), got(config, "train.downsample") or 1
    height, width = (size, got(config, "data.width") or size) if size else facts.shape[:2]
    return height // factor, width // factor


def _net(facts: Facts, config: dict[str, Any], chosen: Any, sides: tuple[int, int]) -> int:
    """Choose a U-Net; its width, or 0 of another network."""
    if config["net"].get("name") != "unet":
        return 0
    device = facts.device
    why = f"side of the squares of pixels seen as one, of {max(sides)}"
    patch = max(chosen("net.patch", patch_of(*sides, device), why) or 1, 1)
    height, width = (side // patch for side in sides)
    grid = f"{height}x{width}"
    channels = chosen("net.channels", width_of(facts), f"for {facts.examples:,} examples and this time") or 128
    chosen("net.groups", 32 if channels % 32 == 0 else 16, f"a divisor of {channels}")
    levels = chosen("net.multipliers", levels_of(height, width, device), f"levels of a grid of {grid}") or (1, 2, 2, 2)
    chosen("net.blocks", 1 if device == "cpu" else 2, "a level")
    chosen("net.attention", attention_of(height, len(levels), device), "heights of the levels that attend")
    chosen("net.dropout", dropout_of(facts.examples), f"for {facts.examples:,} examples")
    if facts.classes > 1:
        chosen("net.num_classes", facts.classes, "classes there are")
        chosen("train.cond_dropout", 0.1, "examples without their class, for guidance")
    return channels


def _sampling(config: dict[str, Any], chosen: Any, facts: Facts) -> None:
    """A sampler of few steps on a CPU, so that previews and pictures do not take longer than training."""
    if facts.device == "cpu" and config["sample"]["steps"] > 50:
        total = config["sample"]["grid"].get("total")
        chosen("sample.sampler", {"name": "dpmpp_2m"}, "few steps are enough (Lu et al. 2022)")
        chosen("sample.steps", 30, "a picture in seconds")
        chosen("sample.grid", {"name": "trailing", **({"total": total} if total else {})}, "from noise alone")


def is_set(field: str, fixed: Collection[str]) -> bool:
    """Tell whether the user has set a field, something within it, or what it is within."""
    return any(f"{one}.".startswith(f"{field}.") or f"{field}.".startswith(f"{one}.") for one in fixed)


def put(config: dict[str, Any], field: str, value: Any) -> None:
    """Set a field by its dotted name."""
    *parents, last = field.split(".")
    for parent in parents:
        config = config.setdefault(parent, {})
    config[last] = value


def got(config: Any, field: str) -> Any:
    """The value of a field by its dotted name; None if there is none."""
    for name in field.split("."):
        if not isinstance(config, dict) or name not in config:
            return None
        config = config[name]
    return config
