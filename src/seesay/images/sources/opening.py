"""From what a person writes to a source of images."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from glob import glob
from itertools import islice, product
from pathlib import Path

from seesay.errors import UnreadableImages
from seesay.images.sources.datasets import Request, open_dataset
from seesay.images.sources.folder import Folder, image_files
from seesay.images.sources.shards import Shards
from seesay.images.sources.source import ImageSource

_EXPECTED = "a folder of images, of tar archives or of a dataset, a .tar file (or shards-{000..011}.tar), or owner/name"
_HUB_NAME = re.compile(r"([A-Za-z0-9][\w.-]*/[\w.-]+)(?::([\w.-]+))?", re.ASCII)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,9})\.\.([0-9]{1,9})")
_MOST_SHARDS = 100_000
_SHOWN = 100  # characters of a name


def open_source(
    spec: str | Path,
    *,
    split: str | None = None,
    column: str | None = None,
    revision: str | None = None,
    streaming: bool = False,
    id_column: str | None = None,
) -> ImageSource:
    """Open a source of images.

    A folder is taken as images if there is an image file anywhere in it, else as WebDataset shards if there are tar
    archives, else as a dataset of parquet or arrow files; naming a split or column makes it a dataset whatever else is
    there. What is no path is a name on the hub.

    Args:
        spec: a folder; a `.tar` file, or several as `shards-{000..011}.tar` or `shards-*.tar`; or a dataset on the
            hub, `owner/name` or `owner/name:config`. Nothing is fetched from other addresses and no command is run.
        split: of a dataset; the only one or `train` if None.
        column: of a dataset; the one of images if None.
        revision: of a dataset on the hub: branch, tag or commit.
        streaming: fetch a dataset's rows when they are needed instead of all beforehand.
        id_column: of a dataset, whose values are the ids; `split/number` if None.

    Raises:
        UnreadableImages: nothing there, nothing of a known kind, no images, or a dataset that cannot be had.
    """
    text = str(spec)
    if not text.strip():
        raise UnreadableImages("an empty name", expected=_EXPECTED)
    _check_no_address(text)
    path = _located(text)
    wanted = Request(path, None, split, column, id_column, revision, streaming)
    if path.is_dir():
        return _open_folder(path, wanted)
    if path.is_file() and path.suffix.lower() in (".parquet", ".arrow"):
        raise UnreadableImages(f"{path} is one file of a dataset", expected=_EXPECTED, remedy=f"name {path.parent}")
    if path.exists() or "{" in text or "*" in text or path.suffix.lower() == ".tar":
        _check_unused(wanted, text)
        return _open_shards(text, [path] if path.exists() else [Path(each) for each in expand(str(path))])
    hub_name = None if isinstance(spec, Path) else _HUB_NAME.fullmatch(text)
    if hub_name is None:
        raise UnreadableImages(f"no folder or file {text!r}", expected=_EXPECTED)
    return open_dataset(replace(wanted, dataset=hub_name[1], config=hub_name[2]))


def expand(pattern: str) -> list[str]:
    """Write out braces, each a range of numbers `{000..011}` or some words `{a,b}`, and `*`.

    Numbers are filled up with zeros to the width of the first.

    Args:
        pattern: with or without braces and stars.

    Raises:
        UnreadableImages: braces that are neither, or more than 100 000 files.
    """
    fixed = _BRACES.split(pattern)  # what is between the braces stands at the odd places
    choices = [_choices(part, pattern) if number % 2 else [part] for number, part in enumerate(fixed)]
    written = ["".join(parts) for parts in islice(product(*choices), _MOST_SHARDS + 1)]
    if len(written) > _MOST_SHARDS:
        raise UnreadableImages(f"{pattern!r} stands for too many files", expected=f"at most {_MOST_SHARDS}")
    found = [path for each in written for path in (sorted(glob(each)) if "*" in each else [each])]
    return list(dict.fromkeys(found))  # each once, lest two images have one id


def _choices(text: str, pattern: str) -> "list[str] | tuple[str, ...]":
    if numbers := _RANGE.fullmatch(text):
        first, last = int(numbers[1]), int(numbers[2])
        if first > last or last - first > _MOST_SHARDS:
            raise UnreadableImages(f"{{{text}}} in {pattern!r}", expected=f"a range of 1 to {_MOST_SHARDS} numbers")
        return [str(number).zfill(len(numbers[1])) for number in range(first, last + 1)]
    if "," in text:
        return text.split(",")
    raise UnreadableImages(f"{{{text}}} in {pattern!r}", expected="a range {000..011} or words {a,b}")


def _located(text: str) -> Path:
    try:
        path = Path(text).expanduser()
        path.exists()  # raises where no file can have that name, or its folder may not be looked into
    except (OSError, RuntimeError) as error:  # the latter where there is no such home
        why = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise UnreadableImages(f"no folder or file {_shorten(text)!r}: {why}", expected=_EXPECTED) from error
    return path


def _shorten(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _open_folder(path: Path, wanted: Request) -> ImageSource:
    if wanted.revision:
        raise UnreadableImages(f"a revision of the folder {path}", expected="a revision of a dataset on the hub")
    is_table = bool(_options(wanted))
    if not is_table and next(image_files(path.resolve()), None) is not None:
        return Folder(path)
    archives = sorted(_visible(path, ".tar"))
    if not is_table and archives:
        return Shards(str(path), archives)
    if next(_visible(path, ".parquet"), None) or next(_visible(path, ".arrow"), None):
        return open_dataset(wanted)
    _check_unused(wanted, str(path))
    return Folder(path)  # which says that there is nothing


def _open_shards(name: str, paths: Sequence[Path]) -> Shards:
    missing = [path for path in paths if not path.exists()]
    if missing or not paths:
        count = f", nor {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UnreadableImages(f"no file {missing[0] if missing else name}{count}", expected="tar archives")
    strange = [path for path in paths if not path.is_file() or path.suffix.lower() != ".tar"]
    if strange:
        raise UnreadableImages(
            f"{strange[0]} is no .tar file", expected=_EXPECTED, remedy="unpack it, or name the folder that it is in"
        )
    return Shards(name, paths)


def _visible(folder: Path, suffix: str) -> Iterator[Path]:
    files = (file for file in folder.rglob(f"*{suffix}") if file.is_file())
    return (file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))


def _check_no_address(text: str) -> None:
    if text.startswith("pipe:"):
        raise UnreadableImages(
            f"{text!r} would run a command", expected=_EXPECTED, remedy="write its output to a file first"
        )
    if "://" in text or text.lower().startswith(("http:", "https:")):
        raise UnreadableImages(
            f"{text!r} is an address on the net", expected=_EXPECTED, remedy="download it and name the folder"
        )


def _options(wanted: Request) -> list[str]:
    return [name for name in ("split", "column", "id_column", "revision", "streaming") if getattr(wanted, name)]


def _check_unused(wanted: Request, text: str) -> None:
    options = _options(wanted)
    if options:
        raise UnreadableImages(
            f"{text} is no dataset, and {options[0]} is for datasets", expected=f"no {options[0]}, or a dataset"
        )
