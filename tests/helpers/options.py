"""What cannot be asked of sampling."""

import math

import numpy as np

NAN = float("nan")


ASKED = {
    "n": [0, -1, 2.5, "3", None, [], NAN, 10**30],
    "frames": [-1, 7, 1.5, "2", None, []],
    "steps": [0, -1, 101, 2.5, "5", [], NAN, 10**12],
    "sampler": ["ddimm", [], 3, {}],
    "condition": [{"label": [0, 1]}, {"image": 0}, [0, 1], 3, "cat", [[1], [1, 2]], [0.5]],
    "eta": [-0.1, 1.1, NAN, "much", None, [], [0.5, 0.5], 1j, 10**400],
    "clip": [-1, NAN, "wide", [], None, {}],
    "threshold": [-0.1, 1.1, NAN, []],
    "temperature": [-1, NAN, "hot", []],
    "cache": [0, 1.5, "3x", None, []],
    "corrector": ["langevine", [], 3, {}],
    "order": [0, 5, 1.5, "2", []],
    "repeats": [0, 1.5, 10**12, math.inf],
    "guidance": [2.0, NAN, "much", None, []],
    "guidance_rescale": [-0.1, 1.1],
    "guidance_low": [-1, NAN],
    "negative": [3, {"vector": np.zeros((2, 3))}, {}],
    "start": [-0.1, 0, 1.1, NAN, "late", [0.5, 0.5], {}],
    "variance": ["large", [], 3, {}],
    "color": ["red"],
}
TAKES = {
    "n": "ddim",
    "order": "deis",
    "repeats": "annealed_langevin",
    "variance": "ancestral",
    "temperature": "ancestral",
}
