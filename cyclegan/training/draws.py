"""What the options of training draw at random in a step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from ..data.augmentation import DISCRIMINATOR_NUMBERS, LIGHT_NUMBERS, ROUGH_NUMBERS, augment_judged, relight, roughen
from ..data.batches import Batch, UnpairedBatches, step_rng
from ..losses import Conditions
from ..palette import PARTS, relight_palette
from .config import TrainConfig

LIGHT = 1.2  # up to so much of its light a colour has that is asked for at random
HIDDEN = 0.3  # how often each colour, and the style, is left to the generator


@dataclass(frozen=True)
class Draw:
    """What was drawn for a process's share of a batch.

    Attributes:
        photo, sketch: what the generators see: perhaps in another light, or as bare lines.
        noise: (2, B, 3, H, W), to add to fakes before they are translated back.
        conditions: what the generators are told.
        style: (B,) int64, of the sketches that are made, for the discriminator.
        colours: those that are asked for, and the places where they are searched for, for the palette loss.
        judged: (2, B, DISCRIMINATOR_NUMBERS), how the sketches and the photos are changed that discriminators see.
    """

    photo: Tensor
    sketch: Tensor
    noise: Tensor | None
    conditions: Conditions
    style: Tensor | None
    colours: tuple[Tensor, Tensor] | None
    judged: Tensor | None


def draw(batch: Batch, step: int, rows: slice, styles: int, config: TrainConfig) -> Draw:
    """Draw what a step needs, as a function of the seed and the step.

    Numbers are drawn for the whole batch, so that they are the same however it is shared.

    Args:
        rows: this process's share of the batch. styles: how many there are.
    """
    whole, seed = config.batch_size, config.seed
    photo, sketch, noise, judged = batch.photo, batch.sketch, None, None
    if config.reconstruction_noise:
        start = step_rng(seed, step, UnpairedBatches.NOISE).initial_seed()
        rng = torch.Generator(photo.device).manual_seed(start)
        noise = torch.randn(2, whole, *photo.shape[1:], generator=rng, device=photo.device)[:, rows]
        strength = torch.rand(2, whole, 1, 1, 1, generator=rng, device=photo.device)[:, rows]
        noise *= config.reconstruction_noise * strength
    if config.line_sketches:
        rng = step_rng(seed, step, UnpairedBatches.LINES)
        rough = torch.rand(whole, 1, 1, 1, generator=rng)[rows] < config.line_sketches
        numbers = torch.rand(whole, ROUGH_NUMBERS, generator=rng)[rows].to(sketch.device, non_blocking=True)
        sketch = torch.where(rough.to(sketch.device, non_blocking=True), roughen(sketch, numbers), sketch)
    if config.relight:
        rng = step_rng(seed, step, UnpairedBatches.LIGHT)
        lit = torch.rand(2, whole, 1, 1, 1, generator=rng)[:, rows].to(photo.device, non_blocking=True) < config.relight
        numbers = torch.rand(2, whole, LIGHT_NUMBERS, generator=rng)[:, rows].to(photo.device, non_blocking=True)
        photo, sketch = map(torch.where, lit, map(relight, (photo, sketch), numbers), (photo, sketch))
    if config.differentiable_augmentation:
        rng = step_rng(seed, step, UnpairedBatches.DISCRIMINATORS)
        judged = torch.rand(2, whole, DISCRIMINATOR_NUMBERS, generator=rng)[:, rows]
    conditions, style, colours = _conditions(batch, step, rows, styles, config)
    return Draw(photo, sketch, noise, conditions, style, colours, judged)


def _conditions(
    batch: Batch, step: int, rows: slice, styles: int, config: TrainConfig
) -> tuple[Conditions, Tensor | None, tuple[Tensor, Tensor] | None]:
    """What the generators are told; for the losses, the styles, and the colours with their places.

    A photo with a partner is drawn in its partner's style, others in any. A sketch with a partner is painted in its
    partner's colours, others in another photo's, darker or lighter. The style and each colour are sometimes not told,
    so that the generators also learn to choose.
    """
    whole, device = config.batch_size, batch.photo.device
    rng = step_rng(config.seed, step, UnpairedBatches.CONDITIONS)
    shown = torch.rand(whole, 1 + len(PARTS), generator=rng)[rows].to(device, non_blocking=True) >= HIDDEN
    told, own, style, palette, own_palette, colours = (None,) * 6
    if styles:
        any_style = torch.randint(styles, (whole,), generator=rng)[rows].to(device, non_blocking=True)
        style = torch.where(batch.paired, batch.style, any_style)
        told, own = (one_hot(number, styles).float() * shown[:, :1] for number in (style, batch.style))
    if batch.palette is not None and batch.places is not None:
        own_palette = batch.palette * shown[:, 1:, None]
        light = LIGHT * torch.rand(whole, len(PARTS), 1, generator=rng)[rows].to(device, non_blocking=True)
        palette = torch.where(batch.paired[:, None, None], own_palette, relight_palette(own_palette, light))
        colours = palette, batch.places
    flat = (None if told is None else told.flatten(1) for told in (palette, own_palette))
    return Conditions(told, own, *flat), style, colours


def judges(
    sketch_discriminator: nn.Module, photo_discriminator: nn.Module, changes: Tensor | None
) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Return the two discriminators, which see pictures changed as `Draw.judged` says."""
    if changes is None:
        return sketch_discriminator, photo_discriminator

    def judge(discriminator: nn.Module, numbers: Tensor, pictures: Tensor, *style: Tensor) -> Tensor:
        return discriminator(augment_judged(pictures, numbers), *style)

    return partial(judge, sketch_discriminator, changes[0]), partial(judge, photo_discriminator, changes[1])
