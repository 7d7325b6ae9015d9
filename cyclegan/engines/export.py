"""Export generators to files that run without torch: ONNX, or OpenVINO's own format."""

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from ..data.sources import DataError, find_images
from ..directions import Direction
from ..extras import extra
from ..files import atomic
from ..images import crop_square, normalise, open_image, pad_to_multiple, to_tensor
from ..networks import Generator
from ..palette import PALETTE_SIZE, PARTS
from ..pipeline import FaceSketchPipeline
from ..translator import LARGE
from .build import CALIBRATION, Engine, EngineError, run_onnxruntime, run_openvino
from .onnx import no_condition, quantise, sample, to_onnx

Format = Literal["onnx", "openvino"]
LIMITS = {False: 1e-3, True: 0.03}  # by int8: the largest mean difference from torch that is accepted
CALLS = {
    "onnx": 'onnxruntime.InferenceSession("{file}").run(None, {{"picture": picture.transpose(2, 0, 1)[None]}})[0]',
    "openvino": 'openvino.compile_model("{file}", "CPU")([picture.transpose(2, 0, 1)[None]{none}])[0]',
}
README = """# Face photo ↔ sketch without torch

Weights: {source}. The input `picture` and the output `result` are RGB, float32 in [-1, 1], (batch, 3, height, width).
The working size is {size} x {size}. Both sides of another size must be multiples of {multiple}, at least {double}.
Faces that are much larger get blotches. If the shorter side of a picture has at least {large} pixels, which is {times}
times the working size, use the files with `-large`. They take all but the finest detail from half the size. Both sides
must be multiples of {double} there.

```python
import numpy as np, {runtime}
from PIL import Image
picture = np.asarray(Image.open("{given}.jpg").convert("RGB").resize(({size}, {size})), np.float32) / 127.5 - 1
result = {call}
Image.fromarray(((result[0].transpose(1, 2, 0) + 1) * 127.5).round().astype(np.uint8)).save("{made}.png")
```

The mean absolute difference from torch in float32, in [-1, 1], the largest of three sizes:
{differences}.

{conditions}`SHA256SUMS` contains the hashes of the files. Check them with `sha256sum -c SHA256SUMS`.
"""


def export(
    pipe: FaceSketchPipeline, kind: Format, out: Path, int8: Mapping[Direction, Tensor] | None = None
) -> dict[str, float]:
    """Write each generator of a pipeline to a file, check it against torch, and explain in a README how to run it.

    Args:
        pipe: a pipeline on the CPU in float32.
        out: the folder to write, completely or not at all.
        int8: for 8 bits, the pictures of each direction that calibrate the ranges, (N, 3, H, W) in [-1, 1].

    Returns:
        For each file, the mean absolute difference from torch in [-1, 1], the largest of three sizes.

    Raises:
        EngineError: a package is missing, or a file gives other pictures than torch.
    """
    limit = LIMITS[bool(int8)]
    suffix = ".onnx" if kind == "onnx" else ".xml"
    differences = {}
    what = f"Exporting to {kind}{' in 8 bits' if int8 else ''}"
    with extra("int8" if int8 else "fast", what, EngineError), atomic(out) as folder:
        folder.mkdir()
        for direction, generator in pipe.generators.items():
            for large in (True, False):
                path = folder / f"{direction}{'-large' if large else ''}{suffix}"
                _write(kind, generator, path, large, int8[direction] if int8 else None)
                engine = run_onnxruntime(path) if kind == "onnx" else run_openvino(path)
                difference = _difference(engine, generator, large)
                if not difference <= limit:
                    raise EngineError(
                        f"{path.name} differs from torch by {difference:.4f}, over the limit of {limit}. "
                        + (
                            "Calibrate with real pictures (--data), or drop --int8."
                            if int8
                            else "Try other versions of the packages."
                        )
                    )
                differences[path.name] = difference
        hashes = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}
        (folder / "SHA256SUMS").write_text("".join(f"{digest}  {name}\n" for name, digest in hashes.items()))
        given, made = direction.source, direction.target
        readme = README.format(
            source=pipe.source,
            size=pipe.image_size,
            multiple=generator.multiple,
            double=2 * generator.multiple,
            large=math.ceil(LARGE * pipe.image_size),
            times=LARGE,
            runtime="onnxruntime" if kind == "onnx" else "openvino",
            given=given,
            made=made,
            call=CALLS[kind].format(
                file=path.name,
                none=f", np.zeros((1, {generator.conditions}), np.float32)" if generator.conditions else "",
            ),
            conditions=_conditions(pipe, kind),
            differences=", ".join(f"{name} {value:.2g}" for name, value in differences.items()),
        )
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return differences


