"""What several readers are worth, where reading waits and where it does not.

    python benchmarks/readers.py --json benchmarks/results/readers_cpu.json

Batches of 128 of the 2000 pictures of 256x256 that the script draws, as JPEG files, cut to 64x64 and not kept in
memory; and of arrays in memory; each as it is, and with 50 ms of waiting added to a batch, as on a network disk.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from measure import record
from PIL import Image

from jaxdiff.data.source import Source, read, read_ahead, select
from jaxdiff.modalities import images
from jaxdiff.training.feed import ahead

BATCH, STEPS = 128, 24
PLAN = [(step, 1) for step in range(STEPS)]


def sources(folder: Path) -> dict[str, Source]:
    rng = np.random.default_rng(0)
    for i in range(2000):
        coarse = Image.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8))
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(folder / f"{i}.jpg", quality=90)
    return {"JPEG files": images.folder(str(folder), 64, 3, False, 0.0), "arrays in memory": images.digits()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind, source in sources(Path(folder)).items():
            for wait in (0.0, 0.05):

                def load(first, n, source=source, wait=wait):
                    time.sleep(wait)
                    return read(source, select(source, BATCH, 0, first))

                ways = {"one thread of our own": lambda load=load: read_ahead(lambda call: load(*call), PLAN)}
                ways |= {f"train.readers={n}": lambda load=load, n=n: ahead(load, PLAN, n) for n in (1, 2, 4)}
                for _ in range(3):
                    for name, start in ways.items():
                        begin = time.perf_counter()
                        for _ in start():
                            pass
                        rate = BATCH * STEPS / (time.perf_counter() - begin)
                        rows.append({"data": kind, "wait_s": wait, "way": name, "images_per_s": rate})
                for name in ways:
                    mine = [r["images_per_s"] for r in rows if (r["data"], r["wait_s"], r["way"]) == (kind, wait, name)]
                    print(f"{kind:18} {wait * 1e3:3.0f} ms  {name:22} {np.median(mine):8.0f} images/s", flush=True)
    record(asked.json, rows)


if __name__ == "__main__":
    main()
