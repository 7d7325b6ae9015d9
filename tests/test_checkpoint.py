import errno
import os
import stat
from pathlib import Path

import pytest
import torch
from conftest import ROOT, run

from cyclegan.files import atomic, explain
from cyclegan.training import TrainingError
from cyclegan.training.state import list_states, load_state, save_state


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    network = torch.nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.rand(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    tree = {"network": network.state_dict(), "optimizer": optimizer.state_dict(), "empty": {}}
    path = save_state(tmp_path, 7, tree, {"config": {"width": 4}}, keep=2)
    step, loaded, facts = load_state(path)
    assert (step, facts) == (7, {"config": {"width": 4}})
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded["network"][name], tensor)
    copy = torch.optim.Adam(network.parameters())
    copy.load_state_dict(loaded["optimizer"])
    for number, moments in optimizer.state_dict()["state"].items():
        assert all(torch.equal(copy.state_dict()["state"][number][name], value) for name, value in moments.items())
    assert copy.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]


def test_only_the_newest_are_kept_and_latest_points_to_one(tmp_path: Path) -> None:
    for step in (5, 10, 100):
        save_state(tmp_path, step, {"x": torch.tensor(step)}, {}, keep=2)
    assert [file.name for file in list_states(tmp_path)] == ["step-00000010.safetensors", "step-00000100.safetensors"]
    assert load_state(tmp_path / "latest")[0] == 100
    assert stat.S_IMODE(list_states(tmp_path)[0].stat().st_mode) & 0o044, "others may read what umask lets them"


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    for target in (tmp_path / "file", tmp_path / "folder"):
        with pytest.raises(RuntimeError), atomic(target) as partial:
            partial.mkdir() if target.name == "folder" else partial.touch()
            raise RuntimeError
        assert not target.exists()
        for content in ("first", "second"):
            with atomic(target) as partial:
                if target.name == "folder":
                    partial.mkdir()
                    (partial / content).write_text(content)
                else:
                    partial.write_text(content)
        with pytest.raises(RuntimeError), atomic(target) as partial:
            partial.write_text("third")
            raise RuntimeError
    assert (tmp_path / "file").read_text() == "second"
    assert [file.name for file in (tmp_path / "folder").iterdir()] == ["second"]
    assert len(list(tmp_path.iterdir())) == 2


def test_writers_of_one_target_do_not_disturb_each_other(tmp_path: Path) -> None:
    for target in (tmp_path / "file", tmp_path / "folder"):
        with atomic(target) as slow:
            with atomic(target) as quick:
                for partial, content in ((slow, "slow"), (quick, "quick")):
                    if target.name == "folder":
                        partial.mkdir()
                        partial = partial / "file"
                    partial.write_text(content)
            assert (target / "file" if target.is_dir() else target).read_text() == "quick"
        assert (target / "file" if target.is_dir() else target).read_text() == "slow"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_name_may_be_as_long_as_the_file_system_lets_it(tmp_path: Path) -> None:
    with atomic(tmp_path / ("あ" * 83 + ".png")) as partial:
        partial.write_text("whole")
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_never_replaces_a_folder(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/kept").touch()
    with pytest.raises(IsADirectoryError), atomic(tmp_path / "results") as partial:
        partial.write_text("figures")
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "kept"]


def test_what_a_killed_run_left_is_deleted_and_what_is_being_written_is_not(tmp_path: Path) -> None:
    code = f"import os; from cyclegan.files import *\nwith atomic(Path({str(tmp_path)!r}) / 'a') as p: "
    for _ in range(2):
        assert run("-c", code + "p.mkdir(); (p / 'half').touch(); os._exit(9)", cwd=ROOT).returncode == 9
    old, new = tmp_path.iterdir()
    os.utime(old, (0, 0))
    with atomic(tmp_path / "b") as partial:
        partial.touch()
    assert set(tmp_path.iterdir()) == {new, tmp_path / "b"}


def test_a_share_that_brings_no_folder_to_the_disk_can_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(failure, "refused")

    monkeypatch.setattr(os, "fsync", fsync)
    failure = errno.EINVAL
    with atomic(tmp_path / "file") as partial:
        partial.touch()
    failure = errno.ENOSPC  # which some shares tell only now
    with pytest.raises(OSError, match="refused"), atomic(tmp_path / "other") as partial:
        partial.touch()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_error_names_what_was_asked_for_and_not_the_temporary_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=rf"{tmp_path}/file'$"), atomic(tmp_path / "file") as partial:
        partial.symlink_to("/dev/full")
        partial.write_text("more than fits")
    with pytest.raises(OSError, match=rf"{tmp_path}/folder/a'$"), atomic(tmp_path / "folder") as partial:
        (partial / "a").open("w")
    with pytest.raises(OSError, match=r"'/other'$"), atomic(tmp_path / "file") as partial:
        Path("/other").read_text()
    assert not [*tmp_path.iterdir()]


def test_only_a_full_disk_is_answered_with_make_room() -> None:
    assert "Make room" in explain(OSError(errno.ENOSPC, "No space left on device"))
    for number in (errno.EACCES, errno.ENAMETOOLONG, errno.EROFS, errno.EIO, errno.EFBIG, errno.ENOENT):
        assert explain(OSError(number, os.strerror(number), "a.png")) == f"a.png: {os.strerror(number)}."


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_state_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "step-00000001.safetensors"
    path.write_bytes(content)
    with pytest.raises(TrainingError, match=r"step-00000001\.safetensors is damaged"):
        load_state(path)
