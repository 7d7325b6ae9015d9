"""Upload releases and training states in the background, and download the newest state."""

import json
import os
import shlex
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import logging
from huggingface_hub.utils.tqdm import disable_progress_bars
from tqdm import tqdm

from ..files import atomic, point
from ..training.state import list_states
from .client import HTTP_ERRORS, HubError, one_line, writable

STATE_BRANCH = "training-state"


@dataclass(frozen=True)
class Upload:
    """A folder that becomes one commit on a branch, and the tags that move to it."""

    folder: Path
    title: str
    tags: tuple[str, ...] = ()
    branch: str = "main"

    def command(self, repo: str) -> str:
        """Return the commands with which a person can send it."""
        branch = [] if self.branch == "main" else ["--revision", self.branch]
        upload = ["hf", "upload", repo, str(self.folder), ".", "--commit-message", self.title, *branch]
        tags = [["hf", "repos", "tag", "create", repo, tag] for tag in self.tags]
        return " && ".join(map(shlex.join, [upload, *tags]))


class Uploads:
    """Uploads releases and training states in order while training continues, each as one commit.

    One thread does the work. A failed upload is reported once and retried before the next one. A waiting training state
    is dropped when a newer one arrives. What waits is also listed in a file, so that the next run sends what a killed
    one could not. After the constructor, only `finish` waits for the Hub.

    Args:
        repo: USER/NAME, created if needed.
        private: whether the repository must be private.
        scratch: a folder inside the run's, for the list of what waits and for the states on it.

    Raises:
        HubError: there is no write access to the repository.
    """

    def __init__(self, repo: str, private: bool, scratch: Path) -> None:
        disable_progress_bars()  # they and the client's warnings would tear those of training
        logging.set_verbosity_error()
        self._api, self.repo = writable(repo, private)
        self._scratch = scratch
        self._list, self._listing = scratch / f"{self.repo.replace('/', '--')}.json", Lock()
        self._waiting = deque(self._read_list())
        self._told = False
        self._more: SimpleQueue[bool] = SimpleQueue()
        for folder in self._scratch.glob("step-*"):
            if all(upload.folder != folder for upload in self._waiting):
                shutil.rmtree(folder, ignore_errors=True)  # a killed run was about to list it
        self._more.put(True)  # what the run before could not send
        self._thread = Thread(target=self._work, daemon=True)  # Ctrl-C need not wait for it
        self._thread.start()

    def release(self, folder: Path, title: str, tags: Iterable[str]) -> None:
        """Upload a release folder to `main` and move the tags, such as `epoch-12`, to its commit."""
        self._add(Upload(folder, title, tuple(tags)))

    def state(self, state: Path, *tables: Path) -> None:
        """Upload a training state and the existing tables to the branch `training-state`."""
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
        """Wait for what is on its way, and try once more what failed; KeyboardInterrupt ends the wait.

        Raises:
            HubError: something did not arrive; the message has the commands that send it.
        """
        self._more.put(False)
        with suppress(KeyboardInterrupt):
            self._thread.join()
            self._send_waiting()
        if self._waiting:
            commands = "\n".join(f"  {upload.command(self.repo)}" for upload in self._waiting)
            raise HubError(
                "Everything is saved here, but some uploads did not reach the Hub. Run the same command with --resume "
                f"to send them, or run\n{commands}"
            )
        shutil.rmtree(self._scratch, ignore_errors=True)

    def _add(self, upload: Upload) -> None:
        self._waiting.append(upload)
        self._write_list()
        self._more.put(True)

    def _read_list(self) -> list[Upload]:
        try:
            listed = json.loads(self._list.read_text())
            uploads = [
                Upload(self._scratch.parent / each["folder"], each["title"], tuple(each["tags"]), each["branch"])
                for each in listed
            ]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [upload for upload in uploads if upload.folder.is_dir()]

    def _write_list(self) -> None:
        with self._listing:
            # By their places in the run's folder, which may be moved or copied
            waiting = [
                asdict(upload) | {"folder": os.path.relpath(upload.folder, self._scratch.parent)}
                for upload in list(self._waiting)
            ]
            with atomic(self._list) as partial:
                partial.write_text(json.dumps(waiting))

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
                            f"Not sent to the Hub: {upload.folder} ({one_line(error)}). The upload is retried after "
                            "the next epoch and at the end.",
                            file=sys.stderr,
                        )
                    return  # what comes later waits too: the history stays in order
                self._told = False
            if upload.branch == STATE_BRANCH:
                shutil.rmtree(upload.folder, ignore_errors=True)
            self._waiting.popleft()
            with suppress(OSError):  # what stays on the list is only sent again
                self._write_list()

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
        """Move a tag. The Hub has no call for this, so an old tag is deleted first."""
        try:
            self._api.create_tag(self.repo, tag=tag, revision=commit)
        except HfHubHTTPError as error:
            if error.response.status_code != 409:
                raise
            self._api.delete_tag(self.repo, tag=tag)
            self._api.create_tag(self.repo, tag=tag, revision=commit)


def fetch_state(repo: str, output: Path) -> None:
    """Download the newest training state and its tables to the output folder.

    Nothing happens if the Hub has no state, or if the folder has one at least as new.

    Raises:
        HubError: there is no access, or the Hub cannot be reached.
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
        raise HubError(f"The training state of {repo} could not be downloaded: {one_line(error)} Try again.") from None
