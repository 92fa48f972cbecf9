"""Make docs/gallery.md and its pictures: one command each, run on models of the digits.

python train.py --config=configs/guided.py
python train.py --config=configs/ddpm.py
python train.py --config=configs/classifier.py
python train.py --config=configs/super_resolution.py
python train.py --config=configs/super_resolution.py:digits_4
python docs/gallery.py runs/
"""

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
EACH = "--num 12 --seed 1"
GUIDE = "--task guide --scale 2 --classifier runs/classifier"
CASCADE = "--task cascade --then runs/super_resolution"
PAGES = [
    ("Classes", "guided", f"--guidance 2 {EACH}", "Twelve classes in turn, with classifier-free guidance."),
    ("One class", "guided", f"--label 3 --guidance 3 {EACH}", "Threes alone."),
    ("Classifier guidance", "ddpm", f"{GUIDE} {EACH}", "A model that knows no classes, led by a classifier."),
    (
        "Inpainting",
        "guided",
        f"--task inpaint --mask left {EACH}",
        "The left half is known, the right drawn (RePaint).",
    ),
    ("Outpainting", "guided", f"--task outpaint {EACH}", "The 4x4 pixels in the middle are known."),
    ("Denoising", "guided", f"--task denoise --degrade --noise 0.5 {EACH}", "The chain starts where its SNR is."),
    (
        "Super-resolution",
        "guided",
        f"--task super_resolve --degrade {EACH}",
        "From 4x4 by moment matching; no training.",
    ),
    ("Learned super-resolution", "super_resolution", f"--task upscale --degrade {EACH}", "A model of its own."),
    ("A cascade", "super_resolution-digits_4", f"{CASCADE} {EACH}", "One model draws 4x4, another makes 8x8 of it."),
    ("Deblurring", "guided", f"--task restore --degrade --blur 1 {EACH}", "A Gaussian blur of one pixel."),
    (
        "Variations",
        "guided",
        f"--task img2img --strength 0.5 {EACH}",
        "Noised half of the way, and drawn anew from there.",
    ),
    (
        "Another class",
        "guided",
        f"--task class_swap --label 3 --to 8 {EACH} --input threes.npy",
        "A 3 to noise, back as an 8.",
    ),
    ("Interpolation", "guided", "--task interpolate --input threes.npy --label 3 --num 2", "Between two noises."),
    (
        "Anomalies",
        "guided",
        f"--task detect --input strange.npz {EACH}",
        "The last three are no digits; bright is strange.",
    ),
    (
        "Synthesis",
        "guided",
        "--task synthesize --per-class 2 --guidance 2",
        "A data set that `data.arrays` reads back.",
    ),
]

OPENING = """# What a model can be used for

Made by `python docs/gallery.py runs/`, after

    python train.py --config=configs/guided.py
    python train.py --config=configs/ddpm.py
    python train.py --config=configs/classifier.py
    python train.py --config=configs/super_resolution.py
    python train.py --config=configs/super_resolution.py:digits_4

on 8x8 scans of digits. Each column is an image: the original, where it is known; what was given; what came of it.
"""


def make_inputs(folder: Path) -> None:
    """Threes, and digits with three things that are none, of the held-out data."""
    import numpy as np

    from jaxdiff.modalities import images

    held_out = images.digits("test")
    batch = held_out.take(np.arange(held_out.size))
    np.save(folder / "threes.npy", batch.x_0[batch.condition["label"] == 3][:12])
    strange = batch.x_0[:12].copy()
    strange[9:] = [
        np.eye(8)[..., None] * 2 - 1,
        strange[0][::-1] * -1,
        np.indices((8, 8)).sum(0)[..., None] % 2 * 2.0 - 1,
    ]
    np.savez(folder / "strange.npz", images=strange, labels=np.repeat([0, 1], [9, 3]))


def main() -> None:
    """Run every command, and write the page."""
    runs = Path(sys.argv[1])
    make_inputs(runs)
    lines = [OPENING]
    for title, name, arguments, text in PAGES:
        run, task = runs / name, arguments.split("--task ")[1].split()[0] if "--task" in arguments else ""
        command = ["sample.py", "--workdir", str(run), *arguments.replace("runs/", f"{runs}/").split()]
        command = [str(runs / a) if a.endswith((".npy", ".npz")) else a for a in command]
        subprocess.run([sys.executable, *command], check=True, cwd=DOCS.parent)
        made = run / "samples" / (f"{task}/before_after.png" if task else "grid.png")
        picture = f"gallery-{title.lower().replace(' ', '-')}.png"
        shutil.copy(made, DOCS / "images" / picture)
        shown = arguments.replace("--input ", "--input runs/")
        lines += [f"## {title}", "", text, "", f"    python sample.py --workdir runs/{name} {shown}", ""]
        lines += [f"![{title}](images/{picture})", ""]
    (DOCS / "gallery.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
