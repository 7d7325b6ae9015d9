import stat
from pathlib import Path

import pytest
import torch

from cyclegan.files import atomic
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


@pytest.mark.parametrize("content", [b"", b"no safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_a_damaged_state_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "step-00000001.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"step-00000001\.safetensors is damaged"):
        load_state(path)
