"""The Hub's client: what it raises, in sentences, and which repositories may be written to."""

from typing import Any, Literal

from huggingface_hub import HfApi
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
)

# OSError, and the HTTPError of httpx or, from version 2 on, of httpx2. The library exports no name for the latter.
HTTP_ERRORS: tuple[type[Exception], ...] = HfHubHTTPError.__bases__


class HubError(ValueError):
    """The Hub refuses or cannot be reached; the message says what to do."""


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


def list_revisions(repo: str) -> list[str]:
    """The tags of a repository: `best`, then the epochs, the newest first; none where the Hub does not say."""
    try:
        tags = [tag.name for tag in HfApi().list_repo_refs(repo).tags]
    except HTTP_ERRORS:
        return []
    return sorted(tags, key=lambda name: int("".join(filter(str.isdecimal, name)) or 10**9), reverse=True)


def split_revision(weights: str) -> tuple[str, str | None]:
    """`user/repo@epoch-12` -> `user/repo`, `epoch-12`; no revision is None."""
    repo, _, revision = weights.partition("@")
    return repo, revision or None


def one_line(error: BaseException) -> str:
    """What the Hub's client says in paragraphs, in a line."""
    cause = str(error.__cause__ or "")
    return " ".join(f"{error} {'' if cause in str(error) else cause}".split())
