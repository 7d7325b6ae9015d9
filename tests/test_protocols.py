"""What a model is given, whose protocol it is measured by, and in which groups."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import piq
import pytest
import torch
from conftest import ROOT, make_pipeline, picture
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from cyclegan import FaceSketchPipeline
from cyclegan.__main__ import evaluate
from cyclegan.data.sources import DataError
from cyclegan.evaluation import report
from cyclegan.evaluation.groups import find_groups, read_annotations
from cyclegan.evaluation.identity import Identity
from cyclegan.evaluation.loading import load
from cyclegan.evaluation.metrics import load_vgg
from cyclegan.evaluation.page import as_text
from cyclegan.evaluation.pairs import Squares
from cyclegan.evaluation.protocol import make_hints, measure
from cyclegan.evaluation.report import make_report
from cyclegan.evaluation.scoot import scoot
from cyclegan.images import normalise, open_image, to_tensor
from cyclegan.networks import Features, Generator
from cyclegan.palette import ChoiceError, read_palette

STYLES = ["bold", "fine", "soft"]


def conditional_pipeline(image_size: int = 32) -> FaceSketchPipeline:
    """An untrained, tiny model that can be told a style and a palette, and listens."""
    torch.manual_seed(0)
    generators = Generator(4, 1, conditions=3), Generator(4, 1, conditions=12)
    for generator in generators:
        torch.nn.init.normal_(generator.condition.weight)
    return FaceSketchPipeline(*generators, image_size, "cpu", styles=STYLES)


@pytest.fixture(autouse=True)
def no_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> torch.nn.Module:
        raise OSError("unreachable")

    monkeypatch.setattr(report, "load_lpips", unreachable)
    monkeypatch.setattr(report, "load_inception", unreachable)


@pytest.fixture(scope="module")
def faces() -> Tensor:
    """The example photos, in which faces are found: (3, 3, 128, 128) uint8."""
    files = sorted((ROOT / "examples/photos").iterdir())[:3]
    return torch.stack([to_tensor(open_image(file).resize((128, 128))) for file in files])


def test_sketches_are_drawn_in_the_true_style_and_photos_painted_in_the_true_colours(faces: Tensor) -> None:
    pipe, sketches = conditional_pipeline(), faces.flip(0)
    numbers = torch.tensor([2, 0, 1])
    hints = make_hints(pipe, [STYLES[number] for number in numbers], own_palette=True)
    pairs = Squares(faces, sketches, 32, 32)
    batches = {batch.series: batch for hint in (None, hints) for batch in measure(pipe, pairs, 3, hint)}
    assert list(batches) == [
        "photo_to_sketch", "sketch_to_photo", "photo_to_sketch_given", "sketch_to_photo_given"
    ]  # fmt: skip
    photo, sketch = (pairs.working(domain, slice(0, 3)) for domain in ("photo", "sketch"))
    style, palette = torch.eye(3)[numbers], read_palette(photo).flatten(1)
    assert palette.abs().sum() > 0
    for batch in batches.values():
        given = batch.series.endswith("_given")
        ways = [(pipe.sketch_generator, style if given else None), (pipe.photo_generator, palette if given else None)]
        (there, hint_there), (back, hint_back) = ways if batch.direction == "photo_to_sketch" else ways[::-1]
        expected = pipe.translate(there, photo if there is pipe.sketch_generator else sketch, hint_there)
        assert torch.allclose(batch.pictures[1], expected, atol=1e-5)
        assert torch.allclose(batch.pictures[3], pipe.translate(back, expected, hint_back), atol=1e-5)
    automatic, told = (batches[f"photo_to_sketch{ending}"].pictures[1] for ending in ("", "_given"))
    assert (automatic - told).abs().max() > 0.01


def test_a_hint_that_cannot_be_given_is_a_sentence() -> None:
    pipe = conditional_pipeline()
    assert make_hints(pipe, None, own_palette=False) is None
    with pytest.raises(ChoiceError, match="There is no style 'thick'; this release has bold, fine, soft"):
        make_hints(pipe, ["thick"], own_palette=False)
    with pytest.raises(DataError, match="--true-style needs the style of each sketch"):
        make_hints(pipe, [], own_palette=False)
    with pytest.raises(ChoiceError, match="this release has one style only"):
        make_hints(make_pipeline(), ["bold"], own_palette=False)
    with pytest.raises(ChoiceError, match="--own-palette needs a release with a palette"):
        make_hints(make_pipeline(), None, own_palette=True)


@pytest.fixture(scope="module")
def fs2k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pairs laid out as FS2K is published, of several sizes; the last is in the training split only."""
    folder = tmp_path_factory.mktemp("FS2K")
    annotations = []
    for number, (size, style) in enumerate((((60, 60), 0), ((64, 70), 1), ((61, 59), 0), ((60, 60), 2), ((60, 60), 2))):
        place = 1 + number % 2
        for kind, stem, mode, ending in (("photo", "image", "RGB", "jpg"), ("sketch", "sketch", "L", "png")):
            (folder / kind / f"{kind}{place}").mkdir(parents=True, exist_ok=True)
            file = folder / kind / f"{kind}{place}" / f"{stem}{number:04}.{ending}"
            picture(number + 10 * (kind == "sketch"), size, mode).save(file)
        name = f"photo{place}/image{number:04}"
        annotations.append({"image_name": name, "skin_color": [157, 130], "smile": number % 2, "style": style})
    annotations[1]["image_name"] = "photo2\\image0001"  # some are written so
    (folder / "anno_test.json").write_text(json.dumps(annotations[:4]))
    return folder


