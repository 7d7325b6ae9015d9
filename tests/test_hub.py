"""Pushing and pulling with the real client, to and from a Hub on loopback."""

import importlib
import os
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import ROOT, make_pipeline, picture, run
from hub_server import READER, STRANGER, WRITER, Commit, Fault, File, HubServer
from huggingface_hub import ModelCard, RepoCard, constants
from test_train import assert_equal, losses, train

import app
from cyclegan import FaceSketchPipeline, __main__
from cyclegan.directions import Direction
from cyclegan.hub.client import HubError
from cyclegan.hub.deploy import deploy, deploy_static
from cyclegan.hub.uploads import STATE_BRANCH, Uploads, fetch_state
from cyclegan.release import EMBEDDED, HubUnreachableError, WeightsError
from cyclegan.space.serving import Models
from cyclegan.training import TrainingError
from cyclegan.training.config import TrainConfig
from cyclegan.training.epoch import hub_dataset
from cyclegan.training.state import list_states, save_state

REPO = "ann/faces"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A fresh Hub that this process and those that it starts use, logged in, with an empty cache."""
    server = HubServer()
    server.start()
    try:
        settings = {
            "HF_ENDPOINT": server.endpoint,
            "HF_TOKEN": WRITER,
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(constants, "ENDPOINT", server.endpoint)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "home/hub"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield server
    finally:
        server.stop()


def releases(folder: Path, count: int) -> list[Path]:
    """Releases of different weights, the second with files large enough for parts."""
    folders = []
    for number in range(1, count + 1):
        folders.append(folder / f"epoch-{number:04d}")
        make_pipeline(number).save_pretrained(folders[-1])
    return folders


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_each_release_is_a_commit_and_a_tag(hub: HubServer, tmp_path: Path) -> None:
    first, second = releases(tmp_path, 2)
    (second / "large.safetensors").write_bytes(os.urandom(2_500_000))  # goes up in parts
    uploads = Uploads(REPO, private=True, scratch=tmp_path / "scratch")
    uploads.release(first, "Epoch 1", ("epoch-1", "best"))
    uploads.release(second, "Epoch 2", ("epoch-2", "best"))
    uploads.finish()
    repo = hub.repo(REPO)
    assert repo.private
    assert repo.titles() == ["Epoch 1", "Epoch 2"]
    assert repo.files("epoch-1") == content(first)
    assert repo.files("epoch-2") == repo.files("main") == repo.files("best") == content(second)
    assert any("/2" in request for request in hub.requests if request.startswith("PUT"))
    assert not (tmp_path / "scratch").exists()
    with pytest.raises(WeightsError, match="neither a folder nor a repository"):
        FaceSketchPipeline.from_pretrained(REPO, token=False)


@pytest.mark.parametrize("fault", [Fault("PUT /lfs"), Fault("POST .*/commit/", 500), Fault("POST .*/tag/", 429)])
def test_a_failed_upload_goes_with_the_next(
    hub: HubServer, tmp_path: Path, fault: Fault, capfd: pytest.CaptureFixture[str]
) -> None:
    """Cut in the middle of a file, refused as a commit, or arrived without its tag."""
    first, second = releases(tmp_path, 2)
    hub.faults.append(fault)
    uploads = Uploads(REPO, private=False, scratch=tmp_path / "scratch")
    uploads.release(first, "Epoch 1", ("epoch-1",))
    uploads.release(second, "Epoch 2", ("epoch-2",))
    uploads.finish()
    assert fault.times == 0
    repo = hub.repo(REPO)
    assert repo.titles() == ["Epoch 1", "Epoch 2"]
    assert repo.files("epoch-1") == content(first)
    assert repo.files("epoch-2") == content(second)
    assert capfd.readouterr().err.count("Not sent to the Hub") == (fault.status is not None)


def test_training_does_not_wait_and_what_never_arrives_is_said(
    hub: HubServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    first, second = releases(tmp_path, 2)
    hub.open.clear()
    hub.faults.append(Fault("POST .*/commit/", 403, times=9))
    uploads = Uploads(REPO, private=False, scratch=tmp_path / "scratch")
    uploads.release(first, "Epoch 1", ("epoch-1",))
    uploads.release(second, "Epoch 2", ("epoch-2",))  # returns, though the first is not through
    assert hub.repo(REPO).titles() == []
    hub.open.set()
    with pytest.raises(HubError) as caught:
        uploads.finish()
    command = f"hf upload {REPO} {first} . --commit-message 'Epoch 1' && hf repos tag create {REPO} epoch-1"
    assert command in str(caught.value)
    assert capfd.readouterr().err.count("Not sent to the Hub") == 1

    resumed = Uploads(REPO, private=False, scratch=tmp_path / "scratch")  # --resume does what it promises
    hub.faults.clear()
    resumed.finish()
    assert hub.repo(REPO).titles() == ["Epoch 1", "Epoch 2"]
    assert hub.repo(REPO).files("epoch-2") == content(second)
    assert not (tmp_path / "scratch").exists()

    hub.repos.clear()
    hub.create(REPO)  # and so do the commands
    for line in str(caught.value).splitlines()[1:]:
        for words in line.strip().split(" && "):
            arguments = shlex.split(words)[1:]
            result = run("-c", "from huggingface_hub.cli.hf import main; main()", *arguments, env=os.environ)
            assert result.returncode == 0, result.stderr
    assert hub.repo(REPO).files("epoch-1") == content(first)
    assert hub.repo(REPO).files("main") == content(second)


@pytest.mark.parametrize("moved", [False, True])
def test_what_a_killed_run_did_not_send_is_sent_by_the_next(hub: HubServer, tmp_path: Path, moved: bool) -> None:
    run_folder = tmp_path / "run"
    first, second = releases(run_folder, 2)
    hub.open.clear()
    killed = Uploads(REPO, private=False, scratch=run_folder / ".uploads")
    killed.release(first, "Epoch 1", ("epoch-1",))
    state = save_state(run_folder / "states", 2, {"x": torch.ones(9)}, {}, keep=1)
    killed.state(state)
    killed.release(second, "Epoch 2", ("epoch-2",))
    killed._send = lambda upload: None  # type: ignore[method-assign]  # its process is gone
    left = (run_folder / ".uploads").rename(tmp_path / "left")
    hub.open.set()
    killed.finish()
    hub.repos.clear()
    left.rename(run_folder / ".uploads")
    if moved:
        run_folder = run_folder.rename(tmp_path / "moved")
    (run_folder / ".uploads/step-00000001").mkdir()  # never listed

    resumed = Uploads(REPO, private=False, scratch=run_folder / ".uploads")
    resumed.finish()
    repo = hub.repo(REPO)
    assert repo.titles() == ["Epoch 1", "Epoch 2"]
    assert repo.files("epoch-1") == content(run_folder / first.name)
    assert repo.files(STATE_BRANCH) == {state.name: (run_folder / "states" / state.name).read_bytes()}

    (run_folder / ".uploads").mkdir()
    (run_folder / ".uploads/ann--faces.json").write_text("[{")  # damaged: nothing is known to wait
    Uploads(REPO, private=False, scratch=run_folder / ".uploads").finish()
    assert repo.titles() == ["Epoch 1", "Epoch 2"]


@pytest.mark.parametrize(
    ("token", "repo", "words"),
    [
        (None, REPO, "no Hugging Face token.*hf auth login"),
        ("hf_mistyped", REPO, "does not accept the token"),
        (READER, REPO, "ann's token is read-only"),
        (STRANGER, REPO, "ben's token has no write access to ann/faces"),
        (STRANGER, "ann/private", "ben's token has no write access to ann/private"),
        (WRITER, "a/b/c", "is not a repository name"),
    ],
)
def test_a_token_that_cannot_write_is_refused_at_once(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, repo: str, words: str
) -> None:
    hub.create(REPO)
    hub.create("ann/private", private=True)
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(HubError, match=words):
        Uploads(repo, private=False, scratch=tmp_path / "scratch")


def test_what_must_be_private_is_not_sent_to_a_public_repository(hub: HubServer, tmp_path: Path) -> None:
    hub.create(REPO)
    with pytest.raises(HubError, match="ann/faces already exists and is public"):
        Uploads(REPO, private=True, scratch=tmp_path / "scratch")


@pytest.mark.parametrize("links", [True, False])
def test_a_state_survives_its_deletion_and_leaves_no_history(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:  # as on a mounted drive

        def refuse(source: Path, target: Path) -> None:
            raise OSError

        monkeypatch.setattr(os, "link", refuse)
    states, losses = tmp_path / "states", tmp_path / "losses.csv"
    uploads = Uploads(REPO, private=False, scratch=tmp_path / "scratch")
    hub.open.clear()
    for step in (1, 2, 3):
        losses.write_text("\n".join(["step", *map(str, range(1, step + 1)), ""]))
        uploads.state(save_state(states, step, {"x": torch.full((9,), step)}, {}, keep=1), losses)
    (state,) = list_states(states)
    saved = state.read_bytes()
    state.unlink()
    hub.open.set()
    uploads.finish()
    repo = hub.repo(REPO)
    assert repo.titles(STATE_BRANCH) == ["State after step-00000003"]
    assert repo.files(STATE_BRANCH) == {state.name: saved, "losses.csv": losses.read_bytes()}
    other = tmp_path / "other"
    hub.faults.append(Fault("GET /cdn/"))
    fetch_state(REPO, other)
    assert content(other / "states") == {state.name: saved, "latest": saved}
    assert (other / "losses.csv").read_text() == losses.read_text()
    assert {file.name for file in other.iterdir()} == {"states", "losses.csv"}


def test_nothing_to_fetch_changes_nothing(hub: HubServer, tmp_path: Path) -> None:
    fetch_state("ann/none", tmp_path)
    hub.create(REPO)
    fetch_state(REPO, tmp_path)
    assert not list(tmp_path.glob("states"))


# Loading


@pytest.fixture
def pushed(hub: HubServer, tmp_path: Path) -> HubServer:
    """A repository with two releases, `epoch-1` and `main`."""
    uploads = Uploads(REPO, private=False, scratch=tmp_path / "scratch")
    for number, folder in enumerate(releases(tmp_path / "pushed", 2), 1):
        uploads.release(folder, f"Epoch {number}", (f"epoch-{number}",))
    uploads.finish()
    hub.requests.clear()
    return hub


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits for half a minute in all before it gives a network up; not here."""
    for module in ("utils._http", "file_download"):
        clock = SimpleNamespace(sleep=lambda seconds: None, time=time.time)
        monkeypatch.setattr(importlib.import_module(f"huggingface_hub.{module}"), "time", clock)


