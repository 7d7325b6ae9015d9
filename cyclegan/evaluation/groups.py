"""Groups of pairs, such as those of one style or one hair colour, whose figures are given apart."""

from collections import defaultdict
from pathlib import Path
from typing import Any

from ..data.sources import DataError
from ..images import ENDINGS
from .published import read_json

MOST = 12  # values: an attribute that has more, such as a name, makes no groups
Groups = dict[str, dict[str, list[int]]]  # attribute -> value -> the numbers of the pairs


def read_annotations(file: Path, names: list[str]) -> list[dict[str, Any]]:
    """Return the annotations of each pair from a JSON file, and none for pairs that are not in it.

    Args:
        file: `{"NAME": {"attribute": value, ...}, ...}`, or a list of annotations that each have an `image_name`, as
            FS2K's own files.
        names: of the pairs, with or without the folder of a style. An extension in the file does not matter.

    Raises:
        DataError: the file is missing, is something else, or names none of the pairs.
    """
    read = read_json(file)
    if isinstance(read, list):
        read = {str(one.get("image_name")): one for one in read if isinstance(one, dict)}
    if not isinstance(read, dict) or not all(isinstance(one, dict) for one in read.values()):
        raise DataError(f"{file} must map the name of each picture to its attributes, or be a list like FS2K's.")
    by_name = {_bare(name): one for name, one in read.items()}
    found = [by_name.get(_bare(name)) or by_name.get(_bare(name.partition("/")[2]), {}) for name in names]
    if not any(found):
        raise DataError(
            f"{file} names none of the pairs. Its first name is {next(iter(read), '')!r}, and theirs is {names[0]!r}."
        )
    return found


def _bare(name: str) -> str:
    """A name without its extension; what follows another dot is a part of the name."""
    path = Path(name.replace("\\", "/"))
    return path.with_suffix("").as_posix() if path.suffix.lower() in ENDINGS else path.as_posix()


def find_groups(annotations: list[dict[str, Any]]) -> Groups:
    """Group the pairs by each attribute that is a number, a word or a truth value, and has at most MOST values.

    >>> find_groups([{"smile": 0, "eye_color": [1, 2, 3]}, {"smile": 1}, {"smile": 0}])
    {'smile': {'0': [0, 2], '1': [1]}}
    """
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for number, one in enumerate(annotations):
        for attribute, value in one.items():
            if isinstance(value, int | str) and attribute != "image_name":
                groups[attribute][str(value)].append(number)
    return {
        attribute: {value: values[value] for value in sorted(values)}
        for attribute, values in groups.items()
        if 1 < len(values) <= MOST
    }
