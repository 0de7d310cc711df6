"""The formats in which sparse autoencoders are found on disk and on the hub, one module each.

The format is told from the files and the tensors in them, never from a folder's name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from safetensors import SafetensorError

from seesay.errors import MismatchedSAE, UnreadableSAE, UnusablePath, check_choice
from seesay.files import replaced_folder, unwritable
from seesay.sae.formats import (
    dictionary_learning,
    directions,
    overcomplete,
    prisma,
    sae_lens,
    saev,
    sparsify,
)
from seesay.sae.formats.contents import Contents
from seesay.sae.formats.places import Place, find
from seesay.sae.formats.tensors import read_json, read_weights
from seesay.sae.model import SAE, Activation


@dataclass(frozen=True)
class Format:
    """One format.

    Args:
        name: what it is called.
        files: what a folder of it holds, in words.
        recognises: whether what was read looks like it.
        load: makes an SAE of that, or raises UnreadableSAE.
    """

    name: str
    files: str
    recognises: Callable[[Contents], bool]
    load: Callable[[Contents], SAE]


# In this order: a header, then the fields of a configuration, then the names of tensors alone.
FORMATS = (
    Format("saev", saev.FILES, saev.recognises, saev.load),
    Format("dictionary_learning", dictionary_learning.FILES, dictionary_learning.recognises, dictionary_learning.load),
    Format("Prisma", prisma.FILES, prisma.recognises, prisma.load),
    Format("SAELens", sae_lens.FILES, sae_lens.recognises, sae_lens.load),
    Format("sparsify", sparsify.FILES, sparsify.recognises, sparsify.load),
    Format("overcomplete", overcomplete.FILES, overcomplete.recognises, overcomplete.load),
    Format("directions", directions.FILES, directions.recognises, directions.load),
)
KNOWN = "; ".join(f"{known.name} ({known.files})" for known in FORMATS)

SavedFormat = Literal["sae_lens", "dictionary_learning"]


def load_sae(
    path_or_hub_id: str | Path,
    *,
    subfolder: str | None = None,
    revision: str | None = None,
    k: int | None = None,
    activation: str | None = None,
) -> SAE:
    """Load a sparse autoencoder of any known format, in float32 on the CPU.

    Nothing in a file is run and no path in it is followed; of a repository only the SAE's own files are downloaded.

    Args:
        path_or_hub_id: a folder, a file of tensors, or a repository's name on the hub.
        subfolder: a folder, or a file of tensors, inside it; needed if it holds several SAEs.
        revision: branch, tag or commit on the hub; None is the newest.
        k: how many features a row keeps; for files that do not say, or to have it otherwise than they say.
        activation: one of `seesay.sae.Activation`, likewise.

    Raises:
        UnreadableSAE: there is none, there are several, or it is of an unknown format, incomplete, damaged or unsafe;
            or there is no use for k or a revision.
    """
    if activation not in (None, *get_args(Activation)):
        raise UnreadableSAE(f"activation is {activation!r}", expected=f"one of {', '.join(get_args(Activation))}")
    place = find(path_or_hub_id, subfolder, revision, known=KNOWN)
    contents = _read(place, k, activation)
    for candidate in FORMATS:
        if candidate.recognises(contents):
            sae = candidate.load(contents)
            return replace(sae, provenance=replace(sae.provenance, format=candidate.name))
    held = ", ".join(sorted(contents.tensors)[:8]) or "nothing"
    raise UnreadableSAE(f"{place.weights} is of no known format, it holds {held}", expected=KNOWN)


def _read(place: Place, k: int | None, activation: Any) -> Contents:
    config = None if place.config is None else read_json(place.config)
    tensors, around, header = read_weights(place.weights)
    inside = around.get("cfg", around.get("config"))
    if config is None and isinstance(inside, Mapping):
        config = inside
    return Contents(
        path=place.weights,
        tensors=tensors,
        around=around,
        header=header,
        config=config,
        config_path=place.config,
        outer_config_path=place.outer_config,
        folder=place.weights.parent.name,
        k=k,
        activation=activation,
        scaler_path=place.scaler,
        is_in_training=place.is_in_training,
    )


def save_sae(sae: SAE, folder: str | Path, format: SavedFormat = "sae_lens") -> None:
    """Save an SAE, all of it or nothing.

    Args:
        sae: what to save; written in its own number format.
        folder: where to; it is made, or replaced if it holds nothing but an SAE.
        format: of SAELens, or of dictionary_learning, which the paper's own tools read.

    Raises:
        UnknownChoice: no such format.
        MismatchedSAE: the format cannot express what the SAE computes.
        UnusablePath: the folder holds something else, or cannot be written.
    """
    check_choice(format, get_args(SavedFormat), "format")
    module = {"sae_lens": sae_lens, "dictionary_learning": dictionary_learning}[format]
    if reason := module.refusal(sae):
        raise MismatchedSAE(reason, expected="an SAE that the format can express", remedy="save it in another format")
    path = Path(folder).resolve()
    _check_replaceable(path)
    with replaced_folder(path) as aside:
        try:
            # Norms are put back in float32, so that a bfloat16 SAE's decoder is rounded once.
            module.save(sae.to("cpu", torch.float32), aside, sae.W_dec.dtype)
        except (OSError, RuntimeError, SafetensorError) as error:
            raise unwritable(path, str(error)) from error


def _check_replaceable(path: Path) -> None:
    """See that saving would delete nothing but an SAE: a whole folder is replaced."""
    if path.exists() and not path.is_dir():
        raise UnusablePath(f"{path} is a file", expected="a folder")
    known = {*sae_lens.WRITES, *dictionary_learning.WRITES}
    for found in path.rglob("*"):
        if not found.is_dir() and found.relative_to(path).as_posix() not in known:
            raise UnusablePath(f"{found} would be deleted", expected="a new folder, or one that holds only an SAE")
