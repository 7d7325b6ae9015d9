"""What photo_alone.py and sketch_alone.py share: one generator of a release trained on pairs against a discriminator.

A run that was stopped goes on with the same command. Two runs, one of each, can train side by side: each then takes the
average of the other's generator from time to time.
"""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tyro.conf import Positional

from cyclegan import FaceSketchPipeline
from cyclegan.data.batches import UnpairedBatches, cache_size
from cyclegan.data.cache import Pictures
from cyclegan.data.names import find_styles, match_names
from cyclegan.files import atomic
from cyclegan.losses import discriminator_loss, least_squares
from cyclegan.networks import Generator, PatchDiscriminator
from cyclegan.training.config import PRESETS, TrainConfig
from cyclegan.training.state import load_state

from .finish import grid

STYLES = "style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$"
BATCH, RATE, DECAY_FROM, EMA, LOG_EVERY, FOLLOW_EVERY = 2, 1e-4, 0.4, 0.998, 20, 100
STATE = "state.pt"


@dataclass(frozen=True)
class Options:
    """Train one generator of a release alone, on pairs."""

    data: Positional[Path]
    release: Positional[Path]
    out: Positional[Path]
    vgg16: Path
    """As for --perceptual-network."""
    discriminator: Path
    """A state of train_accelerate.py, to begin with its discriminator of this domain."""
    partner: Path | None = None
    """The folder of a run of the other generator, beside this one."""
    steps: int = 1800
    adversarial_weight: float = 1
    paired_weight: float = 8
    cycle_weight: float = 10
    grid_weight: float = 20
    save_every: int = 100
    seed: int = 5


class Made(NamedTuple):
    """What a step made, (B, 3, H, W), and its losses with their weights. Styles, (B,), are for the discriminator."""

    fake: Tensor
    real: Tensor
    parts: dict[str, Tensor]
    styles: tuple[Tensor, Tensor] | None = None  # of the real pictures, and of the fake ones


def batches_of(config: TrainConfig) -> tuple[UnpairedBatches, list[str]]:
    """The batches of a run, every second sketch with its photo, and the names of the styles."""
    side = cache_size(round(config.image_size * config.zoom[1]))
    photos, sketches = (Pictures(config.dataset.find(domain), side) for domain in ("photos", "sketches"))
    styles, numbers = find_styles(sketches.names, STYLES)
    partners = match_names(photos.names, sketches.names)
    drawn_from = photos, sketches, config.image_size, config.batch_size, config.seed
    return UnpairedBatches(*drawn_from, partners, numbers, config.zoom, True, config.recolour), styles


def settings(options: Options, **more: object) -> TrainConfig:
    given = {"data": str(options.data), "batch_size": BATCH, "seed": options.seed, "reconstruction_noise": 0.0}
    return TrainConfig(**PRESETS["released"] | given | more)


def difference_at_half(one: Tensor, other: Tensor) -> Tensor:
    """L1 at half the size."""
    return l1_loss(avg_pool2d(one, 2), avg_pool2d(other, 2))


def follow(partner: Path | None, step: int, generator: Generator) -> None:
    """Take the average of the run beside this one, where there is one."""
    if partner is not None and step % FOLLOW_EVERY == 0 and (partner / STATE).exists():
        *_, average = torch.load(partner / STATE, weights_only=True)
        weights = {name.removeprefix("module."): tensor for name, tensor in average.items()}
        generator.load_state_dict({name: weights[name] for name in generator.state_dict()})


def train(
    options: Options, generator: Generator, domain: str, styles: int, start: Callable[[int], Callable[[int], Made]]
) -> Generator:
    """Train a generator, and return it with the average of its weights.

    Args:
        domain: of what it makes: sketch, or photo. styles: those that the discriminator tells apart.
        start: called with the steps that are done already; returns a function that makes the pictures of a step.
    """
    discriminator = PatchDiscriminator(PRESETS["released"]["discriminator_width"], True, styles)
    discriminator.load_state_dict(load_state(options.discriminator)[1][f"{domain}_discriminator"])
    trained = generator.requires_grad_(True), discriminator
    rates = RATE, 2 * RATE if domain == "sketch" else RATE
    optimizers = [
        torch.optim.Adam(network.parameters(), rate, betas=(0.5, 0.999), fused=True)
        for network, rate in zip(trained, rates, strict=True)
    ]
    average = AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(EMA))
    options.out.mkdir(parents=True, exist_ok=True)
    file, done = options.out / STATE, 0
    states: list[Any] = [*trained, *optimizers, average]
    if file.exists():
        done, *saved = torch.load(file, weights_only=True)
        for part, state in zip(states, saved, strict=True):
            part.load_state_dict(state)
    make = start(done)
    for step in range(done, options.steps):
        for optimizer, rate in zip(optimizers, rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (1 - step / options.steps) / (1 - DECAY_FROM))
        torch.manual_seed(options.seed * 10**6 + step)

        discriminator.requires_grad_(False)
        made = make(step)
        asked = () if made.styles is None else made.styles[1:]
        judged = options.adversarial_weight * least_squares(discriminator(made.fake, *asked), 1.0)
        faint = options.grid_weight * grid(made.fake, generator.fold).abs().mean()
        parts = {"adversarial": judged, "grid": faint} | made.parts
        torch.stack([*parts.values()]).sum().backward()
        optimizers[0].step()
        optimizers[0].zero_grad()

        discriminator.requires_grad_(True)
        parts["discriminator"], _ = discriminator_loss(discriminator, made.real, made.fake, made.styles)
        parts["discriminator"].backward()
        optimizers[1].step()
        optimizers[1].zero_grad()
        average.update_parameters(generator)

        if (step + 1) % LOG_EVERY == 0:
            _log(options.out / "losses.csv", {"step": step + 1} | {name: part.item() for name, part in parts.items()})
        if (step + 1) % options.save_every == 0 or step + 1 == options.steps:
            with atomic(file) as written:
                torch.save((step + 1, *(part.state_dict() for part in states)), written)
    generator.load_state_dict(average.module.state_dict())
    return generator


def _log(file: Path, row: dict[str, float]) -> None:
    new = not file.exists()
    with file.open("a", newline="") as lines:
        writer = csv.DictWriter(lines, [*row])
        if new:
            writer.writeheader()
        writer.writerow(row)
    print(", ".join(f"{name}={value:.4g}" for name, value in row.items()), flush=True)


def save(options: Options, pipe: FaceSketchPipeline, sketch_generator: Generator, photo_generator: Generator) -> None:
    """Write a release with two generators into the folder of the run."""
    pair = sketch_generator, photo_generator
    FaceSketchPipeline(*pair, pipe.image_size, "cpu", torch.float16, styles=pipe.styles).save_pretrained(options.out)
