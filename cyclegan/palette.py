"""The colours of a face: skin, hair and background, read from a photo or given by a person.

A palette is a tensor (B, 3, 4): for each of `PARTS` red, green and blue in [-1, 1], and 1 where that colour is given. A
colour that is not given is four zeros: the generator chooses it. Flattened, (B, 12), it is the photo generator's
condition.
"""

import torch
import torch.nn.functional as F
from PIL import ImageColor
from torch import Tensor

PARTS = ("skin", "hair", "background")
PALETTE_SIZE = 4 * len(PARTS)
SIZE = 64  # pixels: the side at which colours are read
# Where to look, in shares of the side, (top, bottom, left, right), on a face that is framed as the training photos are:
# eyes at 0.45 of the height
CHEEKS = ((0.50, 0.64, 0.36, 0.64),)
CROWN = ((0.04, 0.22, 0.30, 0.70), (0.18, 0.40, 0.18, 0.30), (0.18, 0.40, 0.70, 0.82))
CORNERS = ((0.0, 0.40, 0.0, 0.12), (0.0, 0.40, 0.88, 1.0), (0.0, 0.05, 0.0, 0.25), (0.0, 0.05, 0.75, 1.0))
NEAR = 0.3  # in [-1, 1]: how far from the middle of a colour its shades lie
FEW = 0.08  # the share of its places that must look like hair
# From pale to dark, as people draw them: colours that `recolour` passes through
SKINS = ("#f9e4d8", "#ffdbac", "#e0ac69", "#c68642", "#a07e56", "#8d5524", "#604134", "#3a2a24")
HAIRS = ("#d9d6d2", "#d8b878", "#a57b4a", "#8c3b1e", "#6b4a2f", "#2b1d14", "#0f0e10")
RECOLOUR_NUMBERS = 4  # for each part


class ChoiceError(ValueError):
    """A style or colour is not available. The message says what is."""


def read_palette(photos: Tensor, places: Tensor | None = None) -> Tensor:
    """The colours of framed faces, as a person would name them: the prevailing shade, not the mean of light and shadow.

    Each colour is searched for in its own places: on the cheeks and nose, around the forehead, in the upper corners. It
    starts from the median there and moves to the mean of what is near (mean shift, Comaniciu & Meer 2002). For hair,
    only pixels count that are like neither skin nor background. Where few pixels count, a colour is not given. The
    gradient reaches the pixels whose mean a colour is.

    Args:
        photos: (B, 3, H, W) in [-1, 1]: the eyes a little above the middle, the face about half as wide as the picture.
        places: (B, 3, H, W), 1 where each colour is searched for; for crops, of which `search_places` is cropped alike.

    Returns:
        (B, 3, 4): a palette.
    """
    if places is None:
        places = search_places(SIZE).to(photos.device).expand(len(photos), -1, -1, -1)
    pixels, places = (
        F.interpolate(picture.float(), (SIZE, SIZE), mode="bilinear", antialias=True).flatten(2)
        for picture in (photos, places)
    )  # (B, 3, SIZE^2)
    cheeks, crown, corners = places.round().split(1, 1)
    skin, background = _shade(pixels, cheeks), _shade(pixels, corners)
    unlike = [(pixels - colour).detach().norm(dim=1, keepdim=True) > NEAR for colour in (skin, background)]
    locks = crown * unlike[0] * unlike[1]
    parts = ((skin, cheeks, cheeks), (_shade(pixels, locks), locks, crown), (background, corners, corners))
    palette = []
    for colour, counted, searched in parts:
        given = counted.sum(2) >= (FEW * searched.sum(2)).clamp(SIZE / 4)  # (B, 1)
        palette.append(torch.cat([colour[..., 0], torch.ones_like(given)], 1) * given)
    return torch.stack(palette, 1)


def search_places(size: int) -> Tensor:
    """Where the colours of PARTS are searched for on a framed face: (1, 3, size, size) of 0 and 1."""
    places = torch.zeros(1, len(PARTS), size, size)
    for number, boxes in enumerate((CHEEKS, CROWN, CORNERS)):
        for box in boxes:
            top, bottom, left, right = (round(size * share) for share in box)
            places[:, number, top:bottom, left:right] = 1
    return places


def relight_palette(palette: Tensor, light: Tensor) -> Tensor:
    """The colours of a palette (B, 3, 4) with so much of their light (B, 3, 1): 0 is black, 1 changes nothing."""
    colours, given = palette[..., :3], palette[..., 3:]
    return torch.cat([((colours + 1) * light - 1).clamp(-1, 1) * given, given], 2)


