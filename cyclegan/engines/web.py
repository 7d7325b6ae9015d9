"""A folder of plain files that converts pictures in the visitor's own browser: any static host serves it."""

import base64
import gzip
import hashlib
import io
import json
import os
import tarfile
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch.nn.functional import avg_pool2d

from ..directions import Direction
from ..extras import extra
from ..faces import SIZES, WEIGHTS, best_sizes
from ..files import atomic, cache_folder, kept_in_cache
from ..networks import Generator, take_forms
from ..pipeline import FaceSketchPipeline
from .build import EngineError
from .onnx import sample

ROOT = Path(__file__).parents[2]
RUNTIME = "1.30.0"  # of onnxruntime-web, and what npm says that package must be
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
MODULE, BINARY = "ort.webgpu.min.mjs", "ort-wasm-simd-threaded.asyncify"  # the build for WebGPU
STEP = 4  # of a generator's multiple: sides that web/device/modules/kernels.js computes in whole tiles
MOST = 1024  # channels that web/device/modules/thread.js has room for
ABOUT = ("width", "blocks", "fold", "compact", "padding", "upsample", "grey", "changed")  # of a generator, for the page
WEIGHTS_NAME = "weights"  # of the file in which web/device/modules/worker.js finds a graph's tensors
LIMIT = 0.003  # mean absolute difference from torch in float32, in [-1, 1]
NOTICE = "\n\nonnxruntime-web {version}, in runtime/, is under the same terms:\n\nCopyright (c) Microsoft Corporation\n"


def export_web(pipe: FaceSketchPipeline, out: Path, runtime: Path | None = None) -> dict[str, float]:
    """Write the page, its modules, the models, the runtime and what they need into a folder.

    Args:
        pipe: on the CPU, in float32. out: a folder, which is there as a whole or not at all.
        runtime: the `dist` folder of onnxruntime-web; None fetches it from npm's registry, once.

    Returns:
        The mean absolute difference of each model from torch in [-1, 1], by direction.

    Raises:
        EngineError: this is no checkout, the runtime cannot be had, or a model's pictures are not those of torch.
    """
    page = ROOT / "web" / "device"
    if not page.is_dir():
        raise EngineError(f"{page} is missing. Run this command in a checkout of the project.")
    differences = {}
    with extra("fast", "Exporting to the web", EngineError):
        import onnxruntime  # noqa: F401, by which the models are checked

        from .webgpu import write_graph
    with atomic(out) as folder:
        (folder / "models").mkdir(parents=True)
        manifest: dict[str, Any] = {"source": pipe.source, "revision": pipe.revision, "image_size": pipe.image_size}
        manifest["directions"] = {}
        for direction, generator in pipe.generators.items():
            if max(generator.changed) > MOST:
                raise EngineError(
                    f"The page computes at most {MOST} channels; the generator of {direction} has "
                    f"{max(generator.changed)}. Export one with a smaller width."
                )
            weights = folder / "models" / WEIGHTS_NAME
            weights.write_bytes(tensors(generator))
            draft, large = (folder / "models" / f"{direction}{kind}.onnx" for kind in ("", "-large"))
            for path in (draft, large):
                write_graph(generator, path, weights, large=path == large)
            differences[str(direction)] = max(_difference(path, generator, path == large) for path in (draft, large))
            if not differences[str(direction)] <= LIMIT:
                raise EngineError(
                    f"The model of {direction} differs from torch by {differences[str(direction)]:.4f}, and {LIMIT} is "
                    "the limit. Its weights cannot be stored in float16."
                )
            manifest["directions"][direction] = {
                "model": pack(weights.read_bytes(), folder, f"models/{direction}"),
                "graph": pack(draft.read_bytes(), folder, f"models/{direction}-webgpu"),
                "large": pack(large.read_bytes(), folder, f"models/{direction}-webgpu-large"),
                "multiple": generator.multiple,
                "conditions": generator.conditions,
                "sizes": best_sizes(pipe.image_size),
                "about": {name: getattr(generator, name) for name in ABOUT},
            }
            for file in (weights, draft, large):
                file.unlink()
        manifest["finder"] = pack(WEIGHTS.read_bytes(), folder, "models/finder")
        step = STEP * max(generator.multiple for generator in pipe.generators.values())  # these are the quick ones
        manifest["sizes"] = sorted(
            {max(step, round(pipe.image_size * part / step) * step) for part in (0.5, 0.75, *SIZES)}
        )
        manifest["controls"] = {"styles": list(getattr(pipe, "styles", ())), "colours": []}
        if manifest["directions"].get(Direction.SKETCH_TO_PHOTO, {}).get("conditions"):
            manifest["controls"]["colours"] = ["skin", "hair", "background"]
        manifest["runtime"] = _runtime(folder, runtime or fetch_runtime())
        _copy(folder, manifest)
    return differences


