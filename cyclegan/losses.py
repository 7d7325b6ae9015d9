"""The losses of CycleGAN (Zhu et al. 2017, https://arxiv.org/abs/1703.10593): each returns its total and its parts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from piq import ssim
from torch import Tensor
from torch.nn.functional import avg_pool2d, l1_loss, normalize

from .palette import read_palette

Network = Callable[..., Tensor]
Features = Callable[[Tensor], list[Tensor]]
Losses = tuple[Tensor, dict[str, Tensor]]


@dataclass(frozen=True)
class Translation:
    """The results of both generators for a batch. Every picture is (B, 3, H, W) in [-1, 1] and carries its gradient."""

    fake_sketch: Tensor
    fake_photo: Tensor
    cycled_photo: Tensor
    cycled_sketch: Tensor
    identity_photo: Tensor | None
    identity_sketch: Tensor | None


@dataclass(frozen=True)
class Conditions:
    """What the generators are told beside a picture; None where there are no styles or no palette.

    `style` (B, styles) is for the sketch of the photo, and `own_style` is the style of the sketch that there is.
    `palette` (B, 12) is for the photo of the sketch, and `own_palette` holds the colours of the photo that there is.
    """

    style: Tensor | None = None
    own_style: Tensor | None = None
    palette: Tensor | None = None
    own_palette: Tensor | None = None


def translate(
    sketch_generator: Network,
    photo_generator: Network,
    photo: Tensor,
    sketch: Tensor,
    identity: bool,
    noise: Tensor | None = None,
    conditions: Conditions = Conditions(),
) -> Translation:
    """Run both cycles in four generator calls. Sharing a call changes nothing, as InstanceNorm works per picture.

    The fakes are not detached before reconstruction: the cycle loss must reach the generator that made them.

    Args:
        identity: also translate each picture to its own domain.
        noise: (2, B, 3, H, W) to add to the fake sketches and fake photos before reconstruction. It drowns faint
            patterns in which a fake may hide its original (Chu et al. 2017, https://arxiv.org/abs/1712.02950).
    """
    style, own_style = conditions.style, conditions.own_style
    palette, own_palette = conditions.palette, conditions.own_palette
    if identity:
        styles = None if style is None or own_style is None else torch.cat([style, own_style])
        palettes = None if palette is None or own_palette is None else torch.cat([palette, own_palette])
        fake_sketch, identity_sketch = sketch_generator(torch.cat([photo, sketch]), styles).chunk(2)
        fake_photo, identity_photo = photo_generator(torch.cat([sketch, photo]), palettes).chunk(2)
    else:
        fake_sketch, identity_sketch = sketch_generator(photo, style), None
        fake_photo, identity_photo = photo_generator(sketch, palette), None
    sketch_noise, photo_noise = (0.0, 0.0) if noise is None else noise
    return Translation(
        fake_sketch=fake_sketch,
        fake_photo=fake_photo,
        cycled_photo=photo_generator(fake_sketch + sketch_noise, own_palette),
        cycled_sketch=sketch_generator(fake_photo + photo_noise, own_style),
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
    features: Features | None = None,
    perceptual_weight: float = 0.0,
    describe: Network | None = None,
    likeness_weight: float = 0.0,
    palette: tuple[Tensor, Tensor] | None = None,
    palette_weight: float = 0.0,
    style: Tensor | None = None,
) -> Losses:
    """Return the loss that both generators minimise. Freeze the discriminators meanwhile: they only judge here.

    Args:
        paired: (B,) bool, true where photo and sketch show the same face, for the paired loss.

    Returns:
        The total and its unweighted parts: `adversarial_sketch`, `adversarial_photo`, `cycle_photo`, `cycle_sketch`;
        with identity pictures in the translation also `identity_photo`, `identity_sketch`; and with `paired` also
        `paired_photo`, `paired_sketch`.
    """
    judged = () if style is None else (style,)
    parts = {
        # Least squares GAN, the generators' side (section 4: minimise E[(D(G(x)) - 1)^2])
        "adversarial_sketch": least_squares(sketch_discriminator(translation.fake_sketch, *judged), 1.0),
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
    if features is not None or describe is not None:
        made, rows = made_photos(translation, paired)
    if features is not None:
        parts["perceptual_photo"] = perceptual_loss(features, made, photo, rows)
        total = total + perceptual_weight * parts["perceptual_photo"]
    if describe is not None:
        parts["likeness_photo"] = likeness_loss(describe, made, photo, rows)
        total = total + likeness_weight * parts["likeness_photo"]
    if palette is not None:
        parts["palette_photo"] = palette_loss(translation.fake_photo, *palette)
        total = total + palette_weight * parts["palette_photo"]
    return total, parts


def discriminator_loss(
    discriminator: Network, real: Tensor, fake: Tensor, styles: tuple[Tensor, Tensor] | None = None
) -> Losses:
    """Return the loss of one discriminator, halved as in the paper to slow it down (section 7.1).

    Args:
        real, fake: (B, 3, H, W) in [-1, 1]; the fakes are detached here and judged in one call with the real ones.
        styles: (B,) int64 each, of the real and of the fake ones, where the discriminator tells styles apart.

    Returns:
        The total, and its parts `real` and `fake`, each 0.25 for a discriminator that always answers one half.
    """
    given = () if styles is None else (torch.cat(styles),)
    real_score, fake_score = discriminator(torch.cat([real, fake.detach()]), *given).chunk(2)
    parts = {"real": least_squares(real_score, 1.0), "fake": least_squares(fake_score, 0.0)}
    return 0.5 * (parts["real"] + parts["fake"]), parts


def paired_loss(fake: Tensor, real: Tensor, paired: Tensor) -> Tensor:
    """Return L1 to the true partner (pix2pix, Isola et al. 2017, Eq. 3) plus (1 - SSIM) / 2, which sees structure.

    SSIM (Wang et al. 2004) is computed at half the size, so that a line one pixel away from its partner still counts.
    The result is the mean over the batch. Unpaired pictures count as 0, so that the parts of a batch add up.
    """
    fake = fake.float()
    halves = [((avg_pool2d(picture, 2) + 1) / 2).clamp(0, 1) for picture in (fake, real)]
    dissimilarity = (1 - ssim(*halves, data_range=1.0, downsample=False, reduction="none")) / 2
    return (((fake - real).abs().mean((1, 2, 3)) + dissimilarity) * paired).mean()


def perceptual_loss(features: Features, made: Tensor, photo: Tensor, rows: Tensor) -> Tensor:
    """The distance of a network's features of the photos made to those of the true photos, see `made_photos`.

    Each place's features are brought to length 1 (LPIPS, Zhang et al. 2018, https://arxiv.org/abs/1801.03924, Eq. 1,
    with equal weights). The sum over the layers and the kinds of photos, the mean over the batch. They are compared at
    half the size, for a quarter of the work.
    """
    with torch.no_grad():
        targets = features(avg_pool2d(photo, 2))
    total = photo.new_zeros(())
    for layer, target in zip(features(avg_pool2d(made, 2)), targets, strict=True):
        distance = (normalize(layer.float()) - normalize(target.float())[rows]).square().sum(1).mean((1, 2))
        total = total + distance.sum() / len(photo)
    return total


def likeness_loss(describe: Network, made: Tensor, photo: Tensor, rows: Tensor) -> Tensor:
    """How unlike the person the photos made look, see `made_photos`.

    It is 1 minus the cosine of a face recognition network's descriptions of the photo made and of the photo (Richardson
    et al. 2021, https://arxiv.org/abs/2008.00951, Eq. 4). The sum over the kinds of photos, the mean over the batch.

    Args:
        describe: (B, 3, H, W) in [-1, 1] -> (B, D), of any length.
    """
    with torch.no_grad():
        known = normalize(describe(photo).float())
    return (1 - (normalize(describe(made).float()) * known[rows]).sum(1)).sum() / len(photo)


def made_photos(translation: Translation, paired: Tensor | None) -> tuple[Tensor, Tensor]:
    """The cycled photos and the fake ones with a true partner, (N, 3, H, W), and their places in the batch, (N,)."""
    made = translation.cycled_photo
    rows = torch.arange(len(made), device=made.device)
    if paired is not None:
        pairs = paired.nonzero().squeeze(1)
        made, rows = torch.cat([made, translation.fake_photo[pairs]]), torch.cat([rows, pairs])
    return made.float(), rows


def palette_loss(fake: Tensor, palette: Tensor, places: Tensor) -> Tensor:
    """L1 between the colours that were asked for and those that a face was painted in.

    Colours that are not given, or not to be seen, count as 0.

    Args:
        fake: (B, 3, H, W) in [-1, 1]. palette: (B, 3, 4). places: (B, 3, H, W), where the colours are searched for.
    """
    painted = read_palette(fake, places)
    given = palette[..., 3:] * painted[..., 3:]
    return ((painted - palette)[..., :3].abs() * given).mean()


def least_squares(score: Tensor, target: float) -> Tensor:
    """Least squares GAN (Mao et al. 2017, https://arxiv.org/abs/1611.04076), in float32 whatever the network ran in."""
    return (score.float() - target).square().mean()