def calibration(pipe: FaceSketchPipeline, data: Path | None) -> dict[Direction, Tensor]:
    """Return pictures that calibrate 8 bits at the working size: from `data/photos` and `data/sketches`, or generated.

    Raises:
        DataError: a folder is missing or empty.
        ImageError: a picture cannot be read.
    """
    size = pipe.image_size
    if data is None:
        return dict.fromkeys(pipe.generators, sample(CALIBRATION, size))
    folders = {Direction.PHOTO_TO_SKETCH: data / "photos", Direction.SKETCH_TO_PHOTO: data / "sketches"}
    pictures = {}
    for direction in pipe.generators:
        files = find_images(folders[direction])[:CALIBRATION] if folders[direction].is_dir() else []
        if not files:
            raise DataError(f"{folders[direction]} has no pictures for the calibration. Add some, or leave out --data.")
        pictures[direction] = normalise(torch.stack([to_tensor(crop_square(open_image(file), size)) for file in files]))
    return pictures


def _write(kind: Format, generator: Generator, path: Path, large: bool, calibrating: Tensor | None) -> None:
    model = to_onnx(generator, large)
    if calibrating is not None:
        scale = 2 if large else 1
        pictures = interpolate(calibrating, scale_factor=float(scale), mode="bilinear")
        model = quantise(model, pad_to_multiple(pictures, scale * generator.multiple))
    if kind == "openvino":
        _to_openvino(model.SerializeToString(), path)
        return
    import onnx

    for name, none in no_condition(model).items():  # an initialiser of an input's name is what it is when not given
        model.graph.initializer.append(onnx.numpy_helper.from_array(none, name))
    onnx.save(model, path)


def _to_openvino(model: bytes, path: Path) -> None:
    import openvino

    try:
        openvino.save_model(openvino.Core().read_model(model), path, compress_to_fp16=False)
    except RuntimeError as error:
        path.with_suffix(".bin").write_bytes(model)  # fails in its turn, and with the cause
        raise EngineError(f"OpenVINO cannot write {path.name}: {error}") from None


def _conditions(pipe: FaceSketchPipeline, kind: Format) -> str:
    """How to ask for a style and for colours, for the README."""
    lines = []
    if pipe.styles:
        styles = ", ".join(pipe.styles)
        lines.append(
            f"- `photo_to_sketch`: (batch, {len(pipe.styles)}), 1 for the style and 0 for the others: {styles}."
        )
    if any(generator.conditions for name, generator in pipe.generators.items() if name.target == "photo"):
        lines.append(
            f"- `sketch_to_photo`: (batch, {PALETTE_SIZE}), for {', '.join(PARTS)} each red, green, blue in [-1, 1] "
            "and 1; four zeros leave that colour to the model."
        )
    if not lines:
        return ""
    missing = "It may be left out" if kind == "onnx" else "Zeros are none"
    return "\n".join(
        [f"`condition`, float32, is a second input. {missing}; the model chooses then.", "", *lines, "", ""]
    )


@torch.inference_mode()
def _difference(engine: Engine, generator: Generator, large: bool) -> float:
    sizes = ((1, 16, 16), (2, 8, 24), (1, 32, 20))  # batch, and sides in multiples
    multiple = generator.multiple
    return (
        torch.stack(
            [
                (engine(pictures, condition) - generator(pictures, condition, large)).abs().mean()
                for batch, height, width in sizes
                for condition in [torch.ones(batch, generator.conditions) if generator.conditions else None]
                for pictures in [
                    sample(batch, 32 * multiple)[..., : height * multiple, : width * multiple].contiguous()
                ]
            ]
        )
        .max()
        .item()
    )  # NaN if any is
