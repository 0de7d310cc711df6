"""Whatever is asked by /api/openapi.json, the answer is one that it tells of."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.python.asgi import HOST
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.specs.openapi.schemas import OpenApiSchema

from seesay.commands.explaining_options import ExplainerOptions
from seesay.commands.laboratory import laboratory_of
from seesay.commands.options import Options
from seesay.commands.output import Output
from seesay.store.exemplars import exemplars, features
from seesay.store.run import Run
from seesay.viewer.app import create_app
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.guard import Guard
from seesay.viewer.meaning import Meaning
from seesay.world.instruments import embedder
from tests.viewer.studying import begun, copied

WITH_PARAMETERS = (
    ("GET", "/api/features"),
    ("GET", "/api/runs/{number}/features/{feature_id}"),
    ("GET", "/pictures/{number}/{pixel_hash}.webp"),
    ("GET", "/brought/{name}.webp"),
    ("GET", "/api/runs/{number}/bookmarks"),
    ("DELETE", "/api/runs/{number}/bookmarks/{bookmark_id}"),
    ("POST", "/api/ask"),
    ("POST", "/api/steer"),
    ("POST", "/api/bookmarks"),
    ("GET", "/api/runs/{number}/verdicts"),
    ("POST", "/api/runs/{number}/verdicts"),
    ("GET", "/api/runs/{number}/studies/{study_id}"),
    ("GET", "/api/runs/{number}/studies/{study_id}.csv"),
    ("GET", "/api/runs/{number}/judgements.csv"),
)
WITHOUT_PARAMETERS = (
    ("GET", "/api/version"),
    ("GET", "/api/runs"),
    ("GET", "/api/compare"),
    ("POST", "/api/brought"),
)


@pytest.fixture(scope="module")
def interface(filled: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenApiSchema]:
    folder = copied(filled, tmp_path_factory.mktemp("asked"))
    begun(folder, "Ann")
    catalogue = Catalogue([folder])
    catalogue.refresh()
    space = embedder(device="cpu")
    brought = Brought()
    meaning = Meaning(catalogue, lambda: space, brought)
    meaning.refresh()
    common = Options(device="cpu")
    models = ExplainerOptions(explainer="world:S")
    laboratory = laboratory_of(catalogue, brought, models, common, Output(common), 60.0)
    app = create_app(catalogue, Guard((HOST,)), meaning, laboratory)
    yield schemathesis.openapi.from_asgi("/api/openapi.json", app)
    laboratory.close()
    catalogue.close()


def ask_anything(interface: OpenApiSchema, way: tuple[str, str], mode: GenerationMode) -> None:
    """Ask what the interface says can be asked, or what it says cannot: no failure, and nothing it does not tell of."""

    verb, path = way

    @given(case=interface[path][verb].as_strategy(generation_mode=mode))
    @settings(max_examples=30, derandomize=True, suppress_health_check=list(HealthCheck))
    def ask(case: Case) -> None:
        # a form sends empty what is not chosen, which the interface tells of no number; and not every file is a picture
        case.call_and_validate(excluded_checks=[negative_data_rejection, positive_data_acceptance])

    ask()


def test_every_path_is_tried(interface: OpenApiSchema) -> None:
    told = {(verb.upper(), path) for path, verbs in interface.raw_schema["paths"].items() for verb in verbs}
    assert told == {*WITH_PARAMETERS, *WITHOUT_PARAMETERS}


@pytest.mark.parametrize("way", (*WITH_PARAMETERS, *WITHOUT_PARAMETERS))
def test_what_may_be_asked_is_answered_as_told(interface: OpenApiSchema, way: tuple[str, str]) -> None:
    ask_anything(interface, way, GenerationMode.POSITIVE)


@pytest.mark.parametrize("way", WITH_PARAMETERS)
def test_what_may_not_be_asked_is_refused_as_told(interface: OpenApiSchema, way: tuple[str, str]) -> None:
    ask_anything(interface, way, GenerationMode.NEGATIVE)


def test_what_is_there_comes_as_told(interface: OpenApiSchema, filled: Path) -> None:
    with Run.open(filled) as run:
        feature_id = features(run)[0].feature_id
        pixel_hash = exemplars(run, feature_id, "explaining", "top")[0].image.pixel_hash
    for path, place in (
        ("/api/runs/{number}/features/{feature_id}", {"feature_id": feature_id}),
        ("/pictures/{number}/{pixel_hash}.webp", {"pixel_hash": pixel_hash}),
    ):
        answer = interface[path]["GET"].Case(path_parameters={"number": 0, **place}).call_and_validate()
        assert answer.status_code == 200
