"""Train the photo generator of a release alone, on pairs: the release itself draws the photos that have no sketch.

    python -m recipes.likeness DATA RELEASE OUT --vgg16 vgg16.safetensors --face face.onnx

Without cycles and without the sketch generator's losses, a step takes half as long as one of train_accelerate.py. Some
of the drawings are made of few strokes, see few_strokes.py. A run that was stopped goes on with the same command.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tyro.conf import Positional

from cyclegan import FaceSketchPipeline
from cyclegan.data.augmentation import ROUGH_NUMBERS, roughen
from cyclegan.data.batches import Drawn, Prefetch, UnpairedBatches, cache_size
from cyclegan.data.cache import Pictures
from cyclegan.data.names import find_styles, match_names
from cyclegan.evaluation.metrics import load_face_network, load_features
from cyclegan.files import atomic
from cyclegan.losses import (
    discriminator_loss,
    least_squares,
    likeness_loss,
    paired_loss,
    palette_loss,
    perceptual_loss,
)
from cyclegan.networks import PatchDiscriminator
from cyclegan.training.config import PRESETS, TrainConfig
from cyclegan.training.draws import draw
from cyclegan.training.state import load_state

from .few_strokes import Landmarks, draw_face

STYLES = "style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$"
BATCH, RATE, DECAY_FROM, EMA, SAVE_EVERY = 2, 1e-4, 0.4, 0.998, 250
NEAR = 128  # pixels: a window that holds most of a face


@dataclass(frozen=True)
class Options:
    """Train the photo generator of a release alone, on pairs."""

    data: Positional[Path]
    release: Positional[Path]
    out: Positional[Path]
    vgg16: Path
    """As for --perceptual-network."""
    face: Path
    """As for --likeness-network."""
    discriminator: Path
    """A state of train_accelerate.py, to begin with its photo discriminator."""
    steps: int = 1800
    adversarial_weight: float = 1
    paired_weight: float = 16
    perceptual_weight: float = 4
    likeness_weight: float = 6
    recolour: float = 0.08
    few_strokes: float = 0.35
    """Share of the photos without a sketch that are drawn with few strokes."""
    near: bool = True
    """Compare features close up in every second step: the face at its full size, and not the picture at half of it."""
    seed: int = 5


def draw_few(drawn: Drawn, photos: list[str], share: float, find: Landmarks, rng: np.random.Generator) -> Tensor:
    """Put drawings of few strokes into a batch before its crops. (B,) bool: where."""
    few = torch.from_numpy(rng.random(BATCH) < share) & ~drawn.paired
    for row in few.nonzero().flatten().tolist():
        drawn.corners[1, row], drawn.flips[1, row] = drawn.corners[0, row], drawn.flips[0, row]
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


def main() -> None:
    options = tyro.cli(Options)
    settings = {"line_sketches": 0.3, "recolour": options.recolour, "reconstruction_noise": 0.0, "seed": options.seed}
    config = TrainConfig(**PRESETS["released"] | settings | {"data": str(options.data)})
    side = cache_size(round(config.image_size * config.zoom[1]))
    photos, sketches = (Pictures(config.dataset.find(domain), side) for domain in ("photos", "sketches"))
    styles, numbers = find_styles(sketches.names, STYLES)
    partners = match_names(photos.names, sketches.names)
    batches = UnpairedBatches(
        photos, sketches, config.image_size, BATCH, options.seed, partners, numbers, config.zoom, True, config.recolour
    )
    pipe = FaceSketchPipeline.from_pretrained(options.release, device="cpu", dtype="float32")
    sketch_generator, photo_generator = pipe.sketch_generator.requires_grad_(False), pipe.photo_generator
    discriminator = PatchDiscriminator(config.discriminator_width, spectral_norm=True)
    discriminator.load_state_dict(load_state(options.discriminator)[1]["photo_discriminator"])
    trained = photo_generator.requires_grad_(True), discriminator
    optimizers = [torch.optim.Adam(network.parameters(), RATE, betas=(0.5, 0.999), fused=True) for network in trained]
    average = AveragedModel(photo_generator, multi_avg_fn=get_ema_multi_avg_fn(EMA))
    features, describe, find = load_features(options.vgg16), load_face_network(str(options.face)), Landmarks()

    options.out.mkdir(parents=True, exist_ok=True)
    file, done = options.out / "state.pt", 0
    parts = *trained, *optimizers, average
    if file.exists():
        done, *states = torch.load(file, weights_only=True)
        for part, state in zip(parts, states, strict=True):
            part.load_state_dict(state)
    ahead = Prefetch(batches.read, ((number, slice(0, BATCH)) for number in range(done, options.steps)))
    for step in range(done, options.steps):
        rate = RATE * min(1, (1 - step / options.steps) / (1 - DECAY_FROM))
        for group in (group for optimizer in optimizers for group in optimizer.param_groups):
            group["lr"] = rate
        torch.manual_seed(options.seed * 10**6 + step)
        rng = np.random.default_rng((options.seed, step))

        # The drawing of each photo, as the generator sees it
        drawn = next(ahead)
        few = draw_few(
            drawn, [photos.names[number] for number in batches.indices(step)[0]], options.few_strokes, find, rng
        )
        batch = batches.crop(drawn)
        made = sketch_generator(batch.photo, one_hot(torch.randint(len(styles), (BATCH,)), len(styles)).float())
        whole = batch._replace(sketch=draw_all(batch.sketch, made, few, batch.paired), paired=torch.ones(BATCH).bool())
        told = draw(whole, step, slice(0, BATCH), len(styles), config)
        palette = told.conditions.palette
        as_drawn = (few & (torch.rand(BATCH) < 0.8))[:, None, None, None]  # most have been made rough enough

        # The generator's step
        discriminator.requires_grad_(False)
        fake = photo_generator(torch.where(as_drawn, whole.sketch, told.sketch), palette)
        made, true = fake, batch.photo
        if options.near and step % 2 == 0:
            top, left = (int(corner) for corner in torch.randint(40, 89, (2,)))
            window = slice(top, top + NEAR), slice(left, left + NEAR)
            made, true = (nn.functional.interpolate(photo[:, :, *window], scale_factor=2) for photo in (made, true))
        loss = (
            options.adversarial_weight * least_squares(discriminator(fake), 1.0)
            + options.paired_weight * paired_loss(fake, batch.photo, torch.ones(BATCH))
            + options.perceptual_weight * perceptual_loss(features, made, true, torch.arange(BATCH))
            + options.likeness_weight * likeness_loss(describe, fake[~few], batch.photo, (~few).nonzero().squeeze(1))
        )
        if palette is not None and batch.places is not None:  # they are where the artist's sketch is
            asked = palette.unflatten(1, (-1, 4)) * batch.paired[:, None, None]
            loss = loss + config.palette_weight * palette_loss(fake, asked, batch.places)
        loss.backward()
        optimizers[0].step()
        optimizers[0].zero_grad()

        # The discriminator's step
        discriminator.requires_grad_(True)
        discriminator_loss(discriminator, batch.photo, fake)[0].backward()
        optimizers[1].step()
        optimizers[1].zero_grad()
        average.update_parameters(photo_generator)

        if (step + 1) % SAVE_EVERY == 0 or step + 1 == options.steps:
            print(f"step {step + 1}: {loss.item():.3f}", flush=True)
            with atomic(file) as written:
                torch.save((step + 1, *(part.state_dict() for part in parts)), written)
    pair = sketch_generator, average.module
    FaceSketchPipeline(*pair, pipe.image_size, "cpu", torch.float16, styles=pipe.styles).save_pretrained(options.out)


if __name__ == "__main__":
    main()
