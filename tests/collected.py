"""Runs of the embedded world that many tests look at: made once in each process."""

import json
import shutil
from pathlib import Path

import pytest

import seesay
from seesay.exemplars.config import CollectionConfig
from seesay.explainers.config import Setting
from seesay.pipeline.collecting import Subject, collect
from seesay.records import Strength
from seesay.sae import load_sae
from seesay.store.exemplars import features
from seesay.store.run import Run
from seesay.store.trust import Trusted, set_trust
from seesay.vlm import load_encoder
from seesay.world.pictures import Pictures
from tests.comparison.making import said, scored

N_FEATURES = 40
STEERING = Setting("steering", Strength(2.0, "residual_norm"))
WORDS = ("a red car", "a green tree", "a dotted pattern", "the top left")


@pytest.fixture(scope="session")
def collected_world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of features that many images activate and more do not, as all would take their time; copy it."""
    folder = tmp_path_factory.mktemp("runs") / "world"
    sae = load_sae(seesay.world.sae("world:late"))
    assert sae.provenance.layer is not None
    encoder = load_encoder(seesay.world.checkpoint("world:M"), device="cpu")
    subject = Subject(encoder, sae, sae.provenance.layer, {"subject": "world:M", "sae": "world:late"})
    config = CollectionConfig(n_top=6, n_quantiles=3, n_per_quantile=2, n_sampled=12, n_inactive=4)
    with Run.writing(folder, subject.as_json()) as run:
        collect(run, subject, Pictures(80), config)
        often = sorted(features(run), key=lambda each: -each.image_frequency)
        kept = [each.feature_id for each in often if each.image_frequency < 0.4][:N_FEATURES]
        for table in ("exemplars", "features"):
            run.rows(f"DELETE FROM {table} WHERE feature_id NOT IN ({', '.join(map(str, kept))})")
        for stats in features(run):
            near = json.dumps([each for each in stats.nearest if each[0] in kept])
            run.rows(
                "UPDATE features SET nearest = ?, fires_with = '[]' WHERE feature_id = ?", (near, stats.feature_id)
            )
        run.rows("VACUUM")
    return folder


def fill(run: Run) -> None:
    """Words by two methods, which agree on every other feature, with scores, sureness and a control."""
    ids = [each.feature_id for each in features(run)]
    words = {each: WORDS[place % len(WORDS)] for place, each in enumerate(ids)}
    topk = said(run, words)
    others = {each: words[each] if place % 2 else "grass" for place, each in enumerate(ids)}
    scored(run, "iou", said(run, others, STEERING), dict.fromkeys(ids, 0.2), others)
    said(run, dict.fromkeys(ids, "nothing"), Setting("topk", control="random"))
    scored(run, "iou", topk, {each: place / len(ids) for place, each in enumerate(ids)}, words)
    set_trust(run, {}, [Trusted(topk.setting_id, each, 0, words[each], 0.9) for each in ids[:10]])


@pytest.fixture(scope="session")
def filled(collected_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read by many; whoever changes it copies it."""
    folder = Path(shutil.copytree(collected_world, tmp_path_factory.mktemp("viewed") / "run"))
    with Run.writing(folder) as run:
        fill(run)
    return folder
