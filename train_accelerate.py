"""Train the face photo <-> sketch translator: `accelerate launch train_accelerate.py --data FOLDER`.

This file is the whole training loop. Accelerate launches it on a CPU, one GPU or many.
"""

import math
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cyclegan.extras import install, launching

try:
    import filelock  # noqa: F401
    import piq  # noqa: F401
    import torchvision  # noqa: F401
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs
except ModuleNotFoundError as missing:
    sys.exit(f"Training needs the package {missing.name}: {install('train')}.")

from cyclegan.data.batches import Batch, Prefetch, UnpairedBatches, cache_size, step_rng
from cyclegan.data.cache import Pictures
from cyclegan.data.layouts import DOMAINS
from cyclegan.data.names import find_styles, match_names
from cyclegan.data.sources import DataError
from cyclegan.evaluation.metrics import load_face_network, load_features, luminance_correlation
from cyclegan.files import explain, point, print_anything
from cyclegan.hub.client import HubError
from cyclegan.hub.uploads import Uploads, fetch_state
from cyclegan.losses import Translation, discriminator_loss, generator_loss, translate
from cyclegan.networks import Features, Generator, PatchDiscriminator
from cyclegan.palette import PALETTE_SIZE
from cyclegan.pool import ImagePool
from cyclegan.release import WeightsError, check_styles
from cyclegan.training import TrainingError
from cyclegan.training.config import TrainConfig, changed_flags, read_flags
from cyclegan.training.draws import draw, judges
from cyclegan.training.epoch import Releases, hub_dataset, is_whole, sample_pictures, summary, validation_pairs
from cyclegan.training.guard import (
    check_plugins,
    check_tracker,
    disk_errors,
    memory_errors,
    on_signals,
    own,
    stop_on_signals,
)
from cyclegan.training.log import Log, append_row, cut_rows
from cyclegan.training.start import check_shares, choose_precision, introduce, start_from
from cyclegan.training.state import FIXED, check_finite, fingerprint, list_states, load_newest, save_state

PATIENCE = timedelta(hours=6)  # of processes for one that is late


@dataclass
class Model:
    """The four networks as Accelerate wraps them, to be called, and what trains them.

    Attributes:
        bare: the same networks unwrapped, by these names, to freeze, to average and to save.
        averages, pools: of `sketch` and `photo`.
    """

    sketch_generator: nn.Module
    photo_generator: nn.Module
    sketch_discriminator: nn.Module
    photo_discriminator: nn.Module
    bare: dict[str, nn.Module]
    averages: dict[str, AveragedModel]
    pools: dict[str, ImagePool]
    generator_optimizer: Any
    discriminator_optimizer: Any
    features: Features | None
    describe: nn.Module | None
    styles: list[str]

    def judge(self, trained: bool) -> None:
        """Let the discriminators learn, or only judge."""
        for domain in ("sketch", "photo"):
            self.bare[f"{domain}_discriminator"].requires_grad_(trained)

    def update_averages(self, decay: float) -> None:
        """Move the averages on. Their decay starts low, so that they soon forget the initial weights."""
        for domain, average in self.averages.items():
            count = int(average.n_averaged)  # on the CPU. AveragedModel's own update sends it to the device, and waits
            generator = self.bare[f"{domain}_generator"]
            update = get_ema_multi_avg_fn(min(decay, (1.0 + count) / (10.0 + count)) if count else 0.0)
            update([*average.module.parameters()], [*generator.parameters()], count)
            average.n_averaged += 1

    def state(self) -> dict[str, Any]:
        """Return everything that a resumed run needs. Batches and random numbers are functions of the step."""
        return {
            **self.bare,
            **{f"{domain}_average": average for domain, average in self.averages.items()},
            **{f"{domain}_pool": pool for domain, pool in self.pools.items()},
            "generator_optimizer": self.generator_optimizer,
            "discriminator_optimizer": self.discriminator_optimizer,
        }


