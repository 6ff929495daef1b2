"""Pictures a second through the pipeline, beside decoding and the bare network in the same run; and memory over many.

    python tests/benchmarks/image_speed.py --pictures 2000 --size 224
    python tests/benchmarks/image_speed.py --memory --pictures 10000

The pictures are synthetic ultrasounds, written as PNG files of 256 by 256 pixels, each read as often as it takes.
"Bare" is Pillow's decoder and the network on pictures that have their size already, in batches as large as the stage's;
with "resized" Pillow brings them to the size, as the stage has to. All ways take turns, so that a machine that slows
down slows each.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import torch

from clinnlp import Image, Pipeline, Record
from clinnlp.stages import ImageClassifier

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "corpora" / "ultrasound"))

TURNS = 5


def draw(folder: Path, count: int = 200) -> list[Path]:
    """Write pictures as files."""
    from sonowriter.cases import write_cases

    paths = []
    for record, number in zip(write_cases(1, "matching"), range(count), strict=False):
        path = folder / f"{number}.png"
        pixels = PIL.Image.fromarray(record.images[0].pixels()).convert("L").resize((256, 256))
        pixels.save(path)
        paths.append(path)
    return paths


def bare(stage: ImageClassifier, paths: list[Path], size: int, resized: bool) -> None:
    """Decode files and classify them, with nothing around it."""
    model, some = stage.model, []
    for number, path in enumerate(paths, 1):
        with PIL.Image.open(path) as opened:
            picture = opened.convert("RGB")
        if resized:
            picture = picture.resize((size, size), PIL.Image.Resampling.BILINEAR)
            some.append(np.asarray(picture))
        else:
            some.append(np.asarray(picture)[:size, :size])
        if len(some) == stage.batch_size or number == len(paths):
            pixels = torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            with torch.inference_mode():
                model(pixel_values=pixels)
            some = []


def resident() -> float:
    """Give the memory of this process in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def timed(function: Callable[[], None]) -> float:
    """Give the seconds that a call takes."""
    gc.collect()
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1000, help="of a turn")
    parser.add_argument("--size", type=int, default=96, help="height and width that the network reads")
    parser.add_argument("--memory", action="store_true", help="show the memory along the run instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = draw(Path(folder))
        paths = [files[i % len(files)] for i in range(options.pictures)]
        stage = ImageClassifier.from_base(labels=["benign", "malignant"], name="finding", image_size=options.size)
        nlp = Pipeline([stage])
        nlp.warm_up()

        def records() -> Iterator[Record]:
            return (Record(id=str(i), images=[Image(path)]) for i, path in enumerate(paths))

        def through() -> None:
            for _ in nlp.pipe(records()):
                pass

        if options.memory:
            for number, _ in enumerate(nlp.pipe(records()), 1):
                if number in (1, 1000) or number % 2000 == 0:
                    print(f"{number} pictures: {resident():.0f} MB", flush=True)
            return
        ways: dict[str, Callable[[], None]] = {
            "pipeline": through,
            "bare": lambda: bare(stage, paths, options.size, resized=False),
            "bare, resized": lambda: bare(stage, paths, options.size, resized=True),
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(TURNS):
            for name, way in ways.items():
                found[name].append(options.pictures / timed(way))
        print("| way | pictures a second | least | most | pipeline's share |\n| --- | --- | --- | --- | --- |")
        for name, rates in found.items():
            share = [one / other for one, other in zip(found["pipeline"], rates, strict=True)]
            print(f"| {name} | {np.median(rates):.0f} | {min(rates):.0f} | {max(rates):.0f} | {np.median(share):.2f} |")


if __name__ == "__main__":
    main()
