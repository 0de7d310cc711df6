"""A small run of the embedded world, collected once for all tests of commands that look at one."""

import json
from pathlib import Path

import pytest

import seesay
from seesay.exemplars.config import CollectionConfig
from seesay.pipeline.collecting import Subject, collect
from seesay.sae import load_sae
from seesay.store.exemplars import features
from seesay.store.run import Run
from seesay.vlm import load_encoder
from seesay.world.pictures import Pictures

N_FEATURES = 40


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
