"""A vision-language model cut in three: encode up to a block, encode on from it, say what is seen.

Cutting it at the steered block lets every feature share one pass over the empty image up to there.
"""

import threading
from collections.abc import Sequence
from typing import Any, final

import torch
from einops import rearrange
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel, ProcessorMixin
from transformers.modeling_outputs import BaseModelOutputWithPooling

from seesay.errors import LayerNotFound
from seesay.images.blank import blank_image
from seesay.vlm.answers import Answer, GreedyLogProbabilities, until_end
from seesay.vlm.blocks import capture, find_blocks, pass_through, replaced_forwards
from seesay.vlm.families import family_of
from seesay.vlm.prompts import Prompts


@final
class VLM:
    """A vision-language model and the prompts it is asked.

    Its own code does all the computing: blocks are listened to or stood in for, never copied. The stand-ins are
    process-wide, so one lock per VLM lets one thread at a time into the encoder.

    Args:
        model: a loaded vision-language model of a family in `seesay.vlm.families`.
        processor: its processor, with a chat template.
        prompts: what it is asked.

    Raises:
        UnreadableModel: a family that is not known, or an encoder whose blocks cannot be found.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin, prompts: Prompts) -> None:
        # transformers types models and processors by what all of them share, which is next to nothing.
        self._model: Any = model
        self._processor: Any = processor
        self._family = family_of(model.config.model_type)
        self._tower = model.get_submodule(self._family.tower)
        self._vision: Any = model.config.vision_config
        self._blocks = find_blocks(self._tower, self.n_blocks)
        self._lock = threading.RLock()
        self.prompts = prompts

    @property
    def n_blocks(self) -> int:
        """How many blocks the vision encoder has."""
        return getattr(self._vision, "num_hidden_layers", None) or self._vision.depth

    @property
    def d_model(self) -> int:
        """Width of the vision encoder's residual stream."""
        return self._vision.hidden_size

    @property
    def image_size(self) -> int:
        """Side in pixels of the square images that the encoder sees."""
        return self._vision.image_size

    @property
    def device(self) -> torch.device:
        """Where the vision encoder is."""
        return self._model.device

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the weights."""
        return self._model.dtype

    def check_layer(self, layer: int) -> None:
        """Check that the encoder has a block.

        Raises:
            LayerNotFound: it has not.
        """
        if layer not in range(self.n_blocks):
            raise LayerNotFound(f"block {layer} of the vision encoder", expected=f"0 to {self.n_blocks - 1}")

    @torch.no_grad()
    def encode_to(
        self, images: Sequence[Image.Image], layer: int, *, batch_size: int = 8
    ) -> Float[Tensor, "image position d_model"]:
        """Encode images up to and including a block.

        Args:
            images: at least one, of any size: they are resized as the model's processor does.
            layer: the block, 0-based.
            batch_size: images per pass.

        Returns:
            The residual stream after that block, prefix tokens (CLS) included.

        Raises:
            LayerNotFound: no such block.
        """
        self.check_layer(layer)
        residuals_ipd: list[Tensor] = []
        for start in range(0, len(images), batch_size):
            pixels = self._pixels(images[start : start + batch_size])
            with self._lock:
                residuals_ipd.append(capture(self._blocks, layer, lambda pixels=pixels: self._tower(pixels)))
        return torch.cat(residuals_ipd)

    @torch.no_grad()
    def encode(self, images: Sequence[Image.Image], *, batch_size: int = 8) -> Float[Tensor, "image token d_lm"]:
        """Encode images all the way to the language model, with nothing steered.

        Args:
            images: at least one, of any size.
            batch_size: images per pass.

        Returns:
            Image tokens, as the language model reads them.
        """
        tokens_itd: list[Tensor] = []
        for start in range(0, len(images), batch_size):
            pixels = self._pixels(images[start : start + batch_size])
            with self._lock:
                tokens_itd.append(self._model.get_image_features(pixels, return_dict=True).pooler_output)
        return torch.cat(tokens_itd)

    @torch.no_grad()
    def encode_from(
        self, residual: Float[Tensor, "feature position d_model"], layer: int
    ) -> Float[Tensor, "feature token d_lm"]:
        """Carry residuals from a block on to the language model.

        Runs the model's own `get_image_features` on a single empty picture: blocks before the given one pass it
        through, the given one hands out the residuals instead, and from there on there are as many as there are rows.

        Args:
            residual: the residual stream after the block, one row per feature.
            layer: the block, 0-based.

        Returns:
            Image tokens, as the language model reads them.

        Raises:
            LayerNotFound: no such block.
        """
        self.check_layer(layer)
        residual = residual.to(self.device, self.dtype)

        def hand_out(_hidden_states: Tensor, *_args: Any, **_kwargs: Any) -> Tensor:
            return residual

        size = self.image_size
        pixels = torch.zeros(1, 3, size, size, device=self.device, dtype=self.dtype)
        replacements = dict.fromkeys(self._blocks[:layer], pass_through) | {self._blocks[layer]: hand_out}
        with self._lock, replaced_forwards(replacements):
            return self._model.get_image_features(pixels, return_dict=True).pooler_output

    @torch.no_grad()
    def say(
        self, prompt: str, image_tokens: Float[Tensor, "row image token d_lm"], *, max_new_tokens: int = 64
    ) -> list[Answer]:
        """Ask the language model one question about each row of images; the answer is decoded greedily.

        Args:
            prompt: text of the user's turn, which follows the images.
            image_tokens: the images of each row, as `encode_from` gives them.
            max_new_tokens: where an answer is cut off.

        Returns:
            One answer per row.
        """
        n_rows, n_images = image_tokens.shape[:2]
        inputs = {name: value.expand(n_rows, -1) for name, value in self._question(prompt, n_images).items()}
        listener = GreedyLogProbabilities()
        # generate() rewrites what it is given, so both the dict and the output in it are made anew for each call.
        encoded = BaseModelOutputWithPooling(pooler_output=rearrange(image_tokens, "row image t d -> (row image) t d"))  # pyright: ignore[reportArgumentType] (annotated as FloatTensor)
        generated = self._model.generate(
            **inputs,
            mm_encoder_outputs={"image": encoded},
            generation_config=self._greedy(max_new_tokens),
            logits_processor=[listener],
        )
        token_ids = generated[:, inputs["input_ids"].shape[1] :]
        means = listener.mean(until_end(token_ids, self._end_ids())).tolist()
        texts = self._processor.batch_decode(token_ids, skip_special_tokens=True)
        return [Answer(text, mean) for text, mean in zip(texts, means, strict=True)]

    def residual_norm(self, layer: int, image: Image.Image) -> float:
        """Measure the mean L2 norm over positions of an image's residual after a block.

        Raises:
            LayerNotFound: no such block.
        """
        return self.encode_to([image], layer).float().norm(dim=-1).mean().item()

    def _pixels(self, images: Sequence[Image.Image]) -> Float[Tensor, "image colour height width"]:
        processed = self._processor.image_processor(list(images), return_tensors="pt", **self._family.one_picture)
        return processed["pixel_values"].to(self.device, self.dtype)

    def _question(self, prompt: str, n_images: int) -> dict[str, Tensor]:
        """Tokenise one user turn, images first, without the pixels."""
        # The processor counts image tokens by looking at pictures: any will do.
        picture = {"type": "image", "image": blank_image("white", self.image_size)}
        content = [picture] * n_images + [{"type": "text", "text": prompt}]
        inputs = self._processor.apply_chat_template(
            [[{"role": "user", "content": content}]],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs=dict(self._family.one_picture),
        )
        of_pixels = set(self._processor.image_processor.model_input_names)
        return {name: value.to(self.device) for name, value in inputs.items() if name not in of_pixels}

    def _greedy(self, max_new_tokens: int) -> GenerationConfig:
        # Neutral sampling values keep the checkpoint's own (Gemma: top-k 64) from filling in and being warned about.
        return GenerationConfig(do_sample=False, temperature=1.0, top_p=1.0, top_k=50, max_new_tokens=max_new_tokens)

    def _end_ids(self) -> Tensor:
        config = self._model.generation_config
        end = config.eos_token_id
        ids = end if isinstance(end, list) else [end]
        return torch.tensor([token for token in ids if token is not None], device=self.device)
