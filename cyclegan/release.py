"""Read, check and write a release: config.json and one safetensors file per direction."""

import errno
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import torch
from huggingface_hub import hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from .directions import Direction
from .files import FULL, atomic, is_text, readable
from .hub.client import HTTP_ERRORS, one_line, split_revision
from .networks import Generator, Padding, Upsample
from .palette import PALETTE_SIZE

FORMAT_VERSION = 4
# What older formats do not say
NEW: dict[str, Any] = {"compact": False, "grey_sketches": False, "styles": [], "palette": False}
EMBEDDED = Path(__file__).parent / "weights"
ARCHITECTURE = ("width", "blocks", "padding", "upsample", "compact")
BOUNDS = {"width": (1, 1024), "blocks": (0, 256), "image_size": (8, 4096)}
CHOICES = {
    "padding": get_args(Padding),
    "upsample": get_args(Upsample),
    "compact": (False, True),
    "grey_sketches": (False, True),
    "palette": (False, True),
}
MOST_STYLES = 64
UNWRITABLE = FULL | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}


class WeightsError(ValueError):
    """A release cannot be loaded. The message names the file and the key."""


class HubUnreachableError(WeightsError):
    """The Hub cannot be reached, and the release is not in the cache."""


def fetch(source: str, revision: str | None, direction: str | None, options: dict[str, Any]) -> tuple[Path, str]:
    """Download a release `user/repo[@revision]` into the cache and return its folder and its commit.

    Args:
        direction: download only the weights of this direction.
        options: passed to `hf_hub_download`.

    Raises:
        WeightsError: there is no such release, or no access to it.
        HubUnreachableError: the Hub cannot be reached, and the release is not in the cache.
    """
    repo, at = split_revision(source)
    folder = _download(repo, revision or at, "config.json", options).parent
    for name in directions_of(read_config(folder / "config.json"), direction, source):
        # Of the same commit, even if a newer one arrives now
        _download(repo, folder.name, f"{name}.safetensors", options)
    return folder, folder.name


def read(folder: Path, direction: str | None, source: str) -> tuple[dict[Direction, Generator], dict[str, Any]]:
    """Load a release from a folder: its generators, or the one that was asked for, and its config.

    Raises:
        WeightsError: it is incomplete, damaged, or of a newer format; the message names the file and the key.
    """
    if not is_text(folder):
        raise WeightsError(f"{readable(folder)} is no UTF-8 name, so it cannot be opened. Rename the folder.")
    config = read_config(folder / "config.json")
    generators = {
        name: load_generator(config, folder / f"{name}.safetensors")
        for name in directions_of(config, direction, source)
    }
    return generators, config


def write(folder: Path, generators: dict[Direction, Generator], image_size: int, styles: list[str]) -> None:
    """Write config.json and one safetensors file a direction, each whole or not at all.

    Raises:
        WeightsError: what would be written could not be loaded.
    """
    if len({tuple(getattr(generator, name) for name in ARCHITECTURE) for generator in generators.values()}) != 1:
        raise WeightsError("The two generators of a release must have the same architecture. Save each alone.")
    if Direction.SKETCH_TO_PHOTO in generators and generators[Direction.SKETCH_TO_PHOTO].grey:
        raise WeightsError("A photo_generator must paint in colour. Build it with grey=False.")
    drawn = generators.get(Direction.PHOTO_TO_SKETCH)
    if drawn is not None and drawn.conditions != len(styles):
        raise WeightsError(
            f"The sketch_generator has {drawn.conditions} styles, but {len(styles)} names were passed: {styles}."
        )
    config = {
        "format_version": FORMAT_VERSION,
        **{name: getattr(next(iter(generators.values())), name) for name in ARCHITECTURE},
        "grey_sketches": any(generator.grey for generator in generators.values()),
        "styles": styles,
        "palette": any(generator.conditions for name, generator in generators.items() if name.target == "photo"),
        "image_size": image_size,
    }
    if len(generators) < len(Direction):
        config["directions"] = list(generators)
    _check(config, folder / "config.json")
    for direction, generator in generators.items():
        tensors = {name: tensor.contiguous() for name, tensor in generator.state_dict().items()}
        with atomic(folder / f"{direction}.safetensors") as partial:
            partial.write_bytes(save(tensors))
    with atomic(folder / "config.json") as partial:
        partial.write_text(json.dumps(config, indent=2) + "\n")


def _download(repo: str, revision: str | None, name: str, options: dict[str, Any]) -> Path:
    """Download one file of a release into the cache, or explain in a sentence why that failed."""
    try:
        return Path(hf_hub_download(repo, name, revision=revision, **options))
    except HFValidationError:
        raise WeightsError(f"{repo} is neither a folder nor a repository name of the form USER/REPO.") from None
    except GatedRepoError:
        raise WeightsError(f"{repo} is gated. Request access on its page and log in with `hf auth login`.") from None
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
            f"The Hub cannot be reached, and {repo} is not in the cache: {one_line(cause)}"
        ) from None
    except EntryNotFoundError:
        raise WeightsError(f"{repo} has no {name}, so it is not a complete face-sketch release.") from None
    except HTTP_ERRORS as error:
        if isinstance(error, OSError) and error.errno in UNWRITABLE:
            advice = "Free some space, or set" if error.errno in FULL else "Set"
            raise WeightsError(
                f"{repo} cannot be written to the cache ({error}). {advice} HF_HOME to another folder."
            ) from None
        if isinstance(error, HfHubHTTPError) and error.response.status_code in (401, 403):
            raise WeightsError(f"Your token has no access to {repo}: {one_line(error)}") from None
        with suppress(LocalEntryNotFoundError, ValueError):  # for a hang-up the client does not look into its cache
            return Path(hf_hub_download(repo, name, revision=revision, **options | {"local_files_only": True}))
        raise HubUnreachableError(f"{repo} could not be downloaded: {one_line(error)}") from None


