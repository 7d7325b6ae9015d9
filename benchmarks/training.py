"""Pairs per second of the reference's order of work and of this project's training step, side by side in one process.

    python -m benchmarks.training --size 64 --batch 16 --width 64

Both train the same networks with the same losses on the same batch. The reference does it in the order of the authors'
published PyTorch code, in float32: six generator calls, real and fake pictures judged one after the other, a history
of single pictures, eager, contiguous, Adam as it comes. Ours is `train_accelerate.training_step` with the precision
that the script chooses by itself. They take turns, so that a drifting machine slows both; a rate is the median turn's.
"""

import csv
import itertools
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
import tyro
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from torch.nn.functional import l1_loss, mse_loss

from cyclegan.data.batches import Batch
from cyclegan.networks import Generator, PatchDiscriminator
from cyclegan.training.config import TrainConfig
from cyclegan.training.start import choose_precision
from train_accelerate import build, training_step

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Options:
    """Compare training speed with the reference's order of work."""

    size: int = 64
    """Side of the pictures in pixels."""
    batch: int = 16
    """Pairs a step."""
    width: int = 64
    """Channels of the generators' first convolution."""
    device: Literal["auto", "cpu"] = "auto"
    """Where to run; auto is the GPU where there is one."""
    compile: bool = False
    """Compile our networks, as the script's --compile does."""
    turns: int = 5
    """Turns that each contender takes."""
    seconds: float = 5.0
    """Length of a turn, at least one step."""
    json: bool = False
    """Print one JSON object instead of the table."""


class ReferencePool:
    """The history of fakes, picture by picture."""

    def __init__(self, size: int = 50) -> None:
        self.size, self.images = size, list[Tensor]()

    def query(self, fakes: Tensor) -> Tensor:
        shown = []
        for image in fakes.detach().split(1):
            if len(self.images) < self.size:
                self.images.append(image)
                shown.append(image)
            elif random.random() > 0.5:
                place = random.randrange(self.size)
                shown.append(self.images[place].clone())
                self.images[place] = image
            else:
                shown.append(image)
        return torch.cat(shown)


def reference(photo: Tensor, sketch: Tensor, width: int, autocast: bool) -> Callable[[], None]:
    """A step in the reference's order of work: generators, then the one discriminator, then the other."""
    device = photo.device
    sketch_generator, photo_generator = (Generator(width).to(device) for _ in range(2))
    sketch_discriminator, photo_discriminator = (PatchDiscriminator().to(device) for _ in range(2))
    generator_optimizer, discriminator_optimizer = (
        torch.optim.Adam(itertools.chain(*(network.parameters() for network in pair)), 2e-4, betas=(0.5, 0.999))
        for pair in ((sketch_generator, photo_generator), (sketch_discriminator, photo_discriminator))
    )
    sketch_pool, photo_pool = ReferencePool(), ReferencePool()

    def least_squares(score: Tensor, target: float) -> Tensor:
        return mse_loss(score.float(), torch.tensor(target, device=device).expand_as(score))

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            fake_sketch = sketch_generator(photo)
            cycled_photo = photo_generator(fake_sketch)
            fake_photo = photo_generator(sketch)
            cycled_sketch = sketch_generator(fake_photo)

            for network in (sketch_discriminator, photo_discriminator):
                network.requires_grad_(False)
            identity = l1_loss(sketch_generator(sketch), sketch) + l1_loss(photo_generator(photo), photo)
            adversarial = least_squares(sketch_discriminator(fake_sketch), 1.0)
            adversarial = adversarial + least_squares(photo_discriminator(fake_photo), 1.0)
            cycle = l1_loss(cycled_photo, photo) + l1_loss(cycled_sketch, sketch)
        generator_optimizer.zero_grad()
        (adversarial + 10.0 * cycle + 5.0 * identity).backward()
        generator_optimizer.step()

        for network in (sketch_discriminator, photo_discriminator):
            network.requires_grad_(True)
        discriminator_optimizer.zero_grad()
        for discriminator, real, pool, fake in (
            (sketch_discriminator, sketch, sketch_pool, fake_sketch),
            (photo_discriminator, photo, photo_pool, fake_photo),
        ):
            shown = pool.query(fake)
            with torch.autocast(device.type, torch.bfloat16, enabled=autocast):
                loss = least_squares(discriminator(real), 1.0) + least_squares(discriminator(shown), 0.0)
            (0.5 * loss).backward()
        discriminator_optimizer.step()

    return step


