"""The client of the Hub: its errors in sentences, and write access to repositories."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # httpx2 from version 2 on

HTTP_ERRORS: tuple[type[Exception], ...] = (httpx.HTTPError, OSError)


class HubError(ValueError):
    """The Hub refuses a request or cannot be reached. The message says what to do."""


def writable(repo: str, private: bool, kind: Literal["model", "space"] = "model", **creation: Any) -> tuple[HfApi, str]:
    """Create a repository if needed, check write access, and return the client and the full name.

    Args:
        repo: USER/NAME, or NAME for the user of the token.
        private: whether the repository must be private.
        creation: other settings of a new repository, such as `space_sdk`.

    Raises:
        HubError: the token is missing or has no write access, the repository is public but must be private, its name
            is invalid, or the Hub cannot be reached.
    """
    user = check_token()
    api = HfApi()
    with _refusals(repo, user):
        repo = api.create_repo(repo, private=private or None, repo_type=kind, exist_ok=True, **creation).repo_id
        api.auth_check(repo, repo_type=kind, write=True)
        if private and not api.repo_info(repo, repo_type=kind).private:
            raise HubError(f"{repo} already exists and is public. Make it private in its settings, or choose another.")
    return api, repo


def check_token() -> str:
    """Return the name of the user whose token is set, after a look whether it may write.

    Raises:
        HubError: the token is missing or read-only, or the Hub cannot be reached.
    """
    with _refusals("the account", "nobody"):
        account = HfApi().whoami()
    if account.get("auth", {}).get("accessToken", {}).get("role") == "read":
        raise HubError(f"{account['name']}'s token is read-only. {_TOKEN}")
    return account["name"]


@contextmanager
def _refusals(repo: str, user: str) -> Iterator[None]:
    """Say in a sentence why the Hub refuses."""
    try:
        yield
    except LocalTokenNotFoundError:
        raise HubError(f"There is no Hugging Face token. {_TOKEN}") from None
    except HFValidationError as error:
        raise HubError(f"{repo!r} is not a repository name of the form USER/NAME ({error}).") from None
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            raise HubError(f"The Hub does not accept the token. {_TOKEN}") from None
        if error.response.status_code in (403, 404):
            raise HubError(f"{user}'s token has no write access to {repo}. {_TOKEN}") from None
        raise HubError(f"The Hub refused {repo}: {one_line(error)}") from None
    except HTTP_ERRORS as error:
        raise HubError(f"The Hub at {HfApi().endpoint} cannot be reached: {one_line(error)}") from None


_TOKEN = (
    "Create one with write access at https://huggingface.co/settings/tokens. Then run `hf auth login` or set HF_TOKEN."
)


def list_revisions(repo: str) -> list[str]:
    """Return the tags of a repository: `best`, then the newest epochs first. Without an answer, return none."""
    try:
        tags = [tag.name for tag in HfApi().list_repo_refs(repo).tags]
    except HTTP_ERRORS:
        return []
    return sorted(tags, key=lambda name: int("".join(filter(str.isdecimal, name)) or 10**9), reverse=True)


def split_revision(weights: str) -> tuple[str, str | None]:
    """Split a repository name from its revision.

    >>> split_revision("user/repo@epoch-12")
    ('user/repo', 'epoch-12')
    >>> split_revision("user/repo")
    ('user/repo', None)
    """
    repo, _, revision = weights.partition("@")
    return repo, revision or None


def one_line(error: BaseException) -> str:
    """Join the paragraphs of an error of the Hub's client into one line."""
    cause = str(error.__cause__ or "")
    return " ".join(f"{error} {'' if cause in str(error) else cause}".split())
