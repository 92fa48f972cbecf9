"""Evaluate a run of conformers, beside what needs no training (`jaxdiff.evaluation.of_conformers`)."""

import argparse
from pathlib import Path
from typing import Any

import jax

from jaxdiff import __version__
from jaxdiff.cli.output import is_quiet
from jaxdiff.cli.written import put_result
from jaxdiff.errors import InputError
from jaxdiff.evaluation import of_conformers, report, weights
from jaxdiff.modalities.molecules import busted, show_conformers
from jaxdiff.modalities.molecules.embedding import EMBEDDINGS
from jaxdiff.pipelines.model import Model

__all__ = ["EACH", "FOREIGN", "compared"]

EACH = 5
FOREIGN = (
    *("key", "reference", "features", "rounding", "intervals", "likelihood", "extrapolate"),
    *("label", "guidance", "save_reference"),
)
"""Flags of `jaxdiff evaluate` that have no use here."""


def compared(
    given: argparse.Namespace, folder: Path, config: dict[str, Any], model: Model, above: Path, options: dict[str, Any]
) -> None:
    """Draw conformers of held-out molecules, compare, print the figures, and write the JSON and the page.

    Raises:
      InputError: there is nothing held out, or not as many.
    """
    each, most = given.each or EACH, model.spec.shape[0]
    data = {"path": given.held_out, "split": "all"} if given.held_out else (config.get("held_out") or {})
    if not data.get("path"):
        raise InputError("--held-out: this run holds nothing out: name an .sdf or .npz of molecules, or ccd:ATP,ADP")
    molecules = of_conformers.chosen(data["path"], data["split"], most, given.num, given.seed)
    options |= {name: value for name in ("sampler", "steps") if (value := getattr(given, name)) is not None}
    ours = of_conformers.of_model(model, jax.random.key(given.seed), given.batch, **options)
    seeded = lambda make: lambda some, each: make(some, each, given.seed)
    floor = {name: seeded(make) for name, make in EMBEDDINGS.items()} if given.floor else {}
    say = lambda name: None if is_quiet() else print(f"{of_conformers.LABELS.get(name, name)} ...", flush=True)
    rows, drawn = of_conformers.compare(molecules, each, {"samples": ours, **floor}, say)
    result = {
        "jaxdiff": __version__,
        "samples": {
            "workdir": str(folder),
            "weights": model.weights,
            "params_sha256": weights.of_params(model.params),
            "sampler": given.sampler or model.sampler["name"],
            "steps": given.steps or model.steps,
            "seed": given.seed,
            "options": {name: value for name, value in options.items() if name not in ("sampler", "steps")},
        },
        "reference": {"path": data["path"], "split": data["split"], "molecules": len(molecules), "each": each},
        "posebusters": busted.version(),
        "rows": rows,
        "warnings": [
            f"{of_conformers.LABELS.get(name, name)}: made conformers of {row['made']} of {len(molecules)} molecules, "
            "and its figures are of these"
            for name, row in rows.items()
            if row["made"] < len(molecules)
        ],
    }
    _write(
        given,
        result,
        of_conformers.table(rows),
        show_conformers.beside(molecules, [x for x in drawn["samples"] if x is not None]),
        above,
    )


def _write(given: argparse.Namespace, result: dict[str, Any], lines: Any, figure: Any, above: Path) -> None:
    print(report.in_columns(*lines))
    for line in result["warnings"]:
        print(f"warning: {line}")
    about = result["reference"]
    title = f"{given.workdir}: {about['each']} conformers each of {about['molecules']} molecules"
    shown = {"known conformers, and those drawn, laid onto them": show_conformers.rendered(figure)}
    page = report.page(title, result, shown, lines)
    put_result(result, page, given.json, given.report, above)
