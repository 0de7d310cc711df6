"""Why `datasets` or the hub does not give what was asked for, in one line."""

from collections.abc import Generator
from contextlib import contextmanager
from textwrap import shorten

from seesay.errors import UnreadableImages

_SHOWN = 200  # characters of a reason


@contextmanager
def refusals(name: str) -> Generator[None]:
    """Turn what `datasets` raises while it looks for a dataset, prepares it or streams it into our own error.

    Args:
        name: the dataset's.

    Raises:
        UnreadableImages: a dataset that is missing, gated, out of reach, damaged, or run by code of its own.
    """
    from datasets.exceptions import DatasetNotFoundError, DatasetsError
    from huggingface_hub.errors import HTTPError  # of whichever library it makes its requests with

    try:
        yield
    except DatasetNotFoundError as error:
        raise UnreadableImages(
            f"{name}: {reason(error)}",
            expected="a folder, or a dataset on the hub that you have access to",
            remedy="check the name; for a gated or private one, ask for access on its page and run `hf auth login`",
        ) from error
    except (ConnectionError, TimeoutError, HTTPError) as error:
        raise UnreadableImages(
            f"{name} is no folder here, and cannot be had from the hub: {reason(error)}",
            expected="a network, or a folder",
            remedy="check the network and HF_HUB_OFFLINE",
        ) from error
    # `datasets` takes what a folder says about itself to be of the right form, so that it fails in any of these ways
    except (
        DatasetsError,
        OSError,
        ValueError,
        RuntimeError,
        ImportError,
        LookupError,
        TypeError,
        AttributeError,
    ) as error:
        raise UnreadableImages(
            f"cannot read the dataset {name}: {reason(error)}",
            expected="a dataset of images that needs no code of its own",
        ) from error


def reason(error: BaseException) -> str:
    """What an error says, without its line breaks and cut to a readable length."""
    from datasets.exceptions import DatasetGenerationError

    # what went wrong while rows were made is only told by the cause
    inner = error.__cause__ if isinstance(error, DatasetGenerationError) and error.__cause__ else error
    says = f"{inner!r}" if isinstance(inner, KeyError) else str(inner)  # a key alone tells nothing
    return shorten(says or type(inner).__name__, _SHOWN, placeholder=" ...").rstrip(".")
