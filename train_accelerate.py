"""Train the face photo <-> sketch translator: `accelerate launch train_accelerate.py --data FOLDER`.

One GPU, many, or none: Accelerate decides how it is launched, this file is the whole loop.
"""

import csv
import math
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from accelerate import Accelerator
from PIL import Image
from torch import Tensor
from torch.optim.swa_utils import AveragedModel
from torchvision.utils import make_grid
from tqdm import tqdm

from cyclegan.checkpoint import atomic, list_states, load_state, save_state
from cyclegan.data import UnpairedBatches, cache_size, load_domain, step_rng
from cyclegan.hub import write_release
from cyclegan.images import normalise, to_image
from cyclegan.losses import discriminator_loss, generator_loss, translate
from cyclegan.networks import Generator, Padding, PatchDiscriminator, Upsample
from cyclegan.pipeline import FaceSketchPipeline
from cyclegan.pool import ImagePool

SAMPLES = 6  # pictures of each domain in the sample grid


class TrainingError(ValueError):
    """Training cannot start or go on; the message says why and what to do."""


@dataclass(frozen=True)
class TrainConfig:
    """Train the face photo <-> sketch translator. The defaults are the published run: 64x64, batch 256, 15 epochs."""

    data: Path
    """Folder with train/photos and train/sketches; the sample grids show test/photos and test/sketches if there."""
    output: Path = Path("runs/faces")
    """Folder for the releases (epoch-0001, ..., latest), the states to resume from, and losses.csv."""
    image_size: int = 64
    """Side of the training pictures in pixels: a multiple of 4, at least 32."""
    batch_size: int = 256
    """Pairs per step, over all processes and accumulated parts together."""
    epochs: int = 15
    """Passes over the larger domain; the learning-rate schedule is laid over all of them."""
    max_steps: int | None = None
    """Stop after this many steps, schedule unchanged; a later --resume goes on from there."""
    width: int = 64
    """Channels of the generators' first convolution; the discriminators always start with 64."""
    blocks: int = 9
    """Residual blocks of each generator."""
    padding: Padding = "reflect"
    """How the generators pad: reflect shows no borders, zero is the mission's original."""
    upsample: Upsample = "transpose"
    """How the generators enlarge: transpose as in the paper, resize leaves no checkerboard."""
    learning_rate: float = 2e-4
    """Of both Adam optimizers, betas (0.5, 0.999)."""
    decay_from: float = 0.5
    """Share of the run after which the learning rate falls linearly to zero; 1 keeps it constant."""
    cycle_weight: float = 10.0
    """Weight of the cycle loss."""
    identity_weight: float = 5.0
    """Weight of the identity loss; 0 also saves its computation, a third of the step."""
    pool_size: int = 50
    """Older fakes of each domain kept to show the discriminators; 0 shows only new ones."""
    ema_decay: float = 0.999
    """Decay per step of the averaged generators, which are what is released; 0 releases the raw ones."""
    gradient_accumulation: int = 1
    """Parts that a batch is computed in: less memory, same result."""
    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """Precision of the networks; not given, it is what `accelerate launch` or `accelerate config` says."""
    resume: bool = False
    """Go on from the newest state in the output folder."""
    keep_states: int = 2
    """States kept; each holds everything that resuming needs, and older ones are deleted."""
    log_every: int = 20
    """Steps between lines in losses.csv and updates of the shown losses, which are means over those steps."""
    tracker: str | None = None
    """Also log to a tracker that Accelerate knows: tensorboard, wandb, trackio, ..."""
    seed: int = 0
    """Decides the initial weights and every random choice after them."""

    def __post_init__(self) -> None:
        if self.image_size < 32 or self.image_size % 4:
            raise TrainingError(f"--image-size is a multiple of 4 and at least 32, not {self.image_size}.")
        for name in ("batch_size", "epochs", "max_steps", "gradient_accumulation", "keep_states", "log_every"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise TrainingError(f"--{name.replace('_', '-')} is at least 1, not {getattr(self, name)}.")


# What a resumed run must share with its state; every other flag may change
FIXED = (
    "image_size",
    "batch_size",
    "width",
    "blocks",
    "padding",
    "upsample",
    "pool_size",
    "gradient_accumulation",
    "seed",
)
SHORT = {"adversarial": "adv", "cycle": "cycle", "identity": "id", "discriminator": "D"}  # for the progress bar


def train(config: TrainConfig) -> None:
    accelerator = Accelerator(
        mixed_precision=config.mixed_precision,
        gradient_accumulation_steps=config.gradient_accumulation,
        log_with=config.tracker,
        project_dir=config.output,
    )
    device, main_process, processes = accelerator.device, accelerator.is_main_process, accelerator.num_processes
    if device.type == "cpu" and accelerator.mixed_precision == "fp16":
        raise TrainingError("fp16 needs a GPU: on a CPU give --mixed-precision bf16, or no.")
    shares = processes * config.gradient_accumulation
    if config.batch_size % shares:
        raise TrainingError(
            f"--batch-size {config.batch_size} cannot be shared among {processes} processes "
            f"x {config.gradient_accumulation} accumulated parts: give a multiple of {shares}."
        )
    share = config.batch_size // shares  # pairs that one process computes at once
    states = config.output / "states"
    if list_states(states) and not config.resume:
        raise TrainingError(
            f"{config.output} already holds a run: give --resume to go on with it, or another --output."
        )
    torch.manual_seed(config.seed)
    torch.backends.cudnn.benchmark = True

    # Data
    images: dict[str, Tensor] = {}
    for name in ("photos", "sketches"):
        domain = load_domain(config.data / "train" / name, cache_size(config.image_size), progress=main_process)
        images[name] = domain.images
        for reason in domain.skipped:
            accelerator.print(f"Left out: {reason}")
        left_out = f", {len(domain.skipped)} left out as unreadable" if domain.skipped else ""
        accelerator.print(f"{len(domain.images)} {name} to train on{left_out}.")
    batches = UnpairedBatches(**images, image_size=config.image_size, batch_size=config.batch_size, seed=config.seed)

    # Networks: bare to save and to average, prepared by Accelerate to call
    generators = [Generator(config.width, config.blocks, config.padding, config.upsample).to(device) for _ in range(2)]
    discriminators = [PatchDiscriminator().to(device) for _ in range(2)]
    averages = [AveragedModel(generator, multi_avg_fn=moving_average(config.ema_decay)) for generator in generators]
    generator_optimizer, discriminator_optimizer = (
        accelerator.prepare(
            torch.optim.Adam([p for n in networks for p in n.parameters()], config.learning_rate, betas=(0.5, 0.999))
        )
        for networks in (generators, discriminators)
    )
    prepared = [accelerator.prepare(network) for network in (*generators, *discriminators)]
    sketch_generator, photo_generator, sketch_discriminator, photo_discriminator = prepared
    sketch_pool, photo_pool = ImagePool(config.pool_size), ImagePool(config.pool_size)

    # Everything that a resumed run needs: batches and random numbers are functions of the step
    state: dict[str, Any] = {
        "sketch_generator": generators[0],
        "photo_generator": generators[1],
        "sketch_discriminator": discriminators[0],
        "photo_discriminator": discriminators[1],
        "sketch_average": averages[0],
        "photo_average": averages[1],
        "generator_optimizer": generator_optimizer,
        "discriminator_optimizer": discriminator_optimizer,
        "sketch_pool": sketch_pool,
        "photo_pool": photo_pool,
    }
    if accelerator.scaler is not None:
        state["scaler"] = accelerator.scaler
    step = 0
    pictures = {name: len(domain) for name, domain in images.items()}
    if config.resume:
        step = load_newest(states, state, config, pictures)
        accelerator.print(f"Resumed after step {step}." if step else f"No state in {states}: starting afresh.")
        if main_process:
            cut_rows(config.output / "losses.csv", step)
    if config.tracker:
        accelerator.init_trackers("cyclegan", {name: str(value) for name, value in asdict(config).items()})

    accelerator.print(
        f"{processes} {'process' if processes == 1 else 'processes'} on {device.type}, mixed precision "
        f"{accelerator.mixed_precision}: {config.batch_size} pairs a step, {len(batches)} steps an epoch."
    )

    total_steps = config.epochs * len(batches)
    last_step = min(total_steps, config.max_steps or total_steps)
    samples = sample_pictures(config)
    sums: dict[str, Tensor] = {}
    bar = tqdm(
        total=total_steps * config.batch_size,
        initial=step * config.batch_size,
        unit="pair",
        disable=not main_process,
        dynamic_ncols=True,
    )
    logged_at, logged_step = time.perf_counter(), step

    while step < last_step:
        learning_rate = config.learning_rate * schedule(step / total_steps, config.decay_from)
        for optimizer in (generator_optimizer, discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        pool_rng = step_rng(config.seed, step, batches.POOL)

        for part in range(config.gradient_accumulation):
            first = (part * processes + accelerator.process_index) * share
            photo, sketch = batches.load(step, slice(first, first + share), device)
            with accelerator.accumulate(*prepared):
                # The generators' step: the discriminators only judge
                for network in discriminators:
                    network.requires_grad_(False)
                translation = translate(sketch_generator, photo_generator, photo, sketch, config.identity_weight > 0)
                loss, losses = generator_loss(
                    sketch_discriminator,
                    photo_discriminator,
                    photo,
                    sketch,
                    translation,
                    config.cycle_weight,
                    config.identity_weight,
                )
                accelerator.backward(loss)
                generator_optimizer.step()
                generator_optimizer.zero_grad()

                # The discriminators' step, on fakes of now and of before; every process keeps the same pools
                for network in discriminators:
                    network.requires_grad_(True)
                old_sketch, old_photo = (
                    pool.query(accelerator.gather(fake.detach()), pool_rng)[accelerator.process_index * share :][:share]
                    for pool, fake in ((sketch_pool, translation.fake_sketch), (photo_pool, translation.fake_photo))
                )
                sketch_loss, _ = discriminator_loss(sketch_discriminator, sketch, old_sketch)
                photo_loss, _ = discriminator_loss(photo_discriminator, photo, old_photo)
                accelerator.backward(sketch_loss + photo_loss)
                discriminator_optimizer.step()
                discriminator_optimizer.zero_grad()

            losses |= {"sketch_discriminator": sketch_loss, "photo_discriminator": photo_loss}
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value.detach()
        for average, generator in zip(averages, generators, strict=True):
            average.update_parameters(generator)
        step += 1
        bar.update(config.batch_size)

        # Once in a while
        epoch, epoch_ends = -(-step // len(batches)), step % len(batches) == 0
        if step % config.log_every == 0 or epoch_ends or step == last_step:
            count = (step - logged_step) * config.gradient_accumulation
            means = accelerator.reduce(torch.stack(list(sums.values())), "mean") / count
            row = dict(zip(sums, means.tolist(), strict=True))
            pairs_per_second = (step - logged_step) * config.batch_size / (time.perf_counter() - logged_at)
            row |= {"learning_rate": learning_rate, "pairs_per_second": pairs_per_second}
            if main_process:
                append_row(config.output / "losses.csv", {"step": step, "epoch": epoch, **row})
            accelerator.log(row, step=step)
            bar.set_description(f"Epoch {epoch}/{config.epochs}")
            shown = {short: [value for name, value in row.items() if kind in name] for kind, short in SHORT.items()}
            bar.set_postfix({short: f"{sum(values) / len(values):.3f}" for short, values in shown.items() if values})
            sums, logged_at, logged_step = {}, time.perf_counter(), step
            if broken := [name for name, value in row.items() if not math.isfinite(value)]:
                raise TrainingError(
                    f"The loss {broken[0]} was no longer a finite number by step {step}. The states in {states} are "
                    "from before: --resume with a lower --learning-rate or --mixed-precision no."
                )
        if main_process and (epoch_ends or step == last_step):
            name = f"epoch-{epoch:04d}" if epoch_ends else f"step-{step:08d}"
            try:
                sketch_average, photo_average = (copy_of(average) for average in averages)
                grid = sample_grid(sketch_average, photo_average, *samples)
                release = FaceSketchPipeline(sketch_average, photo_average, config.image_size, "cpu", torch.float16)
                write_release(release, config.output / name, grid, changed_flags(config), {"epoch": epoch, **row})
                facts = {"config": asdict(config), "pictures": pictures}
                save_state(states, step, {n: part.state_dict() for n, part in state.items()}, facts, config.keep_states)
            except OSError as error:
                raise TrainingError(
                    f"Step {step} could not be saved in {config.output}: {error}. What was saved before is whole: "
                    "make room and go on with --resume."
                ) from None
        accelerator.wait_for_everyone()

    bar.close()
    accelerator.end_training()
    accelerator.print(f"Done after step {step}. The weights: {config.output / 'latest'}")


def schedule(progress: float, decay_from: float) -> float:
    """The learning rate's factor at a share of the run: 1, then linearly to 0 (paper, section 4)."""
    return 1.0 if progress < decay_from else (1.0 - progress) / (1.0 - decay_from)


def moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average whose decay starts low, so that it soon forgets the random initial weights."""

    def update(averages: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        torch._foreach_lerp_(averages, current, 1.0 - min(decay, (1.0 + int(count)) / (10.0 + int(count))))

    return update


def copy_of(average: AveragedModel) -> Generator:
    generator = deepcopy(average.module)
    assert isinstance(generator, Generator)
    return generator


def load_newest(states: Path, state: dict[str, Any], config: TrainConfig, pictures: dict[str, int]) -> int:
    """Bring every part of the newest state back and return its step; 0 and nothing changed where there is none.

    Raises:
        TrainingError: the state belongs to other networks, batches or pictures.
    """
    saved = list_states(states)
    if not saved:
        return 0
    step, tree, facts = load_state(saved[-1])
    was, now = facts["config"] | facts["pictures"], asdict(config) | pictures
    for name in (*FIXED, *pictures):
        if was[name] != now[name]:
            raise TrainingError(
                f"{saved[-1]} cannot be resumed: {name} was {was[name]} and is now {now[name]}. "
                "Give the old value, or another --output."
            )
    for name, part in state.items():
        part.load_state_dict(tree.get(name, {}))
    return step


def changed_flags(config: TrainConfig) -> dict[str, str]:
    """The flags that differ from their defaults: the recipe, as a person would type it."""
    defaults = TrainConfig(config.data)
    skipped = {"data", "output", "resume", "keep_states", "log_every", "tracker"}
    return {
        f"--{name.replace('_', '-')}": str(value)
        for name, value in asdict(config).items()
        if name not in skipped and value != getattr(defaults, name)
    }


def sample_pictures(config: TrainConfig) -> tuple[Tensor, Tensor]:
    """The photos and sketches of the sample grids, from test/ where it is there: two (N, 3, H, W) in [-1, 1]."""

    def load(name: str) -> Tensor:
        test, train = (config.data / split / name for split in ("test", "train"))
        return normalise(load_domain(test if test.is_dir() else train, config.image_size, at_most=SAMPLES).images)

    return load("photos"), load("sketches")


@torch.inference_mode()
def sample_grid(sketch_generator: Generator, photo_generator: Generator, photo: Tensor, sketch: Tensor) -> Image.Image:
    """Six rows: photos, their sketches, back again; then sketches, their photos, back again."""
    device = next(sketch_generator.parameters()).device
    rows = []
    for pictures, there, back in (
        (photo, sketch_generator, photo_generator),
        (sketch, photo_generator, sketch_generator),
    ):
        converted = there(pictures.to(device))
        rows += [pictures, converted.cpu(), back(converted).cpu()]
    width = max(len(photo), len(sketch))
    blank = torch.ones_like(photo[:1])
    rows = [torch.cat([row, blank.expand(width - len(row), -1, -1, -1)]) for row in rows]
    return to_image(make_grid(torch.cat(rows), nrow=width, pad_value=1.0))


def append_row(path: Path, row: dict[str, Any]) -> None:
    """Add a line to a CSV file, under a header if the file is new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if file.tell() == 0:
            writer.writeheader()
        writer.writerow(row)


def cut_rows(path: Path, step: int) -> None:
    """Take back the lines that a killed run wrote after the state it is resumed from."""
    if path.exists():
        header, *lines = path.read_text().splitlines(keepends=True)
        with atomic(path) as partial:
            partial.write_text("".join([header, *(line for line in lines if int(line.split(",")[0]) <= step)]))


def main() -> None:
    try:
        train(tyro.cli(TrainConfig, description=TrainConfig.__doc__))
    except (ValueError, KeyboardInterrupt) as error:
        sys.exit(str(error) or "Interrupted: --resume goes on from the last saved state.")


if __name__ == "__main__":
    main()
