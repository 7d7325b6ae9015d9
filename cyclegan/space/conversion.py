"""What the pages and endpoints ask for: uploads in, files for the visitor out."""

import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from PIL import Image

from ..directions import Direction
from ..faces import LARGE, LARGEST, SIZES, SMALLEST, Frame, best_sizes
from ..images import ImageError, open_image, resize_to
from ..palette import PARTS
from ..prepare import judge
from .archives import list_pictures, png_name
from .files import FRAMINGS, OPENED, Square, choose, cut_out, folder, read_pair, read_upload, write
from .serving import Models

SHOWN = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".avif")  # what browsers show
MAX_BATCH = 200  # pictures at once
THUMBNAIL = 256  # pixels of the shorter side of what stands beside a result
EDGE = 0.2  # of a pasted face's half side, over which it fades into the picture


@dataclass(frozen=True)
class Converted:
    """What came of an upload.

    Attributes:
        pair: the files of what was given and of what was made.
        told: the key of the text to tell: that it is ready, or why it may not be what was expected.
        squares: where the faces are, the one that was converted first.
    """

    pair: tuple[str, str]
    told: str
    squares: list[Square]


def legible(sent: Any) -> str | None:
    """Return a PNG file of an upload that browsers cannot show, such as HEIC, or None."""
    if not isinstance(sent, dict) or not isinstance(sent.get("path"), str):
        return None
    if Path(sent["path"]).suffix.lower() in SHOWN:
        return None
    return write(*read_upload(sent))


def look(direction: Direction, first: Any = None, like: Any = None) -> dict[str, Any]:
    """What a visitor chose of the look, as the pipeline takes it: a style, or colours and a photo to take them from."""
    if direction.target == "sketch":
        return {"style": first or None}
    colours = first if isinstance(first, dict) else {}
    return {part: colours.get(part) or None for part in PARTS} | {"like": read_upload(like)[0] if like else None}


def possible_sizes(models: Models, name: str, factor: float) -> tuple[int, ...]:
    """Return what the shorter side of a result may have, in pixels; of several sizes, the face's own pixels decide.

    Args:
        factor: one of SIZES, or anything else for the best.
    """
    size = models.release(name).image_size
    return (round(factor * size),) if factor in SIZES else best_sizes(size)


def convert_upload(
    models: Models, direction: Direction, sent: Any, name: str, framing: str, own: Any, factor: float, *looks: Any
) -> Converted:
    """Convert what a visitor uploaded.

    Args:
        name: of the weights. framing: as in `choose`, or `pasted` for all faces in the whole picture.
        own: the visitor's {"square": ..., "faces": ...}. factor: as in `possible_sizes`. looks: as in `look`.

    Raises:
        ImageError, ChoiceError, WeightsError: whatever the visitor is to be told.
    """
    picture, stem = read_upload(sent)
    sizes = possible_sizes(models, name, factor)
    # All faces are looked for, since the visitor may choose another one
    own = own.get("square") if isinstance(own, dict) else own
    frames = choose(picture, "faces" if framing in ("face", "pasted") else framing, own, sizes)
    chosen = frames[:1] if framing == "face" else frames
    chosen_look = look(direction, *looks)

    def convert(pictures: Any) -> Any:
        return models.convert(direction, name, pictures, size="own", **chosen_look)

    made = [one.turn_back(result) for one, result in zip(chosen, convert([one.image for one in chosen]), strict=True)]
    given = [resize_to(cut_out(picture, one), min(result.size)) for one, result in zip(chosen, made, strict=True)]
    if framing == "pasted" and chosen[0].found:
        given, made = [picture], [paste(convert(picture).resize(picture.size), chosen, made)]
    kind = judge(chosen[0].image)
    told = f"ready_{direction.target}"
    if kind == "blank":
        told = "blank"
    elif not chosen[0].found:
        told = "no_face"
    elif kind == "photo" and direction.source == "sketch":
        told = "is_photo"
    unit = min(picture.size)
    squares = [[length / unit for length in one.square] for one in frames if one.square]
    return Converted((write(sheet(given), stem), write(sheet(made), f"{stem}-{direction.target}")), told, squares)