def _copy(folder: Path, manifest: dict[str, Any]) -> None:
    """The page and what belongs to it, with the manifest and the service worker, which name them all."""
    web = ROOT / "web"
    files = {file.relative_to(web / "device"): file for file in (web / "device").rglob("*") if file.is_file()}
    files |= {file.relative_to(web): file for file in (web / "texts").glob("*.json")}
    files |= {file.relative_to(ROOT): file for file in (ROOT / "examples").glob("*/*.webp")}
    for name, source in sorted(files.items()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(source.read_bytes())
    manifest["languages"] = sorted(file.stem for file in (web / "texts").glob("*.json"))
    for kind in ("photos", "sketches"):
        manifest[kind] = sorted(name.as_posix() for name in files if kind in name.parts)
    terms = (ROOT / "LICENSE").read_text(encoding="utf-8")
    body = "\n\n".join(part for part in terms.split("\n\n")[1:] if not part.startswith("Copyright"))
    (folder / "LICENSE").write_text(f"{terms}{NOTICE.format(version=RUNTIME)}\n{body}", encoding="utf-8")
    (folder / "release.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    shell = sorted(file for file in folder.rglob("*") if file.is_file() and file.suffix != ".bin")
    names = ["./", *(file.relative_to(folder).as_posix() for file in shell if file.name != "sw.js")]
    version = hashlib.sha256(b"".join(file.read_bytes() for file in shell)).hexdigest()[:16]
    worker = (folder / "sw.js").read_text(encoding="utf-8")
    (folder / "sw.js").write_text(
        f'const VERSION = "{version}";\nconst FILES = {json.dumps(names)};\n{worker}', encoding="utf-8"
    )


def pack(content: bytes, folder: Path, name: str) -> dict[str, Any]:
    """Write a large file as it travels on any host: gzip, named by its hash -> what the page checks it with."""
    return _store(_gzip(content), folder, name)


def _gzip(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def _store(packed: bytes, folder: Path, name: str) -> dict[str, Any]:
    digest = hashlib.sha256(packed).digest()
    path = folder / f"{name}-{digest.hex()[:16]}.bin"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed)
    return {
        "name": path.relative_to(folder).as_posix(),
        "bytes": len(packed),
        "sha256": base64.b64encode(digest).decode(),
    }


def tensors(generator: Generator) -> bytes:
    """A generator's weights as safetensors in float16."""
    return save({name: tensor.half().contiguous() for name, tensor in generator.state_dict().items()})


def _runtime(folder: Path, source: Path) -> dict[str, Any]:
    at = f"runtime/{RUNTIME}"
    (folder / at).mkdir(parents=True)
    try:
        for name in (MODULE, f"{BINARY}.mjs"):
            (folder / at / name).write_bytes((source / name).read_bytes())
        kept = source / f"{BINARY}.wasm.gz"
        packed = kept.read_bytes() if kept.is_file() else _gzip((source / f"{BINARY}.wasm").read_bytes())
    except OSError as error:
        raise EngineError(f"{error}: --runtime must be the dist folder of onnxruntime-web {RUNTIME}.") from None
    binary = _store(packed, folder, f"{at}/webgpu")
    return {"module": f"{at}/{MODULE}", "loader": f"{at}/{BINARY}.mjs", "binary": binary}


def fetch_runtime(module: str = MODULE, binary: str = BINARY) -> Path:
    """The files of a build of onnxruntime-web in the cache, fetched and checked if they are not there."""
    target = cache_folder() / "onnxruntime-web" / RUNTIME / binary
    if target.is_dir():
        return target
    registry = os.environ.get("NPM_CONFIG_REGISTRY", "https://registry.npmjs.org").rstrip("/")
    url = f"{registry}/onnxruntime-web/-/onnxruntime-web-{RUNTIME}.tgz"
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            package = answer.read()
    except (OSError, ValueError) as error:
        raise EngineError(
            f"onnxruntime-web could not be downloaded from {url} ({error}). Try again, or pass --runtime."
        ) from None
    if base64.b64encode(hashlib.sha512(package).digest()).decode() != INTEGRITY:
        raise EngineError(f"{url} is not the pinned onnxruntime-web {RUNTIME}. Pass its dist folder with --runtime.")
    wanted = {module, f"{binary}.mjs", f"{binary}.wasm"}
    with (
        kept_in_cache(f"The files of onnxruntime-web {RUNTIME}", EngineError),
        atomic(target) as partial,
        tarfile.open(fileobj=io.BytesIO(package)) as archive,
    ):
        partial.mkdir()
        for member in archive:
            name = member.name.removeprefix("package/dist/")
            if name in wanted and (file := archive.extractfile(member)):
                content = file.read()
                (partial / name).write_bytes(content)
                if name.endswith(".wasm"):
                    (partial / f"{name}.gz").write_bytes(_gzip(content))  # the slowest step of an export
    return target


@torch.inference_mode()
def _difference(path: Path, generator: Generator, large: bool) -> float:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    pictures = sample(1, 16 * generator.multiple)
    condition = {"condition": np.zeros((1, generator.conditions), np.float32)} if generator.conditions else {}
    differences = []
    for some in (pictures, pictures[..., : 8 * generator.multiple, : 12 * generator.multiple].contiguous()):
        half = {"half": avg_pool2d(some, 2).numpy()} if large else {}
        *halves, made = map(torch.from_numpy, session.run(None, {"picture": some.numpy()} | half | condition))
        for half_made in halves:  # which the page joins
            made = take_forms(made, half_made)
        differences.append((made - generator(some, None, large)).abs().mean().item())
    return max(differences)
