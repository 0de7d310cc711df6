"""Asking what an image activates: which features, where, how much, and in which words.

Shape suffixes: r row, c column of patches.
"""

import base64
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, final, get_args, overload

import numpy as np
import torch
from jaxtyping import Float32
from PIL import Image

from seesay.cards import read_card
from seesay.errors import FeatureNotFound, InvalidSetting, LayerNotFound, UnusablePath, check_choice
from seesay.exemplars.activity import Activity, Pairs, activity, pairs
from seesay.exemplars.config import Reduction
from seesay.images.decoding import decode, in_colour
from seesay.images.grid import Box
from seesay.records import MOST_SIGHTED, Method, SightingOrder
from seesay.report.features import best_of, statements_of
from seesay.report.pictures import as_webp, heat_of
from seesay.report.templating import templates_of
from seesay.sae import SAE
from seesay.sae.identity import identity_of
from seesay.store.run import Run
from seesay.vlm import VLM, Encoder

_SIDE = 480


@final
@dataclass(frozen=True, eq=False)
class Fired:
    """A feature that an image activates.

    Args:
        feature_id: row of the SAE's decoder.
        activation: of the image: mean over its patches, or maximum.
        peak: of its most active patch.
        heatmap: of each patch.
        words: that stand for the feature in the run; empty if nobody knows any.
        method: how they were found.
        sure: how probable it is that they are right; None if nobody knows.
        frequency: on which share of a run's patches it is active; None without one.
        largest: its largest activation there.
    """

    feature_id: int
    activation: float
    peak: float
    heatmap: Float32[np.ndarray, "row column"]
    words: str = ""
    method: Method | None = None
    sure: float | None = None
    frequency: float | None = None
    largest: float | None = None

    @property
    def n_patches(self) -> int:
        """On how many patches it is active."""
        return int((self.heatmap > 0).sum())

    @property
    def heat(self) -> str:
        """The heatmap as a veil, one pixel for a patch, as a `data:` address."""
        return heat_of(self.heatmap)

    def as_json(self) -> dict[str, Any]:
        """The same as plain data; of the heatmap the active patches, counted row by row, with their activations."""
        active = np.flatnonzero(self.heatmap)
        return {
            "feature_id": self.feature_id,
            "activation": self.activation,
            "peak": self.peak,
            "words": self.words,
            "method": self.method,
            "sure": self.sure,
            "frequency": self.frequency,
            "largest": self.largest,
            "patches": active.tolist(),
            "activations": [float(f"{each:.5g}") for each in self.heatmap.ravel()[active].tolist()],
        }


@final
@dataclass(frozen=True, eq=False)
class Sighting(Sequence[Fired]):
    """What an image activates, the first feature first; in a notebook, a picture.

    Args:
        image: as it was asked about, RGB.
        fired: features.
        n_active: how many it activates in all.
        box: the part of the image that the patches cover, in its pixels.
        layer: the block.
    """

    image: Image.Image
    fired: tuple[Fired, ...]
    n_active: int
    box: Box
    layer: int

    def __len__(self) -> int:
        return len(self.fired)

    @overload
    def __getitem__(self, index: int) -> Fired: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Fired, ...]: ...

    def __getitem__(self, index: int | slice) -> Fired | tuple[Fired, ...]:
        return self.fired[index]

    def __iter__(self) -> Iterator[Fired]:
        return iter(self.fired)

    def __repr__(self) -> str:
        lines = [f"  {each.feature_id:>7}  {each.activation:9.4f}  {each.words}" for each in self.fired]
        return "\n".join([f"Sighting({self.n_active} features active after block {self.layer})", *lines])

    def _repr_html_(self) -> str:  # pyright: ignore[reportUnusedFunction] (notebooks call it)
        """The image under the heatmap of each feature, for a notebook."""
        picture = base64.b64encode(as_webp(self.image, _SIDE)).decode()
        template = templates_of().get_template("sighting.html")
        return template.render(sighting=self, picture=f"data:image/webp;base64,{picture}")

    def as_json(self) -> dict[str, Any]:
        """The same as plain data, without the image."""
        grid = self.fired[0].heatmap.shape if self.fired else None
        return {
            "n_active": self.n_active,
            "layer": self.layer,
            "size": self.image.size,
            "box": self.box,
            "grid": grid,
            "features": [each.as_json() for each in self.fired],
        }


