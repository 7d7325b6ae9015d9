"""Train the face photo <-> sketch translator: `accelerate launch train_accelerate.py --data FOLDER`.

This file is the whole training loop. Accelerate launches it on a CPU, one GPU or many.
"""

import math
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Annotated, Any, Literal

import torch
import tyro
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.optim.swa_utils import AveragedModel
from torchvision.utils import make_grid
from tqdm import tqdm
from tyro.constructors import PrimitiveConstructorSpec

from cyclegan.data.augmentation import LIGHT_NUMBERS, NUMBERS, augment, bare_lines, relight
from cyclegan.data.batches import Batch, Prefetch, UnpairedBatches, cache_size, step_rng
from cyclegan.data.cache import Pictures
from cyclegan.data.sources import DataError, find_pairs, find_pictures, find_styles, match_names
from cyclegan.directions import Direction
from cyclegan.evaluation.metrics import luminance_correlation
from cyclegan.evaluation.pairs import SIZE, Pairs, load_pairs
from cyclegan.evaluation.protocol import mean_figures
from cyclegan.files import point
from cyclegan.hub.client import HubError
from cyclegan.hub.uploads import Uploads, fetch_state
from cyclegan.images import normalise, to_image
from cyclegan.losses import Conditions, discriminator_loss, generator_loss, translate
from cyclegan.networks import Features, Generator, Padding, PatchDiscriminator, Upsample
from cyclegan.palette import PALETTE_SIZE, PARTS, relight_palette
from cyclegan.pipeline import FaceSketchPipeline
from cyclegan.pool import ImagePool
from cyclegan.release import WeightsError
from cyclegan.training import TrainingError
from cyclegan.training.bounds import check_bounds
from cyclegan.training.epoch import is_whole, write_release
from cyclegan.training.guard import check_tracker, disk_errors, on_signals, own, stop_on_signals
from cyclegan.training.log import alarms, append_row, cut_rows, mean_losses
from cyclegan.training.state import FIXED, check_finite, fingerprint, list_states, load_newest, save_state

SAMPLES = 6  # pictures of each domain in the sample grid
FEW_UPDATES = 200  # a run of fewer is told so before it starts
PLAIN_LINE_EVERY = 30.0  # seconds, where there is no terminal to draw a progress bar in
LIGHT = 1.2  # up to so much of its light a colour has that is asked for at random
HIDDEN = 0.3  # how often each colour, and the style, is left to the generator

ResumeFrom = Annotated[
    Literal["here", "hub"] | None,
    PrimitiveConstructorSpec(  # --resume, or --resume hub
        nargs=(0, 1),
        metavar="[hub]",
        choices=("hub",),
        instance_from_str=lambda given: "hub" if given else "here",
        is_instance=lambda value: value in ("here", "hub", None),
        str_from_instance=lambda value: ["hub"] if value == "hub" else [],
    ),
]


