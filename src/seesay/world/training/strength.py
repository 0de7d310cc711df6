"""Choosing the default strengths of every language model on every SAE, on validation features alone, without the truth.

They are calibrated as any run is, by [seesay.pipeline.calibrating.calibrate][].
"""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.progress import track

from seesay.errors import InvalidStrength
from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import DEFAULT_GRIDS, Setting
from seesay.files import write_json
from seesay.pipeline.calibrating import calibrate
from seesay.pipeline.collecting import Subject, collect
from seesay.pipeline.explaining import Speaker
from seesay.records import Decoding, Method, StrengthUnit
from seesay.sae import load_sae
from seesay.store.calibrations import Calibration
from seesay.store.gallery import explainable
from seesay.store.run import Run
from seesay.training_log import TrainingLog
from seesay.vlm import VLM
from seesay.world.pictures import Pictures
from seesay.world.truth import MAX_NEW_TOKENS

UNITS: Mapping[Method, StrengthUnit] = {
    "steering": "residual_norm",
    "hybrid": "max_activation",
    "one-word": "residual_norm",
}
"""What is calibrated, and in which unit."""

N_IMAGES = 1500
N_FEATURES = 150

FILE = "strength.json"


def choose_strengths(vlms: Mapping[str, VLM], out: Path, name: str, layer: int) -> None:
    """Try the grids on validation features, and write curves and choices beside the SAE.

    The scenes that their exemplars come from are those of the `explaining` stream, so that nothing that is reported
    later takes part.

    Args:
        vlms: the language models by name, on one encoder.
        out: the training's folder; `strength.json` goes to `out/sae/<name>`.
        name: of the SAE.
        layer: the block that it reads.

    Raises:
        FeatureNotFound: if no validation feature is ever active.
    """
    with TrainingLog(out, f"strength-{name}") as log, TemporaryDirectory(dir=out) as folder:
        log.resumed(0)
        found = _choose(vlms, Path(folder) / "run", out / "sae" / name, layer)
        best = {
            f"{size}_{method}": max(point["score"] for point in calibration.curve)
            for size, by_method in found.items()
            for method, calibration in by_method.items()
        }
        log.evaluation(len(best), best)
    write_json(out / "sae" / name / FILE, _record(found))


def _choose(
    vlms: Mapping[str, VLM], folder: Path, sae_folder: Path, layer: int
) -> dict[str, dict[Method, Calibration]]:
    first = next(iter(vlms.values()))
    sae = load_sae(sae_folder).to(first.encoder.device)
    subject = Subject(first.encoder, sae, layer, {})
    decoding = Decoding(MAX_NEW_TOKENS)
    found: dict[str, dict[Method, Calibration]] = {size: {} for size in vlms}
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(N_IMAGES, stream="explaining"), CollectionConfig())
        chosen_on = explainable(run, "validation")[:N_FEATURES]
        tries: list[tuple[str, Method]] = [(size, method) for size in vlms for method in UNITS]
        console = Console(stderr=True)
        for size, method in track(tries, f"strengths {sae_folder.name}", transient=True, console=console):
            speaker = Speaker.of(vlms[size], size, sae=sae, layer=layer)
            unit = UNITS[method]
            try:
                found[size][method] = calibrate(
                    run,
                    speaker,
                    Setting(method, decoding=decoding),
                    DEFAULT_GRIDS[unit],
                    unit,
                    feature_ids=chosen_on,
                )
            except InvalidStrength as error:  # a model that learnt too little to be moved: it gets none
                console.print(f"{size} {method}: {error}")
    return found


def _record(found: Mapping[str, Mapping[Method, Calibration]]) -> dict[str, Any]:
    return {
        "chosen": {
            size: {
                method: {"value": calibration.strength.value, "unit": calibration.strength.unit}
                for method, calibration in by_method.items()
            }
            for size, by_method in found.items()
        },
        "chosen_by": {
            method: calibration.score for by_method in found.values() for method, calibration in by_method.items()
        },
        "curves": {
            size: {method: list(calibration.curve) for method, calibration in by_method.items()}
            for size, by_method in found.items()
        },
    }
