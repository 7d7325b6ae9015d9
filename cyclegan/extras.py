"""The optional parts of the installation."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

LAUNCHERS = "ACCELERATE_|MASTER_|(LOCAL_)?(RANK|WORLD_SIZE)$|CUDA_VISIBLE_DEVICES$"


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


@contextmanager
def launching(error: type[Exception]) -> Iterator[None]:
    """Turn whatever the settings of a launcher make fail in the block into a sentence that names them.

    Args:
        error: what is raised.
    """
    try:
        yield
    except error:
        raise
    except Exception as reason:  # Accelerate and torch raise nearly anything where a variable says nonsense
        given = [f"{name}={value}" for name, value in sorted(os.environ.items()) if re.match(LAUNCHERS, name)]
        raise error(
            f"Accelerate cannot start: {' '.join(str(reason).split()).rstrip('.'):.300}. Change or unset what is "
            f"wrong in the environment: {' '.join(given) or 'nothing is set'}."
        ) from None


def install(name: str) -> str:
    """The command that installs an extra."""
    return f"pip install 'cyclegan[{name}]' (in a checkout: pip install '.[{name}]')"
