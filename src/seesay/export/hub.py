"""Exports on the Hugging Face Hub: the tables with a card, and their upload, private unless asked otherwise."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import final

from huggingface_hub import HfApi, errors
from huggingface_hub.utils import validate_repo_id

from seesay.errors import InvalidSetting, UnusablePath
from seesay.export.card import Tally, card
from seesay.export.folder import MARK
from seesay.export.parquet import write_tables
from seesay.export.schema import TABLES
from seesay.export.source import Source
from seesay.hub import NETWORK, is_unreachable
from seesay.texts import one_line, shortened

CARD = "README.md"

_LICENCE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,60}")
_KIND = "dataset"


@final
class HuggingFaceHub:
    """The Hub, as whoever is logged in there on this machine.

    Args:
        endpoint: of another server that speaks as it does; None for the one that huggingface_hub is set to.
    """

    def __init__(self, endpoint: str | None = None) -> None:
        self._api = HfApi(endpoint=endpoint)

    def is_private(self, name: str) -> bool | None:
        """Whether a dataset is private; None if there is none of that name."""
        try:
            return bool(self._api.dataset_info(name).private)
        except errors.RepositoryNotFoundError:
            return None

    def make(self, name: str, *, is_private: bool) -> str:
        """Make a dataset, if it is not there, and return its address."""
        return str(self._api.create_repo(name, repo_type=_KIND, private=is_private, exist_ok=True))

    def send(self, folder: Path, name: str) -> None:
        """Upload a folder to a dataset."""
        self._api.upload_folder(
            repo_id=name,
            folder_path=folder,
            repo_type=_KIND,
            commit_message="Export from seesay",
            ignore_patterns=MARK,
            # of an earlier export, which may have held what this one shall not: images, say
            delete_patterns=[f"{table}.parquet" for table in TABLES],
        )


def write_dataset(
    folder: Path, sources: Sequence[Source], *, images: bool = False, licence: str | None = None
) -> dict[str, int]:
    """Write the tables of some runs with a card.

    Args:
        folder: that they go to.
        sources: the runs.
        images: also the images themselves.
        licence: as the Hub names it; None leaves it open.

    Returns:
        The rows of each table.

    Raises:
        UnusablePath: a run is damaged.
        UnreadableImage: a thumbnail is missing, or is none.
        OSError: the folder cannot be written.
    """
    tally = Tally()
    n_rows = write_tables(folder, sources, images=images, watch=tally.count)
    (folder / CARD).write_text(card(tally, n_rows, licence), "utf-8")
    return n_rows


def check_names(repo: str | None, licence: str | None) -> None:
    """Check names before any work is done.

    Args:
        repo: of the dataset.
        licence: as the Hub names it.

    Raises:
        InvalidSetting: one cannot be.
    """
    if repo is not None:
        try:
            validate_repo_id(repo)
            if "/" not in repo:
                raise errors.HFValidationError("whose?")
        except errors.HFValidationError as error:
            raise InvalidSetting(f"the dataset {repo!r}", expected="owner/name: letters, digits, - _ .") from error
    if licence is not None and not _LICENCE.fullmatch(licence):
        raise InvalidSetting(
            f"the licence {licence!r}", expected="a name that the Hub has for one, such as cc-by-4.0, or other"
        )


def check_visibility(hub: HuggingFaceHub, name: str, *, is_public: bool) -> bool | None:
    """Check that a dataset that is there already is not more public than is asked for.

    Args:
        hub: where it is.
        name: of the dataset.
        is_public: whether it may be read by all.

    Returns:
        Whether it is private; None if it is not there.

    Raises:
        InvalidSetting: it is public, which was not asked for.
        UnusablePath: the Hub cannot be asked.
    """
    try:
        is_private = hub.is_private(name)
    except _REFUSALS as error:
        raise refused(name, error) from error
    if is_private is False and not is_public:
        raise InvalidSetting(
            f"{name} is there, and everyone can read it",
            expected="a private dataset, as --public is not given",
            remedy="give --public, or another name",
        )
    return is_private


def upload(hub: HuggingFaceHub, folder: Path, name: str, *, is_public: bool) -> tuple[str, bool]:
    """Upload an export.

    Args:
        hub: where to.
        folder: that it lies in.
        name: of the dataset.
        is_public: whether it may be read by all, if it is made now.

    Returns:
        Its address, and whether it is private: one that was there before stays as it was.

    Raises:
        InvalidSetting: it is there and public, which was not asked for.
        UnusablePath: the Hub refuses, or cannot be reached; the folder is kept.
    """
    check_visibility(hub, name, is_public=is_public)
    try:
        address = hub.make(name, is_private=not is_public)
        # once more: the Hub may have made it otherwise than it was asked to
        is_private = bool(check_visibility(hub, name, is_public=is_public))
        hub.send(folder, name)
    except _REFUSALS as error:
        raise refused(name, error, folder) from error
    return address, is_private


_REFUSALS = (NETWORK, errors.OfflineModeIsEnabled, errors.LocalTokenNotFoundError, errors.BadRequestError)
"""What the Hub, or the way to it, may say no with."""


def refused(name: str, error: Exception, folder: Path | None = None) -> UnusablePath:
    """Tell why the Hub did not take something.

    Args:
        name: of the dataset.
        error: what huggingface_hub raised.
        folder: that the export lies in, if it is written already.
    """
    kept = f"; the export is kept in {folder}" if folder is not None else ""
    if is_unreachable(error):
        return UnusablePath(
            f"the Hub cannot be reached for {name}", remedy=f"check the network and HF_HUB_OFFLINE{kept}"
        )
    reason = shortened(one_line(str(error)), 200)
    return UnusablePath(
        f"the Hub does not take {name}: {reason}",
        expected="to be logged in there with the right to write it",
        remedy=f"run hf auth login, or name a dataset of yours{kept}",
    )
