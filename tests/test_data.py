import io
import math
import os
import shutil
import sys
import tarfile
import threading
import zipfile
from functools import partial
from pathlib import Path

import datasets
import pytest
import torch
from conftest import command, picture, run
from torch import Tensor

from cyclegan.data import sources
from cyclegan.data.augmentation import LIGHT_NUMBERS, ROUGH_NUMBERS, bare_lines, crop_and_flip, relight, roughen, warp
from cyclegan.data.batches import Batch, Prefetch, UnpairedBatches, cache_size
from cyclegan.data.cache import Pictures
from cyclegan.data.check import check
from cyclegan.data.layouts import DataSet, find_layout
from cyclegan.data.names import find_styles, match_names
from cyclegan.data.sources import DataError, find_images
from cyclegan.evaluation import loading
from cyclegan.evaluation.pairs import load_pairs
from cyclegan.images import ImageError, normalise
from cyclegan.palette import read_palette


def numbered(count: int, size: int = 36) -> Tensor:
    """Pictures that are all of one value, their number."""
    return torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(count, 3, size, size).contiguous()


def load(batches: UnpairedBatches, step: int, part: slice) -> Batch:
    return batches.crop(batches.read(step, part))


def test_the_decoded_cache_has_room_to_crop() -> None:
    assert [cache_size(size) for size in (64, 128, 256)] == [72, 143, 286]


def test_folders_are_searched_in_a_fixed_order(tmp_path: Path) -> None:
    photos = tmp_path / "train/photos"
    (photos / "deep/er").mkdir(parents=True)
    picture(0).save(photos / "b.jpg")
    picture(1, mode="L").save(photos / "deep/er/a.1.webp")
    (photos / ".hidden").mkdir()
    picture(2).save(photos / ".hidden/c.png")
    for name in ("notes.txt", "paper.pdf", "numbers.h5", "drawing.eps"):
        (photos / name).write_text("no picture")
    assert [file.name for file in find_images(photos)] == ["b.jpg", "a.1.webp"]
    source = DataSet(str(tmp_path)).find("photos")
    assert source.names == ["b", "deep/er/a.1"]
    assert [source.read(index).size for index in (0, 1)] == [(48, 40), (48, 40)]


def test_domains_alike_in_names_sizes_and_times_are_told_apart(tmp_path: Path) -> None:
    for domain in ("photos", "sketches"):
        (tmp_path / "train" / domain).mkdir(parents=True)
        for number in range(40):
            file = tmp_path / "train" / domain / f"{number}.bmp"
            picture(number + 40 * (domain == "photos")).save(file)
            os.utime(file, (0, 0))
    photos, sketches = (DataSet(str(tmp_path)).find(domain) for domain in ("photos", "sketches"))
    assert photos.fingerprint != sketches.fingerprint
    shutil.copytree(tmp_path / "train/photos", tmp_path / "copy/train/photos")
    assert photos.fingerprint == DataSet(str(tmp_path / "copy")).find("photos").fingerprint


@pytest.mark.parametrize("problem", ["is missing", "contains no pictures"])
def test_a_folder_without_pictures_is_an_error_that_names_it(tmp_path: Path, problem: str) -> None:
    if problem != "is missing":
        (tmp_path / "train/photos").mkdir(parents=True)
    with pytest.raises(DataError, match=f"train/photos {problem}"):
        DataSet(str(tmp_path)).find("photos")


def fill(folder: Path, *names: str, width: int = 20) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        picture(sum(name.encode()), (width, 20)).save(folder / name)


