import errno
import os
import resource
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import ROOT, picture, run
from PIL import Image

from cyclegan.data.cache import Pictures
from cyclegan.data.layouts import DataSet
from cyclegan.data.sources import DataError, Source
from cyclegan.files import cache_folder
from cyclegan.images import crop_square, open_image, to_tensor

SIZE = 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CYCLEGAN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = tmp_path / "data/train/photos"
    photos.mkdir(parents=True)
    for number in range(6):
        picture(number).save(photos / f"{number}.png")
    return photos


def open_photos(folder: Path) -> tuple[Pictures, list[int]]:
    """The pictures of a folder, and the list of those that were read, which goes on growing."""
    source, reads = DataSet(str(folder.parent.parent)).find("photos"), []

    def read(index: int) -> Image.Image:
        reads.append(index)
        return source.read(index)

    return Pictures(replace(source, read=read), SIZE), reads


def test_a_picture_is_decoded_when_it_is_needed_and_by_the_next_run_not_again(folder: Path) -> None:
    photos, reads = open_photos(folder)
    assert photos.shape == (6, 3, SIZE, SIZE)
    some = photos[[4, 1, 4]]
    assert sorted(reads) == [1, 4]
    expected = [to_tensor(crop_square(open_image(folder / f"{number}.png"), SIZE)) for number in (4, 1, 4)]
    assert torch.equal(some, torch.stack(expected))
    assert torch.equal(photos[[4, 1, 4]], some)
    assert len(reads) == 2

    again, reads = open_photos(folder)
    assert torch.equal(again[[4, 1, 4]], some)
    assert not reads
    again[[0]]
    assert reads == [0]


def test_a_large_folder_starts_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "data/train/photos"
    folder.mkdir(parents=True)
    picture(0, (4, 4)).save(tmp_path / "tiny.png")
    content = (tmp_path / "tiny.png").read_bytes()
    for number in range(3000):
        (folder / f"{number}.png").write_bytes(content)
    photos, reads = open_photos(folder)
    photos[list(range(0, 3000, 100))]
    assert len(reads) == 30


def test_changed_pictures_are_decoded_anew_and_other_caches_stay(folder: Path, cache: Path) -> None:
    photos, _ = open_photos(folder)
    before = photos[[0, 1]]
    picture(9).save(folder / "1.png")
    changed, reads = open_photos(folder)
    assert torch.equal(changed[[0]], before[:1])
    assert not torch.equal(changed[[1]], before[1:])
    assert reads == [0, 1]
    assert torch.equal(photos[[0, 1]], before), "a run that goes on with the old ones"
    stat = (folder / "2.png").stat()
    os.utime(folder / "2.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    _, reads = open_photos(folder)
    assert len(list(cache.iterdir())) == 3


def test_what_was_half_written_is_decoded_again(folder: Path, cache: Path) -> None:
    photos, _ = open_photos(folder)
    whole = photos[list(range(6))]
    (file,) = cache.iterdir()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1  # of the last picture
    file.write_bytes(content)
    again, reads = open_photos(folder)
    assert torch.equal(again[list(range(6))], whole)
    assert reads == [5]


FILL = """
import hashlib, sys, time
from pathlib import Path
from cyclegan.data.cache import Pictures
from cyclegan.data.layouts import DataSet
photos = Pictures(DataSet(sys.argv[1]).find("photos"), 64)
order = list(range(len(photos)))[:: int(sys.argv[2])]
Path(sys.argv[1], f"ready{sys.argv[2]}").touch()
while len(list(Path(sys.argv[1]).glob("ready*"))) < 2:
    time.sleep(0.001)
for index in order:
    photos[[index]]
print(hashlib.sha256(photos[sorted(order)].numpy().tobytes()).hexdigest())
"""


def test_two_processes_fill_one_cache(tmp_path: Path, cache: Path) -> None:
    folder = tmp_path / "data/train/photos"
    folder.mkdir(parents=True)
    for number in range(60):
        picture(number).save(folder / f"{number}.png")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda step: run("-c", FILL, tmp_path / "data", step, cwd=ROOT), ("1", "-1")))
    assert all(result.returncode == 0 for result in results), results
    assert results[0].stdout == results[1].stdout
    assert len(list(cache.iterdir())) == 1
    source = DataSet(str(tmp_path / "data")).find("photos")

    def read(index: int) -> Image.Image:
        raise AssertionError("All are there.")

    direct = [to_tensor(crop_square(source.read(index), 64)) for index in range(60)]
    assert torch.equal(Pictures(replace(source, read=read), 64)[list(range(60))], torch.stack(direct))


def test_for_an_unreadable_picture_the_next_stands_in(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in (2, 3, 5):
        (folder / f"{number}.png").write_bytes(b"?")
    photos, reads = open_photos(folder)
    cold = photos[list(range(6))]
    assert torch.equal(cold, cold[[0, 1, 4, 4, 4, 0]])
    photos[[2, 3, 5]]
    assert len(reads) == 6
    printed = capsys.readouterr().out
    assert printed.count("Left out:") == 3
    assert printed.count("2.png is not a picture") == 1

    one_by_one, reads = open_photos(folder)
    warm = torch.cat([one_by_one[[index]] for index in (5, 4, 3, 2, 1, 0)]).flip(0)
    assert torch.equal(warm, cold)
    assert sorted(reads) == [2, 3, 5], "another run tries them again"
    assert capsys.readouterr().out.count("Left out:") == 3


def test_processes_that_share_a_cache_name_an_unreadable_picture_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "2.png").write_bytes(b"?")
    first, second = open_photos(folder)[0], open_photos(folder)[0]
    assert torch.equal(first[[2, 3]], second[[2, 3]])
    assert capsys.readouterr().out.count("Left out:") == 1


def test_a_domain_without_a_readable_picture_is_an_error(folder: Path) -> None:
    for file in folder.iterdir():
        file.write_bytes(b"?")
    photos, reads = open_photos(folder)
    with pytest.raises(DataError, match=r"None of the 6 pictures in .*train/photos can be read"):
        photos[[3]]
    assert len(reads) == 6


def test_a_full_disk_is_a_sentence(folder: Path) -> None:
    photos, _ = open_photos(folder)
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, unlimited[1]))  # in the middle of the first picture
    try:
        with pytest.raises(DataError, match=r"No space left on device\. Make room there, or set CYCLEGAN_CACHE"):
            photos[[0]]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    again, reads = open_photos(folder)
    assert len(again[[0]]) == len(reads) == 1, "nothing is taken for whole that is not"


def test_a_cache_that_cannot_be_made_is_a_sentence(folder: Path, cache: Path) -> None:
    cache.write_text("in the way")
    with pytest.raises(DataError, match=r"cannot be stored in .*cache.*: File exists\. Set CYCLEGAN_CACHE"):
        open_photos(folder)


def test_on_a_full_disk_no_hole_is_read_through_the_memory_map(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a full tmpfs that ends the process with SIGBUS: room for the marks is asked for first."""

    def full(file: int, start: int, size: int) -> None:
        assert (start, size) == (0, 4 * 6)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DataError, match=r"No space left on device\. Make room there, or set CYCLEGAN_CACHE"):
        open_photos(folder)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("CYCLEGAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "cyclegan"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache/cyclegan"


def test_the_source_may_be_anything_that_reads() -> None:
    source = Source("two colours", ["a", "b"], "1", lambda index: Image.new("RGB", (9, 7), ("red", "blue")[index]))
    assert Pictures(source, 4)[[1, 0]][:, :, 0, 0].tolist() == [[0, 0, 255], [255, 0, 0]]