def build(config: TrainConfig, accelerator: Accelerator, styles: Sequence[str] = ()) -> Model:
    """Make the networks, with weights from N(0, 0.02) or from a release, and all that trains them."""
    device = accelerator.device
    torch.manual_seed(config.seed)
    torch.backends.cudnn.benchmark = True
    architecture = config.width, config.blocks, config.padding, config.upsample, config.compact
    sketch_generator = Generator(*architecture, config.grey_sketches, len(styles)).to(device)
    photo_generator = Generator(*architecture, False, PALETTE_SIZE if config.palette else 0).to(device)
    if config.start_from:
        for sentence in start_from(config.start_from, (sketch_generator, photo_generator)):
            accelerator.print(sentence)
    bare: dict[str, nn.Module] = {
        "sketch_generator": sketch_generator,
        "photo_generator": photo_generator,
        "sketch_discriminator": PatchDiscriminator(
            config.discriminator_width, config.spectral_norm, max(1, len(styles))
        ).to(device),
        "photo_discriminator": PatchDiscriminator(config.discriminator_width, config.spectral_norm).to(device),
    }
    averages = {domain: AveragedModel(bare[f"{domain}_generator"]) for domain in ("sketch", "photo")}
    if config.compile:
        for network in bare.values():
            network.compile(dynamic=False)  # the few sizes of batches each get code of their own
    optimizers = {
        f"{kind}_optimizer": accelerator.prepare(
            torch.optim.Adam(
                [parameter for name, network in bare.items() if kind in name for parameter in network.parameters()],
                config.learning_rate,
                betas=(0.5, 0.999),
                fused=device.type in ("cpu", "cuda"),
            )
        )
        for kind in ("generator", "discriminator")
    }
    return Model(
        **{name: accelerator.prepare(network) for name, network in bare.items()},
        **optimizers,
        bare=bare,
        averages=averages,
        pools={domain: ImagePool(config.pool_size) for domain in averages},
        features=load_features(config.perceptual_network).to(device) if config.perceptual_weight else None,
        describe=load_face_network(str(config.likeness_network)).to(device) if config.likeness_weight else None,
        styles=list(styles),
    )


def share_of(config: TrainConfig, accelerator: Accelerator, part: int) -> slice:
    """Return the rows of the whole batch that this process computes in one accumulated part."""
    share = config.batch_size // (accelerator.num_processes * config.gradient_accumulation)
    first = (part * accelerator.num_processes + accelerator.process_index) * share
    return slice(first, first + share)


def training_step(
    accelerator: Accelerator, config: TrainConfig, model: Model, batch: Batch, step: int, part: int = 0
) -> dict[str, Tensor]:
    """Train the generators and then the discriminators on this process's share of a batch, and return the losses."""
    photo, sketch = batch.photo, batch.sketch
    drawn = draw(batch, step, share_of(config, accelerator, part), len(model.styles), config)
    judge_sketch, judge_photo = judges(model.sketch_discriminator, model.photo_discriminator, drawn.judged)

    with accelerator.accumulate(
        model.sketch_generator, model.photo_generator, model.sketch_discriminator, model.photo_discriminator
    ):
        # The generators' step: the discriminators only judge
        model.judge(trained=False)
        identity = config.identity_weight > 0 and step % config.identity_every == 0
        translation = translate(
            model.sketch_generator, model.photo_generator, drawn.photo, drawn.sketch, identity, drawn.noise,
            drawn.conditions,
        )  # fmt: skip
        loss, losses = generator_loss(
            judge_sketch, judge_photo, photo, sketch, translation,
            cycle_weight=config.cycle_weight,
            identity_weight=config.identity_weight,
            paired=batch.paired if config.paired_weight else None, paired_weight=config.paired_weight,
            features=model.features, perceptual_weight=config.perceptual_weight,
            describe=model.describe, likeness_weight=config.likeness_weight,
            palette=drawn.colours if config.palette_weight else None, palette_weight=config.palette_weight,
            style=drawn.style,
        )  # fmt: skip
        accelerator.backward(loss)
        model.generator_optimizer.step()
        model.generator_optimizer.zero_grad()

        # The discriminators' step, on fakes of now and of before
        model.judge(trained=True)
        rng = step_rng(config.seed, step, UnpairedBatches.POOL, part)
        old_sketch, old_photo, styles = older_fakes(
            accelerator, model.pools, translation, batch.style, drawn.style, rng
        )
        sketch_loss, _ = discriminator_loss(judge_sketch, sketch, old_sketch, styles)
        photo_loss, _ = discriminator_loss(judge_photo, photo, old_photo)
        accelerator.backward(sketch_loss + photo_loss)
        model.discriminator_optimizer.step()
        model.discriminator_optimizer.zero_grad()

    losses |= {
        "sketch_discriminator": sketch_loss,
        "photo_discriminator": photo_loss,
        "sketch_correlation": luminance_correlation(photo, translation.fake_sketch).mean(),
        "photo_correlation": luminance_correlation(sketch, translation.fake_photo).mean(),
    }
    return {name: value.detach().float() for name, value in losses.items()}


