"""The command line: `python -m cyclegan convert | evaluate | export | check-data | import-weights | deploy`."""

import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from .convert import convert as convert_files
from .data.check import check
from .data.layouts import DataSet
from .data.sources import DataError
from .directions import Direction
from .engines.build import EngineError
from .engines.export import Format, calibration
from .engines.export import export as export_pipeline
from .engines.web import export_web
from .evaluation.groups import find_groups
from .evaluation.loading import ProtocolName, load
from .evaluation.metrics import load_vgg
from .evaluation.page import Page, as_text
from .evaluation.protocol import make_hints
from .evaluation.report import make_report
from .faces import Framing
from .files import atomic, explain, print_anything, readable
from .hub.client import HubError, check_token
from .hub.deploy import deploy as deploy_space
from .hub.deploy import deploy_static
from .images import ImageError, open_image
from .importing import read_generator
from .palette import ChoiceError
from .pipeline import FaceSketchPipeline
from .release import EMBEDDED, WeightsError


def convert(
    inputs: tyro.conf.Positional[tuple[Path, ...]],
    to: Literal["sketch", "photo"],
    out: Path,
    framing: Framing | None = None,
    size: int | Literal["own"] | None = None,
    prepare: bool = True,
    weights: str = str(EMBEDDED),
    engine: str = "torch",
    style: str | None = None,
    skin: str | None = None,
    hair: str | None = None,
    background: str | None = None,
    like: Path | None = None,
) -> int:
    """Convert pictures, videos and folders of them.

    `accelerate launch -m cyclegan convert ...` divides the files among GPUs and machines. See docs/convert.md.

    Args:
        inputs: Pictures, videos (3gp, avi, m4v, mkv, mov, mp4, webm), and folders with their subfolders.
        to: What to make: a sketch of each photo, or a photo of each sketch.
        out: Folder for the results, PNG files and videos with the names and subfolders of the inputs. Existing files
            are left alone.
        framing: What is converted: the largest face, each of the faces, the middle square, or the whole. A video
            follows one face. Not given: the face of pictures, or the middle where there is none, and videos whole.
        size: The shorter side of the results in pixels, up to 1024, or each picture's own. Not given: that of the
            training, 256 for the embedded weights.
        prepare: Even out shadows, coloured paper, faint strokes and white on black, and the light of dark photos.
        weights: A release: a folder, or a repository on the Hub, USER/REPO[@REVISION]. Default: the embedded weights.
        engine: What runs the generator on a CPU. auto measures first, which pays off from a few hundred pictures on.
        style: The style of the sketches, one of those that the release has. Not given: the model chooses.
        skin: The colour of the skin in the photos, such as "#e0ac69" or tan. Not given: the model chooses.
        hair: The colour of the hair.
        background: The colour of the background.
        like: A photo of a face, whose colours are taken where none are given.
    """
    choices: dict[str, Any] = {"skin": skin, "hair": hair, "background": background}
    if like:
        choices["like"] = open_image(like)
    if to == "sketch":
        if any(choices.values()):
            raise ChoiceError("--skin, --hair, --background and --like need --to photo, because sketches are grey.")
        choices = {"style": style}
    elif style:
        raise ChoiceError("--style works only with --to sketch, because photos have one style.")
    choices |= {"framing": framing, "size": size, "prepare": prepare}
    return convert_files(inputs, Direction.to(to), out, weights, engine, **choices)