@pytest.mark.parametrize("depth", ["", "photosandsketches", "archive/photosandsketches"])
def test_a_folder_of_a_and_b_is_read_wherever_it_was_unpacked(tmp_path: Path, depth: str) -> None:
    root = tmp_path / depth
    for folder, name in (("trainA", "a.png"), ("trainB", "b.png"), ("testA", "1.png"), ("testB", "1.jpg")):
        fill(root / folder, name)
    fill(tmp_path / "__MACOSX/trainA", "a.png")
    data, swapped = DataSet(str(tmp_path)), DataSet(str(tmp_path), swap_domains=True)
    assert [data.find(domain).names for domain in ("photos", "sketches")] == [["a"], ["b"]]
    assert [swapped.find(domain).names for domain in ("photos", "sketches")] == [["b"], ["a"]]
    assert data.test_pairs() == [(root / "testA/1.png", root / "testB/1.jpg")]
    assert data.notes()[-1].startswith("The photos are trainA and the sketches are trainB. With --swap-domains")
    assert len(data.notes()) == (2 if depth else 1)
    lines, usable = check(swapped)
    assert usable and lines[-1] == f"Ready: accelerate launch train_accelerate.py --data {tmp_path} --swap-domains"


def test_one_damaged_picture_hides_no_layout(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / "train").mkdir(exist_ok=True)
        picture(number, (80, 40)).save(tmp_path / f"train/{number}.png")
    (tmp_path / "train/0.png").write_bytes(b"damaged")
    assert find_layout(tmp_path).kind == "halves"
    with pytest.raises(DataError, match=r"hf:NAME\[:SPLIT\] needs the name of a data set; got hf:"):
        DataSet("hf:").find("photos")


def test_pairs_side_by_side_are_halves_of_one_file(tmp_path: Path) -> None:
    for split in ("train", "test"):
        fill(tmp_path / split, "1.png", "2.png", width=40)
    data = DataSet(str(tmp_path))
    photos, sketches = data.find("photos"), data.find("sketches")
    assert photos.names == sketches.names == ["1", "2"]
    whole = picture(sum(b"2.png"), (40, 20))
    assert photos.read(1).tobytes() == whole.crop((0, 0, 20, 20)).tobytes()
    assert sketches.read(1).tobytes() == whole.crop((20, 0, 40, 20)).tobytes()
    assert photos.fingerprint != sketches.fingerprint, "or they would share a cache"
    turned = DataSet(str(tmp_path), swap_domains=True)
    assert turned.find("photos").read(1).tobytes() == sketches.read(1).tobytes()
    assert len(load_pairs(data.test_pairs(), 20).photos) == 2
    assert data.notes() == [
        "The photos are the left halves and the sketches are the right halves. With --swap-domains it is the other way "
        "round."
    ]
    assert check(data)[1]


