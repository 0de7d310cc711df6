"""From examples to what a model reads: conversations as token ids, the answers labelled, padded into batches."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Gemma3Processor

from seesay.images.blank import blank_image
from seesay.world.questions import SEEDS_PER_EXAMPLE, Curriculum, Example, examples
from seesay.world.scenes import IMAGE_SIZE
from seesay.world.streams import Stream, seeds

IGNORED = -100
"""Label of tokens that are not to be learnt (transformers' convention)."""


def step_examples(curriculum: Curriculum, stream: Stream, step: int) -> list[list[Example]]:
    """The examples of one step, part by part; no two steps share a seed."""
    start = step * curriculum.batch_size * SEEDS_PER_EXAMPLE
    parts: list[list[Example]] = []
    for part in curriculum.parts:
        count = part.n_examples * SEEDS_PER_EXAMPLE
        parts.append(examples(part, seeds(stream, start, count)))
        start += count
    return parts


@dataclass(frozen=True)
class TokenBatch:
    """A batch as the model reads it.

    Args:
        pixels: uint8 `[picture height width 3]`, all examples' pictures in a row; None without pictures.
        input_ids: questions and answers, padded on the right.
        attention_mask: 1 where there is a token.
        token_type_ids: 1 on image tokens.
        labels: the answers and their ends, `IGNORED` elsewhere.
    """

    pixels: UInt8[Tensor, "picture height width 3"] | None
    input_ids: Int[Tensor, "example token"]
    attention_mask: Int[Tensor, "example token"]
    token_type_ids: Int[Tensor, "example token"]
    labels: Int[Tensor, "example token"]

    def to(self, device: torch.device) -> "TokenBatch":
        """The batch on a device."""
        pixels = None if self.pixels is None else self.pixels.to(device)
        rest = (self.input_ids, self.attention_mask, self.token_type_ids, self.labels)
        return TokenBatch(pixels, *(tensor.to(device) for tensor in rest))


class QuestionBatches(Dataset[tuple[TokenBatch, ...]]):
    """What is asked in every step, one batch for each part of the curriculum, drawn from one stream of seeds.

    Args:
        processor: turns conversations into tokens.
        curriculum: what is asked how often.
        stream: whose seeds.
        steps: which steps of the stream.
    """

    def __init__(self, processor: Gemma3Processor, curriculum: Curriculum, stream: Stream, steps: range) -> None:
        self._processor: Any = processor
        self._curriculum = curriculum
        self._stream: Stream = stream
        self._steps = steps
        self._questions: dict[tuple[str, int | None], list[int]] = {}

    def __len__(self) -> int:
        return len(self._steps)

    def __getitem__(self, index: int) -> tuple[TokenBatch, ...]:
        return tuple(map(self.collate, step_examples(self._curriculum, self._stream, self._steps[index])))

    def collate(self, batch: list[Example]) -> TokenBatch:
        """Tokenise, pad and stack."""
        tokenizer = self._processor.tokenizer
        end = tokenizer.convert_tokens_to_ids("<end_of_turn>")
        rows: list[list[int]] = []
        labels: list[list[int]] = []
        for example in batch:
            row: list[int] = []
            label: list[int] = []
            for number, (question, text) in enumerate(example.turns):
                asked = self._question_ids(question, len(example.pictures) if number == 0 else None)
                answer = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
                row += [*asked, *answer]
                label += [IGNORED] * len(asked) + answer
            rows.append(row)
            labels.append(label)
        length = max(map(len, rows))
        input_ids = torch.tensor([row + [tokenizer.pad_token_id] * (length - len(row)) for row in rows])
        pictures = [picture for example in batch for picture in example.pictures]
        return TokenBatch(
            pixels=torch.from_numpy(np.stack(pictures)) if pictures else None,
            input_ids=input_ids,
            attention_mask=torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows]),
            token_type_ids=(input_ids == tokenizer.image_token_id).long(),
            labels=torch.tensor([label + [IGNORED] * (length - len(label)) for label in labels]),
        )

    def _question_ids(self, question: str, n_pictures: int | None) -> list[int]:
        key = (question, n_pictures)
        if key not in self._questions:
            self._questions[key] = self._tokenised(*key)
        return self._questions[key]

    def _tokenised(self, question: str, n_pictures: int | None) -> list[int]:
        """The user's turn and the opening of the model's; `n_pictures` is None if it follows an answer."""
        content: list[dict[str, str]] = [{"type": "text", "text": question}]
        content = [{"type": "image"}] * (n_pictures or 0) + content
        text = self._processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        if n_pictures is None:
            after_answer = "\n" + text.removeprefix(self._processor.tokenizer.bos_token)
            return self._processor.tokenizer(after_answer, add_special_tokens=False)["input_ids"]
        blanks = [blank_image("white", IMAGE_SIZE)] * n_pictures
        return self._processor(text=[text], images=[blanks] if blanks else None)["input_ids"][0]
