"""FaceSketchPipeline: the two generators, PIL pictures in, PIL pictures out."""

import json
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, Self, get_args, overload

import torch
from huggingface_hub import ModelCard, ModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from .card import make_card
from .checkpoint import atomic
from .engines import Engine, EngineError, build, choose, choose_apart
from .images import normalise, open_image, pad_to_multiple, resize_to, to_image, to_tensor
from .networks import Generator

FORMAT_VERSION = 3
NEW = {"compact": False, "grey_sketches": False}  # what format 1 does not say
EMBEDDED = Path(__file__).parent / "weights"
BATCH = 8  # pictures converted at once: enough to fill the cores, little enough for a small machine

ARCHITECTURE = ("width", "blocks", "padding", "upsample", "compact")
Direction = Literal["photo_to_sketch", "sketch_to_photo"]
DIRECTIONS: tuple[Direction, ...] = get_args(Direction)
HTTP_ERRORS: tuple[type[Exception], ...] = HfHubHTTPError.__bases__  # what its client raises: httpx's, and OSError


class WeightsError(ValueError):
    """A release that cannot be loaded; the message names the file and the key."""


class HubUnreachableError(WeightsError):
    """The Hub does not answer, and the release is not in the cache."""


class FaceSketchPipeline(
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

    Attributes:
        engines: the name of the engine of each direction.
        source: where the weights are from: a repository, the name of a folder, or `embedded weights`.
        revision: the commit of the repository.
    """

    source = "memory"
    revision: str | None = None

    def __init__(
        self,
        sketch_generator: Generator | None,
        photo_generator: Generator | None,
        image_size: int,
        device: str | torch.device = "auto",
        dtype: str | torch.dtype = "auto",
        engine: str = "torch",
    ) -> None:
        self.image_size = image_size
        self.device = _choose_device(device)
        self.dtype = _choose_dtype(dtype, self.device)
        given = zip(DIRECTIONS, (sketch_generator, photo_generator), strict=True)
        self.generators = {name: one.eval().to(self.device, self.dtype) for name, one in given if one is not None}
        self.engines: dict[Direction, str] = {}
        self._engines: dict[Generator, Engine] = {}
        for direction, generator in self.generators.items():
            self.engines[direction], self._engines[generator] = self._start(engine, generator)

    def find_fastest(self) -> None:
        """Change to the engines that `auto` takes; pictures can be converted while they are looked for."""
        if self._takes_engines:
            found = choose_apart(list(self.generators.values()), self.image_size)
            for (direction, generator), (name, engine) in zip(self.generators.items(), found, strict=True):
                self.engines[direction], self._engines[generator] = name, engine

    @property
    def _takes_engines(self) -> bool:
        return self.device.type == "cpu" and self.dtype == torch.float32

    def _start(self, engine: str, generator: Generator) -> tuple[str, Engine]:
        if self._takes_engines:
            if engine == "auto":
                return choose(generator, self.image_size)
            return engine, build(engine, generator, self.image_size)
        if engine not in ("auto", "torch"):
            raise EngineError(f"The engine {engine} is for the CPU in float32, not for {self.device} in {self.dtype}.")
        return "torch", generator

    @property
    def sketch_generator(self) -> Generator:
        return self._generator("photo_to_sketch")

    @property
    def photo_generator(self) -> Generator:
        return self._generator("sketch_to_photo")

    def _generator(self, direction: Direction) -> Generator:
        if direction not in self.generators:
            raise WeightsError(f"This pipeline has no {direction}: it was loaded, or its release made, without.")
        return self.generators[direction]

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
        pictures = pad_to_multiple(pictures.to(self.device), generator.multiple).to(self.dtype)
        return self._engines[generator](pictures)[..., :height, :width]

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        pretrained_model_name_or_path: str | Path = EMBEDDED,
        *,
        revision: str | None = None,
        direction: Direction | None = None,
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

        What was loaded from the Hub once is loaded from the cache where the Hub cannot be reached.

        Args:
            pretrained_model_name_or_path: nothing for the weights inside the package, a folder, or
                `user/repo[@revision]`.
            revision: a branch, tag or commit of the repository, such as `epoch-12`.
            direction: load only this one; the other half of the release is not even downloaded.
            fallback: give the embedded weights, with a warning, where the Hub cannot be reached and the cache is empty.
            token, cache_dir, force_download, local_files_only: as in every `ModelHubMixin`.
            device, dtype, engine: as in the constructor.

        Raises:
            WeightsError: no such repository or revision, no access to it, or no release of this project: incomplete,
                damaged, of a newer format.
            EngineError: the engine cannot run here.
            HubUnreachableError: no network, and nothing in the cache.
        """
        source = str(pretrained_model_name_or_path)
        folder = Path(source)
        commit: str | None = None
        if not folder.is_dir():
            repo, at = split_revision(source)
            options = {
                "token": token,
                "cache_dir": cache_dir,
                "force_download": force_download,
                "local_files_only": local_files_only,
            }
            try:
                folder = _download(repo, revision or at, "config.json", options).parent
                commit = folder.name  # the weights are of the same commit, even if a newer one arrives now
                config = _read_config(folder / "config.json")
                for name in _directions(config, direction, source):
                    _download(repo, commit, f"{name}.safetensors", options)
            except HubUnreachableError as error:
                if not fallback:
                    raise
                warnings.warn(f"{error} These are the embedded weights instead.", stacklevel=2)
                return cls.from_pretrained(direction=direction, device=device, dtype=dtype, engine=engine)
        config = _read_config(folder / "config.json")
        generators = {
            name: _load_generator(config, folder / f"{name}.safetensors")
            for name in _directions(config, direction, source)
        }
        pipe = cls(
            generators.get("photo_to_sketch"),
            generators.get("sketch_to_photo"),
            config["image_size"],
            device,
            dtype,
            engine,
        )
        pipe.source = "embedded weights" if folder == EMBEDDED else source if commit else folder.resolve().name
        pipe.revision = commit
        return pipe

    def _save_pretrained(self, save_directory: Path) -> None:
        """Write config.json and one safetensors file a direction, each whole or not at all."""
        for direction, generator in self.generators.items():
            tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
            with atomic(save_directory / f"{direction}.safetensors") as partial:
                partial.write_bytes(save(tensors))
        config = {
            "format_version": FORMAT_VERSION,
            **{name: getattr(generator, name) for name in ARCHITECTURE},
            "grey_sketches": any(generator.grey for generator in self.generators.values()),
            "image_size": self.image_size,
        }
        if len(self.generators) < len(DIRECTIONS):
            config["directions"] = list(self.generators)
        with atomic(save_directory / "config.json") as partial:
            partial.write_text(json.dumps(config, indent=2) + "\n")

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        return make_card(
            self._hub_mixin_info.model_card_data, image_size=self.image_size, directions=list(self.generators), **kwargs
        )


def split_revision(weights: str) -> tuple[str, str | None]:
    """`user/repo@epoch-12` -> `user/repo`, `epoch-12`; no revision is None."""
    repo, _, revision = weights.partition("@")
    return repo, revision or None


def one_line(error: BaseException) -> str:
    """What the Hub's client says in paragraphs, in a line."""
    cause = str(error.__cause__ or "")
    return " ".join(f"{error} {'' if cause in str(error) else cause}".split())


def _download(repo: str, revision: str | None, name: str, options: dict[str, Any]) -> Path:
    """Bring one file of a release into the cache, and say in a sentence why that cannot be."""
    try:
        return Path(hf_hub_download(repo, name, revision=revision, **options))
    except HFValidationError:
        raise WeightsError(f"{repo} is neither a folder nor the name of a repository: USER/REPO.") from None
    except GatedRepoError:
        raise WeightsError(f"{repo} is gated: ask for access on its page, and log in with `hf auth login`.") from None
    except RepositoryNotFoundError:
        raise WeightsError(
            f"{repo} is neither a folder nor a repository on the Hub that you have access to. If it is private, "
            "log in with `hf auth login` or set HF_TOKEN."
        ) from None
    except RevisionNotFoundError:
        raise WeightsError(f"{repo} has no branch, tag or commit {revision}.") from None
    except LocalEntryNotFoundError as error:
        cause = error.__cause__ or error
        if isinstance(cause, HfHubHTTPError) and cause.response.status_code in (401, 403):
            raise WeightsError(f"Your token has no access to {repo}: {one_line(cause)}") from None
        raise HubUnreachableError(
            f"{repo} is not in the cache, and the Hub cannot be reached: {one_line(cause)}"
        ) from None
    except EntryNotFoundError:
        raise WeightsError(f"{repo} has no {name}: it is not a whole face-sketch release.") from None
    except HTTP_ERRORS as error:
        if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
            raise WeightsError(f"Your token has no access to {repo}: {one_line(error)}") from None
        with suppress(LocalEntryNotFoundError, ValueError):  # for a hang-up the client does not look into its cache
            return Path(hf_hub_download(repo, name, revision=revision, **options | {"local_files_only": True}))
        raise HubUnreachableError(f"{repo} could not be downloaded: {one_line(error)}") from None


def _directions(config: dict[str, Any], direction: Direction | None, source: str) -> tuple[Direction, ...]:
    """The directions to load: all that the release has, or the one that was asked for."""
    given = config.get("directions", DIRECTIONS)
    there = tuple(name for name in DIRECTIONS if isinstance(given, list | tuple) and name in given)
    if not there:
        raise WeightsError(f"The config.json of {source} names no direction that this cyclegan knows: {given!r}.")
    if direction is None:
        return there
    if direction not in there:
        raise WeightsError(f"{source} has no {direction}, only {' and '.join(there)}.")
    return (direction,)


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
    config = NEW | config
    if version == 2 and config["compact"]:
        raise WeightsError(
            f"{path} is of a compact generator of format 2, whose first layer was another: train it again."
        )
    for name in (*ARCHITECTURE, "image_size"):
        if name not in config:
            raise WeightsError(f"{path} does not say {name}: fetch the release again.")
    return config


def _load_generator(config: dict[str, Any], path: Path) -> Generator:
    """Build the generator that the config describes and fill it; every tensor must be there and fit."""
    try:
        grey = path.stem == "photo_to_sketch" and config["grey_sketches"]
        generator = Generator(**{name: config[name] for name in ARCHITECTURE}, grey=grey)
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
