"""Two generators on a device, run by the fastest engine: tensors in, tensors out."""

from collections.abc import Sequence

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d, one_hot

from .devices import choose_device, choose_dtype
from .directions import Direction
from .engines.build import Engine, EngineError, build
from .engines.choose import choose, warm_up
from .faces import frame
from .images import normalise, open_image, pad_to_multiple, to_tensor
from .networks import Generator, take_forms
from .palette import ChoiceError, make_palette, read_palette
from .release import WeightsError

LARGE = 1.75  # times the working size, from which on a picture is also converted at half its size


class Translator:
    """What a `FaceSketchPipeline` is without pictures; the arguments are described there."""

    def __init__(
        self,
        sketch_generator: Generator | None,
        photo_generator: Generator | None,
        image_size: int,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        engine: str = "torch",
        styles: Sequence[str] = (),
    ) -> None:
        if sketch_generator is None and photo_generator is None:
            raise WeightsError(
                "A FaceSketchPipeline needs a sketch_generator, a photo_generator, or both; got neither."
            )
        self.styles = list(styles)
        self.image_size = image_size
        self.device = choose_device(device)
        self.dtype = choose_dtype(dtype, self.device)
        given = zip(Direction, (sketch_generator, photo_generator), strict=True)
        self.generators = {name: one.eval().to(self.device, self.dtype) for name, one in given if one is not None}
        self.engines: dict[Direction, str] = {}
        self._engines: dict[Generator, Engine] = {}
        for direction, generator in self.generators.items():
            self.engines[direction], self._engines[generator] = self._start(engine, generator)

    def find_fastest(self) -> None:
        """Switch to the engines that `auto` chooses. Pictures can be converted while it looks for them."""
        if self._takes_engines:
            for direction, generator in self.generators.items():
                name, engine = choose(generator, self.image_size)
                warm_up(engine, generator, self.image_size)
                self.engines[direction], self._engines[generator] = name, engine

    @property
    def _takes_engines(self) -> bool:
        """Whether engines other than torch can run the generators."""
        return self.device.type == "cpu" and self.dtype == torch.float32

    def _start(self, engine: str, generator: Generator) -> tuple[str, Engine]:
        if self._takes_engines:
            if engine == "auto":
                return choose(generator, self.image_size)
            return engine, build(engine, generator, self.image_size)
        if engine not in ("auto", "torch"):
            raise EngineError(f"The engine {engine} needs the CPU and float32; got {self.device} and {self.dtype}.")
        return "torch", generator

    @property
    def sketch_generator(self) -> Generator:
        """The generator that draws sketches. Raises WeightsError if this pipeline has none."""
        return self._generator(Direction.PHOTO_TO_SKETCH)

    @property
    def photo_generator(self) -> Generator:
        """The generator that paints photos. Raises WeightsError if this pipeline has none."""
        return self._generator(Direction.SKETCH_TO_PHOTO)

    def _generator(self, direction: Direction) -> Generator:
        if direction not in self.generators:
            raise WeightsError(f"This pipeline has no {direction}. It was loaded or released without that direction.")
        return self.generators[direction]

    @torch.inference_mode()
    def translate(self, generator: Generator, pictures: Tensor, condition: Tensor | None = None) -> Tensor:
        """Run one of the two generators: (B, 3, H, W) -> (B, 3, H, W), both in [-1, 1], for any H and W.

        A picture that is much larger than those of the training is also converted at half its size, down to one that is
        not: see `take_forms` in networks.py.

        The result is on this pipeline's device and in its dtype.

        Args:
            condition: (B, conditions) or (1, conditions), from `style_condition` or `palette_condition`.
        """
        height, width = pictures.shape[-2:]
        scale = 1
        while min(height, width) >= LARGE * scale * self.image_size:
            scale *= 2
        if condition is not None:
            condition = condition.to(self.device, self.dtype)
        padded = pad_to_multiple(pictures.to(self.device), scale * generator.multiple).to(self.dtype)
        return self._translate(generator, padded, condition, scale)[..., :height, :width]

    def _translate(self, generator: Generator, pictures: Tensor, condition: Tensor | None, scale: int) -> Tensor:
        made = self._engines[generator](pictures, condition, scale > 1)
        if scale <= 2:
            return made
        return take_forms(made, self._translate(generator, avg_pool2d(pictures, 2), condition, scale // 2))

    def style_condition(self, style: str | None) -> Tensor | None:
        """What `translate` is to be given for a style: (1, styles).

        Raises:
            ChoiceError: there is no such style.
        """
        if style is None:
            return None
        if style not in self.styles:
            there = f"this release has {', '.join(self.styles)}" if self.styles else "this release has one style only"
            raise ChoiceError(f"There is no style {style!r:.80}; {there}.")
        return one_hot(torch.tensor([self.styles.index(style)]), len(self.styles)).float()

    def palette_condition(self, like: Image.Image | None = None, **colours: str | None) -> Tensor | None:
        """What `translate` is to be given for colours: (1, PALETTE_SIZE); see `sketch_to_photo`.

        Raises:
            ChoiceError: that is no colour, or this release has no palette.
        """
        if like is None and not any(colours.values()):
            return None
        if not self.photo_generator.conditions:
            raise ChoiceError("This release cannot be told colours, because it was trained without a palette.")
        palette = make_palette(**colours)
        if like is not None:
            (face,) = frame(open_image(like), "face", self.image_size)
            read = read_palette(normalise(to_tensor(face.image))[None])
            palette = torch.where(palette[..., 3:] > 0, palette, read)
        return palette.flatten(1)
