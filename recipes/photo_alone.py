"""Train the photo generator of a release alone: the release itself draws the photos that have no sketch.

    python -m recipes.photo_alone DATA RELEASE OUT --vgg16 vgg16.safetensors --discriminator STATE --face face.onnx

Every photo has to be drawn back into its drawing, at half the size. Some of the drawings are made of few strokes, see
few_strokes.py, and two in five steps look at portraits close up.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import tyro
from piq import fsim
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, one_hot

from cyclegan import FaceSketchPipeline
from cyclegan.data.augmentation import ROUGH_NUMBERS, roughen
from cyclegan.data.batches import Drawn, Prefetch, UnpairedBatches, cache_size
from cyclegan.data.cache import Pictures
from cyclegan.evaluation.metrics import load_features
from cyclegan.losses import paired_loss, palette_loss, perceptual_loss
from cyclegan.training.config import TrainConfig
from cyclegan.training.draws import draw

from .alone import BATCH, Made, Options, batches_of, difference_at_half, follow, save, settings, train
from .few_strokes import Landmarks, draw_face
from .likeness import Likeness

NEAR = 128  # pixels: a window that holds most of a face
SPOTS = 4  # how much more a small spot of a wrong colour counts than a faint tint
CLOSE_UP = (1.2, 1.9)  # the zoom of portraits, which have more pixels than the photos with a sketch
CLOSE_UPS = (1, 3)  # these of every five steps


@dataclass(frozen=True)
class PhotoOptions(Options):
    """Train the photo generator of a release alone, on pairs."""

    face: tuple[Path, ...] = ()
    """Face recognition networks, see likeness.py."""
    perceptual_weight: float = 6
    likeness_weight: float = 6
    chroma_weight: float = 10
    """Of the differences between the colour channels, see off_colour."""
    red_weight: float = 0
    """Of dark red, see too_red."""
    fsim_weight: float = 6
    """Of 1 - FSIM (Zhang et al. 2011) of the grey photos, at half the size."""
    recolour: float = 0.0
    few_strokes: float = 0.25
    """Share of the photos without a sketch that are drawn with few strokes."""


def portraits(config: TrainConfig, batches: UnpairedBatches) -> UnpairedBatches:
    """The same batches, close up, of the photos without a sketch."""
    source, sketches = config.dataset.find("photos"), batches.sketches
    assert isinstance(sketches, Pictures)
    drawn = set(sketches.names)
    alone = [number for number, name in enumerate(source.names) if name not in drawn]
    kept = replace(
        source,
        names=[source.names[number] for number in alone],
        fingerprint=f"{source.fingerprint} without a sketch",
        read=lambda index: source.read(alone[index]),
    )
    photos = Pictures(kept, cache_size(round(config.image_size * CLOSE_UP[1])))
    drawn_from = photos, sketches, config.image_size, BATCH, config.seed
    return UnpairedBatches(*drawn_from, None, batches.styles, CLOSE_UP, True, config.recolour)


def draw_few(drawn: Drawn, photos: list[str], share: float, find: Landmarks, rng: np.random.Generator) -> Tensor:
    """Put drawings of few strokes into a batch before its crops. (B,) bool: where."""
    few = torch.from_numpy(rng.random(BATCH) < share) & ~drawn.paired
    for row in few.nonzero().flatten().tolist():
        strokes, outside = draw_face(find(photos[row], drawn.photo[row]), drawn.sketch.shape[-1], rng)
        drawn.sketch[row] = torch.from_numpy(np.stack([strokes, outside, strokes]))
    return few


@torch.no_grad()
def draw_all(sketch: Tensor, made: Tensor, few: Tensor, paired: Tensor) -> Tensor:
    """The drawing of each photo of a batch: the artist's, the release's, or strokes, some with rough lines around.

    Args:
        sketch: (B, 3, H, W): the artists', or strokes and, in the second channel, what lies outside the head.
        made: (B, 3, H, W): the release's.
    """
    strokes, outside = sketch[:, :1].expand_as(sketch), sketch[:, 1:2] > 0
    chosen = torch.rand(len(sketch), 1, 1, 1) < 0.4
    around = torch.where(outside & chosen, roughen(made, torch.rand(len(sketch), ROUGH_NUMBERS)), 1)
    rows = few[:, None, None, None], paired[:, None, None, None]
    return torch.where(rows[0], torch.minimum(strokes, around), torch.where(rows[1], sketch, made))


def off_colour(made: Tensor, true: Tensor) -> Tensor:
    """L1 and SPOTS times the squares of red and blue less green, at half the size."""
    red, green, blue = avg_pool2d(made - true, 2).unbind(1)
    difference = torch.stack([red - green, blue - green])
    return (difference.abs() + SPOTS * difference.square()).mean()


def too_red(made: Tensor) -> Tensor:
    """By how much dark colours are redder than dark skin and lips, on average, at half the size."""
    red, green, blue = avg_pool2d(made, 2).unbind(1)
    luminance = 0.299 * red + 0.587 * green + 0.114 * blue
    return (red - torch.maximum(green, blue) - 0.15 - 0.6 * (luminance + 1)).relu().mean()


def unlike(made: Tensor, true: Tensor) -> Tensor:
    """1 - FSIM at half the size. Noise below a level keeps its roots differentiable where a photo is even."""
    noisy = made + torch.randn_like(made) / 255
    made, true = ((avg_pool2d(photo, 2).clamp(-1, 1) + 1) / 2 for photo in (noisy, true))
    return 1 - fsim(made, true, data_range=1.0, chromatic=False)


def main() -> None:
    options = tyro.cli(PhotoOptions)
    config = settings(options, line_sketches=0.3, recolour=options.recolour, zoom=(0.9, 1.25))
    whole, styles = batches_of(config)
    close = portraits(config, whole)
    pipe = FaceSketchPipeline.from_pretrained(options.release, device="cpu", dtype="float32")
    sketch_generator, photo_generator = pipe.sketch_generator.requires_grad_(False), pipe.photo_generator
    features, unlike_person, find = load_features(options.vgg16), Likeness(options.face), Landmarks()

    def kind(step: int) -> UnpairedBatches:
        return close if step % 5 in CLOSE_UPS else whole

    def start(done: int) -> Callable[[int], Made]:
        ahead = Prefetch(
            lambda step, part: kind(step).read(step, part),
            ((step, slice(0, BATCH)) for step in range(done, options.steps)),
        )

        def make(step: int) -> Made:
            follow(options.partner, step, sketch_generator)
            rng, batches = np.random.default_rng((options.seed, step)), kind(step)
            names = batches.photos.names if isinstance(batches.photos, Pictures) else []

            # The drawing of each photo, as the generator sees it
            drawn = next(ahead)
            drawn.corners[1], drawn.flips[1] = drawn.corners[0], drawn.flips[0]
            share = options.few_strokes if batches is whole else 0.0
            few = draw_few(drawn, [names[number] for number in batches.indices(step)[0]], share, find, rng)
            batch = batches.crop(drawn)
            style = one_hot(torch.randint(len(styles), (BATCH,)), len(styles)).float()
            sketch = draw_all(batch.sketch, sketch_generator(batch.photo, style), few, batch.paired)
            style = torch.where(batch.paired[:, None], one_hot(batch.style, len(styles)), style)
            batch = batch._replace(sketch=sketch, paired=torch.ones(BATCH).bool())
            told = draw(batch, step, slice(0, BATCH), len(styles), config)
            as_drawn = (few & (torch.rand(BATCH) < 0.8))[:, None, None, None]  # most have been made rough enough
            fake = photo_generator(torch.where(as_drawn, sketch, told.sketch), told.conditions.palette)
            rows = (~few).nonzero().squeeze(1)
            again = sketch_generator(fake, style)

            made, true = fake, batch.photo
            if step % 2 == 0:  # at its full size
                top, left = (int(corner) for corner in torch.randint(40, 89, (2,)))
                window = ..., slice(top, top + NEAR), slice(left, left + NEAR)
                made, true = (interpolate(photo[window], scale_factor=2) for photo in (made, true))
            none = fake.new_zeros(())
            parts = {
                "paired": options.paired_weight * paired_loss(fake, batch.photo, torch.ones(BATCH)),
                "perceptual": options.perceptual_weight * perceptual_loss(features, made, true, torch.arange(BATCH)),
                "cycle": options.cycle_weight * difference_at_half(again[rows], sketch[rows]) if len(rows) else none,
                "fsim": options.fsim_weight * unlike(fake, batch.photo),
                "chroma": options.chroma_weight * off_colour(fake, batch.photo),
                "red": options.red_weight * too_red(fake),
                "palette": none,
                "likeness": none,
            }
            if told.colours is not None:
                parts["palette"] = config.palette_weight * palette_loss(fake, *told.colours)
            if batches is whole and len(rows):
                parts["likeness"] = options.likeness_weight * unlike_person(fake[rows], batch.photo[rows])
            return Made(fake, batch.photo, parts)

        return make

    average = train(options, photo_generator, "photo", 1, start)
    save(options, pipe, sketch_generator, average)


if __name__ == "__main__":
    main()