def ours(accelerator: Accelerator, config: TrainConfig, photo: Tensor, sketch: Tensor) -> Callable[[], None]:
    """The script's step, its averages included."""
    model = build(config, accelerator)
    zeros = torch.zeros(len(photo), dtype=torch.int64, device=photo.device)
    batch = Batch(photo, sketch, paired=zeros.bool(), style=zeros)
    numbers = itertools.count()

    def step() -> None:
        training_step(accelerator, config, model, batch, next(numbers))
        model.update_averages(config.ema_decay)

    return step


def take_turn(step: Callable[[], None], seconds: float, device: torch.device) -> float:
    """Steps per second."""
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    synchronise()
    start, steps = time.perf_counter(), 0
    while True:
        step()
        steps += 1
        if steps % 5 == 0 or device.type == "cpu":
            synchronise()
            if (spent := time.perf_counter() - start) >= seconds:
                return steps / spent


def main() -> None:
    options = tyro.cli(Options)
    config = TrainConfig(
        "", image_size=options.size, batch_size=options.batch, width=options.width, compile=options.compile
    )
    accelerator = Accelerator(mixed_precision=choose_precision(config.mixed_precision), cpu=options.device == "cpu")
    device = accelerator.device
    torch.manual_seed(0)
    photo, sketch = torch.rand(2, options.batch, 3, options.size, options.size, device=device) * 2 - 1

    contenders = {"reference": reference(photo, sketch, options.width, autocast=False)}
    if accelerator.mixed_precision == "bf16":
        contenders["reference_bf16"] = reference(photo, sketch, options.width, autocast=True)
    contenders["ours"] = ours(accelerator, config, photo, sketch)
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    memory = {}
    for turn in range(options.turns + 1):  # the first warms up
        for name, step in contenders.items():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            rate = options.batch * take_turn(step, options.seconds if turn else 0.0, device)
            if turn:
                rates[name].append(rate)
            if device.type == "cuda":
                memory[f"{name}_peak_gib"] = torch.cuda.max_memory_allocated() / 2**30

    figures: dict[str, float | str] = {
        **{f"{name}_pairs_per_s": statistics.median(turns) for name, turns in rates.items()},
        **{f"{name}_spread": (max(turns) - min(turns)) / statistics.median(turns) for name, turns in rates.items()},
        **memory,
    }
    for name in contenders:
        if name != "ours":
            ratios = [mine / theirs for mine, theirs in zip(rates["ours"], rates[name], strict=True)]
            figures[name.replace("reference", "ratio")] = statistics.median(ratios)
    figures["data_wait_share"] = data_wait(options)
    figures |= {
        "process_peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "precision": accelerator.mixed_precision,
        "device": torch.cuda.get_device_name() if device.type == "cuda" else f"cpu, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "size": options.size,
        "batch": options.batch,
        "width": options.width,
    }
    if options.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name.replace('_', ' '):24} {f'{figure:.3g}' if isinstance(figure, float) else figure}")


def data_wait(options: Options) -> float:
    """The share of its time that the script itself waits for pictures, on an epoch of generated JPEG files."""
    steps = 8
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(0)
        for name in ("photos", "sketches"):
            target = Path(folder, "train", name)
            target.mkdir(parents=True)
            for number in range(steps * options.batch):
                small = Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8))
                small.resize((256, 256), Image.Resampling.BICUBIC).save(target / f"{number}.jpg")
        flags = {
            "data": folder,
            "output": Path(folder, "run"),
            "image-size": options.size,
            "batch-size": options.batch,
            "width": options.width,
            "epochs": 1,
            "log-every": 1,
        }
        subprocess.run(
            [sys.executable, ROOT / "train_accelerate.py", *(f"--{name}={value}" for name, value in flags.items())],
            env=os.environ
            | {"CYCLEGAN_CACHE": f"{folder}/cache"}
            | ({"ACCELERATE_USE_CPU": "true"} if options.device == "cpu" else {}),
            check=True,
            capture_output=True,
        )
        with Path(folder, "run", "losses.csv").open() as file:
            rows = list(csv.DictReader(file))[2:]  # the first steps warm up
        return statistics.mean(float(row["data_wait"]) for row in rows)


if __name__ == "__main__":
    main()
