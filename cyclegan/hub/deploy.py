"""Deploy this app to a Space, with the release that it runs."""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, RepoCard
from huggingface_hub.errors import EntryNotFoundError, HFValidationError, RepositoryNotFoundError

from ..directions import Direction
from .client import HTTP_ERRORS, HubError, one_line, split_revision, writable

ERRORS: tuple[type[Exception], ...] = (*HTTP_ERRORS, HFValidationError)
MARK = "cyclegan-deploy"  # the tag of a Space that was made here


def deploy(space: str, weights: str, dry_run: bool = False, private: bool = False, replace: bool = False) -> list[str]:
    """Create or update a Gradio Space with the files that it needs, and nothing else.

    Args:
        space: USER/NAME. weights: USER/REPO[@revision]: the release that the Space loads when it starts.
        dry_run: send nothing. replace: take a Space that was not made here too, and delete its files.

    Returns:
        What it did, or would do, line by line.

    Raises:
        HubError: this is no checkout of the project, there are no such weights, the Space was not made here, or the
            Hub refuses.
    """
    root = Path(__file__).parents[2]
    if not (root / "app.py").is_file():
        raise HubError(f"There is no app.py in {root}. Run this command in a checkout of the project.")
    repo, revision = split_revision(weights)
    files = [root / name for name in ("app.py", "requirements.txt", "LICENSE", "examples/preview.jpg")]
    files += root.glob("examples/*/*.webp")
    for folder in ("cyclegan", "web"):
        files += [file for file in root.glob(f"{folder}/**/*") if file.is_file() and "__pycache__" not in file.parts]
    names = {file.relative_to(root).as_posix() for file in files} | {"README.md"}
    variable = repo if revision is None else f"{repo}@{revision}"
    done = []
    try:
        if dry_run:
            return [*sorted(names), *_losses(HfApi(), space, names, replace), f"CYCLEGAN_WEIGHTS={variable}"]
        hidden = HfApi().model_info(repo, revision=revision).private
        api, space = writable(space, private, "space", space_sdk="gradio")
        _see_that_it_is_ours(api, space, replace)
        before = api.space_info(space).sha
        if (old := api.get_space_variables(space).get("CYCLEGAN_WEIGHTS")) is None or old.value != variable:
            api.add_space_variable(space, "CYCLEGAN_WEIGHTS", variable)
            done.append(f"CYCLEGAN_WEIGHTS={variable}")
        content: dict[str, Path | bytes] = {name: root / name for name in sorted(names)}
        content["README.md"] = _front_page(root / "README.md", repo, preload=not hidden)
        commit = _replace_files(api, space, content, "Update the app")
    except ERRORS as error:
        raise HubError(f"{space} could not be updated with {repo}: {one_line(error)}") from None
    if commit != before:
        done.append(f"Files committed as {commit[:7]}")
    if hidden:
        done.append(f"{repo} is private. Add a secret HF_TOKEN with read access in the settings of the Space.")
    return [*(done or ["Nothing to do"]), f"{api.endpoint}/spaces/{space}"]


STATIC = """---
title: Face photo ↔ sketch, on your own device
emoji: ✏️
sdk: static
pinned: false
license: other
license_name: that-of-the-weights
custom_headers:
  cross-origin-embedder-policy: require-corp
  cross-origin-opener-policy: same-origin
  cross-origin-resource-policy: cross-origin
---
Pictures are converted in the visitor's own browser: none is uploaded.
"""


def deploy_static(
    space: str,
    folder: Path,
    weights: str | None,
    dry_run: bool = False,
    private: bool = False,
    replace: bool = False,
) -> list[str]:
    """Create or update a static Space with an exported page, and nothing else.

    Args:
        space: USER/NAME. folder: what `export --format web` made. weights: the repository that the card names.
        dry_run, replace: as in `deploy`.

    Returns:
        What it did, or would do, line by line.

    Raises:
        HubError: the Space was not made here, or the Hub refuses.
    """
    files: dict[str, Path | bytes] = {
        file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()
    }
    card = RepoCard(STATIC)
    card.data["tags"] = [MARK]
    if weights:
        card.data["models"] = [split_revision(weights)[0]]
    files["README.md"] = str(card).encode()
    try:
        if dry_run:
            return [*sorted(files), *_losses(HfApi(), space, files, replace)]
        api, space = writable(space, private, "space", space_sdk="static")
        _see_that_it_is_ours(api, space, replace)
        before = api.space_info(space).sha
        commit = _replace_files(api, space, files, "Update the page")
    except ERRORS as error:
        raise HubError(f"{space} could not be brought up to date: {one_line(error)}") from None
    done = [f"Files committed as {commit[:7]}"] if commit != before else ["Nothing to do"]
    return [*done, f"{api.endpoint}/spaces/{space}"]


def _losses(api: HfApi, space: str, names: Iterable[str], replace: bool) -> list[str]:
    """Say line by line which files of a Space would be deleted, and whether it would be refused."""
    try:
        there = set(api.list_repo_files(space, repo_type="space"))
    except RepositoryNotFoundError:
        return []
    refused = [] if replace or _made_here(api, space) else [f"Refused without --replace: {space} was not made here."]
    return [*(f"delete {name}" for name in sorted(there - set(names) - {".gitattributes"})), *refused]


def _see_that_it_is_ours(api: HfApi, space: str, replace: bool) -> None:
    if not replace and not _made_here(api, space):
        raise HubError(
            f"{space} was not created by this command, which would replace its files. Choose another Space, or pass "
            "--replace. --dry-run lists the files that would be deleted."
        )


def _made_here(api: HfApi, space: str) -> bool:
    """Whether this command made a Space, or it is new: its README at most is there."""
    if set(api.list_repo_files(space, repo_type="space")) <= {".gitattributes", "README.md"}:
        return True
    with suppress(EntryNotFoundError, ValueError):  # no README, or one that is no model card
        return MARK in (RepoCard.load(space, repo_type="space").data.get("tags") or [])
    return False


def _replace_files(api: HfApi, space: str, content: dict[str, Path | bytes], message: str) -> str:
    """Make these the only files of a Space, in one commit -> its hash, or that of the last where nothing changes."""
    extra = set(api.list_repo_files(space, repo_type="space")) - set(content) - {".gitattributes"}
    # The client skips unchanged files and makes no empty commit
    operations = [CommitOperationAdd(path_in_repo=name, path_or_fileobj=file) for name, file in content.items()]
    removals = [CommitOperationDelete(path_in_repo=name) for name in sorted(extra)]
    return api.create_commit(space, [*operations, *removals], commit_message=message, repo_type="space").oid


def _front_page(readme: Path, repo: str, preload: bool) -> bytes:
    """Return the README. Its front matter names the model of the Space and the files to preload."""
    card = RepoCard(readme.read_text(encoding="utf-8"))
    card.data["models"] = [repo]
    card.data["tags"] = [*(card.data.get("tags") or []), MARK]
    if preload:
        files = ",".join(["config.json", *(f"{direction}.safetensors" for direction in Direction)])
        card.data["preload_from_hub"] = [f"{repo} {files}"]
    return str(card).encode()