@pytest.mark.parametrize("kind", ["letters", "halves"])
def test_the_layouts_of_others_are_measured_on_too(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if kind == "letters":
        for folder in ("trainA", "trainB", "testA", "testB"):
            fill(tmp_path / folder, f"{folder[-1]}.png" if "train" in folder else "1.png")
        picture(9, (20, 20)).save(tmp_path / "testB/1.png")
    else:
        for split in ("train", "test"):
            fill(tmp_path / split, "1.png", width=40)
    photos = []
    for swapped in (False, True):
        pairs = loading.load(tmp_path, "square", 32, swap_domains=swapped).pairs
        assert pairs.names == ["1"]
        photos.append(pairs.original("photo", "sketch", slice(None)))
        assert capsys.readouterr().err.startswith("The photos are ")
    assert not torch.equal(*photos)
    assert torch.equal(pairs.original("sketch", "photo", slice(None)), photos[0])


def test_the_domains_may_lie_anywhere(tmp_path: Path) -> None:
    fill(tmp_path / "faces/x", "1.png", "2.jpg")
    fill(tmp_path / "drawn", "1.png", "3.png")
    (tmp_path / "drawn/notes.txt").write_text("no picture")
    data = DataSet(photos=(f"{tmp_path}/faces/**/*",), sketches=(f"{tmp_path}/drawn",))
    photos, sketches = data.find("photos"), data.find("sketches")
    assert (photos.names, sketches.names) == (["1", "2"], ["1", "3"])
    assert match_names(photos.names, sketches.names).tolist() == [0, -1]
    lines, usable = check(data)
    assert usable and f"--photos '{tmp_path}/faces/**/*' --sketches {tmp_path}/drawn" in lines[-1]
    for wrong, words in (
        (data.photos, "matches both --photos and --sketches"),
        (("nowhere/*",), "--sketches nowhere/. matches no pictures"),
    ):
        with pytest.raises(DataError, match=words):
            DataSet(photos=data.photos, sketches=wrong).find("photos")
    with pytest.raises(DataError, match="must be used together"):
        DataSet(photos=data.photos)
    with pytest.raises(DataError, match="A data set is needed: pass --data FOLDER"):
        DataSet().find("photos")


@pytest.mark.parametrize(
    ("made", "given", "split", "words"),
    [
        ("train/photos", "../photosandsketchs", "train", "Did you mean .*/photosandsketches"),
        ("train/photos", "train", "train", "Did you mean .*/photosandsketches"),
        ("train/photos", "train/photos", "train", "Did you mean .*/photosandsketches"),
        ("Train/photos", "", "train", "Did you mean .*/Train.* Rename it to train"),
        ("train/photo", "", "train", "Did you mean .*/train/photo.* Rename it to photos"),
        ("val/photos", "", "test", "Did you mean .*/val.* Rename it to test"),
    ],
)
def test_a_near_miss_is_named(tmp_path: Path, made: str, given: str, split: str, words: str) -> None:
    root = tmp_path / "photosandsketches"
    fill(root / made, "1.png")
    with pytest.raises(DataError, match=words):
        DataSet(os.path.normpath(root / given)).find("photos", split)


def test_one_column_for_both_domains_is_refused() -> None:
    with pytest.raises(DataError, match="are both image, so both domains would be photos"):
        DataSet("hf:ann/faces", "image", "image")


def test_names_of_any_bytes_are_used_and_can_be_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(tmp_path / "train/photos", "1.png")
    fill(tmp_path / "train/sketches", "1.png")
    (tmp_path / "train/photos/1.png").rename(os.fsdecode(os.fsencode(tmp_path / "train/photos") + b"/Mu\xf1oz.png"))
    data = DataSet(str(tmp_path))
    source = data.find("photos")
    assert source.names == ["Mu\\udcf1oz"]
    assert source.read(0).size == (20, 20)
    (next((tmp_path / "train/photos").iterdir())).write_bytes(b"?")
    "\n".join(check(data)[0]).encode()


def test_an_outage_is_waited_for_and_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "PAUSE", 0.01)
    fill(tmp_path / "share/train/photos", "1.png", "2.png")
    source = DataSet(str(tmp_path / "share")).find("photos")
    (tmp_path / "share").rename(tmp_path / "away")
    threading.Timer(0.1, (tmp_path / "away").rename, [tmp_path / "share"]).start()
    assert source.read(0).size == (20, 20)

    monkeypatch.setattr(sources, "PATIENCE", 0.02)
    (tmp_path / "share").rename(tmp_path / "away")
    with pytest.raises(DataError, match=r"nor can the other pictures in its folder .*Bring the disk or the share back"):
        source.read(0)
    with pytest.raises(DataError):
        Pictures(source, 8)[[0]]
    (tmp_path / "away").rename(tmp_path / "share")
    (tmp_path / "share/train/photos/1.png").unlink()
    with pytest.raises(ImageError, match=r"1\.png cannot be read: No such file"):
        source.read(0)


def encoded(seed: int) -> bytes:
    file = io.BytesIO()
    picture(seed).save(file, "PNG")
    return file.getvalue()


