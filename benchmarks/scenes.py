"""How well the judge of scenes reads real scenes: the floor under what a model of captions is said to draw.

python benchmarks/scenes.py --json benchmarks/results/scenes_cpu.json
"""

import argparse
import json
from pathlib import Path

import numpy as np
from measure import surroundings

from jaxdiff.evaluation.scenes import judge
from jaxdiff.modalities.images import scenes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, default=3000, help="scenes of each set")
    parser.add_argument("--json", type=Path, help="write the rows here")
    arguments = parser.parse_args()

    rows = {}
    for split in ("test", "pairs", "relations"):
        source = scenes(split, arguments.num)
        images, captions = source.take(np.arange(arguments.num)).x_0, source.captions
        rows[split] = judge(images, captions)
        if split == "test":
            rows["test, captions shuffled"] = judge(images, captions[1:] + captions[:1])
    for name, row in rows.items():
        print(name, {k: round(float(v), 3) for k, v in row.items()}, flush=True)
    if arguments.json:
        content = surroundings() | {"num": arguments.num, "rows": rows}
        arguments.json.write_text(json.dumps(content, indent=2, default=float) + "\n")


if __name__ == "__main__":
    main()
