"""Small randomly initialised models of every family, with processors built offline.

Their weights are large, so that what is seen changes what is said, and no list of modules but the blocks has their
number.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.models.bit.image_processing_pil_bit import BitImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.siglip2.image_processing_pil_siglip2 import Siglip2ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from seesay.vlm import VLM, Encoder
from seesay.vlm.families import VLMS
from seesay.vlm.loading import encoder_of
from seesay.vlm.prompts import Prompts

SIDE, PATCH, D_MODEL, N_BLOCKS = 32, 8, 32, 4
QUESTION = "what is in the image ?"

SPECIAL = str.split(
    "<pad> <eos> <bos> <unk> <image> <video> <start_of_image> <end_of_image> <image_soft_token> <img> </img> "
    "<IMG_CONTEXT> <|image_pad|> <|video_pad|> <|vision_start|> <|vision_end|> <fake_token_around_image> <global-img> "
    "<end_of_utterance> [IMG] [IMG_BREAK] [IMG_END] <|audio|> <boa> <eoa> <|video|>"
)
WORDS = str.split("user model assistant what is the a red in image ? .") + [f"w{number}" for number in range(64)]
IDS = {token: number for number, token in enumerate(SPECIAL + WORDS)}
N_WORDS = len(IDS)


@dataclass(frozen=True)
class Tiny:
    """A small model with what it needs, and the family's own processor where it can be built here."""

    model: Any
    image_processor: Any
    tokenizer: Any
    processor: Callable[[], Any] | None = None

    def vlm(self) -> VLM:
        return VLM(self.model, self.image_processor, self.tokenizer, Prompts({"steering": QUESTION}))


