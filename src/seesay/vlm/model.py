"""A vision-language model cut in three: encode up to a block, encode on from it, say what is seen.

Cutting it at the steered block lets every feature share one pass over the empty image up to there.
"""

from collections.abc import Collection, Sequence
from inspect import signature
from typing import Any, final

import torch
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from seesay.records import Decoding
from seesay.vlm.answers import Answer, Chooser, seed_of, until_end
from seesay.vlm.blocks import count_blocks, device_of, weights_at_hand
from seesay.vlm.encoded import Encoded
from seesay.vlm.encoder import Encoder
from seesay.vlm.families import vlm_family
from seesay.vlm.prompts import Prompts
from seesay.vlm.tokens import ImageTokens, pack, unpack
from seesay.vlm.turns import TokenNames, write_turn

GREEDY = Decoding()


@final
class VLM:
    """A vision-language model and the prompts it is asked.

    Args:
        model: a loaded vision-language model of a family in `seesay.vlm.families`.
        image_processor: the checkpoint's.
        tokenizer: the checkpoint's, with a chat template.
        prompts: what it is asked.

    Raises:
        UnreadableModel: a family that is not known, or an encoder whose blocks cannot be found.
    """

    def __init__(self, model: PreTrainedModel, image_processor: Any, tokenizer: Any, prompts: Prompts) -> None:
        # transformers types models and processors by what all of them share, which is next to nothing.
        self._model: Any = model
        self._tokenizer = tokenizer
        self._family = vlm_family(model.config.model_type)
        self._family.adjust(model.config)
        self._takes = frozenset(signature(type(model).forward).parameters)
        self._names = TokenNames(model.config, tokenizer)
        self.prompts = prompts
        vision: Any = model.config.vision_config
        self.encoder = Encoder(
            self._run_encoder,
            signature(self._model.base_model.get_image_features).parameters,
            model.get_submodule(self._family.tower),
            config=vision,
            model_config=model.config,
            image_processor=image_processor,
            family=self._family.encoder,
            layers_read=_layers_read(model.config),
        )

    def encode_to(self, images: Sequence[Image.Image], layer: int, *, batch_size: int = 8) -> Encoded:
        """Encode images up to and including a block; see [seesay.vlm.encoder.Encoder.encode_to][]."""
        return self.encoder.encode_to(images, layer, batch_size=batch_size)

    def encode(self, images: Sequence[Image.Image], *, batch_size: int = 8) -> list[ImageTokens]:
        """Encode images all the way to the language model, with nothing steered.

        Args:
            images: at least one, of any size and mode.
            batch_size: images per pass; halved when memory runs out.

        Returns:
            What the language model reads of each image.

        Raises:
            UnreadableImage: an image that cannot be turned into RGB.
            NotEnoughMemory: a single image does not fit.
        """
        passes = self.encoder.encode(images, batch_size=batch_size)
        return [tokens for output, geometries in passes for tokens in unpack(output, geometries)]

    def encode_from(self, encoded: Encoded) -> list[ImageTokens]:
        """Carry residuals from a block on to the language model.

        Args:
            encoded: as `encode_to` gives it, with any residual stream: `encoded.with_residual(steered)`.

        Returns:
            What the language model reads of each image.

        Raises:
            LayerNotFound: a block after the last one that the language model reads.
        """
        return unpack(self.encoder.run_from(encoded), encoded.geometries)

    @torch.no_grad()
    def say(
        self,
        prompt: str,
        rows: Sequence[Sequence[ImageTokens]],
        decoding: Decoding = GREEDY,
        *,
        keys: Sequence[int] | None = None,
    ) -> list[Answer]:
        """Ask the language model one question about each row of images.

        Args:
            prompt: text of the user's turn, which follows the images.
            rows: the images of each turn, none or several, as `encode_from` or `encode` gives them.
            decoding: how the words are chosen.
            keys: one for each row, such as its feature id: what is drawn depends on the key and on `decoding.seed`
                alone, whatever else is asked at the same time. By default the rows' numbers.

        Returns:
            The answers: all samples of the first row, then those of the second.

        Raises:
            UnreadablePrompt: a prompt that holds the model's own placeholder of an image.
        """
        # Whole turns are repeated: generate would mix the images of several between the samples.
        n = decoding.n_samples
        repeated = [row for row in rows for _ in range(n)]
        keys = range(len(rows)) if keys is None else keys
        chooser = Chooser(decoding, [seed_of(decoding.seed, key, sample) for key in keys for sample in range(n)])
        inputs = self._inputs(prompt, repeated)
        images = [image for row in repeated for image in row]
        if images:
            # generate() rewrites what it is given, so both the dict and the output in it are made anew for each call.
            inputs["mm_encoder_outputs"] = {"image": pack(images, stacked=self._family.stacks_tokens)}
        generated = self._model.generate(
            **inputs, generation_config=_generation(decoding.max_new_tokens), logits_processor=[chooser]
        )
        token_ids = generated[:, inputs["input_ids"].shape[1] :]
        means = chooser.mean(until_end(token_ids, self._end_ids(token_ids.device))).tolist()
        texts = self._tokenizer.batch_decode(token_ids, skip_special_tokens=True)
        return [Answer(text, mean) for text, mean in zip(texts, means, strict=True)]

    def _run_encoder(self, **pictures: Tensor) -> Any:
        with weights_at_hand(self._model.base_model):
            return self._model.get_image_features(**pictures, return_dict=True)

    def _inputs(self, prompt: str, rows: Sequence[Sequence[ImageTokens]]) -> dict[str, Any]:
        """Tokenise one turn per row, the shorter ones padded on the left, without the images themselves."""
        texts = [self._written(prompt, row) for row in rows]
        different = list(dict.fromkeys(texts))
        # As transformers' processors do: some chat templates write the first token, some leave it to the tokenizer.
        begun = self._family.chat_template is not None or different[0].startswith(self._tokenizer.bos_token or "\0")
        tokenized = self._tokenizer(
            different, padding=True, padding_side="left", add_special_tokens=not begun, return_tensors="pt"
        )
        place = device_of(self._model)
        rows_of_texts = torch.tensor([different.index(text) for text in texts])
        ids = tokenized["input_ids"][rows_of_texts].to(place)
        is_image = (ids == self._model.config.image_token_id).long()
        of_types = torch.zeros_like(ids) if self._family.reads_prompt_both_ways else is_image
        grids = [[1, *image.grid] for row in rows for image in row]
        offered = {
            "input_ids": ids,
            "attention_mask": tokenized["attention_mask"][rows_of_texts].to(place),
            "token_type_ids": of_types,
            "mm_token_type_ids": is_image,
            "image_grid_thw": torch.tensor(grids, device=place) if grids else None,
        }
        return {name: value for name, value in offered.items() if name in self._takes and value is not None}

    def _written(self, prompt: str, images: Sequence[ImageTokens]) -> str:
        written = [self._family.write_image(self._names, len(image.tokens), image.grid) for image in images]
        return write_turn(self._tokenizer, prompt, written)

    def _end_ids(self, device: torch.device) -> Tensor:
        end = self._model.generation_config.eos_token_id
        ids = end if isinstance(end, list) else [end]
        return torch.tensor([token for token in ids if token is not None], device=device)


def _generation(max_new_tokens: int) -> GenerationConfig:
    # Neutral sampling values keep the checkpoint's own (Gemma: top-k 64) from filling in and being warned about.
    return GenerationConfig(do_sample=False, temperature=1.0, top_p=1.0, top_k=50, max_new_tokens=max_new_tokens)


def _layers_read(config: Any) -> Collection[int]:
    """The blocks whose output the language model reads.

    A configuration may name one or several of the tower's hidden states, of which the first is the embedding.
    """
    vision = config.vision_config
    n_blocks = count_blocks(vision)
    named = getattr(config, "vision_feature_layer", None)
    states = [-1] if named is None else [named] if isinstance(named, int) else named
    blocks = {n_blocks + state if state < 0 else state - 1 for state in states}
    return {block for block in blocks if block >= 0} | set(getattr(vision, "deepstack_visual_indexes", None) or [])