def recolour(photos: Tensor, numbers: Tensor) -> Tensor:
    """Give framed faces other skin, hair and backgrounds, so that a generator learns colours that its photos lack.

    Every pixel moves as far as it lies near a shade of the colour that is read there: its own shade stays.

    Args:
        photos: (B, 3, S, S) in [-1, 1], framed as for `read_palette`; like the result.
        numbers: (B, 3, RECOLOUR_NUMBERS) uniform in [0, 1), for each of PARTS: every second part keeps its colour.
    """
    kept, *spread = numbers.unsqueeze(-1).unbind(2)  # (B, 3, 1) each
    skin, hair = (_between(colours, spread[0][:, part]) for part, colours in enumerate((SKINS, HAIRS)))
    wanted = torch.stack([skin, hair, torch.cat([number[:, 2] for number in spread], 1)], 1)  # (B, 3, 3) in [0, 1]
    wanted[:, :2] += 0.1 * torch.cat(spread, 2)[:, :2] - 0.05
    read = read_palette(photos)
    change = read[..., 3:] * (kept < 0.5)  # (B, 3, 1)

    side = torch.linspace(0, 1, photos.shape[-1], device=photos.device)

    def oval(middle: float, height: float, width: float) -> Tensor:
        distance = (((side[:, None] - middle) / height).square() + ((side - 0.5) / width).square()).sqrt()
        return torch.sigmoid(8 * (1 - distance))

    face = (oval(0.58, 0.36, 0.30) + oval(1.0, 0.35, 0.35)).clamp(max=1)  # with the neck
    places = face, 1 - oval(0.58, 0.24, 0.20), 1 - oval(0.55, 0.42, 0.30)
    pixels, old, new = (photos + 1) / 2, (read[..., :3, None, None] + 1) / 2, wanted.clamp(0, 1)[..., None, None]
    likeness, shift = [], []
    for part, (place, spread_of) in enumerate(zip(places, (0.35, 0.14, 0.14), strict=True)):
        before, after = old[:, part], new[:, part]  # (B, 3, 1, 1)
        shade = ((pixels * before).sum(1, keepdim=True) + 0.02) / (before.square().sum(1, keepdim=True) + 0.02)
        brightest = 1 / torch.maximum(before, after).amax(1, keepdim=True).clamp(0.7)
        shade = torch.minimum(shade.clamp(0.4), brightest)
        distance = (pixels - shade * before).square().sum(1, keepdim=True)
        likeness.append(place * torch.exp(-distance / spread_of**2))  # (B, 1, S, S)
        shift.append(shade * (after - before) * change[:, part, :, None, None])
    shares = torch.stack(likeness) / torch.stack(likeness).sum(0).clamp(1)  # (3, B, 1, S, S)
    shares = F.avg_pool2d(F.pad(shares.flatten(0, 1), [2] * 4, mode="replicate"), 5, 1).view_as(shares)
    return (photos + 2 * (shares * torch.stack(shift)).sum(0)).clamp(-1, 1)


def _between(colours: tuple[str, ...], position: Tensor) -> Tensor:
    """The colours (B, 3) in [0, 1] at positions (B, 1) in [0, 1) along a row of colours."""
    row = torch.tensor([ImageColor.getrgb(colour) for colour in colours], device=position.device) / 255
    position = position * (len(row) - 1)
    before = position.long()[:, 0]
    return torch.lerp(row[before], row[before + 1], position - before[:, None])


def _shade(pixels: Tensor, places: Tensor) -> Tensor:
    """The prevailing colour of the pixels (B, 3, N) at the places (B, 1, N) that are 1: (B, 3, 1)."""
    colour = torch.where(places > 0, pixels.detach(), torch.nan).nanmedian(2, keepdim=True).values.nan_to_num()
    for _ in range(3):
        weights = places * torch.exp(-((pixels.detach() - colour) / NEAR).square().sum(1, keepdim=True))
        mean = (pixels * weights).sum(2, keepdim=True) / weights.sum(2, keepdim=True).clamp(1e-6)
        colour = mean.detach()
    return mean


def make_palette(**colours: str | None) -> Tensor:
    """A palette (1, 3, 4) of colours that a person gives: `make_palette(skin="#e0ac69", hair="black")`.

    Args:
        colours: by the names of PARTS, as CSS writes them. None leaves one to the generator.

    Raises:
        ChoiceError: that is no colour.
    """
    palette = torch.zeros(1, len(PARTS), 4)
    for part, colour in colours.items():
        if colour is None:
            continue
        try:
            red, green, blue = (min(value, 255) for value in ImageColor.getrgb(colour)[:3])  # as CSS does
        except (ValueError, TypeError, OverflowError):  # a raw request may send what is no text
            raise ChoiceError(f"{part} must be a colour such as '#e0ac69' or 'black'; got {colour!r:.80}.") from None
        palette[0, PARTS.index(part)] = torch.tensor([red / 127.5 - 1, green / 127.5 - 1, blue / 127.5 - 1, 1.0])
    return palette
