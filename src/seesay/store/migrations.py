"""The tables of `run.db`, by the steps in which they came to be. A step is never changed, only followed by others."""

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], object]


def create_run(connection: sqlite3.Connection) -> None:
    """What the run is of, and which stages are done.

    `run` holds JSON by name. A stage's `identity` is a hash of all that its rows depend on.
    """
    connection.execute("CREATE TABLE run (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute(
        """CREATE TABLE stages (
            name TEXT PRIMARY KEY, identity TEXT NOT NULL, config TEXT NOT NULL, summary TEXT, finished_at TEXT
        )"""
    )


def create_exemplars(connection: sqlite3.Connection) -> None:
    """Features with their statistics, images with the place of their patches, exemplars with their heatmaps.

    A `histogram` is int64 counts. `box` is the part of the image, in its pixels, that the grid of patches covers. The
    exemplars of one feature, part and kind are one row, for half a million rows would take longer than all the rest:
    `images` are [seesay.store.exemplars.IMAGE][], the best first, and `heatmaps` their active patches one after
    another, [seesay.exemplars.heatmaps.ACTIVE][]. All numbers are little-endian.
    """
    connection.execute(
        """CREATE TABLE features (
            feature_id INTEGER PRIMARY KEY,
            split TEXT NOT NULL CHECK (split IN ('validation', 'test')),
            n_active_patches INTEGER NOT NULL,
            n_active_images INTEGER NOT NULL,
            frequency REAL NOT NULL,
            image_frequency REAL NOT NULL,
            mean_activation REAL NOT NULL,
            max_activation REAL NOT NULL,
            histogram BLOB NOT NULL,
            fires_with TEXT NOT NULL,
            nearest TEXT NOT NULL
        )"""
    )
    connection.execute(
        """CREATE TABLE images (
            image_id INTEGER PRIMARY KEY,
            pixel_hash TEXT NOT NULL UNIQUE,
            source_id TEXT NOT NULL,
            part TEXT NOT NULL CHECK (part IN ('explaining', 'scoring')),
            width INTEGER NOT NULL,
            height INTEGER NOT NULL,
            n_rows INTEGER NOT NULL,
            n_columns INTEGER NOT NULL,
            box TEXT NOT NULL
        )"""
    )
    connection.execute(
        """CREATE TABLE exemplars (
            feature_id INTEGER NOT NULL REFERENCES features,
            part TEXT NOT NULL CHECK (part IN ('explaining', 'scoring')),
            kind TEXT NOT NULL CHECK (kind IN ('top', 'quantile', 'inactive')),
            images BLOB NOT NULL,
            heatmaps BLOB NOT NULL,
            PRIMARY KEY (feature_id, part, kind)
        )"""
    )


