"""The losses of CycleGAN (Zhu et al. 2017, https://arxiv.org/abs/1703.10593): a total to step on and its parts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from piq import ssim
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss

Network = Callable[[Tensor], Tensor]
Losses = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class Translation:
    """What the two generators make of a batch; every picture is (B, 3, H, W) in [-1, 1] and carries its gradient."""

    fake_sketch: Tensor
    fake_photo: Tensor
    cycled_photo: Tensor
    cycled_sketch: Tensor
    identity_photo: Tensor | None
    identity_sketch: Tensor | None


def translate(
    sketch_generator: Network,
    photo_generator: Network,
    photo: Tensor,
    sketch: Tensor,
    identity: bool,
    noise: Tensor | None = None,
) -> Translation:
    """Run both cycles in four generator calls; InstanceNorm works per picture, so sharing a call changes nothing.

    The fakes go into the reconstruction undetached: the cycle loss must reach the generator that made them.

    Args:
        identity: also translate each picture to its own domain.
        noise: (2, B, 3, H, W) to add to the fake sketches and fake photos before reconstruction: what a fake hides
            in faint patterns drowns in it (Chu et al. 2017, https://arxiv.org/abs/1712.02950).
    """
    if identity:
        fake_sketch, identity_sketch = sketch_generator(torch.cat([photo, sketch])).chunk(2)
        fake_photo, identity_photo = photo_generator(torch.cat([sketch, photo])).chunk(2)
    else:
        fake_sketch, identity_sketch = sketch_generator(photo), None
        fake_photo, identity_photo = photo_generator(sketch), None
    sketch_noise, photo_noise = (0.0, 0.0) if noise is None else noise
    return Translation(
        fake_sketch=fake_sketch,
        fake_photo=fake_photo,
        cycled_photo=photo_generator(fake_sketch + sketch_noise),
        cycled_sketch=sketch_generator(fake_photo + photo_noise),
        identity_photo=identity_photo,
        identity_sketch=identity_sketch,
    )


def generator_loss(
    sketch_discriminator: Network,
    photo_discriminator: Network,
    photo: Tensor,
    sketch: Tensor,
    translation: Translation,
    cycle_weight: float = 10.0,
    identity_weight: float = 5.0,
    paired: Tensor | None = None,
    paired_weight: float = 0.0,
) -> Losses:
    """What both generators minimise. Freeze the discriminators around it: they only judge here.

    Args:
        paired: (B,) bool, where photo and sketch show the same face, for the paired loss.

    Returns:
        The total, and its unweighted parts: `adversarial_sketch`, `adversarial_photo`, `cycle_photo`, `cycle_sketch`;
        where the translation has identity pictures, `identity_photo`, `identity_sketch`; and where `paired` is given,
        `paired_photo`, `paired_sketch`.
    """
    parts = {
        # Least squares GAN, the generators' side (section 4: minimise E[(D(G(x)) - 1)^2])
        "adversarial_sketch": least_squares(sketch_discriminator(translation.fake_sketch), 1.0),
        "adversarial_photo": least_squares(photo_discriminator(translation.fake_photo), 1.0),
        # Cycle consistency (Eq. 2)
        "cycle_photo": l1_loss(translation.cycled_photo.float(), photo),
        "cycle_sketch": l1_loss(translation.cycled_sketch.float(), sketch),
    }
    total = parts["adversarial_sketch"] + parts["adversarial_photo"]
    total = total + cycle_weight * (parts["cycle_photo"] + parts["cycle_sketch"])
    if translation.identity_photo is not None and translation.identity_sketch is not None:
        # Identity mapping (section 5.2); 5 is the paper's 0.5 times the cycle weight
        parts["identity_photo"] = l1_loss(translation.identity_photo.float(), photo)
        parts["identity_sketch"] = l1_loss(translation.identity_sketch.float(), sketch)
        total = total + identity_weight * (parts["identity_photo"] + parts["identity_sketch"])
    if paired is not None:
        parts["paired_photo"] = paired_loss(translation.fake_photo, photo, paired)
        parts["paired_sketch"] = paired_loss(translation.fake_sketch, sketch, paired)
        total = total + paired_weight * (parts["paired_photo"] + parts["paired_sketch"])
    return total, parts


def discriminator_loss(discriminator: Network, real: Tensor, fake: Tensor) -> Losses:
    """What one discriminator minimises, halved as in the paper to slow it down against its generator (section 7.1).

    Args:
        real, fake: (B, 3, H, W) in [-1, 1]; the fakes are detached here and judged in one call with the real ones.

    Returns:
        The total, and its parts `real` and `fake`, each 0.25 for a discriminator that always answers one half.
    """
    real_score, fake_score = discriminator(torch.cat([real, fake.detach()])).chunk(2)
    parts = {"real": least_squares(real_score, 1.0), "fake": least_squares(fake_score, 0.0)}
    return 0.5 * (parts["real"] + parts["fake"]), parts


def paired_loss(fake: Tensor, real: Tensor, paired: Tensor) -> Tensor:
    """L1 to the true partner (pix2pix, Isola et al. 2017, Eq. 3) and (1 - SSIM) / 2, which sees structure.

    SSIM is that of Wang et al. 2004, at half the size: a line that lies a pixel beside its partner's still counts.
    The mean over the batch; strangers count as 0, so that the parts of a batch add up.
    """
    fake = fake.float()
    halves = [((avg_pool2d(picture, 2) + 1) / 2).clamp(0, 1) for picture in (fake, real)]
    dissimilarity = (1 - ssim(*halves, data_range=1.0, downsample=False, reduction="none")) / 2
    return (((fake - real).abs().mean((1, 2, 3)) + dissimilarity) * paired).mean()


def least_squares(score: Tensor, target: float) -> Tensor:
    """Least squares GAN (Mao et al. 2017, https://arxiv.org/abs/1611.04076), in float32 whatever the network ran in."""
    return (score.float() - target).square().mean()
