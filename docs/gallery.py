"""Make docs/gallery.md and its pictures: one command each, run on a model of the digits with classes.

python train.py --config=configs/guided.py
python docs/gallery.py runs/guided
"""

import shutil
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parent
EACH = "--num 12 --seed 1"
PAGES = [
    ("Classes", f"--guidance 2 {EACH}", "Twelve classes in turn, with classifier-free guidance."),
    ("One class", f"--label 3 --guidance 3 {EACH}", "Threes alone."),
    ("Inpainting", f"--task inpaint --mask left {EACH}", "The left half is known, the right is drawn (RePaint)."),
    ("Outpainting", f"--task outpaint {EACH}", "The 4x4 pixels in the middle are known."),
    ("Denoising", f"--task denoise --degrade --noise 0.5 {EACH}", "White noise; the chain starts where its SNR is."),
    ("Super-resolution", f"--task super_resolve --degrade {EACH}", "From 4x4 to 8x8, by moment matching; no training."),
    ("Deblurring", f"--task restore --degrade --blur 1 {EACH}", "A Gaussian blur of one pixel."),
    ("Variations", f"--task vary --strength 0.5 {EACH}", "Noised half of the way, and drawn anew from there."),
    ("Another class", f"--task swap --label 3 --to 8 {EACH} --input threes.npy", "To the noise as a 3, back as an 8."),
    ("Interpolation", "--task interpolate --input threes.npy --label 3 --num 2", "Along the arc between two noises."),
    ("Anomalies", f"--task detect --input strange.npy {EACH}", "The last three are no digits; bright is strange."),
    ("Synthesis", "--task synthesize --per-class 2 --guidance 2", "A labelled data set, read back by `data.arrays`."),
]

OPENING = """# What a model can be used for

Made by `python docs/gallery.py runs/guided`, after

    python train.py --config=configs/guided.py

on 8x8 scans of digits. Each column is an image: the original, where it is known; what was given; what came of it.
"""


def make_inputs(folder: Path) -> None:
    """Threes, and digits with three things that are none, of the held-out data."""
    import numpy as np

    from jaxdiff import data

    held_out = data.digits("test")
    batch = held_out.take(np.arange(held_out.size))
    np.save(folder / "threes.npy", batch.x_0[batch.condition.label == 3][:12])
    strange = batch.x_0[:12].copy()
    strange[9:] = [
        np.eye(8)[..., None] * 2 - 1,
        strange[0][::-1] * -1,
        np.indices((8, 8)).sum(0)[..., None] % 2 * 2.0 - 1,
    ]
    np.save(folder / "strange.npy", strange)


def main() -> None:
    """Run every command, and write the page."""
    run = Path(sys.argv[1])
    make_inputs(run)
    lines = [OPENING]
    for title, arguments, text in PAGES:
        task = arguments.split("--task ")[1].split()[0] if "--task" in arguments else ""
        command = ["sample.py", "--workdir", str(run), *arguments.split()]
        command = [str(run / a) if a.endswith(".npy") else a for a in command]
        subprocess.run([sys.executable, *command], check=True, cwd=DOCS.parent)
        made = run / "samples" / (f"{task}/before_after.png" if task else "grid.png")
        name = f"gallery-{title.lower().replace(' ', '-')}.png"
        shutil.copy(made, DOCS / "images" / name)
        shown = arguments.replace("--input ", "--input runs/guided/")
        lines += [f"## {title}", "", text, "", f"    python sample.py --workdir runs/guided {shown}", ""]
        lines += [f"![{title}](images/{name})", ""]
    (DOCS / "gallery.md").write_text("\n".join(lines))


if __name__ == "__main__":
    main()
