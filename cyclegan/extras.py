"""The optional parts of the installation."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def extra(name: str, what: str, error: type[Exception]) -> Iterator[None]:
    """Turn an import that fails in the block into a sentence with the command that installs the package.

    Args:
        name: the extra of pyproject.toml that has the package.
        what: what needs it, the subject of the sentence.
        error: what is raised.
    """
    try:
        yield
    except ModuleNotFoundError as missing:
        raise error(f"{what} needs the package {missing.name}: {install(name)}.") from None


def install(name: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'cyclegan[{name}]' (in a checkout: pip install '.[{name}]')"
