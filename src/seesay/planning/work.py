"""What explaining features takes, stage by stage: counted by running seesay's own code on a model without numbers."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from seesay.errors import InvalidSetting
from seesay.explainers.config import SEVERAL, Setting
from seesay.images.blank import blank_image
from seesay.planning.hollow import hollow
from seesay.planning.outline import Outline
from seesay.planning.tally import Cost, counting
from seesay.records import Decoding
from seesay.vlm import VLM
from seesay.vlm.encoded import Encoded, Prepared
from seesay.vlm.tokens import ImageTokens, unpack

_NOTHING = Cost(Counter())


@final
@dataclass(frozen=True)
class Batches:
    """How much is done at once.

    Args:
        features: that the language model answers about at a time.
        images: that the vision encoder encodes at a time.
    """

    features: int
    images: int


@final
@dataclass(frozen=True)
class Work:
    """What explaining takes.

    Args:
        images_per_feature: that are encoded.
        answers_per_feature: that are said.
        tokens_per_answer: at most.
        n_prompt: tokens that the language model reads before it speaks, those of images among them.
        n_patches: positions of an image in the encoder.
        once: done once for all features: the empty image up to the steered block.
        encoding: one pass of the encoder, on as many images as `batches` says, and of what comes after it.
        prefill: the language model reads the prompts of one batch of features.
        token: and says one more token in each of them.
        cache_at_first: bytes that the keys and values of a batch take after the prompts.
        cache_per_token: and for each token more.
        batches: how much is done at once.
    """

    images_per_feature: int
    answers_per_feature: int
    tokens_per_answer: int
    n_prompt: int
    n_patches: int
    once: Cost
    encoding: Cost
    prefill: Cost
    token: Cost
    cache_at_first: int
    cache_per_token: int
    batches: Batches

    @property
    def cache(self) -> int:
        """Bytes that the keys and values of a batch take when all has been said: the last token is never read."""
        return self.cache_at_first + max(0, self.tokens_per_answer - 1) * self.cache_per_token

    @property
    def encoder_peak(self) -> int:
        """Bytes that a pass of the encoder holds at once, beside weights."""
        return max(self.once.peak, self.encoding.peak)

    @property
    def language_peak(self) -> int:
        """Bytes that the language model holds at once, beside weights, the cache among them."""
        return max(self.prefill.peak, self.token.peak) + self.cache - self.cache_at_first - self.cache_per_token


def _n_images(setting: Setting) -> int:
    """In one turn."""
    if setting.way.shows:
        return setting.n_images
    return len(SEVERAL) if setting.empty == "several" else 1


def work_of(outline: Outline, layer: int, setting: Setting, batches: Batches) -> Work:
    """Count what a setting takes.

    Args:
        outline: of the model that explains.
        layer: the block that is steered.
        setting: the way to explain.
        batches: how much is done at once.

    Raises:
        InvalidSetting: a method that asks no vision-language model.
        LayerNotFound: a block that the language model cannot see.
        UnreadablePrompt: no prompt for the method.
    """
    way, vlm = setting.way, outline.vlm
    if way.reads:
        like = setting.method.removesuffix("+")
        raise InvalidSetting(
            f"a plan for {setting.method}",
            expected="a method that generates",
            remedy=f"plan for {like}: it takes that at least, and eight phrases more a feature",
        )
    if way.shows and not way.generates:
        raise InvalidSetting(f"a plan for {setting.method}, which asks no vision-language model", expected="none")
    if setting.swept or setting.contrast:
        raise InvalidSetting(
            f"a plan for {'several strengths' if setting.swept else 'contrast'}",
            expected="none",
            remedy="plan without: several strengths take ten times as long, contrast twice, and more memory",
        )
    layer = layer if way.steers else vlm.encoder.last_layer_read
    vlm.encoder.check_layer(layer, steered=True)
    blank = vlm.encoder.prepare([blank_image("white", vlm.encoder.image_size)])
    once, start = _encoded(vlm, blank, layer)
    encoding, tokens = _encoding(vlm, start, batches.images, from_the_start=way.shows, coarse=setting.coarse)
    n_images, n_answers = _n_images(setting), setting.n_answers
    if way.prompt is None:
        heard = _Heard(_NOTHING, _NOTHING, 0, 0, 0)
    else:
        rows = [[tokens] * n_images] * batches.features
        heard = _heard(vlm, vlm.prompts.filled_in(way.prompt), rows, n_answers)
    return Work(
        images_per_feature=n_images,
        answers_per_feature=n_answers,
        tokens_per_answer=setting.decoding.max_new_tokens if way.generates else min(1, heard.n_prompt),
        n_prompt=heard.n_prompt,
        n_patches=start.residual.shape[1],
        once=_NOTHING if way.shows else once,
        encoding=encoding,
        prefill=heard.prefill,
        token=heard.token,
        cache_at_first=heard.cache_at_first,
        cache_per_token=heard.cache_per_token,
        batches=batches,
    )


def _encoded(vlm: VLM, prepared: Prepared, layer: int) -> tuple[Cost, Encoded]:
    with counting() as tally:
        encoded = vlm.encoder.encode_prepared(prepared, layer)
    return tally.cost, encoded


def _encoding(
    vlm: VLM, start: Encoded, n_images: int, *, from_the_start: bool, coarse: int
) -> tuple[Cost, ImageTokens]:
    """One pass of the encoder, and what the language model reads of one of its images."""
    before, many = _NOTHING, start.with_residual(start.residual.expand(n_images, -1, -1))
    if from_the_start:
        before, many = _encoded(vlm, Prepared(many.pictures, many.geometries), start.layer)
    with counting() as tally:
        push = hollow(n_images, 1, many.residual.shape[-1], dtype=many.residual.dtype)
        pushed = many.with_residual(many.residual + push)
        tokens = unpack(vlm.encoder.run_from(pushed, coarse=coarse), pushed.geometries)
    return before + tally.cost, tokens[0]


@final
@dataclass(frozen=True)
class _Heard:
    prefill: Cost
    token: Cost
    cache_at_first: int
    cache_per_token: int
    n_prompt: int


def _heard(vlm: VLM, prompt: str, rows: Sequence[Sequence[ImageTokens]], n_answers: int) -> _Heard:
    """Let it say two tokens to each answer, and look on after each pass; many questions are read in several."""
    costs: list[Cost] = []
    caches: list[int] = []
    lengths: list[int] = []

    def note(_model: object, _inputs: object, output: Any) -> None:
        layers = output.past_key_values.layers
        costs.append(tally.cost)
        caches.append(sum(layer.keys.nbytes + layer.values.nbytes for layer in layers))
        lengths.append(max(layer.get_seq_length() for layer in layers))

    handle = vlm.model.register_forward_hook(note)
    try:
        with counting() as tally:
            vlm.say(prompt, rows, Decoding(max_new_tokens=2, n_samples=n_answers))
    finally:
        handle.remove()
    *reads, last = costs
    at_first = sum(caches[:-1]) * n_answers
    return _Heard(reads[-1], last.since(reads[-1]), at_first, caches[-1] - at_first, lengths[0])
