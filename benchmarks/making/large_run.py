"""A run of many features that is made up, but written as runs are, and words that are added to it.

It has statistics; exemplars of both parts and of every kind, as many as `seesay collect` keeps; words by three methods,
drawn from a vocabulary; scores of them, their levels, and how sure they are. A few hundred pictures, of the size of
photographs and with as much grain, stand for all images.
"""

import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from seesay.exemplars.choosing import Chosen
from seesay.exemplars.config import PARTS, CollectionConfig, Kind
from seesay.exemplars.exemplar import NO_QUANTILE, KeptImage
from seesay.exemplars.hashing import image_id_of, parts_of
from seesay.exemplars.statistics import Statistics
from seesay.explainers.config import Setting
from seesay.images.decoding import pixel_hash
from seesay.records import Explanation, Level, Strength
from seesay.scorers.config import Score
from seesay.scorers.scorer import Item, Measured
from seesay.store.collected import add_exemplars, add_features, add_images
from seesay.store.database import transaction
from seesay.store.explanations import StoredSetting, add, add_setting
from seesay.store.labels import Label, add_labels
from seesay.store.run import Run
from seesay.store.scores import add_scores, add_scoring
from seesay.store.trust import Trusted, set_trust
from seesay.world.pictures import Pictures

N_IMAGES, SIZE, GRID, N_ACTIVE = 400, (500, 375), (16, 16), 6
KEPT = CollectionConfig()
WAYS = (Setting("topk"), Setting("steering", Strength(2.0, "residual_norm")), Setting("hybrid", Strength(1.0, "kl")))
SCORED: tuple[Score, ...] = ("iou", "auroc")
LEVELS: tuple[Level, ...] = ("low-level", "high-level", "other")
FRESH, FRESHLY = "freshly", Setting("vocabulary", Strength(1.0, "kl"))
"""A word that all added words begin with, and how they are found."""

N_AT_ONCE, EVERY_S = 20, 0.2

HOW = (
    "red green blue yellow orange purple pink brown black white grey golden silver pale dark bright faded shiny "
    "matte wet dry dusty rusty wooden metal plastic woollen woven knitted striped dotted checked plain curly "
    "straight curved round square flat steep narrow wide tall short long tiny huge broken folded stacked "
    "scattered crowded empty open closed old new young sleeping running jumping flying swimming parked moving "
    "burning frozen snowy rainy cloudy sunny foggy blurred"
)
WHAT = (
    "dog cat horse cow sheep bird eagle duck fish shark whale frog snake lizard beetle butterfly spider bee "
    "flower rose tulip leaf tree branch bark grass field hill mountain river lake sea beach wave sky cloud sun "
    "moon star road bridge tunnel rail train bus car truck bicycle boat ship plane kite balloon house roof door "
    "window wall fence gate stair tower church castle street market shop sign letter number clock lamp candle "
    "fire smoke glass bottle cup plate bowl spoon knife table chair bench sofa bed pillow curtain carpet book "
    "paper pencil phone screen keyboard guitar drum piano ball bat racket helmet hat shoe glove coat shirt dress "
    "button zip hair eye ear nose hand finger face beard child woman man crowd player soldier apple banana orange "
    "lemon grape bread cheese cake egg soup salad coffee tea wine ice snow sand stone brick tile rope wire net "
    "wheel engine pipe screw hammer basket bag box umbrella flag feather fur scale shell bone corner edge stripe "
    "dot circle triangle grid texture shadow reflection"
)
WHERE = "on in under above behind beside near with without against between over"


def phrase(draw: random.Random) -> str:
    """Words as an explainer finds them; those early in the lists are the usual ones."""

    def some(text: str) -> str:
        words = text.split()
        return words[int(len(words) * draw.random() ** 2)]

    near = f" {some(WHERE)} {some(HOW)} {some(WHAT)}" if draw.random() < 0.5 else ""
    return f"{some(HOW)} {some(WHAT)}{near}"


def photographs() -> Iterator[Image.Image]:
    """The world's pictures in the size of photographs, with the grain of one: its power falls with frequency."""
    draw = np.random.default_rng(0)
    frequencies = np.hypot(np.fft.fftfreq(SIZE[1])[:, None], np.fft.rfftfreq(SIZE[0])) + 1 / max(SIZE)
    for entry in Pictures(N_IMAGES).entries():
        grain = np.fft.irfft2(np.fft.rfft2(draw.normal(size=SIZE[::-1])) / frequencies, SIZE[::-1])
        picture = np.asarray(entry.read().resize(SIZE, Image.Resampling.BICUBIC), dtype=np.float64)
        whole = picture + 24 * (grain / grain.std())[..., None]
        yield Image.fromarray(whole.clip(0, 255).astype(np.uint8))