def older_fakes(
    accelerator: Accelerator,
    pools: dict[str, ImagePool],
    translation: Translation,
    real_style: Tensor,
    style: Tensor | None,
    rng: torch.Generator,
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor] | None]:
    """Put the fakes into the pools, which are the same on every process, and take this process's share out.

    Returns:
        Fake sketches and fake photos, and the styles of the real and of the fake sketches.
    """
    sketch, photo = translation.fake_sketch.detach(), translation.fake_photo.detach()
    mine = slice(accelerator.process_index * len(photo), (accelerator.process_index + 1) * len(photo))
    if style is not None:  # it goes through the pool with its picture, as a fourth channel
        sketch = torch.cat([sketch, style.view(-1, 1, 1, 1).expand_as(sketch[:, :1])], 1)
    sketch, photo = (
        pools[domain].query(accelerator.gather(fake), rng)[mine]
        for domain, fake in (("sketch", sketch), ("photo", photo))
    )
    return sketch[:, :3], photo, None if style is None else (real_style, sketch[:, 3, 0, 0].long())


def train(config: TrainConfig) -> None:
    """Train, from the start or the newest state, and release; SIGTERM and Ctrl-C save the state first.

    Raises:
        TrainingError: it cannot start or go on. HubError: not everything has arrived on the Hub.
    """
    check_tracker(config.tracker)
    with launching(TrainingError):
        check_plugins()
        accelerator = Accelerator(
            mixed_precision=choose_precision(config.mixed_precision),
            gradient_accumulation_steps=config.gradient_accumulation,
            log_with=config.tracker,
            project_dir=config.output,
            # The others wait while the first process downloads a state or scores a release
            kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
        )
    if accelerator.gradient_accumulation_steps != config.gradient_accumulation:
        raise TrainingError(
            f"ACCELERATE_GRADIENT_ACCUMULATION_STEPS is {accelerator.gradient_accumulation_steps} and "
            f"--gradient-accumulation is {config.gradient_accumulation}: unset the variable, or use the same value."
        )
    with own(config.output) if accelerator.is_main_process else nullcontext():
        with stop_on_signals() as stop, memory_errors(config.gradient_accumulation):
            uploads = run(config, accelerator, stop)
        if uploads:
            with on_signals(signal.default_int_handler):  # there is no state to save any more
                uploads.finish()