def tokenizer(image: str, around: tuple[str, str] = ("", ""), **named: str) -> Any:
    """A tokenizer of whole words, whose chat template writes an image as `image`."""
    core = Tokenizer(models.WordLevel(IDS, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    found = hf.PreTrainedTokenizerFast(
        tokenizer_object=core,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=named,
    )
    found.add_tokens(SPECIAL, special_tokens=True)
    found.chat_template = (
        "{{ bos_token }}{% for message in messages %} {{ message['role'] }} {% for part in message['content'] %}"
        f"{{% if part['type'] == 'image' %}}{around[0]}{image}{around[1]}"
        "{% else %} {{ part['text'] }}{% endif %}"
        "{% endfor %}{% endfor %}{% if add_generation_prompt %} model{% endif %}"
    )
    return found


def randomised(model: Any, seed: int = 0) -> Any:
    """Give all parameters large random values, and generation settings that say nothing but how to end."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.25)
    model.generation_config = hf.GenerationConfig(eos_token_id=IDS["<eos>"], pad_token_id=IDS["<pad>"], do_sample=False)
    return model.eval().requires_grad_(False)


VISION = {
    "hidden_size": D_MODEL,
    "intermediate_size": 64,
    "num_hidden_layers": N_BLOCKS,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}
TEXT = {
    "vocab_size": N_WORDS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 1024,
    "pad_token_id": IDS["<pad>"],
    "bos_token_id": IDS["<bos>"],
    "eos_token_id": IDS["<eos>"],
    "tie_word_embeddings": False,
}
SQUARE = {"height": SIDE, "width": SIDE}
SHORTEST = {"shortest_edge": SIDE}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


def save(parts: "Tiny | TinyEye", folder: Path) -> Path:
    """Save a small model as a checkpoint."""
    parts.model.save_pretrained(folder)
    parts.image_processor.save_pretrained(folder)
    if isinstance(parts, Tiny):
        parts.tokenizer.save_pretrained(folder)
    return folder


def siglip_vision() -> dict[str, Any]:
    return hf.SiglipVisionConfig(**VISION, vision_use_head=False).to_dict()


def clip_vision() -> dict[str, Any]:
    return hf.CLIPVisionConfig(**VISION, projection_dim=32).to_dict()


def llama() -> dict[str, Any]:
    return hf.LlamaConfig(**TEXT).to_dict()


def qwen2() -> dict[str, Any]:
    return hf.Qwen2Config(**TEXT).to_dict()


def gemma3(**text_sizes: int) -> Tiny:
    text = hf.Gemma3TextConfig(**({"sliding_window": 128} | TEXT | text_sizes), head_dim=16, query_pre_attn_scalar=16)
    config = hf.Gemma3Config(
        vision_config=siglip_vision(),
        text_config=text.to_dict(),
        mm_tokens_per_image=4,
        boi_token_index=IDS["<start_of_image>"],
        eoi_token_index=IDS["<end_of_image>"],
        image_token_index=IDS["<image_soft_token>"],
        tie_word_embeddings=False,
    )
    words = tokenizer(
        "<start_of_image>",
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        image_token="<image_soft_token>",
    )
    eye = Gemma3ImageProcessorPil(size=SQUARE, do_pan_and_scan=False)
    return Tiny(
        randomised(hf.Gemma3ForConditionalGeneration(config)),
        eye,
        words,
        lambda: hf.Gemma3Processor(eye, words, chat_template=words.chat_template, image_seq_length=4),
    )


def gemma4() -> Tiny:
    text = hf.Gemma4TextConfig(
        **TEXT,
        head_dim=16,
        global_head_dim=16,
        vocab_size_per_layer_input=N_WORDS,
        hidden_size_per_layer_input=0,
        num_kv_shared_layers=0,
        layer_types=["sliding_attention", "full_attention", "full_attention"],
        sliding_window=256,
    )
    vision = hf.Gemma4VisionConfig(
        hidden_size=D_MODEL,
        intermediate_size=64,
        num_hidden_layers=N_BLOCKS,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=16,
        patch_size=4,
        pooling_kernel_size=2,
        position_embedding_size=64,
    )
    config = hf.Gemma4Config(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        audio_config=None,
        image_token_id=IDS["<image>"],
        video_token_id=IDS["<|video|>"],
        audio_token_id=IDS["<|audio|>"],
        boi_token_id=IDS["<start_of_image>"],
        eoi_token_id=IDS["<end_of_image>"],
        tie_word_embeddings=False,
    )
    words = tokenizer(
        "<image>",
        image_token="<image>",
        boi_token="<start_of_image>",
        eoi_token="<end_of_image>",
        audio_token="<|audio|>",
        boa_token="<boa>",
        eoa_token="<eoa>",
    )
    eye = Gemma4ImageProcessorPil(patch_size=4, max_soft_tokens=70, pooling_kernel_size=2)
    return Tiny(
        randomised(hf.Gemma4ForConditionalGeneration(config)),
        eye,
        words,
        lambda: hf.Gemma4Processor(None, eye, words, None, chat_template=words.chat_template, image_seq_length=70),
    )


def internvl() -> Tiny:
    vision = hf.InternVLVisionConfig(**(VISION | {"image_size": [SIDE, SIDE], "patch_size": [PATCH, PATCH]}))
    config = hf.InternVLConfig(
        vision_config=vision.to_dict(),
        text_config=qwen2(),
        image_token_id=IDS["<IMG_CONTEXT>"],
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    words = tokenizer(
        "<IMG_CONTEXT>",
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    eye = GotOcr2ImageProcessorPil(size=SQUARE, crop_to_patches=False)
    return Tiny(
        randomised(hf.InternVLForConditionalGeneration(config)),
        eye,
        words,
        lambda: hf.InternVLProcessor(eye, words, None, image_seq_length=4, chat_template=words.chat_template),
    )


def llava(vision_feature_layer: int | list[int] = -2) -> Tiny:
    config = hf.LlavaConfig(
        vision_config=clip_vision(),
        text_config=llama(),
        image_token_id=IDS["<image>"],
        vision_feature_layer=vision_feature_layer,
        vision_feature_select_strategy="default",
        image_seq_length=16,
    )
    words = tokenizer("<image>", image_token="<image>")
    eye = CLIPImageProcessorPil(size=SHORTEST, crop_size=SQUARE)
    return Tiny(
        randomised(hf.LlavaForConditionalGeneration(config)),
        eye,
        words,
        lambda: hf.LlavaProcessor(
            eye,
            words,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=words.chat_template,
        ),
    )


def llava_next() -> Tiny:
    config = hf.LlavaNextConfig(
        vision_config=clip_vision(),
        text_config=llama(),
        image_token_id=IDS["<image>"],
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        image_grid_pinpoints=[[32, 64], [64, 32], [64, 64]],
        image_seq_length=16,
    )
    words = tokenizer("<image>", image_token="<image>")
    eye = LlavaNextImageProcessorPil(
        size=SHORTEST, crop_size=SQUARE, image_grid_pinpoints=[[32, 64], [64, 32], [64, 64]]
    )

    def processor() -> Any:
        # seesay looks at one tile; told so, the family's own processor does, too
        one_tile = LlavaNextImageProcessorPil(size=SHORTEST, crop_size=SQUARE, image_grid_pinpoints=[[SIDE, SIDE]])
        return hf.LlavaNextProcessor(
            one_tile,
            words,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
            chat_template=words.chat_template,
        )

    return Tiny(randomised(hf.LlavaNextForConditionalGeneration(config)), eye, words, processor)


def llava_onevision() -> Tiny:
    config = hf.LlavaOnevisionConfig(
        vision_config=siglip_vision(),
        text_config=qwen2(),
        image_token_id=IDS["<image>"],
        video_token_id=IDS["<video>"],
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_grid_pinpoints=[[SIDE, SIDE]],
    )
    words = tokenizer("<image>", image_token="<image>", video_token="<video>")
    eye = LlavaOnevisionImageProcessorPil(size=SQUARE, image_grid_pinpoints=[[SIDE, SIDE]])
    return Tiny(
        randomised(hf.LlavaOnevisionForConditionalGeneration(config)),
        eye,
        words,
        lambda: hf.LlavaOnevisionProcessor(
            eye,
            words,
            None,
            num_image_tokens=16,
            vision_feature_select_strategy="full",
            chat_template=words.chat_template,
        ),
    )


def mistral3() -> Tiny:
    vision = hf.PixtralVisionConfig(**(VISION | {"image_size": 64}), head_dim=16)
    text = hf.MistralConfig(**TEXT, head_dim=16, sliding_window=None)
    config = hf.Mistral3Config(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_index=IDS["[IMG]"],
        spatial_merge_size=2,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    words = tokenizer("[IMG]", image_token="[IMG]")
    eye = PixtralImageProcessorPil(size={"longest_edge": 64}, patch_size=PATCH)
    # Its processor cannot even be imported without torchvision.
    return Tiny(randomised(hf.Mistral3ForConditionalGeneration(config)), eye, words)


def paligemma() -> Tiny:
    text = hf.Gemma2Config(**TEXT, head_dim=16, query_pre_attn_scalar=16, sliding_window=256)
    config = hf.PaliGemmaConfig(
        vision_config=siglip_vision() | {"projection_dim": TEXT["hidden_size"]},
        text_config=text.to_dict(),
        image_token_id=IDS["<image>"],
        projection_dim=TEXT["hidden_size"],
        hidden_size=TEXT["hidden_size"],
    )
    words = tokenizer("<image>", image_token="<image>")
    words.chat_template = VLMS["paligemma"].chat_template
    eye = SiglipImageProcessorPil(size=SQUARE)
    eye.image_seq_length = 16
    return Tiny(
        randomised(hf.PaliGemmaForConditionalGeneration(config)),
        eye,
        words,
        # The processor puts the first token and a line's end around the words by itself.
        lambda: hf.PaliGemmaProcessor(
            eye,
            tokenizer("<image>", image_token="<image>"),
            chat_template=words.chat_template.replace("{{ bos_token }}", "").replace("\n", ""),
        ),
    )


def _qwen_eye() -> Any:
    return Qwen2VLImageProcessorPil(
        patch_size=4, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 64, "longest_edge": 64 * 64}
    )


def _qwen_tokens() -> Any:
    return tokenizer(
        "<|image_pad|>",
        ("<|vision_start|>", "<|vision_end|>"),
        image_token="<|image_pad|>",
        video_token="<|video_pad|>",
        vision_start_token="<|vision_start|>",
        vision_end_token="<|vision_end|>",
    )


def _qwen_ids() -> dict[str, Any]:
    return {
        "image_token_id": IDS["<|image_pad|>"],
        "video_token_id": IDS["<|video_pad|>"],
        "vision_start_token_id": IDS["<|vision_start|>"],
        "vision_end_token_id": IDS["<|vision_end|>"],
        "tie_word_embeddings": False,
    }


def qwen_vision() -> dict[str, Any]:
    return {
        "depth": N_BLOCKS,
        "hidden_size": D_MODEL,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": TEXT["hidden_size"],
        "patch_size": 4,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }


def qwen2_5_vl() -> Tiny:
    config = hf.Qwen2_5_VLConfig(
        vision_config=qwen_vision() | {"window_size": 16, "fullatt_block_indexes": [1]},
        text_config=TEXT | {"rope_parameters": MROPE},
        **_qwen_ids(),
    )
    eye, words = _qwen_eye(), _qwen_tokens()
    return Tiny(
        randomised(hf.Qwen2_5_VLForConditionalGeneration(config)),
        eye,
        words,
        lambda: hf.Qwen2_5_VLProcessor(eye, words, None, chat_template=words.chat_template),
    )


def qwen3_vl() -> Tiny:
    config = hf.Qwen3VLConfig(
        vision_config=qwen_vision() | {"num_position_embeddings": 64, "deepstack_visual_indexes": [0, 2]},
        text_config=TEXT | {"head_dim": 16, "rope_parameters": MROPE},
        **_qwen_ids(),
    )
    eye, words = _qwen_eye(), _qwen_tokens()
    return Tiny(
        randomised(hf.Qwen3VLForConditionalGeneration(config)),
        eye,
        words,
        lambda: hf.Qwen3VLProcessor(eye, words, None, chat_template=words.chat_template),
    )


def _unsplit(model: Any, config: Any, eye: Any, processor: Any, words: Any, *video: None) -> Tiny:
    whole = config(
        vision_config=dict(VISION),
        text_config=llama(),
        image_token_id=IDS["<image>"],
        scale_factor=2,
        tie_word_embeddings=False,
        pad_token_id=0,
    )
    longest = {"longest_edge": SIDE}
    sees = eye(size=longest, max_image_size=longest, do_image_splitting=False)
    return Tiny(
        randomised(model(whole)),
        sees,
        words,
        lambda: processor(sees, words, *video, image_seq_len=4, chat_template=words.chat_template),
    )


def idefics3() -> Tiny:
    return _unsplit(
        hf.Idefics3ForConditionalGeneration,
        hf.Idefics3Config,
        Idefics3ImageProcessorPil,
        hf.Idefics3Processor,
        tokenizer("<image>"),
    )


def smolvlm() -> Tiny:
    words = tokenizer(
        "<image>",
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
        video_token="<video>",
        end_of_utterance_token="<end_of_utterance>",
    )
    return _unsplit(
        hf.SmolVLMForConditionalGeneration,
        hf.SmolVLMConfig,
        SmolVLMImageProcessorPil,
        hf.SmolVLMProcessor,
        words,
        None,
    )


BUILDERS: dict[str, Callable[[], Tiny]] = {
    "gemma3": gemma3,
    "gemma4": gemma4,
    "idefics3": idefics3,
    "internvl": internvl,
    "llava": llava,
    "llava_next": llava_next,
    "llava_onevision": llava_onevision,
    "mistral3": mistral3,
    "paligemma": paligemma,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "smolvlm": smolvlm,
}
assert BUILDERS.keys() == VLMS.keys(), "every family of the table has a small model here"


# Vision encoders that stand alone. Two of them are halves of models of images and texts.


@dataclass(frozen=True)
class TinyEye:
    """A small vision model with its image processor."""

    model: Any
    image_processor: Any

    def encoder(self) -> Encoder:
        return encoder_of(self.model, self.image_processor)


REGISTERS = {"num_register_tokens": 2}
DINO = {name: value for name, value in VISION.items() if name != "intermediate_size"} | {"mlp_ratio": 2}


def _crop(side: int = 48) -> Any:
    """Resize the shortest side to more than the crop, as DINOv2 does."""
    return BitImageProcessorPil(size={"shortest_edge": side}, crop_size=SQUARE)


EYES: dict[str, Callable[[], TinyEye]] = {
    "clip_vision_model": lambda: TinyEye(
        randomised(hf.CLIPVisionModel(hf.CLIPVisionConfig(**VISION))),
        CLIPImageProcessorPil(size=SHORTEST, crop_size=SQUARE),
    ),
    "dinov2": lambda: TinyEye(randomised(hf.Dinov2Model(hf.Dinov2Config(**DINO))), _crop()),
    "dinov2_with_registers": lambda: TinyEye(
        randomised(hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**DINO, **REGISTERS))), _crop()
    ),
    "dinov3_vit": lambda: TinyEye(
        randomised(hf.DINOv3ViTModel(hf.DINOv3ViTConfig(**VISION, **REGISTERS))), ViTImageProcessorPil(size=SQUARE)
    ),
    "siglip_vision_model": lambda: TinyEye(
        randomised(hf.SiglipVisionModel(hf.SiglipVisionConfig(**VISION))), SiglipImageProcessorPil(size=SQUARE)
    ),
    "siglip2_vision_model": lambda: TinyEye(
        randomised(
            hf.Siglip2VisionModel(
                hf.Siglip2VisionConfig(**{k: v for k, v in VISION.items() if k != "image_size"}, num_patches=16)
            )
        ),
        Siglip2ImageProcessorPil(patch_size=PATCH, max_num_patches=20),
    ),
    "vit": lambda: TinyEye(randomised(hf.ViTModel(hf.ViTConfig(**VISION))), ViTImageProcessorPil(size=SQUARE)),
}