@dataclass(frozen=True)
class TrainConfig:
    """Train the face photo <-> sketch translator. The defaults are 64 x 64 pixels, a batch of 256 and 15 epochs."""

    data: str
    """Folder with train/photos and train/sketches; the sample grids show test/photos and test/sketches if they exist.
    Or hf:NAME[:SPLIT], a data set on the Hub or a folder of Parquet or WebDataset shards; see docs/data.md."""
    photo_column: str = "photo"
    """The column with the photos, in a data set on the Hub or in shards."""
    sketch_column: str = "sketch"
    """The column with the sketches."""
    preset: Literal["none", "seed", "reference"] = "none"
    """The recipe that sets the defaults of the other flags: seed is a minimal CycleGAN, reference is the paper's."""
    output: Path = Path("runs/faces")
    """Folder for the releases (epoch-0001, ..., latest, best), the states to resume from, losses.csv, figures.csv."""
    image_size: int = 64
    """Side of the training pictures in pixels: a multiple of 4, or of 8 with --compact, and at least 32. It may change
    with --resume, since it is quick to learn from small pictures first."""
    batch_size: int = 256
    """Pairs per step, in total over all processes and accumulated parts."""
    epochs: int = 15
    """Passes over the larger domain. The learning-rate schedule spans all of them."""
    max_steps: int | None = None
    """Stop after this many steps, with an unchanged schedule. A later --resume continues from there."""
    width: int = 64
    """Channels of the generators' first convolution."""
    blocks: int = 9
    """Residual blocks of each generator."""
    padding: Padding = "reflect"
    """How the generators pad: reflect avoids visible borders, zero is plain zero padding."""
    upsample: Upsample = "transpose"
    """How the generators enlarge: transpose is the paper's way, resize leaves no checkerboard."""
    compact: bool = False
    """Use generators made for the CPU, which process 2 x 2 pixels at a time, with a quarter of the work."""
    grey_sketches: bool = False
    """Make grey sketches. Pencil has no colour, and none can be hidden in a grey sketch."""
    discriminator_width: int = 64
    """Channels of the discriminators' first convolution."""
    learning_rate: float = 2e-4
    """Learning rate of both Adam optimizers, with betas (0.5, 0.999)."""
    learning_rate_batch: int | None = None
    """Batch that --learning-rate is meant for. For another batch, it is scaled by the root of their ratio."""
    decay_from: float = 0.5
    """Share of the run after which the learning rate falls linearly to zero. 1 keeps it constant."""
    cycle_weight: float = 10.0
    """Weight of the cycle loss."""
    identity_weight: float = 5.0
    """Weight of the identity loss. 0 also skips its computation, a third of the step."""
    identity_every: int = 1
    """Compute the identity loss only once in this many steps."""
    paired_weight: float = 0.0
    """Weight of the distance (L1 and SSIM) to the true partner, where a photo and a sketch have the same name."""
    perceptual_weight: float = 0.0
    """Weight of the distance of VGG16's features: of cycled photos, and of photos of sketches with a true partner."""
    perceptual_network: str = "torchvision"
    """Where VGG16 is from: torchvision downloads it, or a safetensors file with the names of torchvision's tensors."""
    palette: bool = False
    """Tell the photo generator the colours of skin, hair and background, read from the photo; each is hidden at random,
    so that it can choose them too."""
    palette_weight: float = 0.0
    """Weight of the distance between the colours that were asked for and those that were painted; needs --palette."""
    style_pattern: str | None = None
    """The style of a sketch is what this regular expression finds in its name: the named group that matches, or the
    first group. Without it, the folders in train/sketches are the styles."""
    zoom: tuple[float, float] = (1.0, 1.0)
    """Train on pictures enlarged from so much to so much and then cropped: faces of many scales."""
    start_from: str | None = None
    """Begin with the generators of a release, as far as they fit: a folder, USER/NAME, or `embedded`, the package's."""
    line_sketches: float = 0.0
    """Share of the sketches that the photo generator sees as bare lines, to learn from drawings without shading."""
    relight: float = 0.0
    """Share of the pictures that the generators see as if a phone had taken them: faded, dark, shadowed, in a lamp's
    colour. The target is the result for the original picture."""
    reconstruction_noise: float = 0.0
    """Largest standard deviation, in [-1, 1], of the noise that is added to fakes before they are translated back, so
    that they can hide less. Each picture's own is drawn between 0 and this value."""
    pool_size: int = 50
    """Older fakes of each domain that are kept for the discriminators. 0 shows only new ones."""
    differentiable_augmentation: bool = False
    """Show the discriminators all pictures in changed colours, shifted and with a hole. This helps small domains."""
    spectral_norm: bool = False
    """Use spectral normalisation in the discriminators, so that they cannot win outright."""
    ema_decay: float = 0.999
    """Decay per step of the averaged generators, which are released. 0 releases the raw ones."""
    gradient_accumulation: int = 1
    """Parts that a batch is computed in. More parts need less memory and give the same result."""
    mixed_precision: Literal["auto", "no", "fp16", "bf16"] = "auto"
    """Precision of the networks. auto follows `accelerate launch`, or else uses bf16 where the processor has it."""
    compile: bool = False
    """Compile the networks with torch.compile. This takes minutes at the start and makes long runs faster."""
    validation_pictures: int = 100
    """Pairs of test/, matched by name, that score each epoch. `best` is the release with the highest FSIM."""
    resume: ResumeFrom = None
    """Continue from the newest state in the output folder. `--resume hub` downloads that of --push-state first."""
    save_every: int | None = None
    """Also save the state every this many steps. The end of an epoch, SIGTERM and Ctrl-C save it anyway."""
    keep_states: int = 2
    """States to keep. Each holds everything that resuming needs; older ones are deleted."""
    log_every: int = 20
    """Steps between lines in losses.csv and updates of the losses shown, which are means over those steps."""
    tracker: str | None = None
    """Also log to a tracker that Accelerate knows: tensorboard, wandb, trackio, ..."""
    push_to_hub: str | None = None
    """Upload each release to this repository, USER/NAME, in the background, and tag it epoch-N."""
    hub_private: bool = False
    """Create a private repository, and refuse to use an existing public one."""
    hub_best: bool = False
    """Move a tag `best` to the best release. This needs pairs in test/."""
    push_state: bool = False
    """Also upload each state to the branch training-state, so that --resume hub can continue on another machine."""
    data_note: str = ""
    """A note for the model card: what the pictures are, and what their licence allows."""
    seed: int = 0
    """Determines the initial weights and all random choices."""

    @property
    def columns(self) -> dict[str, str]:
        return {"photos": self.photo_column, "sketches": self.sketch_column}

    def __post_init__(self) -> None:
        check_bounds(self)
        multiple = 8 if self.compact else 4
        if self.image_size % multiple:
            raise TrainingError(f"--image-size must be a multiple of {multiple}; got {self.image_size}")
        for name in ("hub_private", "hub_best", "push_state"):
            if getattr(self, name) and not self.push_to_hub:
                raise TrainingError(f"--{name.replace('_', '-')} needs --push-to-hub USER/NAME.")
        if self.palette_weight and not self.palette:
            raise TrainingError("--palette-weight needs --palette: without it, no colours are asked for.")
        if not 1 <= self.zoom[0] <= self.zoom[1]:
            raise TrainingError(
                f"--zoom is the least and the most, both at least 1; got {self.zoom[0]} {self.zoom[1]}."
            )
        if self.resume == "hub" and not self.push_to_hub:
            raise TrainingError("--resume hub needs --push-to-hub USER/NAME, the repository that holds the state.")


