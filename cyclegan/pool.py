"""The history of fakes that the discriminators are shown (Shrivastava et al. 2017, https://arxiv.org/abs/1612.07828)."""

import torch
from torch import Tensor


class ImagePool:
    """Keeps up to `size` fakes on the device that made them. With size 0, every fake passes straight through."""

    def __init__(self, size: int = 50) -> None:
        self.size = size
        self.images: Tensor | None = None  # (n, C, H, W), n <= size

    def query(self, fakes: Tensor, rng: torch.Generator) -> Tensor:
        """Swap about half of the fakes for older ones: (B, C, H, W) -> (B, C, H, W), detached.

        The first `size` fakes are stored and returned. After that, each fake is exchanged with probability 1/2 for a
        stored one, and stored in its place. Exchanges within a batch use different places, so that they can run at
        once. If a batch has more exchanges than the pool has places, the remaining fakes are returned unchanged.

        Args:
            rng: a generator on the CPU, so that the same seed exchanges the same pictures on every device.
        """
        fakes = fakes.detach()
        if self.size == 0:
            return fakes
        if self.images is None or self.images.shape[1:] != fakes.shape[1:]:  # new, or the picture size has changed
            self.images = fakes[:0]
        stored = self.images.to(fakes)  # a loaded pool comes from the CPU
        new = fakes[: self.size - len(stored)]
        self.images = torch.cat([stored, new]) if len(new) else stored

        swap = torch.rand(len(fakes), generator=rng) < 0.5
        swap[: len(new)] = False
        chosen = swap.nonzero().squeeze(1)[: self.size]
        places = torch.randperm(self.size, generator=rng)[: len(chosen)]
        if len(chosen) == 0:
            return fakes
        chosen, places = chosen.to(fakes.device, non_blocking=True), places.to(fakes.device, non_blocking=True)
        shown = fakes.clone()
        shown[chosen] = self.images[places]
        self.images[places] = fakes[chosen]
        return shown

    def state_dict(self) -> dict[str, Tensor]:
        """Return the stored fakes as `images` (n, C, H, W), or nothing if no fake was stored yet."""
        return {} if self.images is None else {"images": self.images}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Replace the stored fakes by those of `state_dict`. `query` moves them to the device of its fakes."""
        self.images = state.get("images")
