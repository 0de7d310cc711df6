"""A blind study of the viewer's run, and what it takes to judge in it."""

import re
import shutil
from pathlib import Path

from starlette.testclient import TestClient

from seesay.comparison.blind import StudyConfig, begin
from seesay.store.run import Run
from seesay.store.studies import Rater, Rating, Study, add_rater, rate, study_items
from seesay.store.verdicts import Judged, give

CONFIG = StudyConfig("first", n_features=4, n_images=4)
NASTY = "<script>alert(1)</script>"


def copied(filled: Path, place: Path) -> Path:
    """A run of the test's own."""
    return Path(shutil.copytree(filled, place / "run"))


def begun(folder: Path, *names: str, config: StudyConfig = CONFIG) -> tuple[Study, list[Rater]]:
    """A study with raters."""
    with Run.noting(folder) as run:
        study = begin(run, config)
        return study, [add_rater(run, study.study_id, name) for name in names]


def judged(folder: Path) -> tuple[Study, list[Rater], int]:
    """A study that Ann has done and Bob has begun, and a feature on whose words both have said something."""
    study, raters = begun(folder, "Ann", "Bob")
    with Run.noting(folder) as run:
        for each in study_items(run, study.study_id):
            for rater in raters[: 2 if each.number > 1 else 1]:
                verdict = "wrong" if each.is_decoy else ("right", "partly", "right")[each.number % 3]
                rate(run, rater, Rating(each.number, rater.name, verdict, seconds=3.0))
        query = "SELECT setting_id, feature_id, text FROM explanations WHERE status = 'ok' ORDER BY feature_id LIMIT 1"
        ((setting_id, feature_id, text),) = run.rows(query)
        for rater in raters:
            give(
                run, Judged(setting_id, feature_id, 0, rater.name, text, "partly", "There is more to it: " + "so " * 99)
            )
    return study, raters, feature_id


def place_on(page: str) -> int:
    """Which item a rater's page asks for."""
    found = re.search(r'name="item" value="(\d+)"', page)
    assert found is not None, page
    return int(found[1])


def judge_all(client: TestClient, key: str, verdict: str = "right") -> int:
    """Judge until there is nothing left; how many there were."""
    n = 0
    while "Thank you" not in (page := client.get(f"/rate/{key}").text):
        n += 1
        client.post(f"/rate/{key}", data={"item": place_on(page), "verdict": verdict, "note": "", "seconds": "1.5"})
    return n