def evaluate(
    data: Path | None = None,
    weights: str = str(EMBEDDED),
    json_: Annotated[Path | None, tyro.conf.arg(name="json")] = None,
    html: Path | None = None,
    size: int | None = None,
    engine: str = "torch",
    protocol: ProtocolName = "square",
    style_pattern: str | None = None,
    true_style: bool = False,
    own_palette: bool = False,
    groups: Path | None = None,
    identity: bool = False,
    perceptual_network: Path | None = None,
    swap_domains: bool = False,
    photos: tuple[str, ...] = (),
    sketches: tuple[str, ...] = (),
) -> int:
    """Measure likeness, cycle and speed of a model on paired pictures, in both directions. See docs/evaluation.md.

    Args:
        data: A folder with `photos` and `sketches`; files with the same name are a pair. A data set with testA and
            testB, or with pairs side by side, is read too. For fs2k, FS2K's own folder.
        weights: A release: a folder, or a repository on the Hub. Default: the embedded weights.
        json_: File for all measurements, including the figures of every picture.
        html: File for a self-contained page with the tables and all pictures.
        size: The side in pixels at which squares are compared. Not given: 128. Figures at different sizes are not
            comparable.
        engine: What runs the generators on a CPU; see docs/performance.md.
        protocol: How pictures are framed and compared: the project's own way, or that of FS2K's paper or of
            Semi-Cycle-GAN's on CUFS.
        style_pattern: Where the style stands in a sketch's name, as in training: a regular expression with a group. Not
            given: the styles are folders. The figures of each style are given apart.
        true_style: Also measure sketches that are drawn in the style of the true sketch.
        own_palette: Also measure photos that are painted in the colours of the true photo.
        groups: A JSON file with the attributes of each picture, such as FS2K's anno_test.json. The figures of each
            value are given apart.
        identity: Also measure whether the person can still be recognised.
        perceptual_network: A safetensors file of VGG16, as in training, for a KID of its features.
        swap_domains: Whether the photos are testB, or the right halves.
        photos: Files, folders or patterns of the photos, in place of those in a folder.
        sketches: Files, folders or patterns of the sketches.
    """
    patterns = DataSet(photos=photos, sketches=sketches)
    if (data is None) != bool(photos):
        raise DataError("Pass either --data FOLDER, or --photos and --sketches with a pattern each.")
    pipe = FaceSketchPipeline.from_pretrained(weights, engine=engine)
    page = Page() if html else None
    loaded = load(data or patterns, protocol, pipe.image_size, size, style_pattern, groups, swap_domains)
    report = make_report(
        pipe,
        loaded.pairs,
        model="the embedded weights" if weights == str(EMBEDDED) else readable(weights),
        data=readable(data or patterns.flags()),
        hints=make_hints(pipe, loaded.styles if true_style else None, own_palette),
        groups=find_groups(loaded.attributes),
        identity=identity,
        vgg=load_vgg(perceptual_network) if perceptual_network else None,
        look=page.add if page else None,
    )
    print(as_text(report))
    for file, text in ((json_, json.dumps(asdict(report), indent=1) + "\n"), (html, page.html(report) if page else "")):
        if file:
            with atomic(file) as partial:
                partial.write_text(text, encoding="utf-8", errors="backslashreplace")  # names need not be UTF-8
    return 1 if loaded.pairs.skipped else 0


def export(
    format_: Annotated[Format | Literal["web"], tyro.conf.arg(name="format")],
    out: Path,
    weights: str = str(EMBEDDED),
    int8: bool = False,
    data: Path | None = None,
    runtime: Path | None = None,
) -> int:
    """Write the generators as files that run without torch, checked against it.

    Args:
        format_: ONNX, OpenVINO's own format, or a web page that needs no server: docs/device.md.
        out: Folder for the files and a README that says how to run them; it must not exist.
        weights: A release: a folder, or a repository on the Hub. Not given: the embedded weights.
        int8: Compute in 8 bits: faster, and the pictures differ by more; see docs/performance.md.
        data: A folder with `photos` and `sketches`, 16 of which 8 bits are fitted to. Not given: generated pictures.
        runtime: For the web: the `dist` folder of onnxruntime-web. Not given: it is fetched from npm's registry.
    """
    if out.exists():
        raise EngineError(f"{out} already exists; choose another --out.")
    if format_ == "web" and int8:
        raise EngineError("--int8 works only with onnx and openvino; the web page computes in float32.")
    pipe = FaceSketchPipeline.from_pretrained(weights, device="cpu")
    if format_ == "web":
        for direction, difference in export_web(pipe, out, runtime).items():
            print(f"{out}: {direction} differs from torch by {difference:.2g} in [-1, 1].")
        print(f"See it: python -m http.server --directory {out}")
        return 0
    pictures = calibration(pipe, data) if int8 else None
    for name, difference in export_pipeline(pipe, format_, out, pictures).items():
        print(f"{out / name}: differs from torch by {difference:.2g} in [-1, 1].")
    return 0


