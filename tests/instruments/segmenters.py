"""Small random segmenters of the real classes, saved as the hub keeps them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

WORDS = ["a", "red", "blue", "frog", "star", "."]
SMALL = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
SAM3_SIDE, SAM2_SIDE, CLIPSEG_SIDE = 112, 64, 32


def save_sam3(folder: Path) -> Path:
    """SAM 3 by itself."""
    names = {"<start>": 0, "<end>": 1, "<pad>": 2}
    words = tokenizer(names, start="<start>", end="<end>", pad="<pad>", unknown="<end>")
    vit = hf.Sam3ViTConfig(
        **SMALL,
        num_hidden_layers=2,
        image_size=SAM3_SIDE,
        window_size=4,
        global_attn_indexes=[1],
        pretrain_image_size=56,
    )
    vision = hf.Sam3VisionConfig(
        backbone_config=vit.to_dict(), fpn_hidden_size=32, backbone_feature_sizes=[[32, 32], [16, 16], [8, 8]]
    )
    text = hf.CLIPTextConfig(
        **SMALL,
        vocab_size=len(words),
        num_hidden_layers=2,
        max_position_embeddings=32,
        projection_dim=16,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    config = hf.Sam3Config(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        geometry_encoder_config={**SMALL, "num_layers": 1, "roi_size": 3},
        detr_encoder_config={**SMALL, "num_layers": 2},
        detr_decoder_config={**SMALL, "num_layers": 2, "num_queries": 6},
        mask_decoder_config={"hidden_size": 32, "num_attention_heads": 2},
    )
    return save(
        folder, shaken(hf.Sam3Model, config, 0.2, seed=1), words, {"image_mean": [0.4] * 3, "image_std": [0.6] * 3}
    )


def save_sam3_video(folder: Path) -> Path:
    """SAM 3 as the hub keeps it: the detector of a model for videos."""
    save_sam3(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({"model_type": "sam3_video", "detector_config": config}))
    weights = {f"detector_model.{name}": weight for name, weight in load_file(folder / "model.safetensors").items()}
    weights["tracker_neck.fpn_layers.0.weight"] = torch.zeros(2)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def save_clipseg(folder: Path) -> Path:
    """CLIPSeg."""
    names = {"<start>": 0, "<end>": 1, "<pad>": 2}
    words = tokenizer(names, start="<start>", end="<end>", pad="<pad>", unknown="<end>")
    ids = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
    config = hf.CLIPSegConfig(
        text_config={**SMALL, **ids, "vocab_size": len(words), "num_hidden_layers": 2, "max_position_embeddings": 20},
        vision_config={**SMALL, "num_hidden_layers": 3, "image_size": 16, "patch_size": 4},
        projection_dim=16,
        extract_layers=[0, 1, 2],
        reduce_dim=8,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=16,
    )
    pictures = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225], "size": CLIPSEG_SIDE}
    model = shaken(hf.CLIPSegForImageSegmentation, config, 0.3)
    with torch.no_grad():
        model.clip.text_projection.weight.mul_(20)
    return save(folder, model, words, pictures | {"feature_extractor_type": "ViTFeatureExtractor"})


def save_grounding_dino(folder: Path) -> Path:
    """Grounding DINO, which knows the ends of phrases by BERT's numbers for them."""
    names = {"[PAD]": 0, "[CLS]": 101, "[SEP]": 102, ".": 1012, "?": 1029}
    words = tokenizer(names, start="[CLS]", end="[SEP]", pad="[PAD]", unknown="[PAD]", lowercase=True)
    swin = hf.SwinConfig(
        image_size=32, embed_dim=8, depths=[1] * 4, num_heads=[1, 1, 2, 2], window_size=4, out_indices=[2, 3, 4]
    )
    bert = hf.BertConfig(**SMALL, vocab_size=1030, num_hidden_layers=2, max_position_embeddings=16)
    config = hf.GroundingDinoConfig(
        backbone_config=swin.to_dict(),
        text_config=bert.to_dict(),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_n_points=2,
        decoder_n_points=2,
        num_queries=10,
        max_text_len=16,
    )
    pictures = {
        "image_processor_type": "GroundingDinoImageProcessor",
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
        "size": {"shortest_edge": 64, "longest_edge": 128},
    }
    return save(folder, shaken(hf.GroundingDinoForObjectDetection, config, 0.05), words, pictures)