def grey(image: Image.Image) -> np.ndarray:
    """MATLAB's rgb2gray, rounded to 8 bits."""
    red, green, blue = np.asarray(image, np.float64).transpose(2, 0, 1)
    return np.round(0.2989 * red + 0.5870 * green + 0.1140 * blue)


def matlab_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """MATLAB's `ssim` of uint8: Gaussian windows of 11 x 11 around every pixel, edges repeated."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets[:, None] ** 2 + offsets[None] ** 2) / (2 * 1.5**2))
    window /= window.sum()

    def blurred(image: np.ndarray) -> np.ndarray:
        padded = np.pad(image, 5, "edge")
        return sum(
            window[i, j] * padded[i : i + image.shape[0], j : j + image.shape[1]] for i in range(11) for j in range(11)
        )

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = blurred(x), blurred(y)
    variance_x, variance_y = blurred(x * x) - mean_x**2, blurred(y * y) - mean_y**2
    covariance = blurred(x * y) - mean_x * mean_y
    score = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    return float((score / ((mean_x**2 + mean_y**2 + c1) * (variance_x + variance_y + c2))).mean())


def test_fs2k_is_measured_in_grey_at_the_size_of_the_true_picture(fs2k: Path) -> None:
    pipe = make_pipeline()
    loaded = load(fs2k, "fs2k", pipe.image_size)
    assert loaded.pairs.names == ["photo1/image0000", "photo2/image0001", "photo1/image0002", "photo2/image0003"]
    assert loaded.styles == []
    measured = make_report(pipe, loaded.pairs, "a model", "FS2K", groups=find_groups(loaded.attributes))
    assert set(measured.groups) == {"smile", "style"}
    for series, domain in (("photo_to_sketch", "sketch"), ("sketch_to_photo", "photo")):
        rows = measured.pictures[series]
        for number, row in enumerate(rows):
            stem, ending = ("image", "jpg") if domain == "photo" else ("sketch", "png")
            other, other_ending = ("sketch", "png") if domain == "photo" else ("image", "jpg")
            place, source = 1 + number % 2, "sketch" if domain == "photo" else "photo"
            truth = open_image(fs2k / domain / f"{domain}{place}" / f"{stem}{number:04}.{ending}")
            given = open_image(fs2k / source / f"{source}{place}" / f"{other}{number:04}.{other_ending}")
            made = getattr(pipe, series)(given, framing="whole", prepare=False)
            drawn = Image.fromarray(grey(made).astype(np.uint8)).resize(truth.size, Image.Resampling.BICUBIC)
            pictures = np.asarray(drawn, np.float64), grey(truth)
            assert row["ssim"] == pytest.approx(matlab_ssim(*pictures), abs=5e-3)
            as_tensors = [torch.from_numpy(one.astype(np.uint8))[None] for one in pictures]
            fsim = piq.fsim(*(one[None] / 255 for one in as_tensors), chromatic=False).item()
            assert row["fsim"] == pytest.approx(fsim, abs=5e-3)
            if domain == "sketch":
                assert row["scoot"] == pytest.approx(scoot(*as_tensors).item(), abs=0.02)
        for value, numbers in (("0", [0, 2]), ("1", [1]), ("2", [3])):
            group = measured.groups["style"][value]
            assert group["count"] == len(numbers)
            assert group[series]["ssim"] == pytest.approx(np.mean([rows[number]["ssim"] for number in numbers]))
    assert "style 0" in as_text(measured)


def test_the_styles_of_fs2k_are_those_of_its_annotations(fs2k: Path) -> None:
    loaded = load(fs2k, "fs2k", 32, style_pattern="style(?:(?P<fine>1)|(?P<bold>2)|(?P<soft>3))$")
    assert loaded.styles == ["fine", "bold", "fine", "soft"]
    assert [one["style"] for one in loaded.attributes] == loaded.styles


def test_cufs_is_squeezed_into_256_and_compared_at_200_by_250(tmp_path: Path) -> None:
    for number, folder in enumerate(("photos", "sketches")):
        (tmp_path / folder).mkdir()
        picture(number, (100, 125)).save(tmp_path / folder / "1.png")
    photo, sketch = (open_image(tmp_path / folder / "1.png") for folder in ("photos", "sketches"))
    pipe = make_pipeline()
    pairs = load(tmp_path, "cufs-scg", pipe.image_size).pairs
    drawn, painted = measure(pipe, pairs, 1)
    squeezed = normalise(to_tensor(photo.resize((256, 256), Image.Resampling.BICUBIC)))[None]
    assert torch.equal(drawn.pictures[0], squeezed)
    assert {tuple(part.shape[2:]) for part in (*drawn.compared, *painted.compared)} == {(250, 200)}
    for part in (drawn.compared[1], drawn.compared[2], painted.compared[0]):  # sketches are grey
        assert torch.equal(part[:, 0], part[:, 1])
    wanted = normalise(to_tensor(photo.resize((200, 250), Image.Resampling.BICUBIC)))[None]
    assert torch.equal(painted.compared[2], wanted)
    in_colour = piq.fsim(*((part + 1) / 2 for part in painted.compared[1:]), chromatic=True)
    assert painted.figures["fsim"].item() == pytest.approx(in_colour.item(), abs=1e-5)
    assert sketch.convert("L").size == (100, 125)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        (None, "anno_test.json is missing"),
        ("{", "anno_test.json is not a JSON file"),
        ('[{"style": 0}]', "is not FS2K's annotation file"),
        ('[{"image_name": "photo1/image9999", "style": 0}]', "photo/photo1/image9999, one of 2 pictures"),
        ("[]", "does not match the folder"),
    ],
)
def test_annotations_that_do_not_fit_are_a_sentence(
    fs2k: Path, tmp_path: Path, written: str | None, words: str
) -> None:
    for kind in ("photo", "sketch"):
        (tmp_path / kind).symlink_to(fs2k / kind)
    if written is not None:
        (tmp_path / "anno_test.json").write_text(written)
    with pytest.raises(DataError, match=words):
        load(tmp_path, "fs2k", 32)
    with pytest.raises(DataError, match="--size works only with the protocol square; fs2k has a fixed size"):
        load(fs2k, "fs2k", 32, size=64)
    with pytest.raises(DataError, match=r"photos is missing\. Use --protocol fs2k"):
        load(fs2k, "square", 32)


def test_folders_of_sketches_are_styles(tmp_path: Path) -> None:
    """As in training: the photos may lie apart from them."""
    for number, name in enumerate(("photos/a", "photos/b", "sketches/bold/a", "sketches/fine/a", "sketches/fine/b")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        picture(number).save(tmp_path / f"{name}.png")
    (tmp_path / "attributes.json").write_text('{"a.png": {"hair": 1}, "fine/b": {"hair": 0}}')
    loaded = load(tmp_path, "square", 32, groups=tmp_path / "attributes.json")
    assert loaded.pairs.names == ["bold/a", "fine/a", "fine/b"]
    assert loaded.styles == ["bold", "fine", "fine"]
    assert find_groups(loaded.attributes) == {"style": {"bold": [0], "fine": [1, 2]}, "hair": {"0": [2], "1": [0, 1]}}
    first, second = (loaded.pairs.working("photo", slice(row, row + 1)) for row in (0, 1))
    assert torch.equal(first, second)


def test_annotations_are_found_by_name_in_either_form(tmp_path: Path) -> None:
    file = tmp_path / "attributes.json"
    for written in (
        {"a.webp": {"hair": 1, "eye_color": [1.5, 2]}, "dr.no": {"hair": 0}},
        [{"image_name": "a", "hair": 1, "eye_color": [1.5, 2]}, {"image_name": "dr.no", "hair": 0}],
    ):
        file.write_text(json.dumps(written))
        found = read_annotations(file, ["a", "unknown", "dr.no"])
        assert [one.get("hair") for one in found] == [1, None, 0]
        assert find_groups(found) == {"hair": {"0": [2], "1": [0]}}
    with pytest.raises(DataError, match="names none of the pairs"):
        read_annotations(file, ["someone"])
    file.write_text('{"a": 1}')
    with pytest.raises(DataError, match="must map the name of each picture"):
        read_annotations(file, ["a"])


def test_what_is_alike_or_different_everywhere_makes_no_group() -> None:
    people = [{"id": number, "gender": 0, "smile": number % 2, "image_name": f"{number % 3}"} for number in range(13)]
    assert set(find_groups(people)) == {"smile"}


def test_a_person_is_recognised_in_their_own_picture_only(faces: Tensor) -> None:
    blank = torch.full((3, 128, 128), 0.5)
    people = Identity([*normalise(faces), blank])
    assert people.missed == 1
    own = people.figures(torch.stack([*normalise(faces), blank]), slice(0, 4))
    assert own["identity_distance"][:3].tolist() == pytest.approx([0] * 3, abs=1e-6)
    for name in ("same_person", "rank_1", "face_found"):
        assert own[name][:3].tolist() == [1] * 3
    assert own["face_found"][3] == 0
    assert all(own[name][3].isnan() for name in ("identity_distance", "same_person", "rank_1"))
    strangers = people.figures(normalise(faces[[1, 2]]), slice(0, 2))  # at the landmarks of 0 and 1
    assert strangers["rank_1"].tolist() == [0, 0]
    assert (strangers["identity_distance"] > 0.2).all()
    with pytest.raises(DataError, match="no face was found in any photo"):
        Identity([blank])


def test_kid_of_vgg16_needs_no_download(tmp_path: Path, faces: Tensor) -> None:
    torch.manual_seed(0)
    save_file(Features().state_dict(), tmp_path / "vgg16.safetensors")
    vgg = load_vgg(tmp_path / "vgg16.safetensors")
    features = vgg(faces)
    assert features.shape == (3, 64 + 128 + 256)
    squares = Squares(faces, faces.flip(3), 32, 32, ["a", "b", "c"])
    figures = make_report(make_pipeline(), squares, "a model", "faces", vgg=vgg).figures
    assert figures["photo_to_sketch"]["kid_vgg"] > figures["photo_to_sketch_copied"]["kid_vgg"]
    assert "fid" not in figures["photo_to_sketch"]
    with pytest.raises(DataError, match="VGG16 could not be loaded"):
        load_vgg(tmp_path / "none.safetensors")


def test_one_command_gives_the_whole_table(faces: Tensor, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Automatic, given and copied, by style and attribute, with identity: as text, JSON and HTML."""
    for folder, pictures in (("photos", faces[:2]), ("sketches", faces[:2].flip(3))):
        (tmp_path / folder).mkdir()
        for number, pixels in enumerate(pictures):
            name = f"face{number}_style{1 + number}.png"
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(tmp_path / folder / name)
    (tmp_path / "anno.json").write_text(json.dumps({f"face{n}_style{1 + n}": {"smile": n} for n in range(2)}))
    conditional_pipeline(64).save_pretrained(tmp_path / "release")
    status = evaluate(
        tmp_path, str(tmp_path / "release"), tmp_path / "figures.json", tmp_path / "figures.html",
        style_pattern="style(?:(?P<fine>1)|(?P<bold>2))$", true_style=True, own_palette=True,
        groups=tmp_path / "anno.json", identity=True,
    )  # fmt: skip
    assert status == 0
    printed, page = capsys.readouterr().out, (tmp_path / "figures.html").read_text()
    saved: dict[str, Any] = json.loads((tmp_path / "figures.json").read_text())
    assert len(saved["figures"]) == len(saved["pictures"]) == 6
    assert {name: set(values) for name, values in saved["groups"].items()} == {
        "style": {"fine", "bold"}, "smile": {"0", "1"}
    }  # fmt: skip
    for series in ("photo_to_sketch", "sketch_to_photo", "photo_to_sketch_given", "sketch_to_photo_given"):
        assert {"haarpsi", "same_person", "rank_1", "cycle_same_person"} <= set(saved["figures"][series])
        assert ("scoot" in saved["figures"][series]) == series.startswith("photo_to_sketch")
        group = saved["groups"]["style"]["fine"][series]
        assert group["ssim"] == pytest.approx(saved["pictures"][series][0]["ssim"])
        assert f"{group['ssim']:.3f}" in printed
        assert f"{group['ssim']:.3f}" in page
    assert "same_person" not in saved["figures"]["photo_to_sketch_copied"]
    assert saved["figures"]["sketch_to_photo_copied"]["face_found"] == 1
    for words in ("Given: sketches are drawn in the style of the true sketch and photos", "Copied: ", "style fine"):
        assert words in printed
        assert words in page
    assert page.count("<img") == 4 * 4 * 2


def test_without_the_extra_identity_says_what_to_install(monkeypatch: pytest.MonkeyPatch, faces: Tensor) -> None:
    monkeypatch.setattr("cyclegan.evaluation.identity.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"the package face_recognition_models: pip install 'cyclegan\[identity\]'"):
        Identity(normalise(faces))
    monkeypatch.setitem(sys.modules, "dlib", None)
    with pytest.raises(DataError, match="--identity needs the package dlib"):
        Identity(normalise(faces))
