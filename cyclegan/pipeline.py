"""FaceSketchPipeline: the two generators, PIL pictures in, PIL pictures out."""

import json
from pathlib import Path
from typing import Any, Self, overload

import torch
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from .checkpoint import atomic
from .images import normalise, open_image, pad_to_multiple, resize_to, to_image, to_tensor
from .networks import Generator

FORMAT_VERSION = 1
EMBEDDED = Path(__file__).parent / "weights"
BATCH = 8  # pictures converted at once: enough to fill the cores, little enough for a small machine

ARCHITECTURE = ("width", "blocks", "padding", "upsample")
DIRECTIONS = ("photo_to_sketch", "sketch_to_photo")


class WeightsError(ValueError):
    """A release that cannot be loaded; the message names the file and the key."""


class FaceSketchPipeline(
    ModelHubMixin,
    library_name="cyclegan",
    pipeline_tag="image-to-image",
    tags=["cyclegan", "face", "sketch", "unpaired-image-translation"],
    license="other",
    model_card_template=(Path(__file__).parent / "model_card.md").read_text(encoding="utf-8"),
):
    """Converts face photos to pencil sketches and back.

        pipe = FaceSketchPipeline.from_pretrained()
        sketch = pipe.photo_to_sketch(photo)

    Train and eval mode of the generators give the same pictures.

    Args:
        sketch_generator: photo -> sketch. photo_generator: sketch -> photo, of the same architecture.
        image_size: the working size in pixels: a picture's shorter side is brought to it.
        device: a torch device, or `auto`: CUDA, else Apple's MPS, else the CPU.
        dtype: what the generators compute in; `auto` is bfloat16 or float16 on CUDA and float32 elsewhere.
    """

    def __init__(
        self,
        sketch_generator: Generator,
        photo_generator: Generator,
        image_size: int,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
    ) -> None:
        self.image_size = image_size
        self.device = _choose_device(device)
        self.dtype = _choose_dtype(dtype, self.device)
        self.sketch_generator = sketch_generator.eval().to(self.device, self.dtype)
        self.photo_generator = photo_generator.eval().to(self.device, self.dtype)

    @overload
    def photo_to_sketch(self, images: Image.Image) -> Image.Image: ...
    @overload
    def photo_to_sketch(self, images: list[Image.Image]) -> list[Image.Image]: ...
    def photo_to_sketch(self, images: Image.Image | list[Image.Image]) -> Image.Image | list[Image.Image]:
        """Draw the face in a photo: one RGB picture for one, a list for a list.

        Any size and mode goes in; out comes a picture of the same shape with its shorter side at `image_size`.

        Raises:
            ImageError: a picture is damaged, tiny or huge.
        """
        return self._convert(self.sketch_generator, images)

    @overload
    def sketch_to_photo(self, images: Image.Image) -> Image.Image: ...
    @overload
    def sketch_to_photo(self, images: list[Image.Image]) -> list[Image.Image]: ...
    def sketch_to_photo(self, images: Image.Image | list[Image.Image]) -> Image.Image | list[Image.Image]:
        """Paint a photo from a drawn face; in and out as in `photo_to_sketch`."""
        return self._convert(self.photo_generator, images)

    def _convert(
        self, generator: Generator, images: Image.Image | list[Image.Image]
    ) -> Image.Image | list[Image.Image]:
        if isinstance(images, Image.Image):
            return self._convert_list(generator, [images])[0]
        return self._convert_list(generator, images)

    def _convert_list(self, generator: Generator, images: list[Image.Image]) -> list[Image.Image]:
        tensors = [to_tensor(resize_to(open_image(image), self.image_size)) for image in images]
        converted: dict[int, Image.Image] = {}
        by_shape: dict[torch.Size, list[int]] = {}
        for number, tensor in enumerate(tensors):
            by_shape.setdefault(tensor.shape, []).append(number)
        for numbers in by_shape.values():
            for start in range(0, len(numbers), BATCH):
                batch = numbers[start : start + BATCH]
                pixels = torch.stack([tensors[number] for number in batch]).to(self.device)
                pictures = self.translate(generator, normalise(pixels))
                converted |= {number: to_image(picture) for number, picture in zip(batch, pictures, strict=True)}
        return [converted[number] for number in range(len(images))]

    @torch.inference_mode()
    def translate(self, generator: Generator, pictures: Tensor) -> Tensor:
        """Run one of the two generators: (B, 3, H, W) -> (B, 3, H, W), both in [-1, 1], of any H and W.

        What comes out is on this pipeline's device and in its dtype.
        """
        height, width = pictures.shape[-2:]
        pictures = pad_to_multiple(pictures.to(self.device)).to(self.dtype)
        return generator(pictures)[..., :height, :width]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path = EMBEDDED,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
    ) -> Self:
        """Load a release: the embedded weights, a folder, or a repository on the Hub.

        Args:
            pretrained_model_name_or_path: nothing for the weights inside the package, a folder, or `user/repo`.
            revision: a branch, tag or commit of the repository, such as `epoch-12`.
            token, cache_dir, force_download, local_files_only: as in every `ModelHubMixin`.
            device, dtype: as in the constructor.

        Raises:
            WeightsError: the release is incomplete, damaged, of a newer format, or none at all.
        """
        source = str(pretrained_model_name_or_path)

        def find(name: str) -> Path:
            if Path(source).is_dir():
                return Path(source) / name
            return Path(
                hf_hub_download(
                    source,
                    name,
                    revision=revision,
                    token=token,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                )
            )

        try:
            config = _read_config(find("config.json"))
            sketch_generator, photo_generator = (
                _load_generator(config, find(f"{direction}.safetensors")) for direction in DIRECTIONS
            )
        except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
            raise WeightsError(f"{source} is neither a folder nor a release that the Hub gives out: {error}") from None
        return cls(sketch_generator, photo_generator, config["image_size"], device, dtype)

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write config.json and one safetensors file a direction, each whole or not at all."""
        for direction, generator in zip(DIRECTIONS, (self.sketch_generator, self.photo_generator), strict=True):
            tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
            with atomic(save_directory / f"{direction}.safetensors") as partial:
                partial.write_bytes(save(tensors))
        config = {
            "format_version": FORMAT_VERSION,
            **{name: getattr(self.sketch_generator, name) for name in ARCHITECTURE},
            "image_size": self.image_size,
        }
        with atomic(save_directory / "config.json") as partial:
            partial.write_text(json.dumps(config, indent=2) + "\n")

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        return super().generate_model_card(*args, image_size=self.image_size, **kwargs)


def _read_config(path: Path) -> dict[str, Any]:
    """Read a release's config.json and refuse what this version cannot build."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: {path.parent} is not a face-sketch release.") from None
    except ValueError as error:
        raise WeightsError(f"{path} is not valid JSON ({error}): fetch the release again.") from None
    if not isinstance(config, dict) or not isinstance(version := config.get("format_version"), int):
        raise WeightsError(f"{path} has no format_version: it is not the config of a face-sketch release.")
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format version {version} and this cyclegan reads up to {FORMAT_VERSION}: update cyclegan."
        )
    for name in (*ARCHITECTURE, "image_size"):
        if name not in config:
            raise WeightsError(f"{path} does not say {name}: fetch the release again.")
    return config


