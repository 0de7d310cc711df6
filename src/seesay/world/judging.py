"""A judge who knows the truth, for choosing strengths on the world's validation features."""

from collections.abc import Callable, Sequence

from seesay.explainers.config import METHODS
from seesay.images.blank import blank_image
from seesay.records import Decoding, Explanation, Method
from seesay.sae import SAE
from seesay.vlm import VLM
from seesay.world.concepts import Concept
from seesay.world.grammar import parse
from seesay.world.truth import MAX_NEW_TOKENS, Truth, is_hit, measure

N_SHOWN = 5


def judge_of(
    vlm: VLM,
    sae: SAE,
    layer: int,
    method: Method,
    feature_ids: Sequence[int],
    *,
    on_batch: Callable[[int], None] | None = None,
) -> tuple[list[int], Callable[[Sequence[Explanation]], list[float]]]:
    """Find out what features stand for, on scenes that nothing is reported from later.

    Args:
        vlm: whose encoder is looked through.
        sae: whose features are meant.
        layer: the block that the SAE reads.
        method: whose words are to be judged.
        feature_ids: which features.
        on_batch: told how many more scenes are done.

    Returns:
        Those of the features that a word of the world fits, and a function from their explanations to hits, 0 or 1.
    """
    truth = measure(vlm, sae, layer, stream="explaining", on_batch=on_batch)
    return [each for each in feature_ids if truth.concepts(each)], judge(truth, of_nothing(vlm, method))


def judge(truth: Truth, said_of_nothing: str) -> Callable[[Sequence[Explanation]], list[float]]:
    """A function from explanations to hits, 0 or 1.

    Args:
        truth: what each feature stands for.
        said_of_nothing: what the method says where there is nothing to see; see [seesay.world.judging.of_nothing][].
    """
    unsteered: Sequence[Concept] = parse(said_of_nothing)
    return lambda said: [float(is_hit(each.text, truth.concepts(each.feature_id), unsteered)) for each in said]


def of_nothing(vlm: VLM, method: Method) -> str:
    """What a method says where there is nothing to see: an empty image, or as many as there would be exemplars.

    Nothing for a method that does not speak.

    Args:
        vlm: who is asked.
        method: whose question.
    """
    way = METHODS[method]
    if way.prompt is None or not way.generates:
        return ""
    blank = blank_image("white", vlm.encoder.image_size)
    tokens = vlm.encode([blank] * (N_SHOWN if way.shows else 1))
    (answer,) = vlm.say(vlm.prompts[way.prompt], [tokens], Decoding(MAX_NEW_TOKENS))
    return answer.text
