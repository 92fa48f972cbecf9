"""A chain with a bar draws what one without draws, to the bit, and compiles once for any number of steps at a time."""

import io
import sys
from types import SimpleNamespace
from typing import ClassVar
from unittest import mock

import jax
import numpy as np
import pytest

from jaxdiff.config.sampling import Bound
from jaxdiff.gaussian import grids, schedules
from jaxdiff.gaussian.mixture import gaussian_mixture
from jaxdiff.modalities.images.spec import image_spec
from jaxdiff.pipelines import progress
from jaxdiff.pipelines.draw import make_stages
from jaxdiff.pipelines.model import Model
from jaxdiff.types import class_label

KEY = jax.random.key(3)
VP = schedules.vp()
MEANS = np.random.default_rng(0).normal(size=(3, 4, 4, 1)).astype(np.float32)


def bind(params, condition):
    """The exact denoiser of a mixture, whose means are the parameters, moved by a label."""
    means = params["means"] if condition is None else params["means"] * (1 + condition["label"].mean())
    return Bound(VP, gaussian_mixture(VP, np.ones(3), means, np.full((3, 1, 1, 1), 0.2, np.float32)))


MODEL = Model(
    {"means": MEANS},
    image_spec((4, 4, 1)),
    grids.trailing,
    steps=13,
    sampler={"name": "ddim"},
    options={"clip": np.inf},
    bind=bind,
    path=VP,
    conditions={"label": class_label(3)},
)


def drawn(how, shown, frames=4, n=3, model=MODEL):
    return jax.tree.map(np.asarray, model.trajectory(KEY, n, frames, progress=shown, **how))


HOWS = {
    "ddim": {"eta": 0.3},
    "dpmpp_2m": {"sampler": "dpmpp_2m"},
    "ancestral": {"sampler": "ancestral", "variance": "fixed_large"},
    "unipc": {"sampler": "unipc", "order": 3},
    "corrector": {"sampler": "reverse_diffusion", "corrector": "langevin"},
    "guided": {"guidance": 2.0, "condition": 1},
    "heun": {"sampler": "heun"},
}


@pytest.mark.system
@pytest.mark.parametrize("name", [*list(HOWS)[:1], *(pytest.param(h, marks=pytest.mark.slow) for h in list(HOWS)[1:])])
def test_the_same_bits_as_without_a_bar(name):
    for at_once in (1e-9, 0.2):  # a step at a time, and more and more
        with mock.patch.object(progress, "AT_ONCE_S", at_once):
            for one, other in zip(drawn(HOWS[name], True), drawn(HOWS[name], False), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.system
def test_a_bar_compiles_once_for_any_number_of_steps_at_a_time(monkeypatch):
    stages = make_stages(MODEL.bind, MODEL.path, MODEL.mesh)
    drawn({"sampler": "euler"}, True)
    before = stages.advance._cache_size()
    monkeypatch.setattr(progress, "AT_ONCE_S", 1e-9)
    drawn({"sampler": "euler"}, True)
    assert stages.advance._cache_size() == before


@pytest.mark.system
def test_what_is_being_traced_has_no_bar():
    shown = jax.jit(lambda key: MODEL.sample(key, 2, progress=True))(KEY)
    np.testing.assert_allclose(shown, MODEL.sample(KEY, 2, progress=False), atol=1e-5)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.system
@pytest.mark.parametrize(
    ("progress_", "terminal", "disabled", "expected"),
    [
        (None, True, "", True),
        (None, False, "", False),
        (False, True, "", False),
        (True, False, "", True),
        (None, True, "1", False),
    ],
)
def test_where_bars_are_shown(progress_, terminal, disabled, expected, monkeypatch):
    err = (Terminal if terminal else io.StringIO)()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    if disabled:
        monkeypatch.setenv("TQDM_DISABLE", disabled)
    MODEL.sample(KEY, 2, progress=progress_)
    assert ("compiling" in err.getvalue()) == expected
    assert ("step" in err.getvalue()) == expected


def test_a_notebook_is_known(monkeypatch):
    class Shell:
        config: ClassVar = {"IPKernelApp": {}}

    assert not progress.in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=Shell))
    assert progress.in_notebook()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))
    assert not progress.in_notebook()
