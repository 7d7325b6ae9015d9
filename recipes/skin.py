"""Average releases, and correct the map of the skin so that the painted skin is the one that is asked for.

    python recipes/skin.py SKETCHES OUT --sketch RELEASE=SHARE ... --photo RELEASE=SHARE ...

The painted skin is nearly an affine function of the given one. Its inverse, by least squares, goes into the linear map
of the condition: the network is asked for the colour that makes it paint the wanted one.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cyclegan import FaceSketchPipeline
from cyclegan.images import crop_square, normalise, open_image, to_tensor
from cyclegan.networks import Generator
from cyclegan.palette import SKINS, make_palette, read_palette

COUNT = 14  # sketches
RIDGE = 0.05  # what the network hardly answers to stays as it is asked for


def mean(shares: list[str], direction: str) -> tuple[Generator, FaceSketchPipeline]:
    """Average the generators of a direction; each is written RELEASE=SHARE."""
    total: dict[str, Tensor] = {}
    for item in shares:
        release, share = item.rsplit("=", 1)
        pipe = FaceSketchPipeline.from_pretrained(release, device="cpu", dtype="float32")
        for name, tensor in pipe.generators[direction].state_dict().items():
            total[name] = total.get(name, 0) + float(share) * tensor
    generator = pipe.generators[direction]
    generator.load_state_dict(total)
    return generator, pipe


@torch.inference_mode()
def paint(generator: Generator, sketches: Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The skins that are given, and the mean of what is painted then: both (skins, 3) in [-1, 1]."""
    given, painted = [], []
    for skin in SKINS:
        palette = make_palette(skin=skin)
        found = read_palette(generator(sketches, palette.flatten(1)))[:, 0]
        given.append(palette[0, 0, :3].numpy())
        painted.append(found[found[:, 3] > 0, :3].mean(0).numpy())
    return np.stack(given), np.stack(painted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("sketches", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sketch", nargs="+", required=True)
    parser.add_argument("--photo", nargs="+", required=True)
    parser.add_argument("--keep-skin", action="store_true", help="only average")
    args = parser.parse_args()

    sketch_generator, pipe = mean(args.sketch, "photo_to_sketch")
    photo_generator, _ = mean(args.photo, "sketch_to_photo")
    if not args.keep_skin:
        correct(photo_generator, args.sketches)
    pair = sketch_generator, photo_generator
    FaceSketchPipeline(*pair, pipe.image_size, "cpu", torch.float16, styles=pipe.styles).save_pretrained(args.out)


def correct(photo_generator: Generator, folder: Path) -> None:
    """Ask for the colour of skin that makes a generator paint the wanted one on the sketches in a folder."""
    files = sorted(folder.iterdir())
    sketches = torch.stack([load(file) for file in files[:: len(files) // COUNT][:COUNT]])
    given, painted = paint(photo_generator, sketches)
    centre, target, one = given.mean(0), painted.mean(0), np.eye(3)
    x, y = given - centre, painted - target
    answer = one + np.linalg.solve(x.T @ x + RIDGE * one, x.T @ (y - x))  # y is about x @ answer
    inverse = np.linalg.inv(answer @ answer.T + RIDGE * one)
    matrix = (answer.T + RIDGE * one) @ inverse
    shift = centre - (target @ answer.T + RIDGE * centre) @ inverse  # ask for wanted @ matrix + shift
    weight = photo_generator.condition.weight.data  # red, green, blue of the skin, and whether it is given, come first
    weight[:, 3] += weight[:, :3] @ torch.from_numpy(shift).float()
    weight[:, :3] = weight[:, :3] @ torch.from_numpy(matrix.T).float()
    for name, (asked, seen) in {"before": (given, painted), "after": paint(photo_generator, sketches)}.items():
        print(f"the painted skin is {127.5 * np.abs(seen - asked).mean():.1f} of 255 away {name}")


def load(file: Path) -> Tensor:
    """Read the middle square of a sketch at 192 x 192: (3, 192, 192) in [-1, 1]."""
    return normalise(to_tensor(crop_square(open_image(file), 192)))


if __name__ == "__main__":
    main()