def sam2_config() -> Any:
    hiera = hf.Sam2HieraDetConfig(
        hidden_size=8,
        image_size=[SAM2_SIDE, SAM2_SIDE],
        blocks_per_stage=[1, 2, 1, 1],
        embed_dim_per_stage=[8, 16, 32, 64],
        num_attention_heads_per_stage=[1, 1, 2, 2],
        window_size_per_stage=[4, 2, 2, 2],
        global_attention_blocks=[2],
    )
    vision = hf.Sam2VisionConfig(
        backbone_config=hiera.to_dict(),
        backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]],
        fpn_hidden_size=32,
    )
    return {
        "vision_config": vision.to_dict(),
        "prompt_encoder_config": {"hidden_size": 32, "image_size": SAM2_SIDE, "mask_input_channels": 4},
        "mask_decoder_config": {
            "hidden_size": 32,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
    }


def save_sam2(folder: Path) -> Path:
    """SAM 2 for images alone."""
    model = shaken(hf.Sam2Model, hf.Sam2Config(**sam2_config()), 0.1)
    return save(
        folder, model, None, {"image_processor_type": "Sam2ImageProcessorFast", "size": {"height": 64, "width": 64}}
    )


def save_sam2_video(folder: Path) -> Path:
    """SAM 2 as the hub keeps it: a model for videos, with a memory that images do not need."""
    config = hf.Sam2VideoConfig(
        **sam2_config(),
        image_size=SAM2_SIDE,
        memory_attention_hidden_size=32,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_num_layers=1,
        memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=32,
        memory_encoder_output_channels=8,
        mask_downsampler_embed_dim=32,
        memory_fuser_embed_dim=32,
        memory_fuser_intermediate_dim=32,
        memory_fuser_num_layers=1,
    )
    model = shaken(hf.Sam2VideoModel, config, 0.1)
    return save(folder, model, None, {"image_processor_type": "Sam2ImageProcessorFast"})


SAVERS: dict[str, Callable[[Path], Path]] = {
    "sam3": save_sam3,
    "sam3_video": save_sam3_video,
    "clipseg": save_clipseg,
    "grounding-dino": save_grounding_dino,
    "sam2": save_sam2,
    "sam2_video": save_sam2_video,
}


def shaken(kind: Any, config: Any, deviation: float, seed: int = 0) -> Any:
    """A random model that finds something, and not the same for every phrase."""
    torch.manual_seed(seed)
    model = kind(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * deviation)
    return model


def save(folder: Path, model: Any, words: Any, pictures: dict[str, Any]) -> Path:
    model.save_pretrained(folder)
    if words is not None:
        words.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(pictures))
    return folder


def tokenizer(special: dict[str, int], *, start: str, end: str, pad: str, unknown: str, lowercase: bool = False) -> Any:
    """A tokenizer of whole words, between a token for the start and one for the end."""
    free = (number for number in range(2000) if number not in special.values())
    ids = special | {word: next(free) for word in WORDS if word not in special}
    core = Tokenizer(models.WordLevel(ids, unk_token=unknown))
    if lowercase:
        core.normalizer = normalizers.Lowercase()
    core.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    core.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}", special_tokens=[(start, special[start]), (end, special[end])]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=core,
        clean_up_tokenization_spaces=False,
        bos_token=start,
        eos_token=end,
        pad_token=pad,
        unk_token=unknown,
    )
