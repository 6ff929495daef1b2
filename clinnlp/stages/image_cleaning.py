"""ImageCleaner: what pictures of different devices need before a model reads them, with the way back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

from clinnlp.cleaned_image import CleanedImage
from clinnlp.errors import ConfigError, ImageError
from clinnlp.image import Image
from clinnlp.record import Record
from clinnlp.stage import Stage
from clinnlp.stages._image_steps.crop import crop
from clinnlp.stages._image_steps.denoise import denoise_median, denoise_nlm
from clinnlp.stages._image_steps.deskew import deskew
from clinnlp.stages._image_steps.intensity import contrast, normalise
from clinnlp.stages._image_steps.resize import resize

__all__ = ["DEFAULT_STEPS", "STEPS", "ImageCleaner", "Step"]

Step = Callable[..., CleanedImage]
"""Makes a cleaned image of another, with settings by name."""

STEPS: Mapping[str, Step] = MappingProxyType(
    {
        "denoise_median": denoise_median,
        "denoise_nlm": denoise_nlm,
        "normalise": normalise,
        "contrast": contrast,
        "deskew": deskew,
        "crop": crop,
        "resize": resize,
    }
)
"""All steps by name, in the order in which each is of most use to the next."""

DEFAULT_STEPS = ("normalise", "deskew", "crop", "resize")
"""What makes pictures of different devices alike; the other steps change what is seen in them, and are asked for."""


class ImageCleaner(Stage):
    """Cleans the pictures of records and puts the pixels, with the way back, into `Image.cleaned`.

    The steps, in their order:

    - `denoise_median`: the median of a small square around each pixel; takes away single odd pixels.
    - `denoise_nlm`: non-local means, by the noise that is found in the picture. Slow on large ones: crop and resize
      them first.
    - `normalise`: brings two percentiles of the brightness to black and white.
    - `contrast`: contrast limited adaptive histogram equalisation (CLAHE).
    - `deskew`: turns a scan upright by the angle of its straight edges; does nothing where none stands out.
    - `crop`: cuts black borders off, and what is written into them, by the largest bright region. It is not there to
      take names out of a picture: what is written over the body stays.
    - `resize`: brings the longest side to one size, and pads where that is asked for.

    The raw picture stays as it is; of several frames the first is cleaned. Where the image brings cleaned pixels,
    those are cleaned further, unless the same steps with the same settings made them. `Image.view` gives them to
    who reads the picture, as `ImageClassifier` does. They are held in memory as long as the record, up to half a
    gigabyte of all images together; beyond that, those of the oldest are let go, and made again when they are asked
    for. A picture that cannot be decoded is its record's error, and leaves the pictures of that record as they
    were.

    Parameters
    ----------
    steps : sequence of str, optional
        Names of the steps, in order; by default `normalise`, `deskew`, `crop` and `resize`.
    size : int
        Longest side after `resize`, in pixels.
    pad : bool
        Whether `resize` makes the picture square.
    percentiles : tuple of float
        Which `normalise` brings to black and white.
    clip_limit : float
        How much `contrast` may raise it, between 0 and 1.
    median : int
        Side of the square that `denoise_median` looks at, in pixels, odd.
    max_angle : float
        Largest angle in degrees that `deskew` looks for, to either side; at most 45.
    name : str, optional
        Name in a pipeline; by default `image_cleaning`.

    Raises
    ------
    ConfigError
        If a step is unknown or named twice, or a setting has a value that cannot be used.
    """

    kind = "image_cleaning"
    uses = ("images",)
    assigns = ("images",)

    def __init__(
        self,
        steps: Sequence[str] | None = None,
        *,
        size: int = 512,
        pad: bool = False,
        percentiles: tuple[float, float] = (1.0, 99.0),
        clip_limit: float = 0.01,
        median: int = 3,
        max_angle: float = 15.0,
        name: str | None = None,
    ) -> None:
        super().__init__(name)
        self.steps = _checked(steps)
        low, high = percentiles
        for fits, told in (
            (size >= 1, f"size is at least 1 pixel, not {size}"),
            (0 <= low < high <= 100, f"percentiles are two between 0 and 100, the smaller first, not {low}, {high}"),
            (0 < clip_limit <= 1, f"clip_limit is between 0 and 1, not {clip_limit}"),
            (median >= 1 and median % 2 == 1, f"median is an odd number of pixels, not {median}"),
            (0 < max_angle <= 45, f"max_angle is above 0 and at most 45 degrees, not {max_angle}"),
        ):
            if not fits:
                raise ConfigError(f"stage {self.name!r}: {told}")
        self.size, self.pad, self.percentiles = size, pad, (float(low), float(high))
        self.clip_limit, self.median, self.max_angle = clip_limit, median, max_angle

    def process(self, records: Sequence[Record]) -> None:
        """Fill in `Image.cleaned` of all pictures, also where no step changed anything."""
        for record in records:
            made = []
            for number, image in enumerate(record.images):
                try:
                    made.append(self.clean(image))
                except ImageError as error:
                    raise ImageError(f"image {number}: {error}") from None
            for image, cleaned in zip(record.images, made, strict=True):
                image.cleaned = cleaned

    def clean(self, image: Image) -> CleanedImage:
        """Clean a picture, or go on with the cleaned one that it brings; the image stays as it is.

        Raises
        ------
        ImageError
            If it cannot be decoded.
        """
        settings = json.dumps(self.config())
        before = image.cleaned
        if before is not None and before.made_by == settings:
            return before
        source = Image(path=image.path, data=image.data, array=image.array)
        source.cleaned = before
        maker = partial(_clean, source, self._bound())
        return maker().made_again_by(maker, settings)

    def _bound(self) -> list[Step]:
        """Give the steps with their settings."""
        settings: dict[str, dict[str, Any]] = {
            "denoise_median": {"size": self.median},
            "normalise": {"percentiles": self.percentiles},
            "contrast": {"clip_limit": self.clip_limit},
            "deskew": {"max_angle": self.max_angle},
            "resize": {"size": self.size, "pad": self.pad},
        }
        return [partial(STEPS[name], **settings.get(name, {})) for name in self.steps]

    def config(self) -> dict[str, Any]:
        """Give the settings that make this stage again."""
        return {
            "steps": list(self.steps),
            "size": self.size,
            "pad": self.pad,
            "percentiles": list(self.percentiles),
            "clip_limit": self.clip_limit,
            "median": self.median,
            "max_angle": self.max_angle,
        }


def _clean(source: Image, steps: Sequence[Step]) -> CleanedImage:
    made = CleanedImage.of(source.pixels()) if source.cleaned is None else source.cleaned
    for step in steps:
        made = step(made)
    # A step that had nothing to do gives back what it was given, which is not to change.
    return made.then(made.pixels)


def _checked(steps: Sequence[str] | None) -> tuple[str, ...]:
    if steps is None:
        return DEFAULT_STEPS
    if isinstance(steps, str):
        raise ConfigError(f"steps is a list of names, not {steps!r}: give [{steps!r}]")
    for i, name in enumerate(steps):
        if name not in STEPS:
            raise ConfigError(f"unknown step {name!r}: known are {', '.join(STEPS)}")
        if name in steps[:i]:
            raise ConfigError(f"the step {name!r} is named twice: name it once")
    return tuple(steps)