PRESETS: dict[str, dict[str, Any]] = {
    "none": {},
    "seed": {"padding": "zero", "identity_weight": 0.0, "pool_size": 0, "ema_decay": 0.0, "decay_from": 1.0},
    "reference": {"image_size": 256, "batch_size": 1, "epochs": 200, "ema_decay": 0.0},
}
LOSSES = (
    "adversarial_sketch", "adversarial_photo", "cycle_photo", "cycle_sketch", "identity_photo", "identity_sketch",
    "paired_photo", "paired_sketch", "perceptual_photo", "palette_photo", "sketch_discriminator", "photo_discriminator",
    "sketch_correlation", "photo_correlation",
)  # fmt: skip
SHORT = {"adversarial": "adv", "cycle": "cycle", "identity": "id", "discriminator": "D"}  # for the progress bar


@dataclass
class Model:
    """The networks and what trains them. In each list, sketches come first and photos second."""

    generators: list[Generator]  # bare, to save and to average
    discriminators: list[PatchDiscriminator]
    averages: list[AveragedModel]
    prepared: list[nn.Module]  # generators, then discriminators, to call: Accelerate keeps them alike on all processes
    optimizers: list[Any]  # of the generators, of the discriminators
    pools: list[ImagePool]
    features: Features | None
    styles: list[str]

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs. Batches and random numbers are functions of the step."""
        return {
            f"{domain}_{part}": objects[number]
            for part, objects in (
                ("generator", self.generators),
                ("discriminator", self.discriminators),
                ("average", self.averages),
                ("pool", self.pools),
            )
            for number, domain in enumerate(("sketch", "photo"))
        } | {"generator_optimizer": self.optimizers[0], "discriminator_optimizer": self.optimizers[1]}


def build(config: TrainConfig, accelerator: Accelerator, styles: Sequence[str] = ()) -> Model:
    device = accelerator.device
    torch.manual_seed(config.seed)
    torch.backends.cudnn.benchmark = True
    architecture = config.width, config.blocks, config.padding, config.upsample, config.compact
    generators = [
        Generator(*architecture, config.grey_sketches, len(styles)).to(device),
        Generator(*architecture, False, PALETTE_SIZE if config.palette else 0).to(device),
    ]
    if config.start_from:
        start(generators, config.start_from)
    discriminators = [
        PatchDiscriminator(config.discriminator_width, config.spectral_norm, number).to(device)
        for number in (max(1, len(styles)), 1)
    ]
    averages = [AveragedModel(generator, multi_avg_fn=moving_average(config.ema_decay)) for generator in generators]
    networks: list[nn.Module] = [*generators, *discriminators]
    if config.compile:
        for network in networks:
            network.compile()
    return Model(
        generators,
        discriminators,
        averages,
        optimizers=[
            accelerator.prepare(
                torch.optim.Adam(
                    [parameter for network in pair for parameter in network.parameters()],
                    config.learning_rate,
                    betas=(0.5, 0.999),
                    fused=device.type in ("cpu", "cuda"),
                )
            )
            for pair in (networks[:2], networks[2:])
        ],
        prepared=[accelerator.prepare(network) for network in networks],
        pools=[ImagePool(config.pool_size) for _ in range(2)],
        features=load_features(config.perceptual_network).to(device) if config.perceptual_weight else None,
        styles=list(styles),
    )


def start(generators: list[Generator], release: str) -> None:
    """Copy a release's generators, tensor by tensor, as far as names and shapes are the same."""
    source = FaceSketchPipeline.from_pretrained(
        *([] if release == "embedded" else [release]), device="cpu", dtype=torch.float32
    )
    for generator, given in zip(generators, source.generators.values(), strict=True):
        wanted = generator.state_dict()
        fitting = {
            name: tensor
            for name, tensor in given.state_dict().items()
            if name in wanted and tensor.shape == wanted[name].shape
        }
        generator.load_state_dict(wanted | fitting)