def _load_generator(config: dict[str, Any], path: Path) -> Generator:
    """Build the generator that the config describes and fill it; every tensor must be there and fit."""
    try:
        generator = Generator(**{name: config[name] for name in ARCHITECTURE})
        tensors = load_file(path)
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: the release is incomplete, fetch it again.") from None
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged ({error}): fetch the release again.") from None
    except (TypeError, ValueError) as error:
        raise WeightsError(f"{path.with_name('config.json')} describes no generator: {error}") from None
    expected = generator.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        if name not in tensors:
            raise WeightsError(f"{path} lacks the tensor {name}: it does not belong to its config.json.")
        if name not in expected:
            raise WeightsError(f"{path} has a tensor {name} too many: it does not belong to its config.json.")
        if tensors[name].shape != expected[name].shape:
            raise WeightsError(
                f"{path}: the tensor {name} is {tuple(tensors[name].shape)} "
                f"and its config.json makes it {tuple(expected[name].shape)}."
            )
    generator.load_state_dict(tensors)
    return generator


def _choose_device(device: str | torch.device) -> torch.device:
    if device != "auto":
        return torch.device(device)
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _choose_dtype(dtype: str | torch.dtype, device: torch.device) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        if device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    names = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
    if dtype not in names:
        raise ValueError(f"dtype is 'auto', {', '.join(map(repr, names))} or a torch.dtype, not {dtype!r}.")
    return names[dtype]