def parquet(folder: Path, **splits: dict[str, list[bytes | None]]) -> str:
    """A folder of Parquet shards, two a split, as the Hub has them; what to give as --data."""
    folder.mkdir(exist_ok=True)
    for split, columns in splits.items():
        features = datasets.Features({name: datasets.Image() for name in columns})
        rows = datasets.Dataset.from_dict(columns, features=features)
        for number in (0, 1):
            rows.shard(2, number).to_parquet(folder / f"{split}-0000{number}-of-00002.parquet")
    return f"hf:{folder}"


def test_parquet_shards_are_read_by_columns_that_may_have_gaps(tmp_path: Path) -> None:
    photo = [encoded(0), None, encoded(1), b"damaged"]
    data = parquet(tmp_path, train={"face": photo, "drawing": [None, encoded(2), encoded(3), None]})
    both = DataSet(data, "face", "drawing")
    photos, sketches = both.find("photos"), both.find("sketches")
    assert (photos.names, sketches.names) == (["0", "2", "3"], ["1", "2"])
    assert photos.read(1).tobytes() == picture(1).tobytes()
    assert sketches.read(0).tobytes() == picture(2).tobytes()
    assert match_names(photos.names, sketches.names).tolist() == [-1, 1]
    with pytest.raises(ValueError, match=f"Row 3 of the column face of {data}, split train is not a picture"):
        photos.read(2)
    assert len(Pictures(photos, 8)[[0, 1, 2]]) == 3


def test_webdataset_shards_and_their_splits(tmp_path: Path) -> None:
    for split, count in (("train", 3), ("test", 2)):
        with tarfile.open(tmp_path / f"{split}-0.tar", "w") as shard:
            for number in range(count):
                for column in ("photo.png", "sketch.png"):
                    member = tarfile.TarInfo(f"{number:04d}.{column}")
                    content = encoded(number if column == "photo.png" else 10 + number)
                    member.size = len(content)
                    shard.addfile(member, io.BytesIO(content))
    data = f"hf:{tmp_path}"
    sketches = DataSet(data, sketch_column="sketch.png").find("sketches")
    assert len(sketches.names) == 3
    assert sketches.read(2).tobytes() == picture(12).tobytes()
    assert len(DataSet(data, photo_column="photo.png").find("photos", "test").names) == 2
    assert len(DataSet(f"{data}:test", photo_column="photo.png").find("photos").names) == 2
    assert len(DataSet(f"{data}:train[1:]", photo_column="photo.png").find("photos").names) == 2


def test_shards_are_decoded_once_until_they_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = parquet(tmp_path, train={"photo": [encoded(0), b"damaged"]})
    first = DataSet(data, photo_column="photo").find("photos")
    assert DataSet(data, photo_column="photo").find("photos").fingerprint == first.fingerprint
    assert DataSet(f"{data}:train[:1]", photo_column="photo").find("photos").fingerprint != first.fingerprint
    assert torch.equal(*Pictures(first, 8)[[0, 1]])
    parquet(tmp_path, train={"photo": [encoded(0), encoded(1)]})
    second = DataSet(data, photo_column="photo").find("photos")
    assert second.fingerprint != first.fingerprint
    assert not torch.equal(*Pictures(second, 8)[[0, 1]])


@pytest.mark.parametrize(
    ("data", "column", "words"),
    [
        ("hf:{}", "face", "has no column face; it has photo, sketch.* with --photo-column"),
        ("hf:{}", "sketch", "There are no pictures in the column sketch"),
        ("hf:{}:valid", "photo", "The valid split of .* cannot be loaded: .*valid"),
        ("hf:{}/nowhere", "photo", "nowhere cannot be loaded: "),
    ],
)
def test_what_a_data_set_lacks_is_a_sentence(tmp_path: Path, data: str, column: str, words: str) -> None:
    parquet(tmp_path, train={"photo": [encoded(0), encoded(1)], "sketch": [None, None]})
    with pytest.raises(DataError, match=words):
        DataSet(data.format(tmp_path), column, "other").find("photos")


