"""Warm start: the parameters of a trained model, as far as they fit, in a network that is about to be trained."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxdiff.config.names import in_words
from jaxdiff.config.parts import LOSS
from jaxdiff.data.tokenizer import from_details
from jaxdiff.errors import InputError
from jaxdiff.losses.needs import needs_of
from jaxdiff.pipelines.options import check_mean
from jaxdiff.types import Params, Spec, by_path, path_name

__all__ = ["check_teacher", "for_players", "other_meanings", "others", "same_pieces", "warm_start"]


def warm_start(params: Params, trained: Params) -> tuple[Params, str]:
    """`(parameters, what was kept)`: of each path, the trained array if it has the same shape.

    Args:
      params: of the new network, arrays; the result has their types and places.
      trained: the parameters of another, arrays.

    Raises:
      InputError: no array fits.
    """
    there = by_path(trained)
    kept, new = [], []

    def choose(path, leaf):
        name = path_name(path)
        if name in there and there[name].shape == leaf.shape:
            kept.append(name)
            return jax.device_put(np.asarray(there[name]).astype(leaf.dtype), leaf.sharding)
        had = f"{there[name].shape} there" if name in there else "not there"
        new.append(f"{name} {leaf.shape} ({had})")
        return leaf

    begun = jax.tree_util.tree_map_with_path(choose, params)
    left = sorted(there.keys() - by_path(params).keys())
    if not kept:
        raise InputError(f"none of its {len(there)} arrays fits this network: configure the same one")
    told = f"kept {len(kept)} of {len(there)} arrays, below {', '.join(sorted({k.partition('/')[0] for k in kept}))}"
    told += f"; new: {', '.join(new)}" if new else ""
    return begun, told + (f"; left out: {', '.join(left)}" if left else "")


def for_players(params: Params, trained: Params) -> Params:
    """The parameters of a trained model, for two players once each; of one that was a player, the generator's.

    A critic that is another network begins anew. A control net begins as a copy of the network that it is to control.
    """
    if isinstance(params, Mapping) and "control" in params and "control" not in trained:
        return {**trained, "control": {name: trained[name] for name in params["control"].keys() & trained.keys()}}
    players = {"generator", "critic"}
    names = lambda tree: set(tree) if isinstance(tree, Mapping) else set()
    if names(params) == players and names(trained) != players:
        critic, alike = params["critic"], names(params["critic"]) == names(params["generator"])
        judged = {"score": trained, "judge": trained} if names(critic) == {"score", "judge"} else None
        return {"generator": trained, **({"critic": judged or trained} if alike or judged else {})}
    return trained["generator"] if names(trained) == players and names(params) != players else trained


def same_pieces(
    trained: Params, there: Mapping[str, Any] | None, here: Mapping[str, Any] | None
) -> tuple[Params, list[str]]:
    """`(parameters, what differs)`: those of a model that reads captions, for another tokenizer.

    Each piece of a text keeps its vector, whatever its number is; those that the model does not know begin at random,
    with the mean and the deviation of the others.

    Args:
      there, here: `Spec.details["text"]` of the trained model, and of the network that is to be trained.
    """
    if not (there and here) or there["tokenizer"] == here["tokenizer"]:
        return trained, []
    known, wanted = (from_details(details).core.get_vocab() for details in (there, here))
    both = sorted(known.keys() & wanted.keys())

    def moved(path, leaf):
        if not path_name(path).endswith("text/tokens/embedding"):
            return leaf
        table = np.asarray(leaf)
        noise = np.random.default_rng(0).normal(size=(here["vocabulary"], table.shape[1]))
        rows = (table.mean(0) + table.std(0) * noise).astype(table.dtype)
        rows[[wanted[piece] for piece in both]] = table[[known[piece] for piece in both]]
        return rows

    told = f"tokenizer ({len(both)} of the {len(wanted)} pieces are known to it)"
    return jax.tree_util.tree_map_with_path(moved, trained), [told]


MEANINGS = {
    "classes": "list of classes",
    "elements": "list of elements",
    "schema": "schema of columns",
    "speakers": "list of speakers",
    "vocabulary": "vocabulary",
}
"""Details of a specification that say which thing a number stands for, in words."""


def other_meanings(there: Spec, here: Spec) -> list[str]:
    """Where a number stands for another thing in the data that a trained model learned than in ours."""
    both = there.details.keys() & here.details.keys()
    return [told for name, told in MEANINGS.items() if name in both and there.details[name] != here.details[name]]


def others(config: Mapping[str, Any], trained: Mapping[str, Any] | None) -> list[str]:
    """The parts of a trained model's configuration, if that is known, by which its weights mean something else."""
    if trained is None:
        return []
    differing = [part for part in ("process", "parameterization") if dict(config[part]) != dict(trained[part])]
    return [f"{part} ({in_words(trained[part]['name'])})" for part in differing]


def check_teacher(
    config: Mapping[str, Any], teacher: Mapping[str, Any] | None, params: Params, trained: Params
) -> None:
    """Refuse a teacher that a student cannot begin as.

    Args:
      config, teacher: the configurations of the student and of its teacher; None if that is not known.
      params, trained: their parameters.

    Raises:
      InputError: its process or parameterization is another, or its network, but for what tells of a second time
        or a scale; or it is told a scale of guidance itself; or it is to be guided, and was never trained without its
        condition; or it has learned jumps, but for steps that are to be halved further.
    """
    if differing := others(config, teacher):
        raise InputError(f"a teacher of another {differing[0]}: take that of the teacher")
    if teacher and (scales := teacher["train"].get("guidance")):
        raise InputError(
            f"a teacher that is told the scale of its guidance, from {scales[0]:g} to {scales[1]:g}, is no teacher of "
            "one scale, nor to be guided again: take the one that it was distilled from"
        )
    told = config["train"].get("guidance")
    scale = told or config["loss"].get("guidance", 1.0)
    if teacher and scale != 1 and not teacher["train"]["cond_dropout"]:
        raise InputError(
            f"{'train' if told else 'loss'}.guidance={scale}: this teacher was never trained without its condition: "
            "take one trained with train.cond_dropout, such as 0.1, or guidance=1"
        )
    if teacher and not _goes_on(config["loss"], teacher["loss"]):
        check_mean(needs_of(LOSS.find(teacher["loss"])).samplers, "a teacher")
    added = lambda name: {"until", "guidance"} & {*name.split("/")}
    mine, theirs = ({k: p.shape for k, p in by_path(tree).items() if not added(k)} for tree in (params, trained))
    if mine != theirs:
        first = sorted(k for k in mine.keys() | theirs.keys() if mine.get(k) != theirs.get(k))[0]
        raise InputError(f"a teacher of another network ({first}): configure the student's net as the teacher's")


def _goes_on(loss: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Tell whether a student goes on to halve the steps that its teacher was distilled to."""
    same = loss["name"] == before["name"] == "progressive"
    return same and loss.get("total", 64) == before.get("last", 1) and loss.get("guidance", 1.0) == 1
