"""What a run begins with: what it says and checks, its precision, and the weights of a release."""

import os
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from accelerate.utils import parse_flag_from_env

from ..devices import has_bf16
from ..directions import Direction
from ..networks import Generator
from ..pipeline import FaceSketchPipeline
from . import TrainingError
from .config import TrainConfig

FEW_UPDATES = 200  # a run of fewer is told so before it starts


def choose_precision(asked: str) -> str:
    """Return the precision for `auto`: the launcher's choice if there is one, else bf16 where the processor has it.

    Raises:
        TrainingError: the launcher's choice is none of ours.
    """
    if asked != "auto":
        return asked
    launched = os.environ.get("ACCELERATE_MIXED_PRECISION") or "no"
    if launched not in ("no", "fp16", "bf16"):
        raise TrainingError(f"ACCELERATE_MIXED_PRECISION must be no, fp16 or bf16; got {launched}. Change or unset it.")
    if launched != "no":
        return launched
    if torch.cuda.is_available() and not parse_flag_from_env("ACCELERATE_USE_CPU"):
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "no"
    return "bf16" if has_bf16() else "no"


def start_from(release: str, generators: Sequence[Generator]) -> list[str]:
    """Copy a release's generators, but for what styles, a palette or grey sketches change.

    Args:
        release: a folder, a repository, or `embedded`.
        generators: that of sketches and that of photos.

    Returns:
        What was copied, a sentence for each direction.

    Raises:
        TrainingError: the architectures differ.
    """
    source = FaceSketchPipeline.from_pretrained(
        *([] if release == "embedded" else [release]), device="cpu", dtype=torch.float32
    )
    said = []
    for direction, generator in zip(Direction, generators, strict=True):
        given = source.generators.get(direction)
        if given is None:
            said.append(f"{direction} begins anew, because {release} does not have it.")
            continue
        if _flags(given) != _flags(generator):
            raise TrainingError(
                f"--start-from {release} does not fit: its {direction} has {_flags(given)}, and this run has "
                f"{_flags(generator)}. Pass the same flags, or --preset released for the embedded weights."
            )
        wanted = generator.state_dict()
        fitting = {
            name: tensor
            for name, tensor in given.state_dict().items()
            if name in wanted and tensor.shape == wanted[name].shape
        }
        generator.load_state_dict(wanted | fitting)
        new = ", ".join(name for name in wanted if name not in fitting)
        said.append(f"{direction} starts from {release}{f', but for {new}' if new else ''}.")
    return said


def _flags(generator: Generator) -> str:
    """The architecture, as one asks for it."""
    named = " ".join(f"--{name} {getattr(generator, name)}" for name in ("width", "blocks", "upsample"))
    return f"{named} --{'' if generator.compact else 'no-'}compact"


def check_shares(config: TrainConfig, accelerator: Accelerator) -> None:
    """Refuse what the processes cannot compute.

    Raises:
        TrainingError: fp16 on a CPU, or a batch that cannot be shared.
    """
    processes = accelerator.num_processes
    if accelerator.device.type == "cpu" and accelerator.mixed_precision == "fp16":
        raise TrainingError("fp16 needs a GPU. On a CPU, use --mixed-precision bf16 or no.")
    shares = processes * config.gradient_accumulation
    if config.batch_size % shares:
        raise TrainingError(
            f"--batch-size must be a multiple of {shares} for {processes} processes and "
            f"{config.gradient_accumulation} accumulated parts; got {config.batch_size}."
        )


def introduce(config: TrainConfig, accelerator: Accelerator, epoch_steps: int, total_steps: int) -> None:
    """Say what is about to run, and warn if it is too little."""
    processes = accelerator.num_processes
    accelerator.print(
        f"{processes} {'process' if processes == 1 else 'processes'} on {accelerator.device.type}, mixed precision "
        f"{accelerator.mixed_precision}: {config.batch_size} pairs a step, {epoch_steps} steps an epoch."
    )
    if total_steps < FEW_UPDATES:
        accelerator.print(
            f"The networks are updated only {total_steps} times in all, which is too few to learn faces. Use a "
            "smaller --batch-size or more --epochs."
        )
