"""The CLIP-like scorer: how well words fit a picture or a part of it, seen with eyes of its own.

A `CLIPModel` taught to prefer what fits to what does not, among every phrase of the world's grammar and a text of each
picture of the batch. Dense supervision, as for the other encoders, teaches its image encoder to see.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPProcessor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from seesay.files import replaced_folder
from seesay.training_log import TrainingLog
from seesay.world.concepts import CONCEPTS, KINDS, Concept, names
from seesay.world.examination import phrase_accuracy
from seesay.world.grammar import caption, describe_item, phrase
from seesay.world.masks import PATCH_SIZE, answer_of, coverage
from seesay.world.questions import GRID, drawn, noisy, present, random_concept
from seesay.world.rendering import Rendering, render
from seesay.world.scenes import IMAGE_SIZE, sample
from seesay.world.training.assembly import build_tokenizer
from seesay.world.training.config import ScorerConfig
from seesay.world.training.encoder import patch_labels, patch_loss, pixel_values
from seesay.world.training.loop import SeededBatches, fit, loaded

_MAX_TOKENS = 64
_PROJECTION = 64
_PLAIN_SHARE = 0.4
_FIRST_SCALE = np.log(10.0)
_MIN_PIXELS = 32  # half a patch, below which nobody can say what is shown of an object
_N_EXAMINED = 400


class Scorer(nn.Module):
    """The CLIP model, with linear heads on its patches that are thrown away after training."""

    def __init__(self, config: ScorerConfig, tokenizer: Any) -> None:
        super().__init__()
        size = {
            "hidden_size": config.d_model,
            "intermediate_size": 4 * config.d_model,
            "num_attention_heads": config.n_heads,
        }
        ends = {key: tokenizer.convert_tokens_to_ids(f"<{key}>") for key in ("bos", "eos", "pad")}
        self.clip = CLIPModel(
            CLIPConfig(
                vision_config=size
                | {"num_hidden_layers": config.n_blocks, "image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE},
                text_config=size
                | {"num_hidden_layers": config.n_text_blocks, "vocab_size": len(tokenizer)}
                | {"max_position_embeddings": _MAX_TOKENS}
                | {f"{key}_token_id": token for key, token in ends.items()},
                projection_dim=_PROJECTION,
                logit_scale_init_value=float(_FIRST_SCALE),
            )
        )
        self.clip.set_attn_implementation("eager")  # as the other encoders
        self.heads = nn.ModuleDict({kind: nn.Linear(config.d_model, 1 + len(names(kind))) for kind in KINDS})

    def forward(self, pixels: Tensor, texts: Sequence[Mapping[str, Tensor]]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of every picture with every text, and of every patch with every class of each kind.

        Args:
            pixels: uint8 `[image height width 3]`.
            texts: tokens, in groups that are padded each by itself.
        """
        seen = self.clip.vision_model(pixel_values=pixel_values(pixels))
        images = functional.normalize(self.clip.visual_projection(seen.pooler_output).float(), dim=-1)
        read = torch.cat([self.clip.text_model(**group).pooler_output for group in texts])
        words = functional.normalize(self.clip.text_projection(read).float(), dim=-1)
        logits = images @ words.T * self.clip.logit_scale.exp()
        patches = seen.last_hidden_state[:, 1:]
        return logits.float(), {kind: head(patches).float() for kind, head in self.heads.items()}


@dataclass(frozen=True)
class FitBatch:
    """Pictures and which of the texts fit them.

    Args:
        pixels: uint8 `[image height width 3]`.
        texts: a text of each picture: of a plain one its caption, of a masked one the object that is shown.
        fits: of every phrase of the grammar, then of every text: 1 if it fits what is shown, 0 if not, -1 if nobody can
            say; `[image text]`.
        labels: class ids `[image patch kind]`.
    """

    pixels: UInt8[Tensor, "image height width 3"]
    texts: list[str]
    fits: Int[Tensor, "image text"]
    labels: Int[Tensor, "image patch kind"]


class FitBatches(SeededBatches[FitBatch]):
    """Batches by step, drawn from one stream of seeds."""

    def __getitem__(self, index: int) -> FitBatch:
        chosen = self.seeds(index)
        rng = np.random.default_rng((chosen[0], 4))  # not the generator that the first scene is drawn by
        views = [_View.of(seed, rng) for seed in chosen]
        of_phrases = np.stack([fitting(view.covered, view.active) for view in views])
        of_texts = np.array([[view.verdict_on(other) for other in views] for view in views])
        for column, view in enumerate(views):
            if view.text in _ROW_OF_PHRASE:  # `a frog` fits wherever the phrase does
                of_texts[:, column] = of_phrases[:, _ROW_OF_PHRASE[view.text]]
        return FitBatch(
            torch.from_numpy(np.stack([drawn(view.rendering.pixels, view.active, "mask") for view in views])),
            [view.text for view in views],
            torch.from_numpy(np.concatenate([of_phrases, of_texts], axis=1)),
            torch.from_numpy(np.stack([patch_labels(view.covered) * view.active.reshape(-1, 1) for view in views])),
        )


_ROW_OF_PHRASE = {phrase(concept): row for row, concept in enumerate(CONCEPTS)}