def sketch(pipe: FaceSketchPipeline) -> bytes:
    return pipe.photo_to_sketch(picture(0)).tobytes()


def test_a_revision_is_loaded_once_and_then_from_the_cache(pushed: HubServer) -> None:
    first = FaceSketchPipeline.from_pretrained(f"{REPO}@epoch-1")
    assert sketch(first) == sketch(make_pipeline(1))
    assert (first.source, first.revision) == (f"{REPO}@epoch-1", pushed.repo(REPO).tags["epoch-1"])
    assert sketch(FaceSketchPipeline.from_pretrained(REPO)) == sketch(make_pipeline(2))
    pushed.requests.clear()
    again = FaceSketchPipeline.from_pretrained(REPO, revision="epoch-1")
    assert sketch(again) == sketch(first)
    assert [request.split()[0] for request in pushed.requests] == ["HEAD"]
    pushed.stop()
    assert sketch(FaceSketchPipeline.from_pretrained(REPO)) == sketch(make_pipeline(2))
    assert sketch(FaceSketchPipeline.from_pretrained(REPO, local_files_only=True)) == sketch(make_pipeline(2))


def test_a_release_that_changes_meanwhile_is_not_mixed(pushed: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The config is of the commit before the one that arrives while the weights are downloaded."""
    repo = pushed.repo(REPO)
    newest, repo.branches["main"] = repo.branches["main"], repo.tags["epoch-1"]

    class Log(list[str]):
        def append(self, request: str) -> None:
            if "photo_to_sketch" in request:
                repo.branches["main"] = newest

    monkeypatch.setattr(pushed, "requests", Log())
    assert sketch(FaceSketchPipeline.from_pretrained(REPO)) == sketch(make_pipeline(1))
    assert repo.branches["main"] == newest


def test_one_direction_alone_is_half_the_download(pushed: HubServer) -> None:
    pipe = FaceSketchPipeline.from_pretrained(REPO, direction="sketch_to_photo")
    assert not any("photo_to_sketch" in request for request in pushed.requests)
    assert pipe.sketch_to_photo(picture(0)).tobytes() == make_pipeline(2).sketch_to_photo(picture(0)).tobytes()
    with pytest.raises(WeightsError, match="no photo_to_sketch"):
        pipe.photo_to_sketch(picture(0))


def test_a_release_of_one_direction(tmp_path: Path) -> None:
    whole = make_pipeline()
    FaceSketchPipeline(whole.sketch_generator, None, 32, "cpu").save_pretrained(tmp_path)
    assert not (tmp_path / "sketch_to_photo.safetensors").exists()
    assert sketch(FaceSketchPipeline.from_pretrained(tmp_path)) == sketch(whole)
    with pytest.raises(WeightsError, match="no sketch_to_photo; it has only photo_to_sketch"):
        FaceSketchPipeline.from_pretrained(tmp_path, direction="sketch_to_photo")


@pytest.mark.usefixtures("impatient")
def test_a_cut_download_goes_on_where_it_was_cut(pushed: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    pushed.faults.append(Fault("GET /cdn/"))
    assert sketch(FaceSketchPipeline.from_pretrained(REPO)) == sketch(make_pipeline(2))
    assert pushed.faults[0].times == 0
    assert any(status == 206 for status in pushed.statuses)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("ann/none", "neither a folder nor a repository on the Hub that you have access to"),
        ("ann/private", "neither a folder nor a repository on the Hub that you have access to"),
        ("ann/gated", "ann/gated is gated. Request access"),
        (f"{REPO}@epoch-9", "ann/faces has no branch, tag or commit epoch-9"),
        ("ann/empty", "ann/empty has no config.json, so it is not a complete face-sketch release"),
        ("ann/bert", "no format_version, so it is not the config of a face-sketch release"),
        ("ann/future", "format version 9.* Update cyclegan"),
        ("ann/half", "ann/half has no photo_to_sketch.safetensors, so it is not a complete"),
        ("no such folder/at all", "neither a folder nor a repository name"),
    ],
)
def test_what_cannot_be_loaded_is_told_apart(
    pushed: HubServer, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    config = (ROOT / "cyclegan/weights/config.json").read_bytes()
    for name, text in (
        ("bert", b'{"model_type": "bert"}'),
        ("future", b'{"format_version": 9}'),
        ("half", config),
        ("empty", None),
    ):
        repo = pushed.create(f"ann/{name}")
        if text is not None:
            repo.commit("main", Commit("text", {"config.json": File(text, False)}, None))
    pushed.create("ann/private", private=True)
    pushed.create("ann/gated", gated=True)
    monkeypatch.setenv("HF_TOKEN", STRANGER)
    with pytest.raises(WeightsError, match=words) as caught:
        FaceSketchPipeline.from_pretrained(source, fallback=True)
    assert not isinstance(caught.value, HubUnreachableError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("status", [403, 401])
def test_no_access_is_not_taken_for_no_network(pushed: HubServer, status: int) -> None:
    pushed.faults.append(Fault("HEAD", status, times=99))
    with pytest.raises(WeightsError, match="access to ann/faces") as caught:
        FaceSketchPipeline.from_pretrained(REPO, fallback=True)
    assert not isinstance(caught.value, HubUnreachableError)


@pytest.mark.parametrize("fault", [Fault("HEAD", 500, times=99), Fault("HEAD", 429, times=99), None])
@pytest.mark.usefixtures("impatient")
def test_without_network_and_cache_there_are_the_embedded_weights(pushed: HubServer, fault: Fault | None) -> None:
    if fault:
        pushed.faults.append(fault)
    else:
        pushed.stop()
    with pytest.raises(HubUnreachableError, match=r"ann/faces (is not in the cache|could not be downloaded)"):
        FaceSketchPipeline.from_pretrained(REPO)
    with pytest.warns(UserWarning, match="embedded weights are used instead"):
        pipe = FaceSketchPipeline.from_pretrained(REPO, fallback=True)
    assert pipe.source == "embedded weights"


@pytest.mark.usefixtures("impatient")
def test_a_download_that_never_ends_well(pushed: HubServer) -> None:
    pushed.faults.append(Fault("GET /cdn/", times=99))
    with pytest.raises(HubUnreachableError, match="could not be downloaded"):
        FaceSketchPipeline.from_pretrained(REPO)


def test_the_methods_of_the_mixin_push_and_pull(hub: HubServer) -> None:
    make_pipeline().push_to_hub(REPO)
    assert sketch(FaceSketchPipeline.from_pretrained(REPO)) == sketch(make_pipeline())


# The Space


def test_a_space_gets_what_it_needs_and_the_second_time_nothing(hub: HubServer) -> None:
    hub.create(REPO)
    files = deploy("ann/demo", f"{REPO}@main", dry_run=True)
    assert hub.repos.keys() == {("model", REPO)}
    assert deploy("ann/demo", f"{REPO}@main")[-1] == f"{hub.endpoint}/spaces/ann/demo"
    space = hub.repo("ann/demo", "space")
    assert sorted(space.files()) == files[:-1]
    assert space.variables == {"CYCLEGAN_WEIGHTS": f"{REPO}@main"}
    assert space.files()["app.py"] == (ROOT / "app.py").read_bytes()
    assert {
        "cyclegan/weights/config.json",
        "web/texts/en.json",
        "requirements.txt",
        "examples/photos/anna.webp",
    } < space.files().keys()
    front = RepoCard(space.files()["README.md"].decode()).data
    assert front["sdk"] == "gradio"
    assert front["models"] == [REPO]
    assert front["preload_from_hub"] == [f"{REPO} config.json,photo_to_sketch.safetensors,sketch_to_photo.safetensors"]

    commits, uploads = len(space.commits), sum("PUT" in request for request in hub.requests)
    assert deploy("ann/demo", f"{REPO}@main")[0] == "Nothing to do"
    assert len(space.commits) == commits
    assert sum("PUT" in request for request in hub.requests) == uploads
    assert not any(request.startswith("POST") and "variables" in request for request in hub.requests[-40:])

    stray = space.commits[space.branches["main"]].files | {"old.py": File(b"", False)}
    space.commit("main", Commit("by hand", stray, space.branches["main"]))
    deploy("ann/demo", REPO)
    assert sorted(space.files()) == files[:-1]
    assert space.variables == {"CYCLEGAN_WEIGHTS": REPO}


def test_a_static_space_gets_the_page_with_the_headers_for_threads(hub: HubServer, tmp_path: Path) -> None:
    for name in ("index.html", "models/one.bin"):
        (tmp_path / "page" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "page" / name).write_bytes(b"content")
    files = deploy_static("ann/page", tmp_path / "page", f"{REPO}@main", dry_run=True)
    assert files == ["README.md", "index.html", "models/one.bin"]
    assert not hub.repos
    assert deploy_static("ann/page", tmp_path / "page", f"{REPO}@main")[-1] == f"{hub.endpoint}/spaces/ann/page"
    space = hub.repo("ann/page", "space")
    assert sorted(space.files()) == files
    front = RepoCard(space.files()["README.md"].decode()).data
    assert front["sdk"] == "static"
    assert front["models"] == [REPO]
    assert front["custom_headers"]["cross-origin-embedder-policy"] == "require-corp"
    assert deploy_static("ann/page", tmp_path / "page", f"{REPO}@main")[0] == "Nothing to do"


def test_a_token_that_may_not_write_is_told_before_the_page_is_made(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    monkeypatch.setattr(__main__, "export_web", lambda *_: pytest.fail("the page is made"))
    with pytest.raises(HubError, match="ann's token is read-only"):
        __main__.deploy("ann/page", static=True)
    assert not hub.repos


def test_a_space_that_was_made_otherwise_is_not_touched(hub: HubServer, tmp_path: Path) -> None:
    hub.create(REPO)
    space = hub.create("ann/precious", kind="space")
    space.commit("main", Commit("by hand", {"app.py": File(b"mine", False)}, space.branches["main"]))
    (tmp_path / "index.html").write_bytes(b"page")
    for deploy_one in (
        lambda **options: deploy("ann/precious", REPO, **options),
        lambda **options: deploy_static("ann/precious", tmp_path, REPO, **options),
    ):
        with pytest.raises(HubError, match="ann/precious was not created by this command"):
            deploy_one()
        assert "Refused without --replace: ann/precious was not made here." in deploy_one(dry_run=True)
        assert (space.files(), space.variables) == ({"app.py": b"mine"}, {})
    assert "delete app.py" in deploy_static("ann/precious", tmp_path, REPO, dry_run=True, replace=True)
    deploy_static("ann/precious", tmp_path, REPO, replace=True)
    assert space.files().keys() == {"README.md", "index.html"}
    deploy("ann/precious", REPO)
    assert "index.html" not in space.files()


def test_a_space_of_no_weights_or_of_somebody_else_is_refused(hub: HubServer) -> None:
    with pytest.raises(HubError, match=r"ann/demo could not be updated with ann/none: .*Not Found"):
        deploy("ann/demo", "ann/none")
    for space, weights in (("ann/my demo", REPO), ("ann/demo", "ann/faces\0")):
        with pytest.raises(HubError, match=r"could not be updated with .*: Repo id must"):
            deploy(space, weights, dry_run=space != "ann/demo")
    assert not hub.repos
    hub.create(REPO, private=True)
    assert "secret HF_TOKEN" in deploy("ann/demo", REPO)[-2]
    assert b"preload" not in hub.repo("ann/demo", "space").files()["README.md"]
    with pytest.raises(HubError, match="ann's token has no write access to ben/demo"):
        deploy("ben/demo", REPO)


def test_the_app_offers_the_weights_their_other_revisions_and_the_embedded_ones(
    pushed: HubServer, tmp_path: Path
) -> None:
    commit = pushed.repo(REPO).tags["epoch-1"]
    folder = tmp_path / "pushed/epoch-0002"
    for weights, offered in (
        (f"{REPO}@epoch-1", [f"{REPO}@epoch-1, commit {commit[:7]}", f"{REPO}@epoch-2", "embedded weights"]),
        (str(folder), ["epoch-0002", "embedded weights"]),
        (str(EMBEDDED), ["embedded weights"]),
    ):
        models = Models(weights)
        assert list(models.offers) == offered
        page = str(app.build(models).get_config_file())
        assert offered[0] in page
        assert str(tmp_path) not in page, "where a release lies on this machine is nobody's business"
    assert "SSIM" in models.figures("embedded weights")
    models = Models(f"{REPO}@epoch-1")
    converted = models.convert(Direction.PHOTO_TO_SKETCH, f"{REPO}@epoch-2", picture(0))
    assert converted.tobytes() == sketch(FaceSketchPipeline.from_pretrained(folder))


@pytest.mark.usefixtures("impatient")
def test_the_app_starts_without_a_hub(hub: HubServer) -> None:
    hub.stop()
    with pytest.warns(UserWarning, match="shows the embedded weights instead"):
        assert list(Models(REPO).offers) == ["embedded weights"]


# Training


def test_two_epochs_arrive_though_the_first_upload_fails_and_another_machine_goes_on(
    hub: HubServer, dataset: Path, tmp_path: Path
) -> None:
    push = ("--push-to-hub", REPO, "--push-state", "--hub-best")
    alone, first, second = (tmp_path / name for name in ("alone", "first", "second"))
    train(dataset, alone, "--epochs", "3")

    hub.faults.append(Fault("POST .*/commit/main", 500))
    printed = train(dataset, first, "--epochs", "3", "--max-steps", "8", *push)
    assert hub.faults[0].times == 0
    assert printed.count("Not sent to the Hub") == 1
    repo = hub.repo(REPO)
    assert [title.split(":")[0] for title in repo.titles()] == ["Epoch 1", "Epoch 2"]
    assert "fsim" in repo.titles()[0]
    assert repo.tags.keys() == {"epoch-1", "epoch-2", "best"}
    assert repo.tags["best"] == repo.tags[f"epoch-{int((first / 'best').resolve().name[-4:])}"]
    for revision, folder in (("epoch-1", "epoch-0001"), ("main", "epoch-0002")):
        assert repo.files(revision) == content(first / folder)
        pulled = FaceSketchPipeline.from_pretrained(REPO, revision=revision, cache_dir=tmp_path / revision)
        assert sketch(pulled) == sketch(FaceSketchPipeline.from_pretrained(first / folder))
    card = ModelCard(repo.files()["README.md"].decode())
    results: Any = card.data.to_dict()["model-index"][0]["results"]
    assert {result["dataset"]["config"] for result in results} == {"photo_to_sketch", "sketch_to_photo"}
    assert f'from_pretrained("{REPO}")' in card.text
    assert "7 photos and 5 sketches, not paired" in card.text
    assert repo.files(STATE_BRANCH).keys() == {"step-00000008.safetensors", "losses.csv", "figures.csv"}
    for content_of_a_file in repo.files(STATE_BRANCH).values():
        assert str(tmp_path).encode() not in content_of_a_file, "where it was trained is nobody's business"

    copied = shutil.copytree(dataset, tmp_path / "elsewhere", copy_function=shutil.copyfile)  # with other dates
    printed = train(copied, second, "--epochs", "3", *push, "--resume", "hub")
    assert "Resumed after step 8" in printed
    assert_equal(second, alone)
    assert losses(second) == losses(alone)
    assert len(repo.titles()) == 3
    assert repo.files("epoch-3") == content(second / "epoch-0003")


def test_what_is_not_on_the_hub_at_the_end_is_an_error_but_trained(
    hub: HubServer, dataset: Path, tmp_path: Path
) -> None:
    hub.faults.append(Fault("POST .*/commit/", 403, times=99))
    printed = train(dataset, tmp_path, "--max-steps", "1", "--push-to-hub", REPO, expect=1)
    assert f"hf upload {REPO} {tmp_path / 'step-00000001'} ." in printed
    FaceSketchPipeline.from_pretrained(tmp_path / "latest")


def test_a_token_that_only_reads_is_told_before_the_pictures_are_looked_for(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "read-only" in train(tmp_path / "none", tmp_path / "run", "--push-to-hub", REPO, expect=1)


def test_flags_that_need_a_repository_say_so() -> None:
    for flag, value in (("hub_private", True), ("hub_best", True), ("push_state", True), ("resume", "hub")):
        with pytest.raises(TrainingError, match="needs --push-to-hub USER/NAME"):
            TrainConfig("data", **{flag: value})  # type: ignore[arg-type]


def test_only_a_data_set_of_the_hub_is_named_in_the_card(tmp_path: Path) -> None:
    assert hub_dataset("hf:ann/faces:train") == hub_dataset("hf:ann/faces") == "ann/faces"
    assert hub_dataset(f"hf:{tmp_path}") is hub_dataset(str(tmp_path)) is None
