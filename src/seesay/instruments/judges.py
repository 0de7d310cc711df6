"""Judges: any vision-language model, asked for a yes or a no, which are read off its probabilities."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, final, get_args

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from seesay.errors import NotEnoughMemory, NotFinite, UnreadableModel
from seesay.facts import hash_of
from seesay.images.options import Colour
from seesay.instruments.instrument import Question, Verdict
from seesay.vlm import VLM, ImageTokens, load_vlm
from seesay.vlm.batches import fitting
from seesay.vlm.identity import model_digest
from seesay.vlm.loading import Quantization

_ALGORITHM = 1
"""Raised when the same model, pictures and words would give other answers."""

_LONGEST = 2000
"""Characters of a phrase that are read: whatever is longer was said by no model that is asked for a sentence."""


@final
class VLMJudge:
    """A vision-language model that is asked whether words fit a picture.

    Every token that reads "yes" counts for yes, however it is spelt and whether or not a blank comes before it, and
    likewise for no; the probability of yes is its share of the two together.

    Args:
        vlm: the model; its prompts `detect` and `fuzz`, with `{phrase}` in them, are what it is asked.
        batch_size: questions at a time, halved when memory runs out; it changes nothing but speed and memory, and the
            last digits.

    Raises:
        UnreadableModel: no token of its vocabulary is a yes, or none is a no.
        UnreadablePrompt: one of the prompts is not there, or has no place for a phrase.
    """

    def __init__(self, vlm: VLM, *, batch_size: int = 64) -> None:
        self._vlm, self._batch_size = vlm, batch_size
        words = [word.lower() for word in vlm.words(range(len(vlm.embeddings)))]
        self._yes, self._no = (_tokens_of(word, words) for word in ("yes", "no"))
        for question in get_args(Question):
            vlm.prompts.about(question, "")
        self._facts = {
            "judge": model_digest(vlm.model),
            "reading": hash_of(vlm.reading()),
            "dtype": str(vlm.model.dtype),
            "questions": {question: vlm.prompts[question] for question in get_args(Question)},
            "algorithm": _ALGORITHM,
        }

    @property
    def facts(self) -> Mapping[str, Any]:
        """Hashes of its weights and of how it reads, and what it is asked."""
        return self._facts

    @property
    def mask_fill(self) -> Colour:
        """What its prompts speak of as painted over."""
        return self._vlm.prompts.mask_fill

    def ask(self, question: Question, images: Sequence[Image.Image], phrases: Sequence[str]) -> list[Verdict]:
        """Ask a question about each image.

        Args:
            question: which.
            images: that it is shown, one at a time; equal ones are encoded once.
            phrases: one for each of them, from anyone: special tokens are left out of them.

        Raises:
            NotEnoughMemory: a single question does not fit.
            NotFinite: numbers overflowed on the way.
        """
        prompts = [self._vlm.asking(question, phrase[:_LONGEST]) for phrase in phrases]
        keys = [_key_of(image) for image in images]
        assert len(prompts) == len(keys), f"{len(keys)} images for {len(prompts)} phrases"
        # Questions about the same image stand side by side, so that no image is held longer than one batch.
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        order = sorted(range(len(keys)), key=lambda place: first[keys[place]])
        seen: dict[Any, ImageTokens] = {}

        def answer(places: Sequence[int]) -> list[Verdict]:
            wanted = {keys[place]: images[place] for place in places}
            held = {key: seen[key] for key in wanted if key in seen}
            seen.clear()
            seen.update(held)
            new = {key: image for key, image in wanted.items() if key not in seen}
            if new:
                encoded = self._vlm.encode(list(new.values()), batch_size=self._batch_size)
                seen.update(zip(new, encoded, strict=True))
            rows = [[seen[keys[place]]] for place in places]
            return self._verdicts(self._vlm.next_word([prompts[place] for place in places], rows))

        batches = fitting(order, self._batch_size, answer, _too_large)
        verdicts = dict(zip(order, (verdict for batch in batches for verdict in batch), strict=True))
        return [verdicts[place] for place in range(len(keys))]

    def _verdicts(self, log_probabilities: Float[Tensor, "row vocabulary"]) -> list[Verdict]:
        if not log_probabilities.amax(-1).isfinite().all():
            raise NotFinite(
                "a judge's answers that are no finite numbers",
                expected="numbers",
                remedy="take another --dtype: what is too large for float16 is not for bfloat16 and float32",
            )
        yes, no = (log_probabilities[:, ids].cpu().double().logsumexp(-1) for ids in (self._yes, self._no))
        is_answer = torch.isin(log_probabilities.argmax(-1).cpu(), torch.tensor([*self._yes, *self._no]))
        shares = torch.sigmoid(yes - no).nan_to_num(0.5)  # where both are beyond all bounds it is neither
        return [Verdict(share, answered) for share, answered in zip(shares.tolist(), is_answer.tolist(), strict=True)]


def load_judge(
    name_or_path: str | Path,
    *,
    device: str = "auto",
    dtype: str = "auto",
    prompts: str | Path | None = None,
    quantize: Quantization | None = None,
    spread: bool = False,
    revision: str | None = None,
    batch_size: int = 64,
) -> VLMJudge:
    """Load a vision-language model as a judge.

    Args:
        name_or_path: as are all but the last, as for [seesay.vlm.load_vlm][].
        device: where to.
        dtype: number format.
        prompts: a folder with `detect.txt` and `fuzz.txt`; if None, the checkpoint's own, else seesay's.
        quantize: keep the language model in few bits.
        spread: over all accelerators.
        revision: on the hub.
        batch_size: questions at a time.

    Raises:
        SeesayError: as `load_vlm` and `VLMJudge` do.
    """
    vlm = load_vlm(
        name_or_path,
        device=device,
        dtype=dtype,
        prompts=prompts,
        quantize=quantize,
        spread=spread,
        revision=revision,
    )
    return VLMJudge(vlm, batch_size=batch_size)


def _tokens_of(word: str, words: Sequence[str]) -> list[int]:
    found = [token_id for token_id, each in enumerate(words) if each == word]
    if not found:
        raise UnreadableModel(
            f"a judge in whose vocabulary no token is {word!r}",
            expected="a vision-language model that can say yes and no",
            remedy="choose another judge",
        )
    return found


def _key_of(image: Image.Image) -> Any:
    """What equal images have in common."""
    if image.mode != "RGB":  # the bytes of others do not tell all, those of a palette say
        return id(image)
    return image.size, hashlib.blake2b(image.tobytes(), digest_size=16).digest()


def _too_large(_place: int) -> NotEnoughMemory:
    return NotEnoughMemory(
        "a judge's question about a single image does not fit into memory",
        expected="room for one",
        remedy="choose a smaller judge",
    )
