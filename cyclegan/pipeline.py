"""FaceSketchPipeline: two generators that convert PIL pictures to PIL pictures."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, overload

import torch
from huggingface_hub import ModelCard, ModelHubMixin
from PIL import Image
from torch import Tensor

from .directions import Direction
from .faces import Framing, check_size, frame
from .hub.card import make_card
from .images import normalise, open_image, to_image, to_tensor
from .networks import Generator
from .prepare import is_blank, prepare_photo, prepare_sketch
from .release import EMBEDDED, HubUnreachableError, fetch, read, write
from .translator import Translator

BATCH = 8  # pictures converted at once: enough for all cores, and few enough for a small machine

Images = list[Image.Image]
One = Literal["face", "middle", "whole"]  # the framings that give one picture for one


class Options(TypedDict, total=False):
    """What both ways of a pipeline take beside the pictures and the framing: see `photo_to_sketch`."""

    size: int | Literal["own"] | None
    prepare: bool


class Styled(Options, total=False):
    style: str | None


class Coloured(Options, total=False):
    skin: str | None
    hair: str | None
    background: str | None
    like: Image.Image | None


class FaceSketchPipeline(
    Translator,
    ModelHubMixin,
    library_name="cyclegan",
    pipeline_tag="image-to-image",
    tags=["cyclegan", "face", "sketch", "unpaired-image-translation"],
    license="other",
):
    """Converts face photos to pencil sketches and back.

        pipe = FaceSketchPipeline.from_pretrained()
        sketch = pipe.photo_to_sketch(photo)

    Train and eval mode of the generators give the same pictures.

    Args:
        sketch_generator: photo -> sketch. photo_generator: sketch -> photo, of the same architecture. One may be None.
        image_size: the working size in pixels: a picture's shorter side is brought to it.
        device: a torch device, or `auto`: CUDA, else Apple's MPS, else the CPU.
        dtype: what the generators compute in; `auto` is bfloat16 or float16 on CUDA and float32 elsewhere.
        engine: what runs them on a CPU in float32: one of `engines.ENGINES`, or `auto`: the fastest that is installed,
            measured once (some seconds) and remembered. Elsewhere torch does. Weights that are changed later change
            only what torch runs.
        styles: the names of the styles that the sketch generator draws in, as many as it has conditions.

    Attributes:
        engines: the name of the engine of each direction.
        source: where the weights are from: a repository, the name of a folder, or `embedded weights`.
        revision: the commit of the repository.
    """

    source = "memory"
    revision: str | None = None

    @overload
    def photo_to_sketch(self, images: Image.Image, framing: One = ..., **more: Unpack[Styled]) -> Image.Image: ...
    @overload
    def photo_to_sketch(self, images: Images, framing: One = ..., **more: Unpack[Styled]) -> Images: ...
    @overload
    def photo_to_sketch(self, images: Any, framing: Framing, **more: Unpack[Styled]) -> Any: ...
    def photo_to_sketch(
        self, images: Any, framing: Framing = "whole", *, style: str | None = None, **more: Unpack[Options]
    ) -> Any:
        """Draw the face in a photo: one RGB picture for one, a list for a list.

        Any size and mode goes in. A warning is given where no face is found, or there is nothing in a picture: the
        answer to a blank page is a blank page.

        Args:
            framing: what is converted: `whole`, the default, gives a picture of the same shape. `face` gives the
                square around the largest face, `faces` a list of the squares of all, `middle` the middle square,
                which is also taken where there is no face. A tilted head is turned upright and its picture back.
            style: one of `styles`; None leaves it to the model.
            size: the shorter side of the result in pixels, `own` for that of the picture (up to 1024), or nothing for
                `image_size`.
            prepare: whether a very dark or faded photo is brought to a normal range of light first; True if not given.

        Raises:
            ImageError: a picture is damaged, tiny or huge. ChoiceError: there is no such style. ValueError: there is
                no such framing or size.
        """
        condition = self.style_condition(style)
        return self._convert(self.sketch_generator, prepare_photo, images, framing, condition, **more)

    @overload
    def sketch_to_photo(self, images: Image.Image, framing: One = ..., **more: Unpack[Coloured]) -> Image.Image: ...
    @overload
    def sketch_to_photo(self, images: Images, framing: One = ..., **more: Unpack[Coloured]) -> Images: ...
    @overload
    def sketch_to_photo(self, images: Any, framing: Framing, **more: Unpack[Coloured]) -> Any: ...
    def sketch_to_photo(
        self, images: Any, framing: Framing = "whole", *, skin: str | None = None, hair: str | None = None,
        background: str | None = None, like: Image.Image | None = None, **more: Unpack[Options],
    ) -> Any:  # fmt: skip
        """Paint a photo from a drawn face; in and out as in `photo_to_sketch`.

        Args:
            framing, size: as in `photo_to_sketch`.
            skin, hair, background: colours as CSS writes them, `#e0ac69` or `black`. None leaves one to the model.
            like: a photo of a face, whose colours are taken where none are given.
            prepare: whether shadows, coloured paper and fills, white on black and faint strokes are evened out first.

        Raises:
            As in `photo_to_sketch`. ChoiceError: that is no colour, or this release has no palette.
        """
        palette = self.palette_condition(skin=skin, hair=hair, background=background, like=like)
        return self._convert(self.photo_generator, prepare_sketch, images, framing, palette, **more)

    def _convert(
        self,
        generator: Generator,
        step: Callable[[Image.Image], Image.Image],
        images: Image.Image | Images,
        framing: Framing,
        condition: Tensor | None,
        size: int | Literal["own"] | None = None,
        prepare: bool = True,
    ) -> Any:
        given = [images] if isinstance(images, Image.Image) else images
        if size is not None:
            check_size(size)
        size = self.image_size if size is None else size
        frames = [frame(open_image(image), framing, size) for image in given]
        if missed := sum(not found[0].found for found in frames):
            warnings.warn(f"No face was found in {missed} of {len(given)}, so the middle is converted.", stacklevel=3)
        pictures = [step(one.image) if prepare else one.image for found in frames for one in found]
        results = iter(self._run(generator, pictures, condition, prepare))
        converted = [[one.turn_back(next(results)) for one in found] for found in frames]
        made = converted if framing == "faces" else [first for first, *_ in converted]
        return made[0] if isinstance(images, Image.Image) else made

    def _run(self, generator: Generator, images: Images, condition: Tensor | None, blank_for_blank: bool) -> Images:
        """Convert pictures of the working size, those of one shape together."""
        converted: dict[int, Image.Image] = {}
        by_shape: dict[tuple[int, int], list[int]] = {}
        for number, image in enumerate(images):
            if blank_for_blank and is_blank(image):  # instance norm makes stripes of nothing
                converted[number] = Image.new("RGB", image.size, "white")
            else:
                by_shape.setdefault(image.size, []).append(number)
        if converted:
            warnings.warn(f"{len(converted)} of {len(images)} are blank, and so are their results.", stacklevel=4)
        for numbers in by_shape.values():
            for start in range(0, len(numbers), BATCH):
                batch = numbers[start : start + BATCH]
                pixels = torch.stack([to_tensor(images[number]) for number in batch]).to(self.device)
                pictures = self.translate(generator, normalise(pixels), condition)
                converted |= {number: to_image(picture) for number, picture in zip(batch, pictures, strict=True)}
        return [converted[number] for number in range(len(images))]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path | None = None,
        *,
        revision: str | None = None,
        direction: Direction | str | None = None,
        fallback: bool = False,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        engine: str = "torch",
    ) -> Self:
        """Load a release: the embedded weights, a folder, or a repository on the Hub.

        A release that was downloaded before is loaded from the cache when the Hub cannot be reached.

        Args:
            pretrained_model_name_or_path: a folder or `user/repo[@revision]`. None: the embedded weights.
            revision: a branch, tag or commit of the repository, such as `epoch-12`.
            direction: load and download only this direction.
            fallback: use the embedded weights, with a warning, if the Hub cannot be reached and the cache is empty.
            token, cache_dir, force_download, local_files_only: as in every `ModelHubMixin`.
            device, dtype, engine: as in the constructor.

        Raises:
            WeightsError: the repository or revision does not exist or is not accessible, or the release is incomplete,
                damaged or of a newer format.
            EngineError: the engine cannot run here.
            HubUnreachableError: the Hub cannot be reached, and the release is not in the cache.
        """
        source = str(EMBEDDED if pretrained_model_name_or_path is None else pretrained_model_name_or_path)
        folder, commit = Path(source), None
        if not folder.is_dir():
            options = {
                "token": token,
                "cache_dir": cache_dir,
                "force_download": force_download,
                "local_files_only": local_files_only,
            }
            try:
                folder, commit = fetch(source, revision, direction, options)
            except HubUnreachableError as error:
                if not fallback:
                    raise
                warnings.warn(f"{error} The embedded weights are used instead.", stacklevel=2)
                return cls.from_pretrained(direction=direction, device=device, dtype=dtype, engine=engine)
        generators, config = read(folder, direction, source)
        pipe = cls(
            generators.get(Direction.PHOTO_TO_SKETCH),
            generators.get(Direction.SKETCH_TO_PHOTO),
            config["image_size"],
            device,
            dtype,
            engine,
            config["styles"],
        )
        pipe.source = "embedded weights" if folder == EMBEDDED else source if commit else folder.resolve().name
        pipe.revision = commit
        return pipe

    def _save_pretrained(self, save_directory: Path) -> None:
        write(save_directory, self.generators, self.image_size, self.styles)

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """Return the model card of this pipeline. `kwargs` are the facts that `make_card` takes."""
        return make_card(
            super().generate_model_card().data,
            image_size=self.image_size,
            directions=list(self.generators),
            **kwargs,
        )
