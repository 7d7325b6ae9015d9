"""What reaches the Hub: releases and training states, sent in the background, and the Space."""

import os
import shlex
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, Literal

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import disable_progress_bars
from PIL import Image
from tqdm import tqdm

from .card import draw_curves
from .checkpoint import atomic, list_states, point
from .pipeline import DIRECTIONS, HTTP_ERRORS, FaceSketchPipeline, one_line, split_revision

STATE_BRANCH = "training-state"


class HubError(ValueError):
    """The Hub refuses or cannot be reached; the message says what to do."""


def write_release(pipeline: FaceSketchPipeline, folder: Path, samples: Image.Image, losses: Path, **card: Any) -> None:
    """Write a release folder, whole or not at all, and point `latest` beside it to it.

    Args:
        samples: the picture grid. losses: losses.csv, to draw. card: what the model card says, see `make_card`.
    """
    with atomic(folder) as partial:
        pipeline.save_pretrained(partial, model_card_kwargs=card | {"samples": True, "curves": True})
        samples.save(partial / "samples.png")
        draw_curves(losses).save(partial / "curves.png")
    point("latest", folder)


def writable(repo: str, private: bool, kind: Literal["model", "space"] = "model", **creation: Any) -> tuple[HfApi, str]:
    """Make a repository if there is none, see that the token may write to it, and return the client and its full name.

    Args:
        private: whether it must be private. creation: what else a new one is like: `space_sdk`.

    Raises:
        HubError: no token, a token that may not write there, a public repository, no such name, or no network.
    """
    api = HfApi()
    user = "nobody"
    try:
        account = api.whoami()
        user = account["name"]
        if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
            raise HubError(f"The token of {user} may only read. {_TOKEN}")
        repo = api.create_repo(repo, private=private or None, repo_type=kind, exist_ok=True, **creation).repo_id
        api.auth_check(repo, repo_type=kind, write=True)
        if private and not api.repo_info(repo, repo_type=kind).private:
            raise HubError(f"{repo} is there already and public: make it private in its settings, or name another.")
    except LocalTokenNotFoundError:
        raise HubError(f"There is no Hugging Face token. {_TOKEN}") from None
    except HFValidationError as error:
        raise HubError(f"{repo!r} names no repository ({error}): give USER/NAME.") from None
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            raise HubError(f"The Hub does not accept the token. {_TOKEN}") from None
        if error.response.status_code in (403, 404):
            raise HubError(f"The token of {user} may not write to {repo}. {_TOKEN}") from None
        raise HubError(f"The Hub refuses {repo}: {one_line(error)}") from None
    except HTTP_ERRORS as error:
        raise HubError(f"The Hub at {api.endpoint} cannot be reached: {one_line(error)}") from None
    return api, repo


_TOKEN = (
    "Make one with write access at https://huggingface.co/settings/tokens; give it by `hf auth login` or in HF_TOKEN."
)


@dataclass(frozen=True)
class Upload:
    """A folder that becomes one commit on a branch, with tags that are moved to it."""

    folder: Path
    title: str
    tags: tuple[str, ...] = ()
    branch: str = "main"

    def command(self, repo: str) -> str:
        """What a person types to send it."""
        branch = [] if self.branch == "main" else ["--revision", self.branch]
        upload = ["hf", "upload", repo, str(self.folder), ".", "--commit-message", self.title, *branch]
        tags = [["hf", "repos", "tag", "create", repo, tag] for tag in self.tags]
        return " && ".join(map(shlex.join, [upload, *tags]))


