"""Rows of the tables `runs`, `features`, `exemplars` and `images`: what was found when images were looked at."""

import json
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from seesay import __version__
from seesay.errors import UnreadableImage
from seesay.exemplars.config import KINDS, PARTS, Kind, Part
from seesay.exemplars.exemplar import Exemplar, KeptImage
from seesay.export.names import public, public_facts, within_source
from seesay.export.source import Row, Source
from seesay.images.decoding import decode
from seesay.records import Split
from seesay.store.exemplars import exemplars, features, kept_image
from seesay.store.run import DAMAGE, Run
from seesay.store.thumbnails import LARGEST_SIDE

_REMEMBERED = 4096  # images: most are exemplars of many features
_IMAGES_AT_ONCE = 1000
_MOST_BYTES = 4 << 20  # a thumbnail of 512 x 512 pixels without any compression takes less
_LARGEST_WHOLE = 2**63 - 1


def run_rows(source: Source) -> Iterator[Row]:
    """What a run is of.

    Args:
        source: the run.

    Raises:
        UnusablePath: what it says is damaged.
    """
    noted = source.run.noted()
    of, config, found = noted.subject, noted.configured("collect"), noted.finished("collect") or {}
    ((images_identity,),) = source.run.rows("SELECT identity FROM stages WHERE name = 'collect'") or [(None,)]
    yield {
        "run": source.name,
        "subject": _name(of.get("subject")),
        "layer": _whole(of.get("layer")),
        "sae": _name(of.get("sae")),
        "sae_options": json.dumps(public_facts(of.get("sae_options") or {})),
        "identity": _name(of.get("identity")),
        "images": _name(config.get("images")),
        "images_identity": _name(images_identity),
        **{name: _whole(found.get(name)) for name in ("n_images", "n_features", "n_live_features")},
        "seesay": __version__,
    }


def feature_rows(source: Source) -> Iterator[Row]:
    """Features with their statistics.

    Args:
        source: the run.

    Raises:
        UnusablePath: what it says is damaged.
    """
    for within, wanted in source.walk("features"):
        for each in features(source.run, within):
            if each.feature_id in wanted:
                yield {
                    "run": source.name,
                    "feature_id": each.feature_id,
                    "split": each.split,
                    "frequency": each.frequency,
                    "image_frequency": each.image_frequency,
                    "mean_activation": each.mean_activation,
                    "max_activation": each.max_activation,
                    "histogram": each.histogram,
                    "fires_with": [{"feature_id": other, "share": share} for other, share in each.fires_with],
                    "nearest": [{"feature_id": other, "cosine": cosine} for other, cosine in each.nearest],
                }


def exemplar_rows(source: Source) -> Iterator[Row]:
    """Exemplars with their heatmaps.

    Args:
        source: the run.

    Raises:
        UnusablePath: what it says is damaged.
    """
    for split, part, each in walk_exemplars(source):
        image = each.image
        yield {
            "run": source.name,
            "feature_id": each.feature_id,
            "split": split,
            "part": part,
            "kind": each.kind,
            "rank": each.rank,
            "quantile": each.quantile,
            "activation": each.activation,
            "peak": each.peak,
            "image": image.pixel_hash,
            "source_id": within_source(image.source_id),
            "width": image.size[0],
            "height": image.size[1],
            "grid_rows": image.grid[0],
            "grid_columns": image.grid[1],
            "box": image.box,
            "heatmap_patches": each.heatmap.patches,
            "heatmap_activations": each.heatmap.activations,
        }


def walk_exemplars(source: Source, kinds: Sequence[Kind] = KINDS) -> Iterator[tuple[Split, Part, Exemplar]]:
    """Go through the exemplars of the selected features.

    Args:
        source: the run.
        kinds: of exemplars.

    Yields:
        The part that the feature is of, the part that the image is of, and the exemplar.

    Raises:
        UnusablePath: what the run says is damaged.
    """
    image_of = {part: _remembering(source.run, part) for part in PARTS}
    for _within, wanted in source.walk("exemplars"):
        for feature_id, split in wanted.items():
            for part in PARTS:
                for kind in kinds:
                    for each in exemplars(source.run, feature_id, part, kind, image_of=image_of[part]):
                        yield split, part, _finite(source.run, each)


