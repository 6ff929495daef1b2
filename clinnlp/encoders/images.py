"""Pictures to the inputs of an image model, and a small network for those who have no checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from clinnlp.encoders.heads import head_settings
from clinnlp.encoders.loading import load_config, load_model, load_onto_base, quiet
from clinnlp.errors import CheckpointError, ConfigError, ImageError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PretrainedConfig

    from clinnlp.image import Image

__all__ = [
    "batches",
    "check_sizes",
    "image_classifier",
    "load_image_processor",
    "load_image_processor_dict",
    "model_inputs",
    "new_image_processor",
    "read_images",
    "resize",
    "small_network",
]

_STAGES = 4
_LEAST = {"image_size": 8}  # of all other sizes 1


def check_sizes(where: str, **given: Any) -> None:
    """Refuse sizes of a network of pictures or of its batches that are no whole numbers, or too small.

    Parameters
    ----------
    where : str
        Whose they are, for the message.
    **given : int or None
        By name; None is not looked at.

    Raises
    ------
    ConfigError
    """
    for name, size in given.items():
        if size is None:
            continue
        if isinstance(size, bool) or not isinstance(size, int):
            raise ConfigError(f"{where}: {name} must be a whole number, not {size!r}")
        if size < (least := _LEAST.get(name, 1)):
            raise ConfigError(f"{where}: {name} must be at least {least}, not {size}")


def small_network(image_size: int, width: int = 32) -> PretrainedConfig:
    """Describe a convolutional network that learns from a few hundred or thousand pictures on a CPU.

    Its basic residual blocks did better on small chest X-rays, and faster, than ConvNeXt blocks of the same widths.

    Parameters
    ----------
    image_size : int
        Height and width of its input in pixels, at least 8.
    width : int
        Channels of the first stage; each further one has twice as many.
    """
    from transformers import ResNetConfig

    # The stem quarters the side and each stage after the first halves it: two pixels are left, or more.
    side, stages = -(-image_size // 4), 1
    while side > 2 and stages < _STAGES:
        side, stages = -(-side // 2), stages + 1
    widths = [width * 2**i for i in range(stages)]
    return ResNetConfig(embedding_size=width, hidden_sizes=widths, depths=[2] * stages, layer_type="basic")


def image_classifier(checkpoint: str | None, labels: Sequence[str], is_new: bool, image_size: int, width: int) -> Any:
    """Read an image classifier, put a new head on one, or make a small network.

    Parameters
    ----------
    checkpoint : str or None
        None for a small network with random weights.
    labels : sequence of str
        Of the head.
    is_new : bool
        Whether the head is new.
    image_size, width : int
        Of the small network.

    Returns
    -------
    PreTrainedModel

    Raises
    ------
    CheckpointError
        If it cannot be read.
    """
    from transformers import AutoModelForImageClassification

    settings = head_settings(list(labels), multi_label=False)
    model: Any
    if checkpoint is None:
        config = small_network(image_size, width)
        config.update(settings)
        model = AutoModelForImageClassification.from_config(config).eval()
    elif is_new:
        model = load_onto_base(AutoModelForImageClassification, checkpoint, load_config(checkpoint, **settings))
    else:
        model = load_model(AutoModelForImageClassification, checkpoint)
    model.config.problem_type = settings["problem_type"]
    return model


def new_image_processor(image_size: int) -> Any:
    """Make the processor of a new network: the whole picture is resized to a square and scaled to -1..1."""
    from transformers import ViTImageProcessorPil

    return ViTImageProcessorPil(
        size={"height": image_size, "width": image_size}, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def load_image_processor(checkpoint: str) -> Any:
    """Read a checkpoint's image processor.

    Raises
    ------
    CheckpointError
        If there is none, or it needs a package that is not installed.
    """
    from transformers import AutoImageProcessor

    try:
        with quiet():
            return AutoImageProcessor.from_pretrained(checkpoint)
    except Exception as error:  # a broken file, an unknown class, a missing package: each raises its own
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(
            f"cannot read the image processor of {checkpoint}: {type(error).__name__}: {reason}"
        ) from None


def load_image_processor_dict(settings: Mapping[str, Any]) -> Any:
    """Make an image processor from what its `to_dict` gave.

    Raises
    ------
    CheckpointError
        If transformers has none of that name, or it needs a package that is not installed.
    """
    import transformers
    from transformers.image_processing_utils import BaseImageProcessor

    name = str(settings.get("image_processor_type", ""))
    # Without torchvision the class of this name is only a way, with a warning, to the one on Pillow.
    kind = getattr(transformers, f"{name}Pil", None) or getattr(transformers, name, None)
    if not (isinstance(kind, type) and issubclass(kind, BaseImageProcessor)):
        raise CheckpointError(f"the head has an image processor {name!r}, which transformers does not have")
    made: Any = kind
    try:
        return made.from_dict(dict(settings))
    except Exception as error:
        raise CheckpointError(f"the head's image processor cannot be made: {type(error).__name__}") from None


def resize(processor: Any, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Bring one picture to the size that a model reads, without scaling its values.

    Parameters
    ----------
    processor : image processor of transformers
    pixels : ndarray of uint8, shape (height, width, 3)

    Returns
    -------
    ndarray of uint8, shape (3, height of the model, width of the model)
    """
    made = processor(
        images=[pixels], do_rescale=False, do_normalize=False, return_tensors="np", input_data_format="channels_last"
    )
    return np.asarray(np.clip(made["pixel_values"][0], 0, 255), dtype=np.uint8)


def model_inputs(processor: Any, resized: Sequence[NDArray[np.uint8]]) -> torch.Tensor:
    """Scale resized pictures to the values that a model reads.

    Returns
    -------
    Tensor of float32, shape (pictures, 3, height, width)
    """
    import torch

    done = {name: False for name in ("do_resize", "do_center_crop", "do_pad") if getattr(processor, name, None)}
    made = processor(images=list(resized), return_tensors="np", input_data_format="channels_first", **done)
    pixels = torch.from_numpy(np.asarray(made["pixel_values"], dtype=np.float32))
    # Convolutions are a fifth faster where the channels of a pixel lie together, trained or not.
    return pixels.contiguous(memory_format=torch.channels_last)


def read_images(images: Sequence[Image], processor: Any) -> Iterator[NDArray[np.uint8]]:
    """Decode pictures one by one, and bring each to the size that a processor says.

    Parameters
    ----------
    images : sequence of Image
    processor : image processor of transformers

    Yields
    ------
    ndarray of uint8, shape (3, height, width)

    Raises
    ------
    ImageError
        If one cannot be decoded; the message says which.
    """
    for number, image in enumerate(images):
        try:
            pixels = image.view()
        except ImageError as error:
            raise ImageError(f"image {number}: {error}") from None
        yield resize(processor, pixels)


def batches(
    items: Iterator[NDArray[np.uint8]] | Sequence[NDArray[np.uint8]], size: int
) -> Iterator[list[NDArray[np.uint8]]]:
    """Group pictures; where shapes differ, as a processor may keep proportions, one shape to a group."""
    group: list[NDArray[np.uint8]] = []
    for item in items:
        if group and (len(group) == size or item.shape != group[0].shape):
            yield group
            group = []
        group.append(item)
    if group:
        yield group
