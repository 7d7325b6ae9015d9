"""The two directions in which pictures are translated."""

from enum import StrEnum


class Direction(StrEnum):
    """One of the two directions. Its string names the method, the endpoint, the tab and the file of the weights.

    >>> Direction.PHOTO_TO_SKETCH.back
    <Direction.SKETCH_TO_PHOTO: 'sketch_to_photo'>
    >>> Direction.to("sketch").words
    'photo to sketch'
    """

    PHOTO_TO_SKETCH = "photo_to_sketch"
    SKETCH_TO_PHOTO = "sketch_to_photo"

    @classmethod
    def to(cls, target: str) -> "Direction":
        """Return the direction that ends in `photo` or `sketch`."""
        return next(direction for direction in cls if direction.target == target)

    @property
    def source(self) -> str:
        """What goes in: `photo` or `sketch`."""
        return self.split("_to_")[0]

    @property
    def target(self) -> str:
        """What comes out: `photo` or `sketch`."""
        return self.split("_to_")[1]

    @property
    def back(self) -> "Direction":
        """The opposite direction."""
        return Direction.to(self.source)

    @property
    def words(self) -> str:
        """The direction in words: `photo to sketch`."""
        return self.replace("_", " ")
