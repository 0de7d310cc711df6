"""What the hub's refusals mean, in one line that says what to do."""

from pathlib import Path
from textwrap import shorten
from typing import TypeVar

from huggingface_hub import errors as hub

from seesay.errors import SeesayError

Refusal = TypeVar("Refusal", bound=SeesayError)

NETWORK = hub.HTTPError
"""What huggingface_hub lets through when a connection breaks off; which library's it is differs between versions."""


def absent(kind: type[Refusal], name: str, error: Exception, *, file: str, repository: str) -> Refusal:
    """Tell why the hub did not give what was asked for.

    Args:
        kind: the error to make of it.
        name: of the repository.
        error: what huggingface_hub raised.
        file: the file that was asked for.
        repository: what the repository should have been, in words.
    """
    match error:
        case hub.GatedRepoError():
            return kind(
                f"{name} is gated on the hub",
                expected="a token with access to it",
                remedy="ask for access on its page, then run `hf auth login`",
            )
        case hub.RepositoryNotFoundError():
            return kind(
                f"no repository {name} on the hub, or a private one",
                expected="owner/name, or a folder",
                remedy="check the name; for a private one, run `hf auth login`",
            )
        case hub.RevisionNotFoundError():
            return kind(f"{name} has no such revision", expected="a branch, tag or commit of it")
        case _ if is_unreachable(error):
            return kind(
                f"{name} is no path here, is not on this machine, and the hub cannot be reached",
                expected="a network, or a folder",
                remedy="check the network and HF_HUB_OFFLINE",
            )
        case hub.EntryNotFoundError():
            return kind(f"{name} has no {file}", expected=repository)
        case _:
            return kind(f"{name}: {shorten(str(error), 200)}", expected="owner/name, or a folder")


def is_unreachable(error: Exception) -> bool:
    """Whether an error says that there is no way to the hub, rather than that the hub refuses.

    The HTTP library's own errors are told by the base class that huggingface_hub's share with them: which library that
    is has changed between its versions.
    """
    if isinstance(error, (hub.LocalEntryNotFoundError, hub.OfflineModeIsEnabled)):
        return True
    return isinstance(error, NETWORK) and not isinstance(error, hub.HfHubHTTPError)


def is_path(name_or_path: str | Path) -> bool:
    """Tell a path from a name on the hub, `owner/name`, which begins with a letter or digit."""
    return isinstance(name_or_path, Path) or name_or_path.startswith(("/", ".", "~"))