def directions_of(config: dict[str, Any], direction: str | None, source: str) -> list[Direction]:
    """Return the directions to load: all that the release has, or the requested one."""
    given = config.get("directions", [*Direction])
    there = [name for name in Direction if isinstance(given, list) and name in given]
    if not there:
        raise WeightsError(f"The config.json of {source} lists no known direction; got {given!r:.80}.")
    if direction is None:
        return there
    if direction not in there:
        raise WeightsError(f"{source} has no {direction}; it has only {' and '.join(there)}.")
    return [Direction(direction)]


def read_config(path: Path) -> dict[str, Any]:
    """Read the config.json of a release and refuse what this version cannot build."""
    try:
        config = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows' editors put a mark in front
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing: {path.parent} is not a face-sketch release.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not valid JSON ({error}). Download the release again.") from None
    if not isinstance(config, dict) or type(version := config.get("format_version")) is not int or version < 1:
        raise WeightsError(f"{path} has no format_version, so it is not the config of a face-sketch release.")
    if version > FORMAT_VERSION:
        raise WeightsError(
            f"{path} has format version {version}; this cyclegan reads formats up to {FORMAT_VERSION}. Update cyclegan."
        )
    config = NEW | config
    if version == 2 and config["compact"]:
        raise WeightsError(
            f"{path} describes a compact generator of format 2, which is no longer supported. Train it again."
        )
    for name in (*ARCHITECTURE, "image_size"):
        if name not in config:
            raise WeightsError(f"{path} has no entry {name}. Download the release again.")
    _check(config, path)
    return config


def _check(config: dict[str, Any], path: Path) -> None:
    for name, (least, most) in BOUNDS.items():
        if type(value := config[name]) is not int or not least <= value <= most:
            raise WeightsError(f"{path}: {name} must be a whole number from {least} to {most}; got {value!r:.80}.")
    for name, choices in CHOICES.items():
        if type(value := config[name]) is not type(choices[0]) or value not in choices:
            raise WeightsError(f"{path}: {name} must be {' or '.join(map(json.dumps, choices))}; got {value!r:.80}.")
    check_styles(config["styles"], str(path))


def check_styles(styles: Any, source: str) -> None:
    """Check the names of the styles of a release.

    Raises:
        WeightsError: they are no names that can be shown, not each once, or too many; the message begins with `source`.
    """
    if not isinstance(styles, list) or not all(map(_is_name, styles)):
        raise WeightsError(f"{source}: styles must be a list of names; got {styles!r:.80}.")
    if len(set(styles)) != len(styles) or len(styles) > MOST_STYLES:
        raise WeightsError(f"{source}: styles must be at most {MOST_STYLES} names, each once; got {styles!r:.80}.")


def _is_name(style: Any) -> bool:
    # Half a surrogate pair cannot be sent to a browser, and control characters cannot be typed
    unusable = r"^\s*$|[\0-\x1f\x7f\ud800-\udfff]"
    return isinstance(style, str) and len(style) < 256 and not re.search(unusable, style)


def load_generator(config: dict[str, Any], path: Path) -> Generator:
    """Build the generator that the config describes and fill it; every tensor must be there and fit.

    Random numbers are not drawn.
    """
    width, blocks, grey = config["width"], config["blocks"], path.stem == "photo_to_sketch" and config["grey_sketches"]
    try:
        size = path.stat().st_size
        if size < 2 * blocks * 9 * (4 * width) ** 2:  # a byte for each weight of the blocks; there are more
            raise WeightsError(
                f"{path} has {size:,} bytes, too few for width {width} and {blocks} blocks, so it does not fit its "
                "config.json."
            )
        conditions = len(config["styles"]) if path.stem == "photo_to_sketch" else PALETTE_SIZE * config["palette"]
        with torch.device("meta"):
            generator = Generator(**{name: config[name] for name in ARCHITECTURE}, grey=grey, conditions=conditions)
        expected, filled = generator.state_dict(), {}
        with safe_open(path, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
            for name in sorted(expected.keys() | shapes.keys()):
                if name not in shapes:
                    raise WeightsError(f"{path} lacks the tensor {name}, so it does not match its config.json.")
                if name not in expected:
                    raise WeightsError(f"{path} has an unexpected tensor {name}, so it does not match its config.json.")
                if shapes[name] != tuple(expected[name].shape):
                    raise WeightsError(
                        f"{path}: the tensor {name} must have shape {tuple(expected[name].shape)} according to its "
                        f"config.json; got {shapes[name]}."
                    )
                tensor = file.get_tensor(name)
                if not tensor.is_floating_point():
                    raise WeightsError(
                        f"{path}: the tensor {name} must hold floating-point numbers; got {tensor.dtype}."
                    )
                filled[name] = tensor.to(torch.float32, copy=True)
                if not filled[name].isfinite().all():
                    raise WeightsError(f"{path}: the tensor {name} holds NaN or infinite numbers.")
    except FileNotFoundError:
        raise WeightsError(f"{path} is missing, so the release is incomplete. Download it again.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from None
    except SafetensorError as error:
        raise WeightsError(f"{path} is damaged ({error}). Download the release again.") from None
    generator.load_state_dict(filled, assign=True)
    return generator
