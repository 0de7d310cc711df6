"""Small real models with random weights, built offline."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3Processor,
    Gemma3TextConfig,
    GenerationConfig,
    PreTrainedTokenizerFast,
    SiglipVisionConfig,
)
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil

from seesay.sae import SAE, Provenance

SPECIAL = [
    "<pad>",
    "<eos>",
    "<bos>",
    "<unk>",
    "<start_of_image>",
    "<end_of_image>",
    "<image_soft_token>",
    "<start_of_turn>",
    "<end_of_turn>",
]
WORDS = ["user", "model", "what", "is", "the", "a", "red", "blue", "circle", "square", "in", "image", "?", "."]
MORE_WORDS = [f"word{number}" for number in range(64)]
VOCABULARY = {token: number for number, token in enumerate(SPECIAL + WORDS + MORE_WORDS)}
END_IDS = [VOCABULARY["<eos>"], VOCABULARY["<end_of_turn>"]]

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<start_of_turn> {{ message['role'] }} "
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}<end_of_turn>{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn> model {% endif %}"
)

IMAGE_SIZE, PATCH_SIZE, IMAGE_TOKENS = 32, 8, 4
D_MODEL, N_BLOCKS, N_FEATURES = 32, 3, 64
QUESTION = "what is in the image ?"


def tiny_processor() -> Gemma3Processor:
    """A Gemma 3 processor whose tokenizer knows 87 words."""
    core = Tokenizer(models.WordLevel(VOCABULARY, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens={
            "boi_token": "<start_of_image>",
            "eoi_token": "<end_of_image>",
            "image_token": "<image_soft_token>",
            "sot_token": "<start_of_turn>",
            "eot_token": "<end_of_turn>",
        },
    )
    image_processor = Gemma3ImageProcessorPil(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, do_pan_and_scan=False)
    return Gemma3Processor(
        image_processor=image_processor, tokenizer=tokenizer, chat_template=CHAT_TEMPLATE, image_seq_length=IMAGE_TOKENS
    )


def tiny_gemma3(seed: int = 0) -> Gemma3ForConditionalGeneration:
    """A Gemma 3 of three vision blocks; its weights are large and untied so that what it sees changes what it says."""
    torch.manual_seed(seed)
    token_ids = {"pad_token_id": VOCABULARY["<pad>"], "bos_token_id": VOCABULARY["<bos>"]}
    vision = SiglipVisionConfig(
        hidden_size=D_MODEL,
        intermediate_size=64,
        num_hidden_layers=N_BLOCKS,
        num_attention_heads=2,
        image_size=IMAGE_SIZE,
        patch_size=PATCH_SIZE,
        vision_use_head=False,
    )
    text = Gemma3TextConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        max_position_embeddings=256,
        sliding_window=128,
        eos_token_id=VOCABULARY["<eos>"],
        tie_word_embeddings=False,
        **token_ids,
    )
    config = Gemma3Config(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        mm_tokens_per_image=IMAGE_TOKENS,
        boi_token_index=VOCABULARY["<start_of_image>"],
        eoi_token_index=VOCABULARY["<end_of_image>"],
        image_token_index=VOCABULARY["<image_soft_token>"],
        eos_token_id=END_IDS,
        tie_word_embeddings=False,
        **token_ids,
    )
    model = Gemma3ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.25)
    model.generation_config = GenerationConfig(eos_token_id=END_IDS, do_sample=False, **token_ids)
    return model


def save_checkpoint(folder: Path) -> Path:
    """Save the tiny Gemma 3 as a checkpoint that brings its own prompts."""
    tiny_processor().save_pretrained(folder)
    tiny_gemma3().save_pretrained(folder)
    prompts = folder / "prompts"
    prompts.mkdir()
    (prompts / "steering.txt").write_text(QUESTION)
    return folder


def tiny_sae(layer: int | None = 1) -> SAE:
    """A random top-k SAE for the tiny Gemma 3."""
    generator = torch.Generator().manual_seed(1)
    W_dec = torch.nn.functional.normalize(torch.randn(N_FEATURES, D_MODEL, generator=generator), dim=-1)
    return SAE(
        W_enc=W_dec.T.contiguous(),
        W_dec=W_dec,
        b_enc=torch.zeros(N_FEATURES),
        b_dec=torch.randn(D_MODEL, generator=generator),
        activation="topk",
        k=4,
        provenance=Provenance(layer=layer),
    )