class Uploads:
    """Sends releases and training states to a repository while training goes on, in order, each as one commit.

    One thread. What failed waits and goes first with the next; a person is told once. A training state that waits
    is dropped for a newer one. Nothing but `finish` waits, or raises after the start.

    Args:
        repo: USER/NAME; made if there is none. private: whether it must be private.
        scratch: a folder of its own, for states on their way.

    Raises:
        HubError: at once, where the token may not write there.
    """

    def __init__(self, repo: str, private: bool, scratch: Path) -> None:
        disable_progress_bars()  # they and the client's warnings would tear those of training
        logging.set_verbosity_error()
        self._api, self.repo = writable(repo, private)
        self._scratch = scratch
        self._waiting: deque[Upload] = deque()
        self._told = False
        shutil.rmtree(scratch, ignore_errors=True)  # what a killed run left
        self._more: SimpleQueue[bool] = SimpleQueue()
        self._thread = Thread(target=self._work, daemon=True)  # Ctrl-C need not wait for it
        self._thread.start()

    def release(self, folder: Path, title: str, tags: Iterable[str]) -> None:
        """Send a release folder to `main`; the tags, such as `epoch-12`, move to its commit."""
        self._add(Upload(folder, title, tuple(tags)))

    def state(self, state: Path, *tables: Path) -> None:
        """Send a training state, and the tables until then that are there, to the branch `training-state`."""
        folder = self._scratch / state.stem
        folder.mkdir(parents=True, exist_ok=True)
        try:
            os.link(state, folder / state.name)  # training deletes old states, maybe before this one is sent
        except OSError:
            shutil.copyfile(state, folder / state.name)
        for table in filter(Path.exists, tables):
            shutil.copyfile(table, folder / table.name)  # it grows
        self._add(Upload(folder, f"State after {state.stem}", branch=STATE_BRANCH))

    def finish(self) -> None:
        """Wait for what is on its way, and try once more what failed.

        Raises:
            HubError: something did not arrive; the message has the commands that send it.
        """
        self._more.put(False)
        self._thread.join()
        self._send_waiting()
        if self._waiting:
            commands = "\n".join(f"  {upload.command(self.repo)}" for upload in self._waiting)
            raise HubError(f"The training is done and saved, but not all of it is on the Hub. Send it by\n{commands}")
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _add(self, upload: Upload) -> None:
        self._waiting.append(upload)
        self._more.put(True)

    def _work(self) -> None:
        while self._more.get():
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            upload, *later = self._waiting
            newer = upload.branch == STATE_BRANCH and any(other.branch == STATE_BRANCH for other in later)
            if not newer and upload.folder.is_dir():
                try:
                    self._send(upload)
                except Exception as error:  # whatever it is, training goes on
                    if not self._told:
                        self._told = True
                        tqdm.write(
                            f"Not sent to the Hub: {upload.folder} ({one_line(error)}). It is tried again after "
                            "the next epoch, and at the end.",
                            file=sys.stderr,
                        )
                    return  # what comes later waits too: the history stays in order
                self._told = False
            if upload.branch == STATE_BRANCH:
                shutil.rmtree(upload.folder, ignore_errors=True)
            self._waiting.popleft()

    def _send(self, upload: Upload) -> None:
        operations: list[Any] = [
            CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=file) for file in sorted(upload.folder.iterdir())
        ]
        if upload.branch == STATE_BRANCH:
            self._api.create_branch(self.repo, branch=STATE_BRANCH, exist_ok=True)
            kept = {".gitattributes", *(operation.path_in_repo for operation in operations)}
            for name in self._api.list_repo_files(self.repo, revision=STATE_BRANCH):
                if name not in kept:
                    operations.append(CommitOperationDelete(path_in_repo=name))
        # One commit; the client's upload_folder may make several
        commit = self._api.create_commit(self.repo, operations, commit_message=upload.title, revision=upload.branch)
        for tag in upload.tags:
            self._move_tag(tag, commit.oid)
        if upload.branch == STATE_BRANCH:
            with suppress(HfHubHTTPError):  # old states fill the account's storage, but do no other harm
                self._api.super_squash_history(self.repo, branch=STATE_BRANCH, commit_message=upload.title)

    def _move_tag(self, tag: str, commit: str) -> None:
        """Tags do not move on the Hub: an old one is deleted."""
        try:
            self._api.create_tag(self.repo, tag=tag, revision=commit)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            self._api.delete_tag(self.repo, tag=tag)
            self._api.create_tag(self.repo, tag=tag, revision=commit)


