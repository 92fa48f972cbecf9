"""Records of runs, damaged."""

import json

from tests.helpers.cases import cases, refused
from tests.helpers.configs import SPEC, tiny, with_field
from tests.helpers.runs import loaded, record

NUMBERS = {name: [0.5, 1.0] for name in ("median", "mean", "std")}
NAMES = {"columns": ["a", "b"], "label": "", "classes": []}
DETAILS = {**NAMES, **NUMBERS, "kept": [True, True], "missing": "median"}
TABLE = {"shape": [2], "modality": "tables", "details": DETAILS}
NO_RECORD = "is not the record of a run"
RECORDS = {
    "nothing": (b"", NO_RECORD),
    "half of it": (json.dumps(record()).encode()[:900], NO_RECORD),
    "zeros": (bytes(100), NO_RECORD),
    "no UTF-8": (b'{"format": "\xff"}', NO_RECORD),
    "a million brackets": (b"[" * 10**6, NO_RECORD),
    "a number of 10,000 digits": (b'{"format": 1' + b"0" * 10**4 + b"}", NO_RECORD),
    "a list": (b"[1, 2]", NO_RECORD),
    "a number": (b"1", NO_RECORD),
    "null": (b"null", NO_RECORD),
    "a text": (b'"run"', NO_RECORD),
    "no fields": (b"{}", NO_RECORD),
    **{
        f"without {k}": (json.dumps({n: v for n, v in record().items() if n != k}).encode(), NO_RECORD)
        for k in record()
    },
    **{
        f"format {f!r}": (json.dumps(record(format=f)).encode(), "of format")
        for f in (0, 2, -1, 1.5, "1", True, None, [1], {})
    },
    **{
        f"shape {s!r}": (json.dumps(record(spec=SPEC._asdict() | {"shape": s})).encode(), "shape")
        for s in (
            [],
            [8, 8],
            [8, 8, 1, 1],
            [8, 8, 0],
            [-8, 8, 1],
            [8.0, 8, 1],
            "881",
            ["8", 8, 1],
            None,
            8,
            {"a": 8},
            [8, 8, True],
            [10**30, 8, 1],
            [2**20, 2**20, 3],
        )
    },
    **{
        f"spec {s!r}": (json.dumps(record(spec=s)).encode(), "is not the record of a run|spec")
        for s in (None, [], "images", 3, {}, {"shape": [8, 8, 1]}, {**SPEC._asdict(), "color": 1})
    },
    **{
        f"{name} {value!r}": (json.dumps(record(spec=SPEC._asdict() | {name: value})).encode(), message)
        for name, value, message in [
            ("modality", "smells", "unknown modality 'smells': allowed are audio, images"),
            ("modality", None, "modality"),
            ("modality", "tables", "an example of tables has the axes"),
            ("low", 0, "those of images are -1.0 and 1.0"),
            ("high", "1", "spec.high"),
            ("levels", 1, "spec.levels"),
            ("levels", 2.5, "spec.levels"),
            ("details", [], "spec.details"),
        ]
    },
    **{
        f"details {details!r}": (json.dumps(record(spec=TABLE | {"details": details})).encode(), "details of a table")
        for details in (
            {"kept": [True]},
            {**DETAILS, "std": [0, 1]},
            {**DETAILS, "mean": ["x", 1]},
            {**DETAILS, "label": 3},
        )
    },
    "a bit flipped in it": (json.dumps(record(sha256="0" * 64)).encode(), "changed since it was written"),
    "a field that none has": (json.dumps(record(sha257="0")).encode(), "changed since it was written"),
    "a shape of another network": (
        json.dumps(record(spec=SPEC._asdict() | {"shape": [8, 8, 3]})).encode(),
        "is of another network",
    ),
    **{
        f"config {c!r}": (json.dumps(record(config=c)).encode(), "config")
        for c in (None, [], "text", 3, {}, {"net": {}}, {"process": []})
    },
    **{
        f"config without {k}": (json.dumps(record(config={n: v for n, v in tiny().items() if n != k})).encode(), k)
        for k in ("process", "parameterization", "net", "loss", "optimizer", "ema", "train", "sample")
    },
    **{
        f"{f} is {v!r}": (json.dumps(record(config=with_field(tiny(), f, v))).encode(), m)
        for f, v, m in [
            ("net.channels", 64, "is of another network"),
            ("net.channels", 32.0, "channels"),
            ("net.channels", "32", "channels"),
            ("net.blocks", 2, "is of another network"),
            ("net.blocks", 1000, "is of another network: net.blocks=1000 for each of"),  # and is not traced
            ("net.name", None, "unknown net"),
            ("net.channels", 10**9, "channels"),
            ("net.num_classes", 10, "is of another network"),
            ("process.name", [], "unknown process"),
            ("process.betas", {}, "betas"),
            ("process.betas.steps", 10**15, "steps"),
            ("sample.steps", "5", "steps"),
            ("sample.grid", [], "grid"),
            ("sample.sampler", "ddim", "sampler"),
            ("sample.clip", None, "clip"),
            ("ema.decay", "x", "decay"),
            ("ema.decay", [], "at least one average"),
            ("ema.sigma_rel", [1e-200], "sigma_rel"),
            ("train", [], "train"),
            ("train.cond_dropout", "often", "cond_dropout"),
            ("net.vectors", -1, "vectors"),
            ("optimizer.clip", {}, "clip"),
            ("net.dtype", {}, "dtype"),
        ]
    },
}


@cases(RECORDS)
def test_a_damaged_record_is_refused(tmp_path, whole, case):
    content, message = case
    (tmp_path / "checkpoints").symlink_to(whole[0] / "checkpoints")
    (tmp_path / "config.json").write_bytes(content)
    with refused(message):
        loaded(tmp_path, whole)
