"""Average releases, make their pictures crisper, and correct the skin. Nothing is trained: all is least squares.

    python recipes/finish.py DATA OUT --sketch RELEASE=SHARE ... --photo RELEASE=SHARE ...

- **Crisper:** `--sketch-detail` and `--photo-detail` add so many times what a picture differs from its mean over 3 x 3
  pixels, and `--drawn-detail` adds some of the drawing's to the photo. The last convolution learns to add it.
- **No grid:** it also learns to leave out a share of how the four pixels of a square of 2 x 2 differ in their means
  around each place. Without the whole grid, pictures are translated back less exactly: it carries part of them.
- **Skin:** the painted skin is nearly an affine function of the given one. Its inverse goes into the linear map of the
  condition: the network is asked for the colour that makes it paint the wanted one.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from cyclegan import FaceSketchPipeline
from cyclegan.directions import Direction
from cyclegan.images import crop_square, normalise, open_image, to_tensor
from cyclegan.networks import Generator
from cyclegan.palette import SKINS, make_palette, read_palette

COUNT = 14  # sketches
RIDGE = 0.05  # what the network hardly answers to stays as it is asked for
EXAMPLES = 36  # pictures that the last convolution learns from
PLACES = 4096  # of each


def mean(shares: list[str], direction: Direction) -> tuple[Generator, FaceSketchPipeline]:
    """Average the generators of a direction; each is written RELEASE=SHARE."""
    total: dict[str, Tensor] = defaultdict(lambda: torch.zeros(()))
    for item in shares:
        release, share = item.rsplit("=", 1)
        pipe = FaceSketchPipeline.from_pretrained(release, device="cpu", dtype="float32")
        for name, tensor in pipe.generators[direction].state_dict().items():
            total[name] = total[name] + float(share) * tensor
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
    parser.add_argument("data", type=Path, help="a folder with photos and sketches")
    parser.add_argument("out", type=Path)
    parser.add_argument("--sketch", nargs="+", required=True)
    parser.add_argument("--photo", nargs="+", required=True)
    parser.add_argument("--sketch-detail", type=float, default=0)
    parser.add_argument("--photo-detail", type=float, default=0)
    parser.add_argument("--drawn-detail", type=float, default=0)
    parser.add_argument("--sketch-grid", type=float, default=0, help="the share to leave out")
    parser.add_argument("--photo-grid", type=float, default=0, help="the share to leave out")
    parser.add_argument("--keep-skin", action="store_true")
    args = parser.parse_args()

    sketch_generator, pipe = mean(args.sketch, Direction.PHOTO_TO_SKETCH)
    photo_generator, _ = mean(args.photo, Direction.SKETCH_TO_PHOTO)
    photos, sketches = (examples(args.data / domain, EXAMPLES, pipe.image_size) for domain in ("photos", "sketches"))
    if args.sketch_detail or args.sketch_grid:
        styles = torch.eye(sketch_generator.conditions).repeat(EXAMPLES, 1)[:EXAMPLES]
        sharpen(sketch_generator, photos, styles, args.sketch_detail, 0, args.sketch_grid)
    if args.photo_detail or args.drawn_detail or args.photo_grid:
        palettes = read_palette(photos).flatten(1)
        palettes[::2] = 0  # half of them are left to the network
        sharpen(photo_generator, sketches, palettes, args.photo_detail, args.drawn_detail, args.photo_grid)
    if not args.keep_skin:
        correct(photo_generator, examples(args.data / "sketches", COUNT, 192))
    pair = sketch_generator, photo_generator
    FaceSketchPipeline(*pair, pipe.image_size, "cpu", torch.float16, styles=pipe.styles).save_pretrained(args.out)


def detail(pictures: Tensor) -> Tensor:
    """How each pixel differs from the mean of the 3 x 3 around it."""
    return pictures - F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), "reflect"), 3, 1)


def grid(pictures: Tensor, fold: int) -> Tensor:
    """How the pixels of each square of `fold` x `fold` differ in their means over 7 x 7 squares."""
    pixels = F.pixel_unshuffle(pictures, fold).unflatten(1, (-1, fold**2))
    means = F.avg_pool2d(F.pad(pixels.flatten(1, 2), (3, 3, 3, 3), "reflect"), 7, 1).view_as(pixels)
    return F.pixel_shuffle((means - means.mean(2, keepdim=True)).flatten(1, 2), fold)


@torch.inference_mode()
def sharpen(generator: Generator, pictures: Tensor, conditions: Tensor, own: float, given: float, share: float) -> None:
    """Let the last convolution add detail, `own` times that of the result and `given` times that of the picture.

    It leaves out a share of the grid. Both are measured before the tanh.
    """
    head, fold = generator.layers["head"], generator.fold
    seen: list[tuple[Tensor, Tensor]] = []
    torch.manual_seed(0)
    hook = head.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output)))
    products = wanted = torch.zeros(())
    for picture, condition in zip(pictures.split(1), conditions.split(1), strict=True):
        generator(picture, condition)
        features, result = seen.pop()
        unfolded = F.pixel_shuffle(result, fold)
        crisp = unfolded + own * detail(unfolded) + given * detail(picture)[:, : unfolded.shape[1]]
        added = crisp - share * grid(crisp, fold) - unfolded
        around = F.unfold(F.pad(features, (1, 1, 1, 1), "reflect"), 3)[0].T
        places = torch.randperm(len(around))[:PLACES]
        x = torch.cat([around, torch.ones(len(around), 1)], 1)[places].double()
        products = products + x.T @ x
        wanted = wanted + x.T @ F.pixel_unshuffle(added, fold)[0].flatten(1).T[places].double()
    hook.remove()
    ridge = 1e-4 * products.diagonal().mean() * torch.eye(len(products))
    change = torch.linalg.solve(products + ridge, wanted).float()
    head.weight += change[:-1].T.view_as(head.weight)
    head.bias += change[-1]


def correct(photo_generator: Generator, sketches: Tensor) -> None:
    """Ask for the colour of skin that makes a generator paint the wanted one on these sketches."""
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


def examples(folder: Path, count: int, size: int) -> Tensor:
    """Read the middle squares of some pictures in a folder: (count, 3, size, size) in [-1, 1]."""
    files = sorted(folder.iterdir())
    chosen = files[:: len(files) // count][:count]
    return normalise(torch.stack([to_tensor(crop_square(open_image(file), size)) for file in chosen]))


if __name__ == "__main__":
    main()
