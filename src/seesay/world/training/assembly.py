"""Putting tower, projector and language model together as a Gemma 3 checkpoint that anyone's code can load."""

import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, processors
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma3TextConfig,
    GenerationConfig,
    PreTrainedTokenizerFast,
    SiglipVisionModel,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

from seesay.files import replaced_folder
from seesay.world.grammar import vocabulary
from seesay.world.questions import world_prompts
from seesay.world.scenes import IMAGE_SIZE
from seesay.world.training.config import TextConfig

TOKENS_PER_IMAGE = 16
"""Each image token pools four patches, as Gemma 3's pool sixteen."""

_SPECIAL = (
    "<pad>", "<eos>", "<bos>", "<unk>", "<start_of_image>", "<end_of_image>", "<image_soft_token>", "<start_of_turn>",
    "<end_of_turn>",
)  # fmt: skip
_NEWLINES = ("\n", "\n\n")  # inference engines look these up when they lay images out
_EXTRA_WORDS = ("yes", "no", "low", "high", "level", "but", "noise", ".", "?", "user", "model")
_MAX_POSITIONS = 1024
_SHARD = "12MB"

_CHAT_TEMPLATE = """\
{{ bos_token }}
{%- for message in messages -%}
    <start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}{{ '\\n' }}
    {%- if message['content'] is string -%}
        {{ message['content'] }}
    {%- else -%}
        {%- for part in message['content'] -%}
            {{ '<start_of_image>' if part['type'] == 'image' else part['text'] }}
        {%- endfor -%}
    {%- endif -%}
    <end_of_turn>{{ '\\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}<start_of_turn>model{{ '\\n' }}{%- endif -%}
"""


def build_tokenizer(*, with_ends: bool = False) -> PreTrainedTokenizerFast:
    """The world's tokenizer, of whole words.

    Args:
        with_ends: put `<bos>` before and `<eos>` after each text, and pad on the right, as CLIP's text encoder needs.
    """
    questions = [text.replace("{phrase}", "") for text in world_prompts().texts.values()]
    words = [word for word in vocabulary([*questions, *_EXTRA_WORDS]) if word not in _SPECIAL]
    ids = {token: index for index, token in enumerate((*_SPECIAL, *_NEWLINES, *words))}
    core = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    core.add_tokens([AddedToken(newline, normalized=False) for newline in _NEWLINES])
    if with_ends:
        ends = [(token, ids[token]) for token in ("<bos>", "<eos>")]
        core.post_processor = processors.TemplateProcessing(single="<bos> $A <eos>", special_tokens=ends)
    names = ("boi_token", "eoi_token", "image_token", "sot_token", "eot_token")
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        padding_side="right" if with_ends else "left",
        clean_up_tokenization_spaces=False,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        extra_special_tokens=dict(zip(names, _SPECIAL[4:], strict=True)),
    )


def build_processor() -> Gemma3Processor:
    """The world's processor: its tokenizer, and images in the tower's size."""
    image_processor = Gemma3ImageProcessorPil(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, resample=2, do_pan_and_scan=False
    )
    tokenizer = build_tokenizer()
    tokenizer.chat_template = _CHAT_TEMPLATE
    return Gemma3Processor(
        image_processor=image_processor,
        tokenizer=tokenizer,
        chat_template=_CHAT_TEMPLATE,
        image_seq_length=TOKENS_PER_IMAGE,
    )


def build_model(
    config: TextConfig, tower: SiglipVisionModel, processor: Gemma3Processor
) -> Gemma3ForConditionalGeneration:
    """A Gemma 3 with a new language model and projector on a frozen copy of the tower."""
    tokenizer: Any = processor.tokenizer  # pyright: ignore[reportAttributeAccessIssue] (set from a string in transformers)
    token_id = tokenizer.convert_tokens_to_ids
    special: dict[str, Any] = {
        "pad_token_id": token_id("<pad>"),
        "bos_token_id": token_id("<bos>"),
        "eos_token_id": [token_id("<eos>"), token_id("<end_of_turn>")],
    }
    text = Gemma3TextConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.d_model,
        intermediate_size=4 * config.d_model,
        num_hidden_layers=config.n_blocks,
        num_attention_heads=config.n_heads,
        num_key_value_heads=1,
        head_dim=config.head_dim,
        query_pre_attn_scalar=config.head_dim,
        max_position_embeddings=_MAX_POSITIONS,
        sliding_window=_MAX_POSITIONS,
        layer_types=["full_attention"] * config.n_blocks,
        **special,
    )
    whole = Gemma3Config(
        vision_config=tower.config.to_dict(),
        text_config=text.to_dict(),
        mm_tokens_per_image=TOKENS_PER_IMAGE,
        boi_token_index=token_id("<start_of_image>"),
        eoi_token_index=token_id("<end_of_image>"),
        image_token_index=token_id("<image_soft_token>"),
        **special,
    )
    model: Any = Gemma3ForConditionalGeneration(whole)
    model.generation_config = GenerationConfig(do_sample=False, **special)
    frozen = model.model.vision_tower
    frozen.load_state_dict(tower.state_dict())
    frozen.requires_grad_(False)
    # transformers leaves the projection at zero, where the language model would learn to do without images first.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=config.d_model**-0.5)
    return model


def save(model: Gemma3ForConditionalGeneration, processor: Gemma3Processor, out: Path) -> None:
    """Write a checkpoint in bfloat16, with the prompts that it was taught, in place of any earlier one."""
    with replaced_folder(out) as aside:
        model.bfloat16().save_pretrained(aside, max_shard_size=_SHARD)
        for shard in list(aside.glob("*.safetensors")):
            renamed = {_public_name(name): tensor.clone() for name, tensor in load_file(shard).items()}
            save_file(renamed, shard, {"format": "pt"})
        processor.save_pretrained(aside)
        with as_file(files("seesay.world") / "prompts") as folder:
            shutil.copytree(folder, aside / "prompts")


def _public_name(name: str) -> str:
    """The name that the published Gemma 3 checkpoints use, which other engines look for."""
    return name.replace("vision_tower.", "vision_tower.vision_model.", 1)