def run(config: TrainConfig, accelerator: Accelerator, stop: Callable[[], bool]) -> Uploads | None:
    """Train until `stop` is set or all is done; return the uploads that may still be on their way."""
    main_process, output, states = accelerator.is_main_process, config.output, config.output / "states"
    check_shares(config, accelerator)
    if list_states(states) and not config.resume:
        raise TrainingError(f"{output} already holds a run. Continue it with --resume, or choose another --output.")
    uploads = None
    if main_process and config.push_to_hub:
        uploads = Uploads(config.push_to_hub, config.hub_private, output / ".uploads")
        if config.resume == "hub":
            fetch_state(uploads.repo, output)
    accelerator.wait_for_everyone()

    batches, styles, pictures = read_data(config, accelerator)
    model = build(config, accelerator, styles)
    state = model.state()
    if accelerator.scaler is not None:
        state["scaler"] = accelerator.scaler

    # Go on from the newest state
    step, best = 0, -math.inf
    if config.resume:
        step, best = load_newest(states, state, config, pictures)
        accelerator.print(f"Resumed after step {step}." if step else f"No state in {states}; starting afresh.")
    if main_process:
        for name in ("losses.csv", "figures.csv"):
            cut_rows(output / name, step if config.resume else math.inf)
    if config.tracker:
        accelerator.init_trackers("cyclegan", {name: str(value) for name, value in asdict(config).items()})

    epoch_steps = len(batches)
    total_steps = config.epochs * epoch_steps
    last_step = min(total_steps, config.max_steps or total_steps)
    introduce(config, accelerator, epoch_steps, total_steps)
    releases = Releases(
        output, config.image_size, styles,
        samples=sample_pictures(config.dataset, config.image_size) if main_process else (torch.empty(0),) * 2,
        validation=validation_pairs(config.dataset, config.validation_pictures * main_process, config.image_size),
        card={
            "recipe": changed_flags(config), "dataset": hub_dataset(config.data), "data_note": config.data_note,
            "repo_id": config.push_to_hub,
            "counts": {"photos": len(batches.photos), "sketches": len(batches.sketches)},
        },
    )  # fmt: skip
    parts = range(config.gradient_accumulation)
    ahead = Prefetch(
        batches.read,
        ((number, share_of(config, accelerator, part)) for number in range(step, last_step) for part in parts),
    )
    log = Log(accelerator, output, config.epochs, step, last_step, total_steps, config.batch_size)
    stopping = False

    def save(tree: dict[str, Any]) -> Path:
        check_finite(tree, step, states)
        facts = {"config": {name: getattr(config, name) for name in FIXED}, "pictures": pictures, "best": best}
        with disk_errors(output, step):
            return save_state(states, step, tree, facts, config.keep_states)

    while step < last_step and not stopping:
        learning_rate = peak_rate(config) * schedule(step / total_steps, config.decay_from)
        for optimizer in (model.generator_optimizer, model.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
        try:
            due = [next(ahead) for _ in parts]  # all of them before the first changes a pool
        except DataError as error:  # a share that is away, or a full disk
            if not step:
                raise
            save({name: part.state_dict() for name, part in state.items()})  # by any process: all hold the same
            raise DataError(f"{error} The state after step {step} is saved: continue with --resume.") from None
        for part, drawn in zip(parts, due, strict=True):
            batch = batches.crop(drawn, accelerator.device)
            log.add(step + 1, training_step(accelerator, config, model, batch, step, part))
        model.update_averages(config.ema_decay)
        step += 1
        log.bar.update(config.batch_size)

        epoch, epoch_ends = -(-step // epoch_steps), step % epoch_steps == 0
        releasing = epoch_ends or step == last_step
        logging = releasing or step % config.log_every == 0 or step % (config.save_every or step + 1) == 0

        # Once in a while: stop, which all processes must do after the same step
        if logging or accelerator.num_processes == 1:
            stopping = any_process(accelerator, stop())
        saving = releasing or stopping or step % (config.save_every or step + 1) == 0

        # Once in a while: the losses
        if logging or saving:
            means = log.write(step, epoch, learning_rate, ahead.waited, plain=saving)

        # Once in a while: what is saved must be whole
        if saving:
            tree = {name: part.state_dict() for name, part in state.items()}
            check_finite(tree, step, states)

        # Once an epoch: a release and its figures
        if releasing and main_process:
            with disk_errors(output, step):
                folder = release_folder(output, step, epoch_steps)
                figures = releases.write(folder, model.averages, {"epoch": epoch, **means})
                title = f"Epoch {epoch}: {summary(figures) or log.bar.postfix}"
                tags = [f"epoch-{epoch}" if epoch_ends else f"step-{step}"]
                if figures:
                    log.say(title)
                    append_row(output / "figures.csv", {"step": step, "epoch": epoch, **figures})
                    accelerator.log(figures, step=step)
                    score = (figures["photo_to_sketch_fsim"] + figures["sketch_to_photo_fsim"]) / 2
                    if score > best:
                        best = score
                        point("best", folder)
                        tags += ["best"] * config.hub_best

        # Once in a while: the state, after the release that it is the state of
        if saving and main_process:
            with disk_errors(output, step):
                saved = save(tree)
                if uploads and config.push_state:
                    uploads.state(saved, output / "losses.csv", output / "figures.csv")
                if uploads and releasing:
                    uploads.release(folder, title, tags)

        if saving:
            accelerator.wait_for_everyone()
            log.restart()

    log.bar.close()
    accelerator.end_training()
    if step < last_step:
        accelerator.print(f"Stopped after step {step}. The state is saved; continue with --resume.")
    elif main_process:
        folder = release_folder(output, step, epoch_steps)
        with disk_errors(output, step):
            if not is_whole(folder):  # deleted since the state was saved
                releases.write(folder, model.averages, {"epoch": -(-step // epoch_steps)})
        print(f"Done after step {step}. The weights: {folder}")
    return uploads


def read_data(config: TrainConfig, accelerator: Accelerator) -> tuple[UnpairedBatches, list[str], dict[str, str]]:
    """Find and cache the pictures; return their batches, the names of the styles, and a fingerprint of each domain.

    Raises:
        DataError: there are none. TrainingError: no pictures are partners, and they were to be.
    """
    for note in config.dataset.notes():
        accelerator.print(note)
    photos, sketches = (
        Pictures(config.dataset.find(domain), cache_size(round(config.image_size * config.zoom[1])))
        for domain in DOMAINS
    )
    accelerator.print(f"Training on {len(photos)} photos and {len(sketches)} sketches.")
    partners = match_names(photos.names, sketches.names) if config.paired_weight else None
    if partners is not None:
        pairs = int((partners >= 0).sum())
        if not pairs:
            raise TrainingError(
                "--paired-weight needs photos and sketches with the same name, but there are none. Remove the flag."
            )
        accelerator.print(f"{pairs} sketches have a photo of the same name.")
    styles, numbers = find_styles(sketches.names, config.style_pattern)
    check_styles(styles, "The names of the folders" if config.style_pattern is None else "--style-pattern")
    if styles:
        accelerator.print(f"Styles: {', '.join(styles)}.")
    return (
        UnpairedBatches(
            photos, sketches, config.image_size, config.batch_size, config.seed, partners, numbers, config.zoom,
            config.palette, config.recolour, config.warp,
        ),
        styles,
        {"photos": fingerprint(photos.names), "sketches": fingerprint(sketches.names)},
    )  # fmt: skip


def release_folder(output: Path, step: int, epoch_steps: int) -> Path:
    """Where the release of a step is: that of a whole epoch is called by its number."""
    return output / (f"step-{step:08d}" if step % epoch_steps else f"epoch-{step // epoch_steps:04d}")


def peak_rate(config: TrainConfig) -> float:
    """Return the rate before its decay. For Adam, it grows with the root of the batch (Malladi et al. 2022)."""
    return config.learning_rate * math.sqrt(config.batch_size / (config.learning_rate_batch or config.batch_size))


def schedule(progress: float, decay_from: float) -> float:
    """Return the factor of the learning rate at a share of the run: 1, then linearly to 0 (paper, section 4)."""
    return 1.0 if progress < decay_from else (1.0 - progress) / (1.0 - decay_from)


def any_process(accelerator: Accelerator, asked: bool) -> bool:
    """Whether any process was asked to stop, since all of them must stop after the same step."""
    if accelerator.num_processes == 1:
        return asked
    return bool(accelerator.reduce(torch.tensor(float(asked), device=accelerator.device)).item())


def main() -> None:
    print_anything()
    try:
        train(read_flags(sys.argv[1:]))
    except (TrainingError, DataError, HubError, WeightsError, KeyboardInterrupt) as error:
        sys.exit(str(error) or "Interrupted. Continue from the last saved state with --resume.")
    except OSError as error:
        sys.exit(f"{explain(error)} Everything saved earlier is intact; continue with --resume.")


if __name__ == "__main__":
    main()