def fetch_state(repo: str, output: Path) -> None:
    """Bring the newest training state, and its tables, from the Hub to where training looks for them.

    Nothing happens where there is none yet, or one as new lies there already.

    Raises:
        HubError: no access or no network.
    """
    api = HfApi()
    try:
        found = api.model_info(repo, revision=STATE_BRANCH)
        names = [file.rfilename for file in found.siblings or []]
        newest = max((name for name in names if name.endswith(".safetensors")), default="")
        if newest <= max((state.name for state in list_states(output / "states")), default=""):
            return
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output, prefix=".hub-") as folder:
            tables = [name for name in names if name.endswith(".csv")]
            for name in [*tables, newest]:  # in this order no state is ever without its tables
                file = api.hf_hub_download(repo, name, revision=found.sha, local_dir=folder)
                with atomic(output / "states" / name if name == newest else output / name) as partial:
                    Path(file).replace(partial)
        point("latest", output / "states" / newest)
    except (RevisionNotFoundError, RepositoryNotFoundError):
        return
    except HTTP_ERRORS as error:
        raise HubError(f"The training state of {repo} did not arrive: {one_line(error)} Try again.") from None


def deploy(space: str, weights: str, dry_run: bool = False, private: bool = False) -> list[str]:
    """Create or update a Gradio Space with the files that it needs, and nothing else.

    Args:
        space: USER/NAME. weights: USER/REPO[@revision]: the release that the Space loads when it starts.
        dry_run: send nothing.

    Returns:
        What it did, or would do, line by line.

    Raises:
        HubError: this is no checkout of the project, there are no such weights, or the Hub refuses.
    """
    root = Path(__file__).parent.parent
    if not (root / "app.py").is_file():
        raise HubError(f"There is no app.py in {root}: run this in a checkout of the project.")
    repo, revision = split_revision(weights)
    files = [root / "app.py", root / "requirements.txt", root / "LICENSE", *root.glob("examples/*/*.png")]
    for folder in ("cyclegan", "web"):
        files += [file for file in root.glob(f"{folder}/**/*") if file.is_file() and "__pycache__" not in file.parts]
    names = {file.relative_to(root).as_posix() for file in files} | {"README.md"}
    variable = repo if revision is None else f"{repo}@{revision}"
    if dry_run:
        return [*sorted(names), f"CYCLEGAN_WEIGHTS={variable}"]

    done = []
    try:
        hidden = HfApi().model_info(repo, revision=revision).private
        api, space = writable(space, private, "space", space_sdk="gradio")
        before = api.space_info(space).sha
        if (old := api.get_space_variables(space).get("CYCLEGAN_WEIGHTS")) is None or old.value != variable:
            api.add_space_variable(space, "CYCLEGAN_WEIGHTS", variable)
            done.append(f"CYCLEGAN_WEIGHTS={variable}")
        content: dict[str, Path | bytes] = {name: root / name for name in sorted(names)}
        content["README.md"] = _front_page(root / "README.md", repo, preload=not hidden)
        extra = set(api.list_repo_files(space, repo_type="space")) - names - {".gitattributes"}
        # The client leaves out what is there already, and makes no empty commit
        operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in content.items()]
        removals = [CommitOperationDelete(path_in_repo=name) for name in sorted(extra)]
        commit = api.create_commit(space, [*operations, *removals], commit_message="Update the app", repo_type="space")
    except HTTP_ERRORS as error:
        raise HubError(f"{space} could not be brought up to date with {repo}: {one_line(error)}") from None
    if commit.oid != before:
        done.append(f"Files committed as {commit.oid[:7]}")
    if hidden:
        done.append(f"{repo} is private: give the Space a secret HF_TOKEN that may read it.")
    return [*(done or ["Nothing to do"]), f"{api.endpoint}/spaces/{space}"]


def _front_page(readme: Path, repo: str, preload: bool) -> bytes:
    """The README, whose front matter tells the Hub which model the Space shows, and which files to bring early."""
    card = RepoCard(readme.read_text(encoding="utf-8"))
    card.data["models"] = [repo]
    if preload:
        files = ",".join(["config.json", *(f"{direction}.safetensors" for direction in DIRECTIONS)])
        card.data["preload_from_hub"] = [f"{repo} {files}"]
    return str(card).encode()


def list_revisions(repo: str) -> list[str]:
    """The tags of a repository: `best`, then the epochs, the newest first; none where the Hub does not say."""
    try:
        tags = [tag.name for tag in HfApi().list_repo_refs(repo).tags]
    except HTTP_ERRORS:
        return []
    return sorted(tags, key=lambda name: int("".join(filter(str.isdecimal, name)) or 10**9), reverse=True)