def sheet(pictures: list[Image.Image]) -> Image.Image:
    """Put pictures side by side, in as many rows as columns, each scaled to the first one's size."""
    columns = 1
    while columns**2 < len(pictures):
        columns += 1
    width, height = pictures[0].size
    made = Image.new("RGB", (columns * width, -(-len(pictures) // columns) * height), "white")
    for number, picture in enumerate(pictures):
        made.paste(picture.resize((width, height)), (number % columns * width, number // columns * height))
    return made


def paste(ground: Image.Image, frames: list[Frame], made: list[Image.Image]) -> Image.Image:
    """Put what was made of each face into what was made of the whole picture, with soft edges."""
    together = ground.copy()
    for one, result in zip(frames, made, strict=True):
        assert one.square, "faces have squares"
        left, top, side = one.square
        across = np.abs(np.linspace(-1, 1, side)) ** 4
        inside = np.clip((1 - (across + across[:, None]) ** 0.25) / EDGE, 0, 1)  # from a rounded square's edge on
        mask = Image.fromarray((255 * inside**2 * (3 - 2 * inside)).astype(np.uint8))
        together.paste(result.resize((side, side), Image.Resampling.BICUBIC), (left, top), mask)
    return together


def convert_back(models: Models, direction: Direction, sent: Any, name: str) -> list[str]:
    """Convert the result of a page back: the files of what was given, what was made, and what comes back."""
    given, made, stem = read_pair(sent)
    pictures = given, made, models.convert(direction.back, name, made)
    return [write(picture, stem) for picture in pictures]


def convert_files(
    models: Models, direction: Direction, files: Iterable[str], framing: str, name: str, factor: float, style: str,
    progress: Callable[..., Any],
) -> tuple[list[dict[str, str]], str | None, str, list[str]]:  # fmt: skip
    """Convert pictures and zip files of pictures.

    Args:
        factor: as in `possible_sizes`. style: of the sketches; where it is empty, and of photos, the model chooses.
        progress: wraps a list, as tqdm does.

    Returns:
        The name of each result, and the files of what was given and made; the zip file of the results, if there are
        any; how many were converted; and a sentence for each that was not.
    """
    sizes = possible_sizes(models, name, factor)
    looks = {"style": style} if style and direction.target == "sketch" else {}
    pictures = list_pictures(map(Path, files))
    problems = [f"Only the first {MAX_BATCH} pictures were converted."] if len(pictures) > MAX_BATCH else []
    made: list[dict[str, str]] = []
    taken: set[str] = set()
    target = Path(tempfile.mkdtemp(dir=folder())) / f"{direction}.zip"
    with ZipFile(target, "w") as archive:
        for source, read in progress(pictures[:MAX_BATCH]):
            try:
                opened = open_image(read(), source, OPENED, apart=True)
                chosen = choose(opened, framing, None, sizes)[0]
                picture = chosen.turn_back(models.convert(direction, name, chosen.image, size="own", **looks))
            except ImageError as error:
                problems.append(str(error))
                continue
            if factor not in SIZES:
                picture = resize_to(picture, max(LARGE, min(picture.size)))
            named = png_name(source, taken)
            given = resize_to(cut_out(opened, chosen), THUMBNAIL)
            made.append({"name": named, "given": write(given, "given"), "made": write(picture, Path(named).stem)})
            archive.write(made[-1]["made"], named)
    return made, str(target) if made else None, f"{len(made)} of {len(pictures)} converted.", problems


def answer(models: Models, direction: Direction, sent: Any, framing: str, size: int | None, **choices: Any) -> str:
    """Convert a picture for the endpoint of a direction, and return the file.

    Args:
        size: the result's shorter side in pixels, or None for the release's.
        choices: the style or the colours as the pipeline takes them; what is empty is the model's choice.
    """
    picture, stem = read_upload(sent)
    size = models.image_size if size is None else size
    if type(size) is not int or not SMALLEST <= size <= LARGEST:
        raise ImageError(f"size must be from {SMALLEST} to {LARGEST} pixels; got {size!r:.80}.")
    if framing not in FRAMINGS:
        raise ImageError(f"framing must be one of {', '.join(FRAMINGS)}; got {framing!r:.80}.")
    chosen = choose(picture, framing, None, size)[0]
    given = {name: choice for name, choice in choices.items() if choice}
    converted = models.convert(direction, models.first, chosen.image, size="own", **given)
    return write(chosen.turn_back(converted), f"{stem}-{direction.target}")
