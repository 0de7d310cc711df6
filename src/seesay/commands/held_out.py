"""What scorers look at in a run: exemplars that no explainer was shown, and no more of them than there are."""

from dataclasses import replace
from typing import TYPE_CHECKING

from seesay.scorers.config import LEAST, Scoring

if TYPE_CHECKING:
    from seesay.scorers.gallery import HeldOut
    from seesay.store.run import Noted, Run


def held_out_of(run: "Run", scoring: Scoring) -> "HeldOut":
    """A run's exemplars that no explainer was shown.

    Args:
        run: whose.
        scoring: says which are looked at.
    """
    from seesay.store.explanations import shown_images
    from seesay.store.held_out import RunHeldOut

    return RunHeldOut(run, scoring.holding, shown_images(run))


def as_kept(run: "Run | Noted", scoring: Scoring) -> Scoring:
    """The same, with no more exemplars than the run keeps: numbers of more would be the same under another name.

    Args:
        run: or what it says of itself.
        scoring: as it was asked for.
    """
    from seesay.pipeline.collecting import STAGE

    n_kept = run.configured(STAGE).get("n_top") if run.finished(STAGE) is not None else None
    if not isinstance(n_kept, int) or scoring.n_exemplars <= n_kept or n_kept < LEAST:
        return scoring
    return replace(scoring, n_exemplars=n_kept)
