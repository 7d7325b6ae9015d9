"""The bounds of every number among the settings, in one place."""

from dataclasses import asdict
from typing import Any

from ..release import BOUNDS as OF_RELEASES
from . import TrainingError

MANY = 10**9  # more steps than anyone takes

BOUNDS: dict[str, tuple[float, float]] = {
    "batch_size": (1, 2**16),
    "blocks": (1, OF_RELEASES["blocks"][1]),
    "discriminator_width": (1, 1024),
    "epochs": (1, 10**6),
    "gradient_accumulation": (1, 2**16),
    "image_size": (32, OF_RELEASES["image_size"][1]),
    "learning_rate": (1e-12, 1),
    "learning_rate_batch": (1, 2**16),
    "reconstruction_noise": (0, 2),  # pictures are in [-1, 1]
    "seed": (0, 2**63 - 1),
    "width": OF_RELEASES["width"],
    "zoom": (0.9, 8),  # crops must fit into pictures, which are 286 / 256 of their side
    "warp": (0, 0.5),
    **dict.fromkeys(("decay_from", "ema_decay", "line_sketches", "recolour", "relight"), (0, 1)),
    **dict.fromkeys(("pool_size", "validation_pictures"), (0, 10**6)),
    **dict.fromkeys(
        ("cycle_weight", "identity_weight", "likeness_weight", "paired_weight", "palette_weight", "perceptual_weight"),
        (0, 10**6),
    ),
    **dict.fromkeys(("identity_every", "keep_states", "log_every", "max_steps", "save_every"), (1, MANY)),
}


def check_bounds(config: Any) -> None:
    """Check every number of a dataclass of settings.

    Raises:
        TrainingError: one is out of its bounds or not a number; the message has the flag, the bounds and the value.
    """
    for name, given in asdict(config).items():
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, int | float) and not isinstance(value, bool):
                low, high = BOUNDS[name]
                if not low <= value <= high:
                    shown = f"{value:g}" if isinstance(value, float) else value
                    raise TrainingError(f"--{name.replace('_', '-')} must be between {low} and {high}; got {shown}")
