"""The notebook, executed: it trains on generated pictures and resumes from a Hub on loopback."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT
from hub_server import HubServer
from nbclient import NotebookClient
from test_hub import hub  # noqa: F401, a fixture


def test_it_trains_and_resumes_from_the_hub(
    hub: HubServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    (tmp_path / "code").symlink_to(ROOT)
    notebook = nbformat.read(ROOT / "examples/train.ipynb", as_version=4)
    (settings,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    network = "--image-size 32 --width 4 --blocks 1 --discriminator-width 8 --mixed-precision no"
    settings.source = f"code, repo, faces, epochs, batch_size, network = '', 'ann/faces', 9, 2, 4, '{network}'"
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=240, kernel_name="python3", resources=place).execute()
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", ()))
    assert "Traceback" not in printed
    assert "Resumed after step 1." in printed
    assert hub.repo("ann/faces").titles()[-1].startswith("Epoch 2")
    (sketch,) = notebook.cells[-2].outputs
    assert "image/png" in sketch.data
