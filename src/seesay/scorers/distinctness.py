"""How alike a feature's exemplars are, how like another feature's, and whether they fall into two kinds.

Shape suffixes: e exemplars, f features (g some of them), d dimension, w ways to part exemplars in two, p their parts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, final

import torch
from jaxtyping import Float, Float64
from torch import Tensor
from torch.nn import functional

from seesay.exemplars.exemplar import KeptImage
from seesay.instruments.instrument import Embedder
from seesay.scorers.config import Scoring
from seesay.scorers.gallery import HeldOut
from seesay.scorers.scorer import Item, Measured

_ALGORITHM = 1
_N_AT_ONCE = 256  # pictures that are in memory together, and features that are held against all
_N_TRIED = 12  # exemplars up to which all ways to part them are tried
_N_STARTS = 10  # of k-means, for more
_SAME = 1e-6  # vectors whose numbers differ by less are equal but for rounding


@final
@dataclass(frozen=True, eq=False)
class _Embedded:
    """The exemplars of all features.

    Args:
        vectors: of each image once.
        rows: which of them are a feature's.
        redundancies: the largest cosine of a feature's mean vector with another one's; none if there is no other.
    """

    vectors: Float[Tensor, "image dimension"]
    rows: Mapping[int, Sequence[int]]
    redundancies: Mapping[int, float]


@final
class Distinctness:
    """Clarity, redundancy and polysemanticity, from whole held-out exemplars in a space of images.

    Clarity is the mean cosine of all pairs of a feature's exemplars; redundancy the largest cosine of their mean vector
    with that of another feature; polysemanticity 1 less the cosine of the means of the two clusters that they fall
    into, 0 if all are the same. Every image is embedded once, when the first feature is measured.

    Args:
        held_out: the images.
        embedder: the space.
        scoring: how many exemplars.
    """

    def __init__(self, held_out: HeldOut, embedder: Embedder, scoring: Scoring) -> None:
        self._held_out, self._embedder, self._scoring = held_out, embedder, scoring
        self._kept: _Embedded | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that its numbers depend on but words, feature and run."""
        return {
            "embedder": dict(self._embedder.facts),
            "holding": self._scoring.holding,
            "n_exemplars": self._scoring.n_exemplars,
            "algorithm": _ALGORITHM,
        }

    def score(self, items: Sequence[Item]) -> list[Measured]:
        """Measure some features; what is said of them does not matter.

        Args:
            items: features.
        """
        if self._kept is None:
            self._kept = self._embedded()
        return [self._measured(self._kept, item.feature_id) for item in items]

    def _measured(self, known: _Embedded, feature_id: int) -> Measured:
        if feature_id not in known.rows:
            return Measured(None, reason="no held-out exemplar")
        vectors_ed = known.vectors[known.rows[feature_id]]
        others = {"redundancy": known.redundancies[feature_id]} if known.redundancies else {}
        if len(vectors_ed) < 2:
            return Measured(None, others, reason="a single held-out exemplar")
        others["polysemanticity"] = polysemanticity(vectors_ed)
        return Measured(clarity(vectors_ed), others)

    def _embedded(self) -> _Embedded:
        row_of: dict[str, int] = {}
        images: list[KeptImage] = []
        rows: dict[int, list[int]] = {}
        for feature_id, own in self._held_out.best_images(self._scoring.n_exemplars).items():
            for image in own:
                if image.pixel_hash not in row_of:
                    row_of[image.pixel_hash] = len(images)
                    images.append(image)
                rows.setdefault(feature_id, []).append(row_of[image.pixel_hash])
        parts = [
            self._embedder.embed_images([self._held_out.picture(each) for each in images[start : start + _N_AT_ONCE]])
            for start in range(0, len(images), _N_AT_ONCE)
        ]
        vectors = torch.cat(parts) if parts else torch.zeros(0, 0)
        means = [functional.normalize(vectors[own].mean(0), dim=0) for own in rows.values()]
        return _Embedded(vectors, rows, dict(zip(rows, _largest_cosines(means), strict=False)))


def _largest_cosines(units: Sequence[Float[Tensor, " dimension"]]) -> list[float]:
    """Of each unit vector with another one; none if there is no other."""
    if len(units) < 2:
        return []
    units_fd = torch.stack(list(units))
    found: list[float] = []
    for start in range(0, len(units), _N_AT_ONCE):
        cosines_gf = units_fd[start : start + _N_AT_ONCE] @ units_fd.T
        cosines_gf.diagonal(start).fill_(-torch.inf)
        found += cosines_gf.amax(1).tolist()
    return found


def clarity(vectors: Float[Tensor, "exemplar dimension"]) -> float:
    """The mean cosine of all pairs.

    Args:
        vectors: unit vectors, at least two.
    """
    vectors_ed, n = vectors.double(), len(vectors)
    assert n > 1, "no pair"
    return float((vectors_ed.sum(0).square().sum() - vectors_ed.square().sum()) / (n * (n - 1)))


def polysemanticity(vectors: Float[Tensor, "exemplar dimension"]) -> float:
    """1 less the cosine of the means of the two best clusters; 0 if all are the same.

    The best are those with the least sum of squared distances from their means, as in k-means; of up to 12 exemplars
    they are found for certain.

    Args:
        vectors: unit vectors, at least one.
    """
    vectors_ed = vectors.double()
    if (vectors_ed.amax(0) - vectors_ed.amin(0)).max() < _SAME:
        return 0.0
    one_e = _parted(vectors_ed) if len(vectors_ed) <= _N_TRIED else _clustered(vectors_ed)
    # sums, as cosines do not ask how long vectors are
    one_d, other_d = torch.stack([one_e, 1 - one_e]) @ vectors_ed
    return float(1 - functional.cosine_similarity(one_d, other_d, dim=0))


def _parted(vectors_ed: Tensor) -> Float64[Tensor, " exemplar"]:
    """The best of all ways to part a few vectors in two, many times as fast as k-means is started."""
    parts_pe, over_n_p = _parts(len(vectors_ed))
    squared_sums_over_n_p = (parts_pe @ (vectors_ed @ vectors_ed.T)).mul_(parts_pe).sum(1) * over_n_p
    # The squared distances are least where these are most: together they are the sum of all squares.
    return parts_pe[squared_sums_over_n_p.view(2, -1).sum(0).argmax()]


@cache
def _parts(n: int) -> tuple[Float64[Tensor, "part exemplar"], Float64[Tensor, " part"]]:
    """All ways to part so many vectors in two: each one's first part, then each one's second, and 1 over their sizes.

    A vector is in a part by 1, else by 0.
    """
    ways = torch.arange(1, 1 << (n - 1))  # the last vector is always in the second part: a way is told once
    one_we = ((ways[:, None] >> torch.arange(n)) & 1).double()
    parts_pe = torch.cat([one_we, 1 - one_we])
    return parts_pe, 1 / parts_pe.sum(1)


def _clustered(vectors_ed: Tensor) -> Float64[Tensor, " exemplar"]:
    from sklearn.cluster import KMeans  # slow to import

    clustering: Any = KMeans  # whose number of starts is a word by default, and so for type checkers
    labels = clustering(n_clusters=2, n_init=_N_STARTS, random_state=0).fit_predict(vectors_ed.numpy())
    return torch.from_numpy(labels).double()