def load_features(source: str) -> Features:
    """VGG16 for the perceptual loss.

    Raises:
        TrainingError: it cannot be downloaded, or the file does not hold it.
    """
    features = Features()
    try:
        if source == "torchvision":
            from torchvision.models import VGG16_Weights

            tensors = VGG16_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        else:
            tensors = load_file(source)
        features.load_state_dict({name: tensors[name] for name in features.state_dict()})
    except (OSError, SafetensorError, KeyError, RuntimeError) as error:
        raise TrainingError(
            f"VGG16 could not be loaded from {source} ({error}): give --perceptual-network a safetensors file with the "
            "names of torchvision's tensors."
        ) from None
    return features


def judge_augmented(discriminator: nn.Module, numbers: Tensor, pictures: Tensor, *style: Tensor) -> Tensor:
    return discriminator(augment(pictures, numbers), *style)


def share_of(config: TrainConfig, accelerator: Accelerator, part: int) -> slice:
    """Return the rows of the whole batch that this process computes in one accumulated part."""
    share = config.batch_size // (accelerator.num_processes * config.gradient_accumulation)
    first = (part * accelerator.num_processes + accelerator.process_index) * share
    return slice(first, first + share)


def tell(
    config: TrainConfig, model: Model, batch: Batch, step: int, rows: slice
) -> tuple[Conditions, Tensor | None, tuple[Tensor, Tensor] | None]:
    """What the generators are told in this step; for the losses, the styles, and the colours with their places.

    A photo with a partner is drawn in its partner's style, others in any. A sketch with a partner is painted in its
    partner's colours, others in another photo's, darker or lighter. The style and each colour are sometimes not told,
    so that the generators also learn to choose.
    """
    rng = step_rng(config.seed, step, UnpairedBatches.CONDITIONS)
    shown = torch.rand(config.batch_size, 1 + len(PARTS), generator=rng)[rows].to(batch.photo.device) >= HIDDEN
    styles = len(model.styles)
    told, own, style, palette, own_palette, asked = (None,) * 6
    if styles:
        any_style = torch.randint(styles, (config.batch_size,), generator=rng)[rows].to(batch.photo.device)
        style = torch.where(batch.paired, batch.style, any_style)
        told, own = (one_hot(number, styles).float() * shown[:, :1] for number in (style, batch.style))
    if batch.palette is not None and batch.places is not None:
        own_palette = batch.palette * shown[:, 1:, None]
        light = LIGHT * torch.rand(config.batch_size, len(PARTS), 1, generator=rng)[rows].to(own_palette)
        palette = torch.where(batch.paired[:, None, None], own_palette, relight_palette(own_palette, light))
        asked = palette, batch.places
    flat = (None if colours is None else colours.flatten(1) for colours in (palette, own_palette))
    return Conditions(told, own, *flat), style, asked