def image_rows(sources: Sequence[Source]) -> Iterator[Row]:
    """Images with their thumbnails, each once, whichever runs keep it.

    Args:
        sources: the runs.

    Raises:
        UnusablePath: what one says is damaged.
        UnreadableImage: a thumbnail is missing, or is none.
    """
    wanted = [_images_of(source) for source in sources]
    for place, source in enumerate(sources):
        last = -1
        query = "SELECT image_id, part FROM images WHERE image_id > ? ORDER BY image_id LIMIT ?"
        while rows := source.run.rows(query, (last, _IMAGES_AT_ONCE)):
            for image_id, part in rows:
                before = zip(sources[:place], wanted[:place], strict=True)
                if _is_in(wanted[place], image_id) and not any(
                    _is_in(theirs, image_id) and _keeps(other.run, image_id) for other, theirs in before
                ):
                    yield _image(source.run, image_id, part)
            last = rows[-1][0]


def _images_of(source: Source) -> frozenset[int] | None:
    """The images of the selected features; None for all, which need not be counted up."""
    if source.selection.has_all_features:
        return None
    return frozenset(each.image.image_id for _split, _part, each in walk_exemplars(source))


def _is_in(wanted: frozenset[int] | None, image_id: int) -> bool:
    return wanted is None or image_id in wanted


def _keeps(run: Run, image_id: int) -> bool:
    return bool(run.rows("SELECT 1 FROM images WHERE image_id = ?", (image_id,)))


def _image(run: Run, image_id: int, part: Part) -> Row:
    try:
        image = kept_image(run, image_id, part)
    except DAMAGE as error:
        raise run.damaged(f"image {image_id!r}", error) from error
    width, height = image.size
    webp = webp_of(run.thumbnails.path(image.pixel_hash))
    return {"image": image.pixel_hash, "part": image.part, "width": width, "height": height, "webp": webp}


def webp_of(path: Path) -> bytes:
    """What the file of a thumbnail holds, if that is what it is and nothing else.

    A stranger's run may have a link in its place, to whatever is to be read and sent along with the export.

    Args:
        path: in a run.

    Raises:
        UnreadableImage: it is missing, a link, too large, or no WebP file of at most 512 x 512 pixels.
    """
    if any(folder.is_symlink() for folder in (path.parent, path.parent.parent)):
        raise UnreadableImage(f"{path} lies behind a link", expected="a thumbnail that seesay wrote")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # of a pipe nobody would ever write
        with os.fdopen(descriptor, "rb") as file:
            is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
            data = file.read(_MOST_BYTES + 1) if is_file else b""
    except OSError as error:
        raise UnreadableImage(f"{path}: {error.strerror or error}", expected="a thumbnail that seesay wrote") from error
    # the length that the file's head tells is all that there is: nothing hides behind the picture
    is_webp = data[:4] == b"RIFF" and data[8:12] == b"WEBP" and int.from_bytes(data[4:8], "little") + 8 == len(data)
    if not is_webp or len(data) > _MOST_BYTES:
        raise UnreadableImage(f"{path} is no thumbnail", expected="a WebP file, as seesay writes them")
    decode(data, str(path), most_pixels=LARGEST_SIDE**2)
    return data


def _remembering(run: Run, part: Part) -> Callable[[int], KeptImage]:
    return lru_cache(_REMEMBERED)(lambda image_id: kept_image(run, image_id, part))


def _finite(run: Run, exemplar: Exemplar) -> Exemplar:
    if not np.isfinite(exemplar.heatmap.activations).all():
        raise run.damaged(f"a heatmap of feature {exemplar.feature_id}", ValueError("no number where one should be"))
    return exemplar


def _name(value: Any) -> str | None:
    return None if value is None else public(str(value))


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and abs(value) <= _LARGEST_WHOLE else None