def test_the_cause_of_an_error_of_the_library_is_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        archive.writestr("photos/1.png", b"x")
        archive.writestr("sketches/1.png", b"x")
    with pytest.raises(DataError, match=r"cannot be loaded: An error occurred .*: Invalid string class label"):
        DataSet(f"hf:{tmp_path}").find("photos")


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"pip install 'cyclegan\[datasets\]'"):
        DataSet("hf:user/name", photo_column="photo").find("photos")


def test_pairs_are_found_by_name() -> None:
    assert match_names(["a", "b", "c", "b"], ["d", "b", "a"]).tolist() == [-1, 1, 0]
    assert match_names([], []).shape == (0,)


def test_every_picture_comes_once_a_pass_and_the_domains_are_independent() -> None:
    batches = UnpairedBatches(numbered(12), numbered(8), 32, 4, seed=0)
    assert len(batches) == 3
    photos = [index for step in range(3) for index in batches.indices(step)[0].tolist()]
    sketches = [index for step in range(2) for index in batches.indices(step)[1].tolist()]
    assert sorted(photos) == list(range(12))
    assert sorted(sketches) == list(range(8))
    assert photos[:8] != sketches
    later = [index for step in range(3, 6) for index in batches.indices(step)[0].tolist()]
    assert sorted(later) == list(range(12))
    assert later != photos


def test_pairs_come_together_unless_one_of_them_cannot_be_read(tmp_path: Path) -> None:
    for domain, ending in (("photos", "png"), ("sketches", "bmp")):
        (tmp_path / "train" / domain).mkdir(parents=True)
        for number in range(4):
            picture(number, (32, 32)).save(tmp_path / "train" / domain / f"{number}.{ending}")
    (tmp_path / "train/photos/1.png").write_bytes(b"?")
    (tmp_path / "train/sketches/2.bmp").write_bytes(b"?")
    photos, sketches = (Pictures(DataSet(str(tmp_path)).find(name), 36) for name in ("photos", "sketches"))
    batches = UnpairedBatches(photos, sketches, 32, 32, 0, match_names(photos.names, sketches.names))
    numbers, partners, meant = batches.indices(0)
    assert numbers[meant].tolist() == partners[meant].tolist()
    assert set(numbers[meant].tolist()) == {0, 1, 2, 3}
    photo, sketch, paired, *_ = load(batches, 0, slice(0, 32))
    assert paired.tolist() == [bool(pair) and number in (0, 3) for number, pair in zip(numbers, meant, strict=True)]
    assert torch.equal(photo[paired], sketch[paired])


def test_a_batch_larger_than_the_data_set_is_full() -> None:
    batches = UnpairedBatches(numbered(3), numbered(2), 32, 8, seed=0)
    assert len(batches) == 1
    assert load(batches, 5, slice(0, 8))[1].shape == (8, 3, 32, 32)


def test_a_batch_is_a_function_of_its_step_however_it_is_shared() -> None:
    images = torch.randint(0, 256, (9, 3, 36, 36), dtype=torch.uint8)
    recoloured = partial(UnpairedBatches, images, images.flip(0), 32, 6, recolour=0.5)
    batches = recoloured(seed=0)
    whole = load(batches, 4, slice(0, 6))
    load(batches, 9, slice(0, 6))
    halves = [load(recoloured(seed=0), 4, slice(a, a + 3)) for a in (0, 3)]
    assert torch.equal(whole.photo, torch.cat([half.photo for half in halves]))
    assert torch.equal(whole.sketch, torch.cat([half.sketch for half in halves]))
    assert not torch.equal(whole.photo, load(recoloured(seed=1), 4, slice(0, 6)).photo)
    plain = load(UnpairedBatches(images, images.flip(0), 32, 6, seed=0), 4, slice(0, 6)).photo
    assert 0 < sum(torch.equal(*photos) for photos in zip(whole.photo, plain, strict=True)) < 6