def collect(run: Run, n_features: int) -> None:
    """Write images, statistics and exemplars."""
    run.begin("collect", "made up", {"images": "made up"})
    images: list[KeptImage] = []
    for number, picture in enumerate(photographs()):
        its_hash = pixel_hash(picture)
        image_id = image_id_of(its_hash)
        part = PARTS[int(parts_of(torch.tensor([image_id])))]
        images.append(KeptImage(image_id, its_hash, f"{number}.jpg", part, SIZE, GRID, (0.0, 0.0, *map(float, SIZE))))
        run.thumbnails.write(its_hash, picture)
    found = Statistics(n_features)
    found.totals = torch.tensor([1000, 1000 * GRID[0] * GRID[1]])
    found.n_active_patches = (10 ** (5 * torch.rand(n_features))).long()
    found.n_active_images = found.n_active_patches.clamp_max(1000)
    found.maxima = 10 * torch.rand(n_features)
    found.sums = found.n_active_patches * found.maxima.double() / 3
    found.histograms[:, 50:70] = found.n_active_patches[:, None] // 20
    others = torch.randint(n_features, (n_features, KEPT.n_nearest)), torch.rand(n_features, KEPT.n_nearest)
    ids = [torch.tensor([image.image_id for image in images if image.part == part]) for part in PARTS]
    quantiles = torch.arange(KEPT.n_quantiles).flip(0).repeat_interleave(KEPT.n_per_quantile)
    with transaction(run.connection):
        add_images(run.connection, images)
        add_features(run.connection, found, others, others)
        chosen = [
            selection("top", ids, n_features, torch.full((KEPT.n_top,), NO_QUANTILE)),
            selection("quantile", ids, n_features, quantiles),
            selection("inactive", ids, n_features, torch.full((KEPT.n_inactive,), NO_QUANTILE)),
        ]
        add_exemplars(run.connection, chosen)
        run.finish("collect", {"n_images": 1000, "n_features": n_features, "n_live_features": n_features})


def selection(kind: Kind, ids: Sequence[torch.Tensor], n_features: int, quantiles: torch.Tensor) -> Chosen:
    """Exemplars of all features, drawn at random."""
    n, k = len(PARTS) * n_features, len(quantiles)
    drawn = [each[torch.rand(n_features, len(each)).argsort(dim=1)[:, :k]] for each in ids]
    n_active = 0 if kind == "inactive" else N_ACTIVE
    patches = torch.randint(GRID[0] * GRID[1] // N_ACTIVE, (n * k, n_active)) * N_ACTIVE + torch.arange(n_active)
    return Chosen(
        kind=kind,
        parts=torch.arange(len(PARTS)).repeat_interleave(n_features * k),
        feature_ids=torch.arange(n_features).repeat_interleave(k).repeat(len(PARTS)),
        ranks=torch.arange(k).repeat(n),
        image_ids=torch.cat(drawn).flatten(),
        activations=torch.rand(n, k).sort(dim=1, descending=True).values.flatten() * (n_active > 0),
        quantiles=quantiles.repeat(n),
        starts=torch.arange(n * k) * n_active,
        lengths=torch.full((n * k,), n_active),
        patches=patches.flatten().int(),
        patch_activations=torch.rand(n * k * n_active) + 0.01,
    )


def say(run: Run, way: Setting, words: Mapping[int, str], draw: random.Random) -> StoredSetting:
    """Write words of one method."""
    facts = {**way.facts, "explainer": "e" * 64, "encoder": "f" * 64, "dtype": "torch.float32", "prompt": "What is it?"}
    setting = add_setting(run, {**facts, "encoder_differs_in": ""}, "made up")
    said = [
        Explanation(each, way.method, None, text, text, "ok", way.strength, None, seconds=draw.random())
        for each, text in words.items()
    ]
    add(run, setting, said)
    return setting


def make(folder: Path, n_features: int) -> None:
    """Make the whole run."""
    draw = random.Random(0)
    torch.manual_seed(0)
    subject = {"subject": "made up", "layer": 1, "sae": "made up", "identity": str(n_features)}
    with Run.writing(folder, subject) as run:
        collect(run, n_features)
        trusted: list[Trusted] = []
        for way in WAYS:
            words = {feature_id: phrase(draw) for feature_id in range(n_features)}
            number = say(run, way, words, draw).setting_id
            for score in SCORED:
                found = [(Item(each, text), Measured(draw.random(), {}, {})) for each, text in words.items()]
                facts = {"holding": "held-out", "n_images": 20, "algorithm": 1}
                add_scores(run, add_scoring(run, score, facts, number), found, draw.random())
            trusted += [Trusted(number, each, 0, text, draw.random()) for each, text in words.items()]
        set_trust(run, {}, trusted)
        add_labels(run, "model:made-up", [Label(each, draw.choice(LEVELS), "") for each in {t.text for t in trusted}])


def write(folder: Path, seconds: float) -> None:
    """Add words to a run, some features at a time, and print of how many."""
    draw, n, ends = random.Random(1), 0, time.monotonic() + seconds
    with Run.writing(folder) as run:
        ((n_features,),) = run.rows("SELECT count(*) FROM features")
        while time.monotonic() < ends and n < n_features:
            some = range(n, min(n + N_AT_ONCE, n_features))
            say(run, FRESHLY, {each: f"{FRESH} {phrase(draw)}" for each in some}, draw)
            n = some.stop
            time.sleep(EVERY_S)
    print(n)
