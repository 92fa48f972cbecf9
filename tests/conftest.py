import json
import os
import subprocess
import sys
from pathlib import Path

import chex
import jax
import numpy as np
import pytest

pytest.register_assert_rewrite("tests.helpers")

from tests.helpers import oracle  # noqa: E402
from tests.helpers.cases import tiers  # noqa: E402

FIRST = ["system", "training", "corpus"]
"""The folders with the longest tests, which begin first, since several processes share the tests."""


TIERS = ("system", "corpus", "statistical", "slow", "parity")


def pytest_collection_modifyitems(items):
    """Mark the tests by folder; of the corpus the first case of each test, and those marked so, are unit tests.

    And so are all that belong to no other tier.
    """
    seen = set()
    for item in items:
        folder = item.path.parent.name
        if folder == "system":
            item.add_marker(pytest.mark.system)
        elif folder == "corpus":
            item.add_marker(pytest.mark.filterwarnings("ignore"))  # what Pillow and NumPy warn of, they read or refuse
            test = item.nodeid.partition("[")[0]
            if test in seen and not item.get_closest_marker("unit"):
                item.add_marker(pytest.mark.corpus)
            seen.add(test)
        if not any(item.get_closest_marker(tier) for tier in TIERS):
            item.add_marker(pytest.mark.unit)
    items.sort(key=lambda item: FIRST.index(item.path.parent.name) if item.path.parent.name in FIRST else len(FIRST))


CACHE = Path(__file__).parent.parent / ".pytest_cache" / "jax"
"""Compiled programs, shared by all tests and the processes that they start, and kept from one run to the next."""


LONG = TIERS[2:]


QUICK = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
"""Without optimizations XLA compiles so in half to three quarters of the time, with them in twice the time."""


def pytest_configure(config):
    if config.option.markexpr not in LONG:
        os.environ["XLA_FLAGS"] = f"{QUICK} {os.environ.get('XLA_FLAGS', '')}"  # read before the first computation
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(CACHE)  # so that no command that a test calls takes the user's
    jax.config.update("jax_compilation_cache_dir", str(CACHE))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(params=tiers(["ddpm", "ddpm_cosine", "vp", "cosine"], ["ddpm", "vp"]))
def any_process(request):
    """One that preserves the variance."""
    return oracle.PROCESSES[request.param]()


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def own_traces():
    """Each test counts its own traces (`chex.assert_max_traces`)."""
    chex.clear_trace_counter()


@pytest.fixture(autouse=True)
def compilation(request):
    """Programs are compiled in half the time and run slower, but for long tests, which may ask for that too."""
    long = any(request.node.get_closest_marker(name) for name in LONG)
    quick = not long or "quick_compilation" in request.fixturenames
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture
def quick_compilation():
    """For long tests of many networks or samplers and few numbers."""


@pytest.fixture(scope="session")
def environment():
    """Of the programs that tests start: one compilation cache for all, and quick compilation."""
    return {
        **os.environ,
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "JAX_COMPILATION_CACHE_DIR": str(CACHE),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    }


@pytest.fixture(scope="session")
def call(environment):
    """`call(script, *arguments, code=0, **environment) -> (stdout, stderr)` of train.py or sample.py."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.helpers.script_server"],
        env=environment,
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdin
    assert server.stdout

    def run(script, *arguments, code=0, **further):
        print(json.dumps([script, arguments, further]), file=server.stdin, flush=True)
        ended, out, err = json.loads(server.stdout.readline())
        assert ended == code, out + err
        return out, err

    yield run
    server.stdin.close()
    server.stdout.close()
    assert server.wait() == 0


@pytest.fixture(scope="session")
def refuse(call):
    """`refuse(script, *arguments) -> message`: the one line with which a script ends that was given bad input."""

    def run(script, *arguments):
        _, err = call(script, *arguments, code=2)
        assert err.startswith("error: ")
        assert len(err.strip().splitlines()) == 1, err
        return err

    return run