def ask(
    vlm: VLM | Encoder,
    sae: SAE,
    image: Image.Image | Path | str,
    *,
    layer: int | None = None,
    n: int = 20,
    order: SightingOrder = "activation",
    run: Run | Path | str | None = None,
) -> Sighting:
    """Find out which features an image activates, and where.

    Args:
        vlm: the model whose vision encoder looks, or the encoder alone.
        sae: a sparse autoencoder of one of its blocks.
        image: of any size and mode, or a file.
        layer: the block; None takes the one that the SAE was trained on.
        n: how many features to tell, at most.
        order: which of them.
        run: has words for them, and knows how rare they are; open, or its folder.

    Raises:
        UnreadableImage: no image.
        LayerNotFound: a block that the encoder does not have, or none given where the SAE names none.
        MismatchedSAE: an SAE for residuals of another width.
        InvalidSetting: too many features, or an order that only a run can tell.
        UnusablePath: a run that cannot be read, or is of another encoder, block or SAE.
    """
    check_choice(order, get_args(SightingOrder), "order")
    if not 1 <= n <= MOST_SIGHTED:
        raise InvalidSetting(f"{n} features", expected=f"1 to {MOST_SIGHTED}")
    if order == "rarity" and run is None:
        raise InvalidSetting("the rarest features, and no run", expected="a run, which knows how rare they are")
    encoder = vlm.encoder if isinstance(vlm, VLM) else vlm
    layer = sae.provenance.layer if layer is None else layer
    if layer is None:
        raise LayerNotFound("the SAE does not say which block it was trained on", remedy="give the layer")
    sae.check_fits(encoder.d_model)
    encoder.check_layer(layer)
    seen = in_colour(image) if isinstance(image, Image.Image) else decode(Path(image))
    with ExitStack() as stack:
        known = stack.enter_context(Run.open(Path(run))) if isinstance(run, str | Path) else run
        if known is not None and known.subject.get("identity") != identity_of(encoder, sae, layer):
            raise UnusablePath(
                f"{known.folder} is of other features",
                expected=f"a run of this encoder, block {layer} and SAE",
                remedy="leave it out, or load what it is of",
            )
        return sighting(encoder, sae, layer, seen, n, order, known)


@torch.no_grad()
def sighting(
    encoder: Encoder, sae: SAE, layer: int, image: Image.Image, n: int, order: SightingOrder, run: Run | None
) -> Sighting:
    """The same as `ask`, for whoever has checked before that all of it belongs together.

    Args:
        encoder: that looks.
        sae: of the block.
        layer: the block.
        image: RGB.
        n: how many features to tell, at most.
        order: which of them.
        run: of the same features; None for none.
    """
    reduction = _reduction(run)
    encoded = encoder.encode_to([image], layer)
    active = activity(sae, encoded, 0)
    found = pairs(active, sae.n_features, reduction)
    geometry = encoded.geometries[0]
    peaks = _peaks(active, found)
    rank = {"activation": found.activations, "peak": peaks, "rarity": -_frequencies(run, found)}[order]
    chosen = torch.argsort(rank, descending=True, stable=True)[:n].tolist()
    fired = [
        Fired(
            int(found.feature_ids[place]),
            float(found.activations[place]),
            float(peaks[place]),
            _heatmap(active, found, place, geometry.grid),
        )
        for place in chosen
    ]
    told = fired if run is None else [_in_words(run, each) for each in fired]
    return Sighting(image, tuple(told), len(found.feature_ids), geometry.box, layer)


def _peaks(active: Activity, found: Pairs) -> torch.Tensor:
    pair_of_entry = torch.arange(len(found.lengths), device=found.lengths.device).repeat_interleave(found.lengths)
    empty = active.activations.new_zeros(len(found.lengths))
    return empty.scatter_reduce(0, pair_of_entry, active.activations, "amax")


def _heatmap(active: Activity, found: Pairs, place: int, grid: tuple[int, int]) -> Float32[np.ndarray, "row column"]:
    start, length = int(found.starts[place]), int(found.lengths[place])
    heatmap = np.zeros(grid[0] * grid[1], dtype=np.float32)
    patches = active.patches[start : start + length].cpu().numpy()
    heatmap[patches] = active.activations[start : start + length].float().cpu().numpy()
    return heatmap.reshape(grid)


def _reduction(run: Run | None) -> Reduction:
    """How an image's activation is made of its patches': as in the run."""
    if run is None:
        return "mean"
    reduction = run.configured("collect").get("reduction", "mean")
    check_choice(reduction, get_args(Reduction), "reduction")
    return cast("Reduction", reduction)


def _frequencies(run: Run | None, found: Pairs) -> torch.Tensor:
    """On which share of the run's patches each feature is active; those that it does not know come last."""
    known = {} if run is None else dict(run.rows("SELECT feature_id, frequency FROM features"))
    values = [known.get(feature_id) for feature_id in found.feature_ids.tolist()]
    return torch.tensor([value if isinstance(value, float) else math.inf for value in values])


def _in_words(run: Run, fired: Fired) -> Fired:
    """The same with what a run knows of it, which may be nothing."""
    try:
        card = read_card(run, fired.feature_id, 0)
    except FeatureNotFound:
        return fired
    best = best_of(statements_of(card))
    if card.statistics is not None:
        fired = replace(fired, frequency=card.statistics.frequency, largest=card.statistics.max_activation)
    return fired if best is None else replace(fired, words=best.words, method=best.method, sure=best.sure)