def training_step(
    accelerator: Accelerator, config: TrainConfig, model: Model, batch: Batch, step: int, part: int = 0
) -> dict[str, Tensor]:
    """Train the generators and then the discriminators on this process's share of a batch, and return the losses."""
    photo, sketch, paired = batch[:3]
    sketch_generator, photo_generator, *discriminators = model.prepared
    generator_optimizer, discriminator_optimizer = model.optimizers
    rows = share_of(config, accelerator, part)

    # Random numbers are drawn for the whole batch: they are the same however it is shared
    noise = None
    if config.reconstruction_noise:
        seed = step_rng(config.seed, step, UnpairedBatches.NOISE).initial_seed()
        rng = torch.Generator(photo.device).manual_seed(seed)
        noise = torch.randn(2, config.batch_size, *photo.shape[1:], generator=rng, device=photo.device)[:, rows]
        strength = torch.rand(2, config.batch_size, 1, 1, 1, generator=rng, device=photo.device)[:, rows]
        noise *= config.reconstruction_noise * strength
    taken, drawn = photo, sketch
    if config.line_sketches:
        rng = step_rng(config.seed, step, UnpairedBatches.LINES)
        bare = torch.rand(config.batch_size, 1, 1, 1, generator=rng)[rows] < config.line_sketches
        drawn = torch.where(bare.to(sketch.device), bare_lines(sketch), sketch)
    if config.relight:
        rng = step_rng(config.seed, step, UnpairedBatches.LIGHT)
        lit = torch.rand(2, config.batch_size, 1, 1, 1, generator=rng)[:, rows].to(photo.device) < config.relight
        numbers = torch.rand(2, config.batch_size, LIGHT_NUMBERS, generator=rng)[:, rows]
        taken, drawn = map(torch.where, lit, map(relight, (taken, drawn), numbers), (taken, drawn))
    conditions, style, asked = tell(config, model, batch, step, rows)
    sketch_judge: Callable[..., Tensor]
    photo_judge: Callable[..., Tensor]
    sketch_judge, photo_judge = discriminators
    if config.differentiable_augmentation:
        rng = step_rng(config.seed, step, UnpairedBatches.DISCRIMINATORS)
        numbers = torch.rand(2, config.batch_size, NUMBERS, generator=rng)[:, rows]
        sketch_judge, photo_judge = (
            partial(judge_augmented, *pair) for pair in zip(discriminators, numbers, strict=True)
        )

    with accelerator.accumulate(*model.prepared):
        # The generators' step: the discriminators only judge
        for network in model.discriminators:
            network.requires_grad_(False)
        identity = config.identity_weight > 0 and step % config.identity_every == 0
        translation = translate(sketch_generator, photo_generator, taken, drawn, identity, noise, conditions)
        loss, losses = generator_loss(
            sketch_judge,
            photo_judge,
            photo,
            sketch,
            translation,
            config.cycle_weight,
            config.identity_weight,
            paired if config.paired_weight else None,
            config.paired_weight,
            model.features,
            config.perceptual_weight,
            asked if config.palette_weight else None,
            config.palette_weight,
            style,
        )
        accelerator.backward(loss)
        generator_optimizer.step()
        generator_optimizer.zero_grad()

        # The discriminators' step, on fakes of now and of before; every process keeps the same pools
        for network in model.discriminators:
            network.requires_grad_(True)
        pool_rng = step_rng(config.seed, step, UnpairedBatches.POOL, part)
        mine = slice(accelerator.process_index * len(photo), (accelerator.process_index + 1) * len(photo))
        fake_sketch = translation.fake_sketch.detach()
        if style is not None:  # it goes through the pool with its picture, as a fourth channel
            fake_sketch = torch.cat([fake_sketch, style.view(-1, 1, 1, 1).expand_as(fake_sketch[:, :1])], 1)
        old_sketch, old_photo = (
            pool.query(accelerator.gather(fake.detach()), pool_rng)[mine]
            for pool, fake in zip(model.pools, (fake_sketch, translation.fake_photo), strict=True)
        )
        styles = None if style is None else (batch.style, old_sketch[:, 3, 0, 0].long())
        sketch_loss, _ = discriminator_loss(sketch_judge, sketch, old_sketch[:, :3], styles)
        photo_loss, _ = discriminator_loss(photo_judge, photo, old_photo)
        accelerator.backward(sketch_loss + photo_loss)
        discriminator_optimizer.step()
        discriminator_optimizer.zero_grad()

    losses |= {
        "sketch_discriminator": sketch_loss,
        "photo_discriminator": photo_loss,
        "sketch_correlation": luminance_correlation(photo, translation.fake_sketch).mean(),
        "photo_correlation": luminance_correlation(sketch, translation.fake_photo).mean(),
    }
    return {name: value.detach().float() for name, value in losses.items()}


def train(config: TrainConfig) -> None:
    """Train, from the start or the newest state, and release; SIGTERM and Ctrl-C save the state first.

    Raises:
        TrainingError: it cannot start or go on. HubError: not everything has arrived on the Hub.
    """
    check_tracker(config.tracker)
    accelerator = Accelerator(
        mixed_precision=choose_precision(config.mixed_precision),
        gradient_accumulation_steps=config.gradient_accumulation,
        log_with=config.tracker,
        project_dir=config.output,
    )
    if accelerator.gradient_accumulation_steps != config.gradient_accumulation:
        raise TrainingError(
            f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS is {accelerator.gradient_accumulation_steps} and "
            f"--gradient-accumulation is {config.gradient_accumulation}: unset the variable, or give the same value."
        )
    with own(config.output) if accelerator.is_main_process else nullcontext():
        with stop_on_signals() as stop:
            uploads = run(config, accelerator, stop)
        if uploads:
            with on_signals(signal.default_int_handler):  # there is no state to save any more
                uploads.finish()


