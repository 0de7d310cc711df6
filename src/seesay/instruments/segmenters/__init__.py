"""Segmenters that find words in images: SAM 3, Grounding DINO with SAM 2, CLIPSeg."""

from pathlib import Path

from seesay.errors import UnreadableModel
from seesay.hub import is_path
from seesay.instruments.instrument import Segmenter
from seesay.vlm.checkpoints import Checkpoint
from seesay.vlm.loading import resolve_device, resolve_dtype

_ALONE = ("sam3", "sam3_video", "clipseg")
_DETECTORS = ("grounding-dino",)
_MASKERS = ("sam2", "sam2_video")

_PAIR = "IDEA-Research/grounding-dino-base+facebook/sam2.1-hiera-large"
_KNOWN = f"SAM 3 (facebook/sam3), CLIPSeg (CIDAS/clipseg-rd64-refined), or Grounding DINO and SAM 2 ({_PAIR})"


def load_segmenter(name: str, *, device: str = "auto", dtype: str = "auto") -> Segmenter:
    """Load a model, or a pair of them, that finds in an image what words say.

    Only safetensors are read and no code that comes with a checkpoint is run.

    Args:
        name: a checkpoint's folder, or its name on the hub; of a detector and a model for masks both, with a plus
            between them.
        device: `auto` takes the accelerator if there is one, else the CPU; or torch's name of a device.
        dtype: `auto` is float32 on the CPU and bfloat16 elsewhere; or torch's name of a floating-point format.

    Raises:
        UnreadableModel: a checkpoint that is missing, damaged, incomplete, or of a model that finds no masks by words.
        UnavailableDevice: a device or number format that this machine does not have.
        NotEnoughMemory: the model does not fit.
    """
    place = resolve_device(device)
    number = resolve_dtype(dtype, place)
    checkpoints = [Checkpoint(each, None) for each in _parts(name)]
    kinds = [checkpoint.model_type() for checkpoint in checkpoints]
    _check(name, kinds)
    match kinds:
        case ["clipseg"]:
            from seesay.instruments.segmenters.clipseg import load_clipseg

            return load_clipseg(checkpoints[0], place, number)
        case [_]:
            from seesay.instruments.segmenters.sam3 import load_sam3

            return load_sam3(checkpoints[0], place, number)
        case _:
            from seesay.instruments.segmenters.grounded_sam2 import load_grounded_sam2

            return load_grounded_sam2(checkpoints[0], checkpoints[1], place, number)


def _parts(name: str) -> list[str]:
    """The names that stand in one; a folder may have a plus in its own, a name on the hub has none."""
    if Path(name).is_dir():
        return [name]
    pieces = name.split("+")
    for n in range(1, len(pieces)):
        pair = ["+".join(pieces[:n]).strip(), "+".join(pieces[n:]).strip()]
        if all(Path(each).is_dir() or not (is_path(each) or "+" in each) for each in pair):
            return pair
    return [piece.strip() for piece in pieces]


def _check(name: str, kinds: list[str]) -> None:
    match kinds:
        case [kind] if kind in _ALONE:
            return
        case [detector, masker] if detector in _DETECTORS and masker in _MASKERS:
            return
        case [kind] if kind in _DETECTORS:
            what, remedy = f"{name} finds boxes, but no masks", f"add a model for masks: {name}+{_PAIR.split('+')[1]}"
        case [kind] if kind in _MASKERS:
            what, remedy = f"{name} knows no words", f"put a detector before it: {_PAIR.split('+')[0]}+{name}"
        case _:
            what, remedy = f"{name} is a model of type {' + '.join(map(repr, kinds))}", ""
    raise UnreadableModel(what, expected=_KNOWN, remedy=remedy)