def test_crops_and_flips_are_exact() -> None:
    images = torch.arange(2 * 3 * 8 * 8).view(2, 3, 8, 8)
    corners, flips = torch.tensor([[1, 2], [0, 3]]), torch.tensor([False, True])
    cut = crop_and_flip(images, corners, flips, 5)
    assert torch.equal(cut[0], images[0, :, 1:6, 2:7])
    assert torch.equal(cut[1], images[1, :, 0:5, 3:8].flip(-1))


def test_bare_lines_leave_out_paper_and_shading() -> None:
    sketch = torch.full((1, 3, 64, 64), 0.6)  # paper
    sketch[..., 20:50, 20:50] = 0.1  # shading
    sketch[..., 34, :] = -0.7  # a line
    lines = bare_lines(sketch)
    assert (lines[..., 34, :] < -0.8).all()
    assert (lines[..., 25:32, 25:45] == 1).all()
    assert (lines[..., :15, :] == 1).all()


def test_rough_sketches_are_thick_or_few_or_filled_and_never_darker_than_ink() -> None:
    sketch = torch.full((1, 3, 128, 128), 0.9)  # paper
    sketch[..., 64:, :] = -0.2  # shading
    sketch[..., 20, :] = sketch[..., 40, :] = -0.9  # two lines
    plain = torch.full((1, ROUGH_NUMBERS), 0.5)

    def ink(rough: Tensor) -> float:
        assert rough.shape == sketch.shape and rough.min() >= -1 and rough.max() <= 1
        return ((1 - rough[..., :60, :]) / 2).sum().item()

    def drawn(**changed: float) -> Tensor:
        numbers = plain.clone()
        for name, value in changed.items():
            numbers[:, ["thick", "few", "filled", "paleness"].index(name)] = value
        return roughen(sketch, numbers)

    torch.testing.assert_close(drawn(), bare_lines(sketch))
    assert ink(drawn(thick=0.0)) > 2 * ink(drawn())
    assert ink(drawn(few=0.95)) < ink(drawn()) / 2
    few = plain.clone()
    few[:, 1] = 0.75  # lines are left out where the place's number is small
    few[:, 4:] = torch.linspace(0, 1, 5).repeat(5)  # from the left to the right
    lines = roughen(sketch, few)[0, 0, 20]
    assert (lines[:24] == 1).all() and (lines[-24:] < -0.5).all()
    filled = drawn(filled=0.0, paleness=1.0)[0, 0, 100]
    assert (filled < 0.8).all() and (filled > 0).all(), "a pale tone"


def test_another_light_darkens_one_side_and_leaves_the_face_where_it_is() -> None:
    white = torch.ones(1, 3, 32, 32)
    steady = {"fade": 1.0, "exposure": 0.75, "depth": 0.0, "angle": 0.0, "offset": 0.5, "softness": 0.5}
    steady |= {"red": 0.0, "green": 0.0, "blue": 0.0}
    assert len(steady) == LIGHT_NUMBERS

    def lit(picture: torch.Tensor, **changed: float) -> torch.Tensor:
        return relight(picture, torch.tensor([[*(steady | changed).values()]]))[0]

    assert torch.allclose(lit(white), white[0])
    shadow = lit(white, depth=1.0)
    assert shadow[..., 0].min() > 0.9 and shadow[..., -1].max() < 0.2  # to the right, for angle 0
    assert torch.allclose(lit(white, depth=1.0, angle=0.25), shadow.mT, atol=1e-5)
    lamp = lit(white, red=1.0, blue=1.0).mean((1, 2))
    assert lamp[0] < lamp[1] and lamp[2] < lamp[1]
    line = white.clone()
    line[..., 16, :] = -1
    faint = lit(line, fade=0.0)
    assert faint[:, 16].mean() > 0 and (faint[:, :16] == 1).all()
    assert (lit(line, exposure=0.0)[:, :16] < 0.5).all()


