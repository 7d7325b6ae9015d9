"""Train the sketch generator of a release alone, towards lines as firm as the artists'.

    python -m recipes.sketch_alone DATA RELEASE OUT --vgg16 vgg16.safetensors --discriminator STATE

Pairs are compared at half the size, where a line that is drawn one pixel beside its partner still counts. At the full
size, a sketch has to have as much line in each place as its partner, by the mean steps between neighbouring pixels, and
strokes of the same kind, by the Gram matrices of features (Gatys et al. 2016, "Image Style Transfer Using Convolutional
Neural Networks", Eq. 3 to 5). Both cycles are compared at half the size.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from piq import ssim
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cyclegan import FaceSketchPipeline
from cyclegan.data.batches import Prefetch
from cyclegan.evaluation.metrics import load_features
from cyclegan.training.draws import draw

from .alone import BATCH, Made, Options, batches_of, difference_at_half, follow, save, settings, train

WHITE = 1.04  # makes the artists' paper white
NEAR = 128  # pixels: a window in which strokes are compared
PLACE = 16  # pixels: the side of a place in which lines are counted


@dataclass(frozen=True)
class SketchOptions(Options):
    """Train the sketch generator of a release alone, towards lines as firm as the artists'."""

    line_weight: float = 20
    stroke_weight: float = 2


def unlikeness(made: Tensor, true: Tensor, paired: Tensor) -> Tensor:
    """Half of L1 and of 1 - SSIM, the mean over the batch; unpaired pictures count as 0."""
    zero_to_one = ((picture + 1) / 2 for picture in (made, true))
    dissimilarity = 1 - ssim(*zero_to_one, data_range=1.0, downsample=False, reduction="none")
    return (((made - true).abs().mean((1, 2, 3)) + dissimilarity) / 2 * paired).mean()


def count_lines(sketch: Tensor) -> Tensor:
    """The mean steps between neighbouring pixels in each place: (B, 3, H, W) -> (B, 1, H / 8 - 1, W / 8 - 1)."""
    grey = sketch[:, :1]
    across, down = (F.pad(grey.diff(dim=axis).abs(), side) for axis, side in ((3, (0, 1)), (2, (0, 0, 0, 1))))
    return avg_pool2d(across + down, PLACE, PLACE // 2)


def gram(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C, C)."""
    flat = features.flatten(2)
    return flat @ flat.mT / flat.shape[2]


def main() -> None:
    options = tyro.cli(SketchOptions)
    config = settings(options, recolour=0.0)
    batches, styles = batches_of(config)
    pipe = FaceSketchPipeline.from_pretrained(options.release, device="cpu", dtype="float32")
    sketch_generator, photo_generator = pipe.sketch_generator, pipe.photo_generator.requires_grad_(False)
    features = load_features(options.vgg16)

    def start(done: int) -> Callable[[int], Made]:
        ahead = Prefetch(batches.read, ((number, slice(0, BATCH)) for number in range(done, options.steps)))

        def make(step: int) -> Made:
            follow(options.partner, step, photo_generator)
            batch = batches.crop(next(ahead))
            real = (WHITE * (batch.sketch + 1) - 1).clamp(-1, 1)
            told = draw(batch._replace(sketch=real), step, slice(0, BATCH), len(styles), config)
            fake = sketch_generator(told.photo, told.conditions.style)
            with torch.no_grad():
                painted = photo_generator(told.sketch, told.conditions.palette)
            photo_again = photo_generator(fake, told.conditions.own_palette)
            sketch_again = sketch_generator(painted, told.conditions.own_style)
            parts = {
                "paired": options.paired_weight * unlikeness(avg_pool2d(fake, 2), avg_pool2d(real, 2), batch.paired),
                "photo_cycle": options.cycle_weight * difference_at_half(photo_again, told.photo),
                "sketch_cycle": options.cycle_weight * difference_at_half(sketch_again, real),
            }
            pairs = batch.paired.nonzero().squeeze(1)
            share = len(pairs) / BATCH
            if share:
                made, wanted = fake[pairs], real[pairs]
                parts["lines"] = share * options.line_weight * F.l1_loss(count_lines(made), count_lines(wanted))
                top, left = torch.randint(0, config.image_size - NEAR + 1, (2,)).tolist()
                window = ..., slice(top, top + NEAR), slice(left, left + NEAR)
                with torch.no_grad():
                    grams = [gram(layer) for layer in features(wanted[window])]
                unlike = [
                    (gram(layer) - target).abs().sum() / target.sum()
                    for layer, target in zip(features(made[window]), grams, strict=True)
                ]
                parts["strokes"] = share * options.stroke_weight * torch.stack(unlike).sum()
            assert told.style is not None
            return Made(fake, real, parts, (batch.style, told.style))

        return make

    average = train(options, sketch_generator, "sketch", len(styles), start)
    save(options, pipe, average, photo_generator)


if __name__ == "__main__":
    main()