def create_explanations(connection: sqlite3.Connection) -> None:
    """Explanations, the settings that they were found in, and the strengths that were chosen.

    A setting is all that words depend on but the feature; `facts` is the whole of it as JSON, and `identity` its hash.
    `image_ids` are JSON. A calibration's `key` is the identity of a setting without strength and control; its `curve`
    is JSON.
    """
    connection.execute(
        """CREATE TABLE settings (
            setting_id INTEGER PRIMARY KEY,
            identity TEXT NOT NULL UNIQUE,
            method TEXT NOT NULL,
            control TEXT,
            strength REAL,
            strength_unit TEXT,
            seed INTEGER,
            explainer TEXT NOT NULL,
            explainer_hash TEXT NOT NULL,
            encoder_hash TEXT NOT NULL,
            prompt_hash TEXT NOT NULL,
            dtype TEXT NOT NULL,
            facts TEXT NOT NULL
        )"""
    )
    connection.execute(
        """CREATE TABLE explanations (
            setting_id INTEGER NOT NULL REFERENCES settings,
            feature_id INTEGER NOT NULL,
            sample INTEGER NOT NULL,
            status TEXT NOT NULL CHECK (status IN ('ok', 'empty', 'failed')),
            text TEXT NOT NULL,
            raw_text TEXT NOT NULL,
            reason TEXT NOT NULL,
            coefficient REAL,
            mean_log_probability REAL,
            image_ids TEXT NOT NULL,
            donor_id INTEGER,
            seconds REAL NOT NULL,
            PRIMARY KEY (setting_id, feature_id, sample)
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX explanations_by_feature ON explanations (feature_id)")
    connection.execute(
        """CREATE TABLE calibrations (
            key TEXT PRIMARY KEY,
            method TEXT NOT NULL,
            explainer TEXT NOT NULL,
            score TEXT NOT NULL,
            strength REAL NOT NULL,
            strength_unit TEXT NOT NULL,
            curve TEXT NOT NULL,
            made_at TEXT NOT NULL
        )"""
    )


def create_scores(connection: sqlite3.Connection) -> None:
    """Scores, and how they were computed; levels of explanations.

    A scoring is all that numbers depend on but feature and words: `facts` is the whole of it as JSON, `identity` its
    hash. `setting_id` is whose explanations were scored, NULL for scores of features; `aid` is what was put in their
    place (`permuted`, `constant`), empty for nothing. `text` is what was scored, so that a number is only ever that of
    its words. `others` and `details` are JSON. A level's `labeller` is the identity of whoever gave it. `trusts` are
    probabilities that words are right, of the one way of telling in `trust`, whose `facts` are JSON.
    """
    connection.execute(
        """CREATE TABLE scorings (
            scoring_id INTEGER PRIMARY KEY,
            identity TEXT NOT NULL UNIQUE,
            score TEXT NOT NULL,
            setting_id INTEGER REFERENCES settings,
            aid TEXT NOT NULL CHECK (aid IN ('', 'permuted', 'constant')),
            facts TEXT NOT NULL
        )"""
    )
    connection.execute(
        """CREATE TABLE scores (
            scoring_id INTEGER NOT NULL REFERENCES scorings,
            feature_id INTEGER NOT NULL,
            sample INTEGER NOT NULL,
            text TEXT NOT NULL,
            value REAL,
            others TEXT NOT NULL,
            details TEXT NOT NULL,
            reason TEXT NOT NULL,
            seconds REAL NOT NULL,
            PRIMARY KEY (scoring_id, feature_id, sample)
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE labels (
            labeller TEXT NOT NULL,
            text TEXT NOT NULL,
            level TEXT NOT NULL CHECK (level IN ('low-level', 'high-level', 'other')),
            raw_text TEXT NOT NULL,
            PRIMARY KEY (labeller, text)
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE TABLE trust (facts TEXT NOT NULL)")
    connection.execute(
        """CREATE TABLE trusts (
            setting_id INTEGER NOT NULL REFERENCES settings,
            feature_id INTEGER NOT NULL,
            sample INTEGER NOT NULL,
            text TEXT NOT NULL,
            probability REAL NOT NULL,
            PRIMARY KEY (setting_id, feature_id, sample)
        ) WITHOUT ROWID"""
    )


def index_scores(connection: sqlite3.Connection) -> None:
    """Scores and probabilities of one feature, found without reading those of all others."""
    connection.execute("CREATE INDEX scores_of_feature ON scores (feature_id)")
    connection.execute("CREATE INDEX trusts_of_feature ON trusts (feature_id)")


_VERDICT = "verdict TEXT NOT NULL CHECK (verdict IN ('right', 'partly', 'wrong'))"


def create_verdicts(connection: sqlite3.Connection) -> None:
    """What people say of what was said in a setting.

    `text` is what was judged, so that a verdict is only ever that of its words.
    """
    connection.execute(
        f"""CREATE TABLE verdicts (
            setting_id INTEGER NOT NULL REFERENCES settings,
            feature_id INTEGER NOT NULL,
            sample INTEGER NOT NULL,
            rater TEXT NOT NULL,
            text TEXT NOT NULL,
            {_VERDICT},
            note TEXT NOT NULL,
            given_at TEXT NOT NULL,
            PRIMARY KEY (setting_id, feature_id, sample, rater)
        ) WITHOUT ROWID"""
    )
    connection.execute("CREATE INDEX verdicts_of_feature ON verdicts (feature_id)")


def create_studies(connection: sqlite3.Connection) -> None:
    """What is judged blindly, by whom, and what they say.

    An item is pictures of a feature and words: `said_by` (JSON) are the settings whose words they are, `donor_id` the
    feature that they were borrowed from where they are decoys, `image_ids` JSON. A rater's `key` opens that rater's
    pages of one study and nothing else.
    """
    connection.execute(
        """CREATE TABLE studies (
            study_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, facts TEXT NOT NULL, begun_at TEXT NOT NULL
        )"""
    )
    connection.execute(
        """CREATE TABLE study_items (
            study_id INTEGER NOT NULL REFERENCES studies,
            item INTEGER NOT NULL,
            feature_id INTEGER NOT NULL,
            text TEXT NOT NULL,
            said_by TEXT NOT NULL,
            donor_id INTEGER,
            image_ids TEXT NOT NULL,
            PRIMARY KEY (study_id, item)
        ) WITHOUT ROWID"""
    )
    connection.execute(
        """CREATE TABLE raters (
            key TEXT PRIMARY KEY,
            study_id INTEGER NOT NULL REFERENCES studies,
            name TEXT NOT NULL,
            UNIQUE (study_id, name)
        )"""
    )
    connection.execute(
        f"""CREATE TABLE ratings (
            study_id INTEGER NOT NULL REFERENCES studies,
            item INTEGER NOT NULL,
            rater TEXT NOT NULL,
            {_VERDICT},
            note TEXT NOT NULL,
            seconds REAL,
            given_at TEXT NOT NULL,
            PRIMARY KEY (study_id, item, rater)
        ) WITHOUT ROWID"""
    )


def create_bookmarks(connection: sqlite3.Connection) -> None:
    """What people found by steering and kept.

    `settings` and `answers` are JSON, `picture` the PNG file of what was steered, if that was one's own.
    """
    connection.execute(
        """CREATE TABLE bookmarks (
            bookmark_id INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            settings TEXT NOT NULL,
            answers TEXT NOT NULL,
            picture BLOB,
            made_at TEXT NOT NULL
        )"""
    )


MIGRATIONS: tuple[Migration, ...] = (
    create_run,
    create_exemplars,
    create_explanations,
    create_scores,
    index_scores,
    create_verdicts,
    create_studies,
    create_bookmarks,
)
