"""The bounds of every number among the settings, in one place."""

import math
from dataclasses import asdict
from typing import Any

from . import TrainingError

BOUNDS: dict[str, tuple[float, float]] = {
    "image_size": (32, math.inf),
    "learning_rate": (1e-12, math.inf),
    "seed": (0, 2**63 - 1),
    "zoom": (1, math.inf),
    **dict.fromkeys(("decay_from", "ema_decay", "line_sketches", "relight"), (0, 1)),
    **dict.fromkeys(("pool_size", "reconstruction_noise", "validation_pictures"), (0, math.inf)),
    **dict.fromkeys(
        ("cycle_weight", "identity_weight", "paired_weight", "palette_weight", "perceptual_weight"), (0, math.inf)
    ),
    **dict.fromkeys(
        (
            "batch_size", "blocks", "discriminator_width", "epochs", "gradient_accumulation", "identity_every",
            "keep_states", "learning_rate_batch", "log_every", "max_steps", "save_every", "width",
        ),
        (1, math.inf),
    ),
}  # fmt: skip


def check_bounds(config: Any) -> None:
    """Check every number of a dataclass of settings.

    Raises:
        TrainingError: one is out of its bounds or not finite; the message has the flag, the bound and the value.
    """
    for name, given in asdict(config).items():
        for value in given if isinstance(given, tuple) else (given,):
            if isinstance(value, int | float) and not isinstance(value, bool):
                low, high = BOUNDS[name]
                if not (low <= value <= high and math.isfinite(value)):
                    bound = f"between {low} and {high}" if high < math.inf else f"a finite number of at least {low}"
                    shown = f"{value:g}" if isinstance(value, float) else value
                    raise TrainingError(f"--{name.replace('_', '-')} must be {bound}; got {shown}")
