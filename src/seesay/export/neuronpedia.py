"""Runs in the form of Neuronpedia's exports, which its importer reads: gzipped JSON lines in folders.

Form and field names are those of its own tools (github.com/hijohnnylin/neuronpedia, utils/neuronpedia-utils, and the
importer in apps/webapp/lib/db/import.ts): the first line of a file says which columns all of its lines have; columns
that are left out get the database's defaults. docs/export.md tells what stands for what.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

from seesay.errors import UnusablePath
from seesay.export.names import public, slug
from seesay.export.neuronpedia_lines import (
    CREATOR,
    Line,
    Place,
    activation_lines,
    explanation_lines,
    feature_lines,
)
from seesay.export.source import Source

_PER_BATCH = 1024  # lines of features, as Neuronpedia's own exports have
_LINES_PER_BATCH = 8192


def places_of(sources: Sequence[Source]) -> list[Place]:
    """Give each run a place of its own.

    Args:
        sources: the runs.

    Raises:
        UnusablePath: one does not say which model and block it is of.
    """
    found: list[Place] = []
    for source in sources:
        of = source.run.subject
        model, layer, sae = (of.get(name) for name in ("subject", "layer", "sae"))
        if not isinstance(model, str) or not slug(model) or not isinstance(layer, int) or layer < 0:
            raise UnusablePath(
                f"{source.run.folder} does not say which model and block it is of", expected="a run that seesay made"
            )
        source_set = slug(sae) if isinstance(sae, str) and slug(sae) else "sae"
        found.append(Place(slug(model), source_set, f"{layer}-{source_set}"))
    often = Counter((place.model, place.source) for place in found)
    # Several runs of one SAE: what follows two underscores is anybody's.
    return [
        replace(place, source=f"{place.source}__{slug(source.name)}-{number}")
        if often[place.model, place.source] > 1
        else place
        for number, (place, source) in enumerate(zip(found, sources, strict=True))
    ]


def write_lines(folder: Path, sources: Sequence[Source], *, is_public: bool = False) -> dict[str, int]:
    """Write some runs, each as a source of its own.

    Args:
        folder: that they go to.
        sources: the runs.
        is_public: whoever reads Neuronpedia may see them once they are imported; otherwise only who imports them.

    Returns:
        The lines of each kind.

    Raises:
        UnusablePath: a run is damaged.
        OSError: the folder cannot be written.
    """
    counts: Counter[str] = Counter()
    for source, place in zip(sources, places_of(sources), strict=True):
        inner = folder / place.model / place.source
        inner.mkdir(parents=True)
        for name, line in _heads(source, place, "PUBLIC" if is_public else "PRIVATE").items():
            (inner / f"{name}.jsonl").write_text(_as_text(line), "utf-8")
        kinds = {
            "features": (feature_lines(source, place), _PER_BATCH),
            "activations": (activation_lines(source, place), _LINES_PER_BATCH),
            "explanations": (explanation_lines(source, place), _LINES_PER_BATCH),
        }
        for kind, (lines, size) in kinds.items():
            counts[kind] += _write_batches(inner / kind, lines, size)
    return dict(counts)


def _heads(source: Source, place: Place, visibility: str) -> dict[str, Line]:
    """The model, the release, the set and the source: what must be there before features can be."""
    of, found = source.run.subject, source.run.finished("collect") or {}
    common = {"creatorId": CREATOR, "visibility": visibility}
    name = public(str(of.get("subject")))
    images = source.run.configured("collect").get("images")
    n_images = found.get("n_images")
    release = f"seesay-{place.model}"
    return {
        "model": {
            "id": place.model,
            "displayName": name,
            "displayNameShort": name,
            "owner": "",
            "layers": 0,
            "neuronsPerLayer": 0,
            "instruct": False,
            "inferenceEnabled": False,
            **common,
        },
        "release": {
            "name": release,
            "description": f"Features of {name} in words, by seesay",
            "creatorName": "",
            "urls": [],
            **common,
        },
        "sourceset": {
            "modelId": place.model,
            "name": place.source_set,
            "description": f"{public(str(of.get('sae')))}: features of image patches",
            "creatorName": "",
            "urls": [],
            "releaseName": release,
            "hasDashboards": True,
            **common,
        },
        "source": {
            "id": place.source,
            "modelId": place.model,
            "setName": place.source_set,
            "hasDashboards": True,
            "inferenceEnabled": False,
            "dataset": public(images) if isinstance(images, str) else None,
            "num_prompts": n_images if isinstance(n_images, int) else None,
            "notes": f"exported by seesay from the run {source.name}: a prompt is an image, a token a patch of it",
            **common,
        },
    }


def _write_batches(folder: Path, lines: Iterable[Line], size: int) -> int:
    folder.mkdir()
    left, n_lines = iter(lines), 0
    for number, first in enumerate(left):
        batch = folder / f"batch-{number}.jsonl.gz"
        # no name and no time in the file's head: the same run gives the same bytes
        with batch.open("wb") as file, gzip.GzipFile("", "wb", compresslevel=5, fileobj=file, mtime=0) as packed:
            for line in chain([first], islice(left, size - 1)):
                packed.write(_as_text(line).encode())
                n_lines += 1
    return n_lines


def _as_text(line: Line) -> str:
    return json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"
