"""A tiny training of every kind of data and of students: the arguments of train.py, and the files that they need."""

from pathlib import Path

import numpy as np

__all__ = ["COMMON", "KINDS", "STUDENTS", "UNET", "arguments", "given"]

COMMON = {
    "train.batch_size": 8,
    "train.steps": 6,
    "train.log_every": 1,
    "train.sample_every": 1000,
    "train.checkpoint_every": 2,
    "train.held_out_examples": 0,
    "train.choose": False,
    "optimizer.warmup": 2,
    "sample.steps": 3,
}
UNET = {"net.channels": 32, "net.multipliers": (1,), "net.attention": ()}
SEQUENCE = {"net.width": 16, "net.blocks": 1, "net.heads": 2}
UNET1D = {"net.channels": 16, "net.multipliers": (1,)}
SMILES = ["CCO", "C[C@H](O)C(=O)O", "CC(=O)C", "c1ccccc1", "CCN", "CCCC", "N[C@@H](CS)C(=O)O", "CC#N", "OCC", "FC(F)F"]


def _text(folder: Path) -> str:
    (folder / "a.txt").write_text("In the beginning was the word, and the word was short.\n" * 20)
    return str(folder / "a.txt")


def _smiles(folder: Path) -> str:
    (folder / "a.smi").write_text("\n".join(SMILES * 4) + "\n")
    return str(folder / "a.smi")


def _molecules(folder: Path) -> str:
    rng = np.random.default_rng(0)
    water = np.array([[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]])
    place = np.zeros((40, 4, 3), np.float32)
    place[:, :3] = water + rng.normal(size=(40, 3, 3)) / 20
    np.savez(folder / "m.npz", atomic_numbers=np.tile(np.int8([8, 1, 1, 0]), (40, 1)), positions=place)
    return str(folder / "m.npz")


def _conformers(folder: Path) -> str:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    with Chem.SDWriter(str(folder / "c.sdf")) as out:
        for seed in (1, 2, 3):
            for one in SMILES:
                molecule = Chem.AddHs(Chem.MolFromSmiles(one))
                assert AllChem.EmbedMolecule(molecule, randomSeed=seed) == 0
                out.write(molecule)
    return str(folder / "c.sdf")


def _latents(folder: Path) -> str:
    import jax

    from jaxdiff.modalities.images import digits
    from jaxdiff.nets import Autoencoder
    from jaxdiff.pipelines.coder import Coder, write_latents

    source = digits("train")
    net = Autoencoder(widths=(16, 16), blocks=1, latents=2, channels=1, attention=False, groups=8)
    params = jax.jit(net.init)(jax.random.key(0), np.zeros((1, 8, 8, 1), np.float32))["params"]
    write_latents(Coder(params, net, source.spec), folder / "latents", {"train": source})
    return str(folder / "latents")


def _tracks(folder: Path) -> str:
    walks = np.random.default_rng(0).normal(size=(40, 8, 2)).cumsum(1)
    np.savez(folder / "t.npz", windows=walks)
    return str(folder / "t.npz")


KINDS = {
    "images": ("ddpm.py", None, UNET | {"net.dropout": 0.1}),
    "tables": ("table.py:classes", None, {"net.widths": (8, 8, 8), "net.blocks": 1, "net.embedding": 8}),
    "mixed tables": ("tables.py", None, {"net.width": 16, "net.blocks": 1, "net.embedding": 8}),
    "text": ("masked.py:text=", _text, SEQUENCE | {"data.length": 16, "held_out.length": 16}),
    "SMILES": ("masked.py:smiles=", _smiles, SEQUENCE),
    "molecules": ("molecules.py:npz=", _molecules, {"net.width": 8, "net.blocks": 1}),
    "conformers": ("conformers.py:sdf=", _conformers, SEQUENCE | {"net.pair_width": 8, "net.distances": 4}),
    "trajectories": ("diffuser.py:tracks=", _tracks, UNET1D),
    "frames": ("diffuser.py:frames=", _tracks, UNET1D),
    "audio": ("audio.py", None, UNET1D | {"data.length": 256, "held_out.length": 256, "net.attention": False}),
    "video": ("video.py", None, {"net.channels": 16, "net.multipliers": (1,), "data.frames": 4, "held_out.frames": 4}),
    "words": (
        "text.py",
        None,
        {"net.depth": 1, "net.width": 16, "net.heads": 2, "net.text.width": 16, "net.text.depth": 1}
        | {"net.text.heads": 2, "net.text.vocabulary": 300, "data.n": 64, "held_out.n": 16},
    ),
    "latents": ("latent.py:", _latents, UNET | {"sample.steps": 3}),
    "two players": ("ddgan.py", None, UNET | {"sample.steps": 4}),
}
"""By kind: the configuration, what makes its file, and fields."""
STUDENTS = ("progressive", "consistency", "continuous", "dmd", "control")
"""Students, of a teacher, and a copy of it that follows pictures."""


def arguments(kind: str, folder: Path) -> list[str]:
    """The arguments of train.py; of "teacher", that of students, and of a student, whose teacher is `folder`."""
    if kind in STUDENTS:
        fields = {name: value for name, value in COMMON.items() if not name.startswith(("sample.", "optimizer."))}
        setting = f"control.py:{folder},edges" if kind == "control" else f"distill.py:{kind},teacher={folder}"
        return [f"--config=configs/{setting}", *given(fields)]
    file, written, fields = ("flow.py", None, UNET) if kind == "teacher" else KINDS[kind]
    fields = COMMON | fields
    return [f"--config=configs/{file}{written(folder) if written else ''}", *given(fields)]


def given(fields) -> list[str]:
    return [f"--config.{name}={value}".replace(" ", "") for name, value in fields.items()]