@dataclass(frozen=True)
class _View:
    """A picture, the patches of it that are shown, and a text that fits them."""

    rendering: Rendering
    covered: Float[np.ndarray, "concept patch"]
    active: Bool[np.ndarray, "row column"]
    text: str

    @classmethod
    def of(cls, seed: int, rng: np.random.Generator) -> "_View":
        """A plain picture with its caption, or one masked around a concept with the object that is shown."""
        if rng.random() < _PLAIN_SHARE:
            rendering = render(sample(seed))
            everywhere = np.ones((GRID, GRID), dtype=bool)
            return cls(rendering, coverage(rendering), everywhere, caption(rendering.scene))
        concept = random_concept(rng)
        rendering = render(sample(seed, (concept,)))
        active = noisy(present(rendering, concept), rng)
        return cls(rendering, coverage(rendering), active, _an_object(rendering, active))

    @property
    def is_plain(self) -> bool:
        return bool(self.active.all())

    def verdict_on(self, other: "_View") -> int:
        """1 if another picture's text fits this one, 0 if not, -1 if nobody can say."""
        if other.text == self.text:
            return 1
        if other.is_plain:  # nobody can say whether a caption is true of what is hidden
            return 0 if self.is_plain else -1
        if other.text not in map(describe_item, self.rendering.scene.items):
            return 0
        return 1 if self.is_plain else -1


def fitting(covered: Float[np.ndarray, "concept patch"], active: np.ndarray) -> Int[np.ndarray, " concept"]:
    """Whether each concept holds in the patches shown: 1, 0, or -1 if nobody can say."""
    best = (covered * active.ravel()).max(1)
    values = {"yes": 1, "no": 0, None: -1}
    return np.array([values[answer_of(float(value))] for value in best])


def _an_object(rendering: Rendering, active: np.ndarray) -> str:
    """The object that most of what is shown belongs to, in words; the background if hardly any object is shown."""
    shown = active.repeat(PATCH_SIZE, 0).repeat(PATCH_SIZE, 1)
    counts = np.bincount(rendering.owner[shown], minlength=len(rendering.scene.items) + 1)[1:]
    if counts.size and counts.max() >= _MIN_PIXELS:
        return describe_item(rendering.scene.items[int(counts.argmax())])
    return phrase(Concept("background", rendering.scene.background))


_KIND_OF_PHRASE = torch.tensor([KINDS.index(concept.kind) for concept in CONCEPTS])


def fit_loss(logits: Float[Tensor, "image text"], fits: Int[Tensor, "image text"]) -> Float[Tensor, ""]:
    """How far each text that fits is from being preferred to all that do not, by cross entropy.

    In every picture each kind of concept weighs the same, the pictures' own texts being one more kind: nine positions
    that fit shall not outweigh one frog.
    """
    fitting, wrong = fits == 1, fits == 0
    kinds = torch.full((fits.shape[1],), len(KINDS), device=fits.device)
    kinds[: len(CONCEPTS)] = _KIND_OF_PHRASE.to(fits.device)
    n_fitting = fitting.float() @ functional.one_hot(kinds).float()
    weights = fitting / n_fitting[:, kinds].clamp(min=1)
    best_wrong = logits.masked_fill(~wrong, -torch.inf).logsumexp(1, keepdim=True)
    return (weights * functional.softplus(best_wrong - logits)).sum() / weights.sum()


def train_scorer(config: ScorerConfig, out: Path, *, device: torch.device, checkpoint_seconds: float) -> None:
    """Train the scorer, or pick up where a stopped training left it; it goes to `out/scorer`."""
    torch.manual_seed(config.seed)
    processor = build_clip_processor()
    tokenizer: Any = processor.tokenizer  # pyright: ignore[reportAttributeAccessIssue] (set from a string in transformers)
    scorer = Scorer(config, tokenizer).to(device)
    n_steps = config.n_images // config.batch_size

    def tokens(texts: list[str]) -> dict[str, Tensor]:
        return dict(tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False).to(device))

    phrases = tokens([phrase(concept) for concept in CONCEPTS])

    def loss_of(batch: FitBatch) -> Tensor:
        logits, patches = scorer(batch.pixels.to(device), (phrases, tokens(batch.texts)))
        return fit_loss(logits, batch.fits.to(device)) + patch_loss(patches, batch.labels.to(device))

    with TrainingLog(out, "scorer") as log:
        fit(
            scorer,
            loss_of,
            lambda step: loaded(FitBatches("scorer", config.batch_size, range(step, n_steps))),
            n_steps=n_steps,
            learning_rate=config.learning_rate,
            device=device,
            checkpoint=out / "checkpoints" / "scorer.pt",
            made_by=repr(config),
            checkpoint_seconds=checkpoint_seconds,
            log=log,
            evaluate=lambda: {"right_among_64": phrase_accuracy(scorer.clip, processor, _N_EXAMINED, "monitoring")},
            evaluate_every=max(1, min(500, n_steps // 4)),
        )
    with replaced_folder(out / "scorer") as folder:
        scorer.clip.bfloat16().save_pretrained(folder)
        processor.save_pretrained(folder)


def build_clip_processor() -> CLIPProcessor:
    """The scorer's processor: the world's words, each text between its start and its end."""
    images = CLIPImageProcessorPil(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        do_center_crop=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return CLIPProcessor(images, build_tokenizer(with_ends=True))