def test_augmentation_reaches_every_corner_and_both_sides() -> None:
    ramp = torch.arange(34, dtype=torch.uint8).expand(1, 3, 34, 34).contiguous()
    batches = UnpairedBatches(ramp, ramp, 32, 64, seed=0)
    photo = load(batches, 0, slice(0, 64)).photo
    left = ((photo[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
    assert set(left) == {0, 1, 2, 31, 32, 33}
    for row, start in zip(((photo[:, 0, 0] + 1) * 127.5).round().int(), left, strict=True):
        step = 1 if start <= 2 else -1  # mirrored
        assert row.tolist() == list(range(start, start + 32 * step, step))


def test_batches_are_read_ahead_in_order() -> None:
    asked = []
    third = threading.Event()

    def read(number: int, name: str) -> str:
        asked.append(number)
        if number == 2:
            third.set()
        return f"{number}{name}"

    ahead = Prefetch(read, ((number, "x") for number in range(5)), ahead=3)
    assert third.wait(10), "before anything was asked for"
    assert asked == [0, 1, 2]
    assert list(ahead) == ["0x", "1x", "2x", "3x", "4x"]
    assert asked == [0, 1, 2, 3, 4]


def test_waiting_is_measured() -> None:
    barrier = threading.Event()
    ahead = Prefetch(lambda: barrier.wait(10), [()])
    threading.Timer(0.2, barrier.set).start()
    assert next(ahead)
    assert 0.1 < ahead.waited < 10


def test_what_goes_wrong_while_reading_ahead_comes_out_where_it_belongs() -> None:
    def read(number: int) -> float:
        return 1 / (2 - number)

    ahead = Prefetch(read, ((number,) for number in range(4)))
    assert [next(ahead), next(ahead)] == [0.5, 1]
    with pytest.raises(ZeroDivisionError):
        next(ahead)


def test_a_program_that_fails_with_batches_due_ends_at_once() -> None:
    program = """
import time
from cyclegan.data.batches import Prefetch
ahead = Prefetch(lambda number: time.sleep(0.1), ((number,) for number in range(10**6)))
next(ahead)
raise SystemExit("It failed.")
"""
    result = run("-c", program)
    assert (result.returncode, result.stderr) == (1, "It failed.\n")


def test_check_data_reports_and_advises(dataset: Path, tmp_path: Path) -> None:
    good = command("check-data", dataset)
    assert good.returncode == 0, good.stderr
    assert "photos: 7 pictures, all 48 x 40" in good.stdout
    assert "Ready: accelerate launch" in good.stdout

    shutil.copytree(dataset, tmp_path / "data")
    (tmp_path / "data/train/photos/3.png").write_bytes(b"?")
    shutil.rmtree(tmp_path / "data/train/sketches")
    bad = command("check-data", tmp_path / "data")
    assert bad.returncode == 1
    assert "3.png is not a picture" in bad.stdout
    assert "train/sketches is missing" in bad.stdout
    assert "Not ready" in bad.stdout
    assert "Traceback" not in bad.stdout + bad.stderr


def test_check_data_looks_into_shards(tmp_path: Path) -> None:
    data = parquet(tmp_path, train={"photo": [encoded(0), b"?"], "sketch": [encoded(0), None]})
    lines, usable = check(DataSet(data))
    assert usable
    assert lines[0] == f"the column photo of {data}, split train: 1 pictures, all 48 x 40"
    assert "Row 1" in lines[2]
    assert "The test split" in lines[-3]
    assert lines[-2].startswith("No release will be scored")


def test_styles_are_folders_or_what_a_pattern_finds(tmp_path: Path) -> None:
    assert find_styles(["a", "b"], None)[0] == []
    assert find_styles(["fine/1", "2"], None)[0] == [], "some sketches are in no folder"
    assert find_styles(["all/1", "all/2"], None)[0] == []
    styles, numbers = find_styles(["fine/1", "bold/x/2", "fine/3"], None)
    assert (styles, numbers.tolist()) == (["bold", "fine"], [1, 0, 1])
    styles, numbers = find_styles(["7_style1", "8_style2"], "_style(?:(?P<soft>1)|(?P<hard>2))$")
    assert (styles, numbers.tolist()) == (["hard", "soft"], [1, 0])
    assert find_styles(["7_b", "8_a"], "_(.)$")[0] == ["a", "b"]
    for pattern, said in (("_(.)$", "does not match the sketch 9"), ("(", "got '\\('"), (".", "with a group")):
        with pytest.raises(DataError, match=said):
            find_styles(["7_a", "9"], pattern)
    assert match_names(["1", "2"], ["fine/2", "bold/1", "fine/3"]).tolist() == [1, 0, -1]


def test_zoom_shows_pictures_at_many_scales_and_palettes_of_whole_photos() -> None:
    images = torch.randint(0, 256, (4, 3, 72, 72), dtype=torch.uint8)
    batches = UnpairedBatches(images, images, 32, 4, 0, styles=torch.tensor([3, 1, 0, 2]), zoom=(1, 2), palette=True)
    sides = [batches.read(step, slice(0, 4)).side for step in range(40)]
    assert 36 <= min(sides) < 45 and 63 < max(sides) <= 72
    batch = load(batches, 0, slice(0, 4))
    assert batch.palette is not None and batch.places is not None
    assert batch.photo.shape == batch.sketch.shape == batch.places.shape == (4, 3, 32, 32)
    photos, sketches, _ = batches.indices(0)
    assert torch.equal(batch.palette, read_palette(normalise(images[photos])))
    assert batch.style.tolist() == [[3, 1, 0, 2][number] for number in sketches]


def test_a_zoom_of_nine_tenths_shows_whole_pictures() -> None:
    for size in (32, 40, 56, 64, 128, 256):
        images = torch.zeros(2, 3, cache_size(size), cache_size(size), dtype=torch.uint8)
        batches = UnpairedBatches(images, images, size, 2, 0, zoom=(0.9, 1.0))
        sides = [batches.read(step, slice(0, 2)).side for step in range(60)]
        assert size <= min(sides) <= size + 2
        assert load(batches, 0, slice(0, 2)).photo.shape == (2, 3, size, size)


def test_a_warp_turns_stretches_and_slants_partners_alike() -> None:
    line = torch.zeros(1, 1, 65, 65)
    line[..., 32] = 1  # upright
    numbers = torch.tensor([[0.3, 0.0, 0.0]])
    turned = warp(line, numbers)[0, 0]
    middle = (turned * torch.arange(65)).sum(1) / turned.sum(1)  # where the line is in each row
    assert (middle[16] - middle[48]).abs().item() == pytest.approx(32 * math.tan(0.3), abs=0.3)
    assert torch.allclose(warp(line, torch.zeros(1, 3)), line, atol=1e-5)
    wide = torch.zeros(1, 1, 64, 64)
    wide[..., 16:48, 16:48] = 1
    stretched = warp(wide, torch.tensor([[0.0, -0.2, 0.0]]))[0, 0]
    across, along = stretched[32].sum().item(), stretched[:, 32].sum().item()
    assert across / along == pytest.approx(math.exp(0.2), abs=0.02)

    images = torch.randint(0, 256, (6, 3, 36, 36), dtype=torch.uint8)
    batches = UnpairedBatches(images, images, 32, 6, 0, torch.arange(6), palette=True, warp=0.1)
    plain = UnpairedBatches(images, images, 32, 6, 0, torch.arange(6), palette=True)
    batch, before = load(batches, 0, slice(0, 6)), load(plain, 0, slice(0, 6))
    assert torch.equal(batch.photo[batch.paired], batch.sketch[batch.paired])
    assert not torch.equal(batch.photo, before.photo)
    assert batch.palette is not None and before.palette is not None and torch.equal(batch.palette, before.palette)
    half = load(batches, 0, slice(3, 6))
    assert torch.equal(half.photo, batch.photo[3:])