def check_data(
    data: tyro.conf.Positional[str] = "",
    photo_column: str = "photo",
    sketch_column: str = "sketch",
    photos: tuple[str, ...] = (),
    sketches: tuple[str, ...] = (),
    swap_domains: bool = False,
) -> int:
    """Check a data set before training: report counts, sizes and unreadable files, and what to do about them.

    Args:
        data: A folder in one of the layouts of docs/data.md, or hf:NAME[:SPLIT], as for training.
        photo_column: The column with the photos, in a data set on the Hub or in shards.
        sketch_column: The column with the sketches.
        photos: Files, folders or patterns of the training photos, in place of those in the folder.
        sketches: Files, folders or patterns of the training sketches.
        swap_domains: Whether the photos are trainB, or the right halves.
    """
    lines, usable = check(DataSet(data, photo_column, sketch_column, photos, sketches, swap_domains))
    print("\n".join(lines))
    return 0 if usable else 1


def import_weights(
    photo_to_sketch: tyro.conf.Positional[Path],
    sketch_to_photo: tyro.conf.Positional[Path | None] = None,
    *,
    out: Path,
    image_size: int = 256,
    networks: tuple[str, ...] = (),
) -> int:
    """Make a release of the weights of other CycleGAN code: .pth or .safetensors files. See docs/hub.md.

    Args:
        photo_to_sketch: The state_dict of the generator that draws sketches.
        sketch_to_photo: The state_dict of the one that paints photos. Without it, the release has one direction.
        out: Folder for the release. It must not exist.
        image_size: The picture size in pixels that the generators were trained at. The files do not contain it.
        networks: Where a file holds several networks, the key of the one to take, for each file.
    """
    if out.exists():
        raise WeightsError(f"{out} already exists; choose another --out.")
    files = [path for path in (photo_to_sketch, sketch_to_photo) if path is not None]
    if networks and len(networks) != len(files):
        raise WeightsError(f"--networks needs one key for each of the {len(files)} files; got {len(networks)}.")
    one, *other = (read_generator(*given) for given in zip(files, networks or [None] * len(files), strict=True))
    pipe = FaceSketchPipeline(one, other[0] if other else None, image_size, "cpu")
    with atomic(out) as partial:
        pipe.save_pretrained(partial)
    print(f"{out}: width {one.width}, {one.blocks} blocks, {one.padding} padding, {image_size} x {image_size} pixels.")
    return 0


def deploy(
    space: tyro.conf.Positional[str],
    weights: str | None = None,
    static: bool = False,
    dry_run: bool = False,
    private: bool = False,
    runtime: Path | None = None,
    replace: bool = False,
) -> int:
    """Create a Space with this app, or bring it up to date.

    Args:
        space: The Space: USER/NAME.
        weights: The release that it shows: USER/REPO[@REVISION]. A Gradio Space takes its newest commit when it starts.
            Not given: the embedded weights, for a static Space alone.
        static: Make a static Space: the page that converts pictures on the visitor's own device, docs/device.md.
        dry_run: List the files that the Space would get and those that it would lose, and send nothing.
        private: Make the Space private; one that is there already and public is refused.
        runtime: For a static Space: as in `export`.
        replace: Replace the files of a Space that this command did not make; otherwise it is refused.
    """
    if not static:
        if weights is None:
            raise HubError("Pass --weights USER/REPO, because a Gradio Space loads its release from the Hub.")
        print("\n".join(deploy_space(space, weights, dry_run, private, replace)))
        return 0
    if not dry_run:
        check_token()  # before the export, which takes a while
    pipe = FaceSketchPipeline.from_pretrained(weights or EMBEDDED, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        export_web(pipe, Path(folder) / "page", runtime)
        print("\n".join(deploy_static(space, Path(folder) / "page", weights, dry_run, private, replace)))
    return 0


COMMANDS = (convert, evaluate, export, check_data, import_weights, deploy)


def main() -> None:
    print_anything()
    try:
        status = tyro.extras.subcommand_cli_from_dict(
            {command.__name__.replace("_", "-"): command for command in COMMANDS},
            prog="python -m cyclegan",
            description=__doc__,
        )
    except (ChoiceError, DataError, EngineError, HubError, ImageError, WeightsError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(explain(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted. What is already written is whole.")
    sys.exit(status)


if __name__ == "__main__":
    main()
