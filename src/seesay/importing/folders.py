"""The authors' folders: for each feature one with a JSON file, as their code for arXiv 2603.22593 writes them.

Read off HPAI-BSC/vision-interp at commit a62878f, `src/get_steering_explanations.py` and `evaluation/`:

- The file of a feature is `outputs/[validation/]SAE/WAY/latent_ID/explanations/explanation.json`. `SAE` is the model,
  the architecture and the block (`enc_res_out_layer_16_8192_22191080`), which the file repeats as `metadata.sae_id`.
  `WAY` is the method and its options: it begins with `steering_` (on an empty image), `HF_easy_` (their Top-k) or
  `easy_w_steering_` (both), and ends with `_DIRTYPE-random_norm_matched` or `_DIRTYPE-permuted` for a control, which
  the file does not say.
- `explanation` is a list of samples. `raw_output` is the same list, not what the model said: its opening, stars and
  some headings are taken out already, and all letters but the first made small.
- The opening that is taken out ends with "is a " and a blank, so that it stays before "an", "the" and plurals.
- `prompt_log_probs` are means of probabilities, not of their logarithms.
- A feature without a file is scored as "generic object", which stands then as `concept_name` in what their scores
  write beside it.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from seesay.errors import UnreadableWords
from seesay.importing.rows import Row, checked_text
from seesay.records import Control
from seesay.texts import one_line, shortened

PLACEHOLDER = "generic object"
"""What the authors' scores take for an explanation that is not there."""

_FEATURE = re.compile(r"latent_(?P<feature>[0-9]{1,9})", re.ASCII)
_LAYER = re.compile(r"_layer_(?P<layer>[0-9]{1,4})_", re.ASCII)
_DIRECTION = re.compile(r"_DIRTYPE-(?P<direction>random_norm_matched|permuted)(?=_SIZE-|$)")
_OPENING = re.compile(r"the highlighted element in the image is\b[\s:]*((a|an|the)\b\s*)?", re.IGNORECASE)
_CONTROLS: Mapping[str, Control] = {"random_norm_matched": "random", "permuted": "permuted"}
_LARGEST_FILE = 4 << 20
_DEEPEST = (ValueError, RecursionError)  # of JSON


def rows_of_folders(path: Path, layer: int | None) -> Iterator[Row]:
    """Read the folder of one way of explaining, or one that holds several.

    Args:
        path: the folder.
        layer: the run's block; None if it is not known.

    Raises:
        UnreadableWords: there are no such folders, a file cannot be read, or it is of another block.
    """
    ways = [path] if _features(path) else [each for each in _inside(path) if _features(each)]
    if not ways:
        raise UnreadableWords(
            f"no folder latent_0, latent_1 ... in {path}", expected="a folder of them, or one that holds such folders"
        )
    for way in ways:
        found = _DIRECTION.search(way.resolve().name)
        control = _CONTROLS[found["direction"]] if found else None
        # A control stands beside what it controls, under the same name.
        name = one_line(_DIRECTION.sub("", way.resolve().name))
        for feature_id, folder in _features(way):
            yield from _rows(path, folder, feature_id, name, control, layer)


def _rows(
    root: Path, folder: Path, feature_id: int, name: str, control: Control | None, layer: int | None
) -> Iterator[Row]:
    file = folder / "explanations" / "explanation.json"
    if not file.exists():
        yield Row(str(folder), feature_id, "", name=name, control=control, reason="there is no explanation.json")
        return
    content = _read(file, root)
    samples = content.get("explanation")
    if isinstance(samples, str):
        samples = [samples]
    if not isinstance(samples, list) or not samples:
        raise UnreadableWords(f"{file}: no list of explanations", expected='{"explanation": ["..."], ...}')
    if content.get("feature_name", feature_id) != feature_id:
        told = shortened(one_line(str(content["feature_name"])))
        raise UnreadableWords(f"{file} is of feature {told}", expected=f"{feature_id}, as its folder says")
    metadata = content.get("metadata")
    of = _LAYER.search(str(metadata.get("sae_id", ""))) if isinstance(metadata, dict) else None
    if of is not None and layer is not None and int(of["layer"]) != layer:
        raise UnreadableWords(f"{file} is of block {of['layer']}", expected=f"the run's block {layer}")
    for number, text in enumerate(samples):
        raw = checked_text(text, str(file))
        yield Row(str(file), feature_id, _OPENING.sub("", raw.lstrip(), count=1), number, name, control, raw=raw)


def _read(file: Path, root: Path) -> dict[str, Any]:
    """A file's content, if it is one, of this folder, and not too large."""
    try:
        if not file.is_file() or not file.resolve().is_relative_to(root.resolve()):
            raise UnreadableWords(f"{file} is no file of this folder", expected="no links to elsewhere")
        if file.stat().st_size > _LARGEST_FILE:
            raise UnreadableWords(f"{file} has {file.stat().st_size} bytes", expected=f"at most {_LARGEST_FILE}")
        content = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise UnreadableWords(f"cannot read {file}: {error.strerror}", expected="a file that can be read") from error
    except _DEEPEST as error:  # no UTF-8 and no JSON are both
        raise UnreadableWords(f"{file}: {error}", expected="JSON in UTF-8") from error
    if not isinstance(content, dict):
        raise UnreadableWords(f"{file} holds no object", expected='{"explanation": ["..."], ...}')
    return content


def _features(folder: Path) -> list[tuple[int, Path]]:
    """The features that have a folder in it, in order."""
    found = ((_FEATURE.fullmatch(each.name), each) for each in _inside(folder))
    return sorted((int(match["feature"]), each) for match, each in found if match)


def _inside(folder: Path) -> list[Path]:
    """The folders in a folder, in order; links are none."""
    try:
        return sorted(each for each in folder.iterdir() if each.is_dir() and not each.is_symlink())
    except OSError as error:
        raise UnreadableWords(f"cannot read {folder}: {error.strerror}", expected="a folder") from error
