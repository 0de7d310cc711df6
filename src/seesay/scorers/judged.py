"""What scores by a judge share: which exemplars are right, by chance but fairly, and what answers are worth."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import zip_longest

import numpy as np

from seesay.exemplars.exemplar import Exemplar
from seesay.instruments.instrument import Verdict
from seesay.scorers.config import SCORES, KnownScore
from seesay.scorers.gallery import HeldOut
from seesay.scorers.scorer import Measured
from seesay.statistics import balanced_accuracy, roc_auc

NO_EXEMPLAR = "no held-out exemplar"


def of_every_quantile(held_out: HeldOut, feature_id: int, seed: int) -> list[Exemplar]:
    """Exemplars of every quantile in turn, from the most active to the least, an even share of each.

    Args:
        held_out: the images.
        feature_id: whose.
        seed: which of a quantile come first.
    """
    found = held_out.exemplars(feature_id, "quantile")
    quantiles = sorted({each.quantile for each in found if each.quantile is not None}, reverse=True)
    strata = [drawn([each for each in found if each.quantile == quantile], seed) for quantile in quantiles]
    return [each for some in zip_longest(*strata) for each in some if each is not None]


def drawn(exemplars: Sequence[Exemplar], seed: int) -> list[Exemplar]:
    """Exemplars in an order that is drawn at random, the same one each time.

    Args:
        exemplars: of any features.
        seed: of the draw.
    """
    return sorted(exemplars, key=lambda each: chance(seed, each.feature_id, each.image.image_id))


def chance(*of: int) -> bytes:
    """A number at random that is the same for the same numbers, as bytes that can be compared."""
    return blake2b(repr(of).encode(), digest_size=8, person=b"seesay-judged").digest()


def nothing_said(score: KnownScore) -> Measured:
    """What an empty text gets: the judge is not asked, as it could but guess.

    Args:
        score: by a judge.
    """
    worth = SCORES[score].chance
    assert worth is not None
    return Measured(worth, {f"{score}_auc": worth}, reason="nothing was said")


def measured(score: KnownScore, right: Sequence[Verdict], wrong: Sequence[Verdict]) -> Measured:
    """What a judge's answers are worth.

    Args:
        score: by a judge.
        right: where yes is right; at least one.
        wrong: where no is right; at least one.
    """
    yes_right, yes_wrong = (np.array([each.yes for each in some], dtype=np.float64) for some in (right, wrong))
    others = {
        f"{score}_auc": roc_auc(yes_right, yes_wrong),
        "unanswered": float(np.mean([not each.answered for each in (*right, *wrong)])),
    }
    return Measured(balanced_accuracy(yes_right > 0.5, yes_wrong <= 0.5), others)