def run(config: TrainConfig, accelerator: Accelerator, stop: Event) -> Uploads | None:
    """The whole of training until `stop` is set or all is done; the uploads that may still be on their way."""
    device, main_process, processes = accelerator.device, accelerator.is_main_process, accelerator.num_processes
    if device.type == "cpu" and accelerator.mixed_precision == "fp16":
        raise TrainingError("fp16 needs a GPU. On a CPU, use --mixed-precision bf16 or no.")
    shares = processes * config.gradient_accumulation
    if config.batch_size % shares:
        raise TrainingError(
            f"--batch-size must be a multiple of {shares} for {processes} processes and "
            f"{config.gradient_accumulation} accumulated parts; got {config.batch_size}."
        )
    states = config.output / "states"
    if list_states(states) and not config.resume:
        raise TrainingError(
            f"{config.output} already holds a run. Continue it with --resume, or choose another --output."
        )
    uploads = None
    if main_process and config.push_to_hub:
        uploads = Uploads(config.push_to_hub, config.hub_private, config.output / ".uploads")
        if config.resume == "hub":
            fetch_state(uploads.repo, config.output)
    accelerator.wait_for_everyone()

    # Data
    photos, sketches = (
        Pictures(find_pictures(config.data, domain, column), cache_size(round(config.image_size * config.zoom[1])))
        for domain, column in config.columns.items()
    )
    styles, style_numbers = find_styles(sketches.names, config.style_pattern)
    pictures = {"photos": fingerprint(photos.names), "sketches": fingerprint(sketches.names)}
    accelerator.print(f"Training on {len(photos)} photos and {len(sketches)} sketches.")
    partners = match_names(photos.names, sketches.names) if config.paired_weight else None
    if partners is not None:
        pairs = int((partners >= 0).sum())
        if not pairs:
            raise TrainingError(
                "--paired-weight needs photos and sketches with the same name, but there are none. Leave it out."
            )
        accelerator.print(f"{pairs} sketches have a photo of the same name.")
    if styles:
        accelerator.print(f"Styles: {', '.join(styles)}.")
    batches = UnpairedBatches(
        photos,
        sketches,
        config.image_size,
        config.batch_size,
        config.seed,
        partners,
        style_numbers,
        config.zoom,
        config.palette,
    )
    model = build(config, accelerator, styles)

    # Go on from the newest state
    state = model.state()
    if accelerator.scaler is not None:
        state["scaler"] = accelerator.scaler
    step, best = 0, -math.inf
    if config.resume:
        step, best = load_newest(states, state, config, pictures)
        accelerator.print(f"Resumed after step {step}." if step else f"No state in {states}; starting afresh.")
    if main_process:
        for name in ("losses.csv", "figures.csv"):
            cut_rows(config.output / name, step if config.resume else math.inf)
    if config.tracker:
        accelerator.init_trackers("cyclegan", {name: str(value) for name, value in asdict(config).items()})
    accelerator.print(
        f"{processes} {'process' if processes == 1 else 'processes'} on {device.type}, mixed precision "
        f"{accelerator.mixed_precision}: {config.batch_size} pairs a step, {len(batches)} steps an epoch."
    )

    total_steps = config.epochs * len(batches)
    last_step = min(total_steps, config.max_steps or total_steps)
    if total_steps < FEW_UPDATES:
        accelerator.print(
            f"The networks are updated only {total_steps} times in all, which is too little to learn faces: give a "
            "smaller --batch-size or more --epochs."
        )
    counts = {"photos": len(photos), "sketches": len(sketches)}
    samples = sample_pictures(config)
    validation = validation_pairs(config) if main_process else None
    history: list[tuple[int, str, Tensor]] = []
    warned: set[str] = set()
    terminal, told_at = sys.stderr.isatty(), 0.0
    bar = tqdm(
        total=total_steps * config.batch_size,
        initial=step * config.batch_size,
        unit="pair",
        disable=not main_process or not terminal,
        dynamic_ncols=True,
    )
    parts = range(config.gradient_accumulation)
    ahead = Prefetch(
        batches.read,
        ((number, share_of(config, accelerator, part)) for number in range(step, last_step) for part in parts),
    )
    logged_at, logged_step, logged_wait = time.perf_counter(), step, 0.0

    while step < last_step:
        learning_rate = peak_rate(config) * schedule(step / total_steps, config.decay_from)
        for optimizer in model.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        for part in parts:
            batch = batches.augment(next(ahead), device)
            losses = training_step(accelerator, config, model, batch, step, part)
            history += [(step + 1, name, value) for name, value in losses.items()]  # nothing waits for the device here
        for average, generator in zip(model.averages, model.generators, strict=True):
            average.update_parameters(generator)
        step += 1
        bar.update(config.batch_size)

        # Once in a while
        epoch, epoch_ends = -(-step // len(batches)), step % len(batches) == 0
        stopping = any_process(accelerator, stop.is_set())
        saving = epoch_ends or stopping or step == last_step or step % (config.save_every or step + 1) == 0
        if saving or step % config.log_every == 0:
            means = mean_losses(accelerator, history, states)
            seconds = time.perf_counter() - logged_at
            speed = {
                "pairs_per_second": (step - logged_step) * config.batch_size / seconds,
                "data_wait": (ahead.waited - logged_wait) / seconds,
            }
            row = {"step": step, "epoch": epoch, **dict.fromkeys(LOSSES, ""), **means}
            row |= {"learning_rate": learning_rate, **speed}
            if main_process:
                with disk_errors(config.output, step):
                    append_row(config.output / "losses.csv", row)
                for key, alarm in alarms(means):
                    if key not in warned:
                        bar.write(f"Step {step}: {alarm}", file=sys.stderr)
                        warned.add(key)
            accelerator.log({**means, "learning_rate": learning_rate, **speed}, step=step)
            bar.set_description(f"Epoch {epoch}/{config.epochs}")
            shown = {short: [value for name, value in means.items() if kind in name] for kind, short in SHORT.items()}
            bar.set_postfix({short: f"{sum(values) / len(values):.3f}" for short, values in shown.items() if values})
            if main_process and not terminal and (saving or time.monotonic() - told_at > PLAIN_LINE_EVERY):
                pace = f"{speed['pairs_per_second']:.3g} pairs per second"
                bar.write(
                    f"Epoch {epoch}/{config.epochs}, step {step} of {last_step}: {bar.postfix}, {pace}", sys.stderr
                )
                told_at = time.monotonic()
            history, logged_at, logged_step, logged_wait = [], time.perf_counter(), step, ahead.waited

        if saving:
            tree = {name: part.state_dict() for name, part in state.items()}
            check_finite(tree, step, states)
        if main_process and saving:
            with disk_errors(config.output, step):
                if epoch_ends or step == last_step:
                    folder = release_folder(config, step, len(batches))
                    progress = {"epoch": epoch, **means}
                    figures = release(config, model, folder, samples, validation, counts, progress)
                    title = f"Epoch {epoch}: {summary(figures) or bar.postfix}"
                    tags = [f"epoch-{epoch}" if epoch_ends else f"step-{step}"]
                    if figures:
                        bar.write(title, file=sys.stderr)
                        append_row(config.output / "figures.csv", {"step": step, "epoch": epoch, **figures})
                        accelerator.log(figures, step=step)
                        score = (figures["photo_to_sketch_fsim"] + figures["sketch_to_photo_fsim"]) / 2
                        if score > best:
                            best = score
                            point("best", folder)
                            tags += ["best"] * config.hub_best
                facts = {"config": {name: getattr(config, name) for name in FIXED}, "pictures": pictures, "best": best}
                saved = save_state(states, step, tree, facts, config.keep_states)
                if uploads and config.push_state:
                    uploads.state(saved, config.output / "losses.csv", config.output / "figures.csv")
                if uploads and (epoch_ends or step == last_step):
                    uploads.release(folder, title, tags)

        if saving:
            accelerator.wait_for_everyone()
            logged_at = time.perf_counter()  # saving is no training
        if epoch_ends:
            warned.clear()
        if stopping:
            break

    bar.close()
    accelerator.end_training()
    if step < last_step:
        accelerator.print(f"Stopped after step {step}. The state is saved; continue with --resume.")
    elif main_process:
        folder = release_folder(config, step, len(batches))
        with disk_errors(config.output, step):
            if not is_whole(folder):  # deleted since the state was saved
                release(config, model, folder, samples, validation, counts, {"epoch": -(-step // len(batches))})
        print(f"Done after step {step}. The weights: {folder}")
    return uploads


def release_folder(config: TrainConfig, step: int, epoch_steps: int) -> Path:
    """Where the release of a step is: that of a whole epoch is called by its number."""
    name = f"step-{step:08d}" if step % epoch_steps else f"epoch-{step // epoch_steps:04d}"
    return config.output / name


def choose_precision(asked: str) -> str:
    """Return the precision for `auto`: the launcher's choice if there is one, else bf16 where the processor has it."""
    if asked != "auto":
        return asked
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    if launched != "no":
        return launched
    if torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "no"


def peak_rate(config: TrainConfig) -> float:
    """Return the rate before its decay. For Adam, it grows with the root of the batch (Malladi et al. 2022)."""
    return config.learning_rate * math.sqrt(config.batch_size / (config.learning_rate_batch or config.batch_size))


def schedule(progress: float, decay_from: float) -> float:
    """Return the factor of the learning rate at a share of the run: 1, then linearly to 0 (paper, section 4)."""
    return 1.0 if progress < decay_from else (1.0 - progress) / (1.0 - decay_from)


def moving_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """Return an exponential moving average whose decay starts low, so that it soon forgets the initial weights."""

    def update(averages: list[Tensor], current: list[Tensor], count: Tensor) -> None:
        torch._foreach_lerp_(averages, current, 1.0 - min(decay, (1.0 + int(count)) / (10.0 + int(count))))

    return update


def copy_of(average: AveragedModel) -> Generator:
    """Return a copy of an averaged generator, which a pipeline may cast and move without touching the average."""
    generator = deepcopy(average.module)
    assert isinstance(generator, Generator)
    return generator


def any_process(accelerator: Accelerator, asked: bool) -> bool:
    """Whether any process was asked to stop, since all of them must stop after the same step."""
    if accelerator.num_processes == 1:
        return asked
    return bool(accelerator.reduce(torch.tensor(float(asked), device=accelerator.device)).item())


def release(
    config: TrainConfig,
    model: Model,
    folder: Path,
    samples: tuple[Tensor, Tensor],
    validation: Pairs | None,
    counts: dict[str, int],
    progress: dict[str, float],
) -> dict[str, float]:
    """Write the averaged generators as a release, and return their figures on the validation pairs, if any."""
    sketch_generator, photo_generator = map(copy_of, model.averages)
    grid = sample_grid(sketch_generator, photo_generator, *samples)
    figures = {}
    if validation:
        pipe = FaceSketchPipeline(
            sketch_generator, photo_generator, config.image_size, "auto", torch.float32, styles=model.styles
        )
        scores = mean_figures(pipe, validation.photos, validation.sketches)
        figures = {f"{direction}_{name}": value for direction, of in scores.items() for name, value in of.items()}
    pipe = FaceSketchPipeline(
        sketch_generator, photo_generator, config.image_size, "cpu", torch.float16, styles=model.styles
    )
    write_release(
        pipe,
        folder,
        grid,
        config.output / "losses.csv",
        recipe=changed_flags(config),
        progress=progress,
        figures=figures,
        counts=counts,
        dataset=hub_dataset(config.data),
        data_note=config.data_note,
        repo_id=config.push_to_hub,
    )
    return figures


def summary(figures: dict[str, float]) -> str:
    """Return the figures in one line, or an empty string."""
    return "; ".join(
        " ".join(
            [
                direction.words,
                *(f"{name} {figures[f'{direction}_{name}']:.3f}" for name in ("fsim", "ssim")),
            ]
        )
        for direction in Direction
        if figures
    )


def hub_dataset(data: str) -> str | None:
    """Return the data set on the Hub that `--data` names, for the model card, and never a local folder."""
    name = data.removeprefix("hf:").partition(":")[0]
    return name if data.startswith("hf:") and not Path(name).exists() else None


def changed_flags(config: TrainConfig) -> dict[str, str]:
    """Return the flags that differ from their defaults: the recipe, as a person would type it."""
    defaults = TrainConfig(config.data)
    skipped = {"data", "output", "resume", "keep_states", "log_every", "tracker"} | {
        *("push_to_hub", "hub_private", "hub_best", "push_state", "data_note")
    }
    return {
        f"--{name.replace('_', '-')}": "" if value is True else str(value)
        for name, value in asdict(config).items()
        if name not in skipped and value != getattr(defaults, name)
    }


def sample_pictures(config: TrainConfig) -> tuple[Tensor, Tensor]:
    """Return the photos and sketches of the sample grids, from test/ if it exists: two (N, 3, H, W) in [-1, 1]."""

    def load(domain: str, column: str) -> Tensor:
        try:
            source = find_pictures(config.data, domain, column, "test")
        except DataError:
            source = find_pictures(config.data, domain, column)
        images = Pictures(source, config.image_size)
        shown = min(SAMPLES, len(images))
        return normalise(images[[number * len(images) // shown for number in range(shown)]])

    photo, sketch = (load(domain, column) for domain, column in config.columns.items())
    return photo, sketch


def validation_pairs(config: TrainConfig) -> Pairs | None:
    """The first pairs of a folder's test/ that each epoch is scored on; None, and a word why, where there are none."""
    if not config.validation_pictures:
        return None
    try:
        if config.data.startswith("hf:"):
            raise DataError("pairs to score are read from a folder's test/photos and test/sketches only.")
        photos, sketches = (Path(config.data, "test", domain) for domain in ("photos", "sketches"))
        return load_pairs(find_pairs(photos, sketches)[: config.validation_pictures], max(config.image_size, SIZE))
    except DataError as error:
        print(f"No release will be scored, and there will be no `best`: {error}", file=sys.stderr)
        return None


@torch.inference_mode()
def sample_grid(sketch_generator: Generator, photo_generator: Generator, photo: Tensor, sketch: Tensor) -> Image.Image:
    """Return six rows: photos, their sketches, reconstructions; then sketches, their photos, reconstructions."""
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


def read_flags(arguments: list[str]) -> TrainConfig:
    """Return the configuration: flags override the preset, and the preset overrides the defaults."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", choices=PRESETS, default="none")
    preset = parser.parse_known_args(arguments)[0].preset
    default = TrainConfig(data=tyro.MISSING, preset=preset, **PRESETS[preset])
    return tyro.cli(TrainConfig, args=arguments, description=TrainConfig.__doc__, default=default)


def main() -> None:
    try:
        train(read_flags(sys.argv[1:]))
    except (TrainingError, DataError, HubError, WeightsError, KeyboardInterrupt) as error:
        sys.exit(str(error) or "Interrupted. Continue from the last saved state with --resume.")


if __name__ == "__main__":
    main()
