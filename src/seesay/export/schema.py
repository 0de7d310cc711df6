"""The tables that are exported: every column with its type, its unit and what it means.

Said once, here, as pyarrow schemas whose fields carry the unit and the meaning as metadata: they are in the files, and
the tables of docs/export.md are held against them by a test.
"""

from collections.abc import Mapping
from types import MappingProxyType

import pyarrow as pa

_TEXT, _WHOLE, _NUMBER, _YES = pa.string(), pa.int64(), pa.float64(), pa.bool_()


def _column(name: str, kind: pa.DataType, meaning: str, unit: str = "", *, null: str = "") -> pa.Field:
    """A column; `null` says when it is empty, which it otherwise never is."""
    whole = f"{meaning}; null {null}" if null else meaning
    return pa.field(name, kind, nullable=bool(null), metadata={"unit": unit, "meaning": whole})


def _pairs(number: str) -> pa.DataType:
    return pa.list_(pa.struct([pa.field("feature_id", _WHOLE), pa.field(number, _NUMBER)]))


def _table(what: str, *columns: pa.Field) -> pa.Schema:
    return pa.schema(columns, metadata={"what": what})


_RUN = _column("run", _TEXT, "the run: the last part of its folder's path, or as many as tell it from others")
_FEATURE = _column("feature_id", _WHOLE, "the feature: row of the SAE's decoder")
_SPLIT = _column("split", _TEXT, "`validation` (strengths were chosen on these) or `test` (figures are of these)")
_METHOD = "how the words were found, `steering` for example"
_CONTROL = "what took the place of the feature or of a part of what it brings, `random` for example"
_STRENGTH = "how hard the feature was pushed"
_UNIT = "what a strength of 1 is: `coefficient`, `residual_norm`, `max_activation` or `kl`"
_SAID_IN = "identity of the setting that the words were found in; see `settings`"
_HOLDING = "on which images: `held-out` (no explainer was shown them) or `shared`"
_AID = "whose words were scored in the place of the feature's own: `permuted` (another feature's) or `constant`"

RUNS = _table(
    "one row for each run",
    _RUN,
    _column("subject", _TEXT, "the model whose vision encoder has the features", null="if the run does not say"),
    _column("layer", _WHOLE, "vision block after which the residual stream is read", "from 0", null="if not said"),
    _column("sae", _TEXT, "the SAE", null="if the run does not say"),
    _column("sae_options", _TEXT, "how it was found, such as a subfolder or a revision", "JSON"),
    _column("identity", _TEXT, "hash of encoder, block and SAE: equal where features are the same", null="if not said"),
    _column("images", _TEXT, "where the images came from", null="without images"),
    _column("images_identity", _TEXT, "hash of the images and of how they were looked at", null="without images"),
    _column("n_images", _WHOLE, "images that were looked at", "images", null="without images"),
    _column("n_features", _WHOLE, "features of the SAE", "features", null="without images"),
    _column("n_live_features", _WHOLE, "of these, active on any image", "features", null="without images"),
    _column("seesay", _TEXT, "version that exported it"),
)

SETTINGS = _table(
    "one row for each way in which a run's features were put into words",
    _RUN,
    _column("setting", _TEXT, "identity of the setting: hash of its facts", "sha256"),
    _column("method", _TEXT, _METHOD),
    _column("control", _TEXT, _CONTROL, null="for the feature itself"),
    _column("strength", _NUMBER, _STRENGTH, "`strength_unit`", null="if nothing was pushed"),
    _column("strength_unit", _TEXT, _UNIT, null="if nothing was pushed"),
    _column("seed", _WHOLE, "of random controls", null="if nothing was drawn"),
    _column("explainer", _TEXT, "the model that found the words"),
    _column("explainer_hash", _TEXT, "of its weights", "sha256"),
    _column("encoder_hash", _TEXT, "of its vision encoder's weights", "sha256"),
    _column("dtype", _TEXT, "number format of its weights"),
    _column("prompt", _TEXT, "what it was asked", null="if nothing was asked"),
    _column("coarse", _WHOLE, "1 for the method as it is; more is an approximation", "patches a side"),
    _column("facts", _TEXT, "all that the words depend on but the feature", "JSON"),
)

FEATURES = _table(
    "one row for each feature of a run with images",
    _RUN,
    _FEATURE,
    _SPLIT,
    _column("frequency", _NUMBER, "on which share of the patches it is active", "0 to 1"),
    _column("image_frequency", _NUMBER, "on which share of the images it is active somewhere", "0 to 1"),
    _column("mean_activation", _NUMBER, "over the patches where it is active; 0 if there are none", "activation"),
    _column("max_activation", _NUMBER, "over all patches; 0 if it is never active", "activation"),
    _column("histogram", pa.list_(_WHOLE), "its activations in 128 bins: bin n begins at 2^(n/4 - 16)", "patches"),
    _column("fires_with", _pairs("share"), "features most often active on the same patches, with the share of them"),
    _column("nearest", _pairs("cosine"), "features whose directions are nearest, with the cosine"),
)

EXPLANATIONS = _table(
    "one row for each answer",
    _RUN,
    _FEATURE,
    _SPLIT,
    _column("text", _TEXT, "the cleaned words; empty unless `status` is `ok`"),
    _column("method", _TEXT, _METHOD),
    _column("control", _TEXT, _CONTROL, null="for the feature itself"),
    _column("explainer", _TEXT, "the model that found the words"),
    _column("sample", _WHOLE, "number among the answers about the feature in that setting", "from 0"),
    _column("status", _TEXT, "`ok`, `empty` (no words) or `failed` (of the machine)"),
    _column("raw_text", _TEXT, "the model's own words, untouched"),
    _column("reason", _TEXT, "why there are no words; empty if there are"),
    _column("strength", _NUMBER, _STRENGTH, "`strength_unit`", null="if nothing was pushed"),
    _column("strength_unit", _TEXT, _UNIT, null="if nothing was pushed"),
    _column("coefficient", _NUMBER, "what the strength came to", "residual stream", null="if nothing was pushed"),
    _column("mean_log_probability", _NUMBER, "of each token that was said", "nats", null="if nothing was generated"),
    _column("trust", _NUMBER, "how probable it is that the words are right", "0 to 1", null="if nobody has said"),
    _column("images", pa.list_(_TEXT), "that the explainer was shown, in order: `image` of `exemplars`", "sha256"),
    _column("donor_id", _WHOLE, "whose direction or images were used", null="if not another feature's"),
    _column("setting", _TEXT, _SAID_IN, "sha256"),
)

SCORINGS = _table(
    "one row for each way in which something was scored",
    _RUN,
    _column("scoring", _TEXT, "identity of the scoring: hash of its facts, of the setting and of the aid", "sha256"),
    _column("score", _TEXT, "what was measured, `iou` for example"),
    _column("aid", _TEXT, _AID, null="for the words themselves"),
    _column("holding", _TEXT, _HOLDING, null="if no image of the run was looked at"),
    _column("setting", _TEXT, _SAID_IN, "sha256", null="for scores of features"),
    _column("facts", _TEXT, "all that the numbers depend on but feature and words", "JSON"),
)

SCORES = _table(
    "one row for each number",
    _RUN,
    _FEATURE,
    _SPLIT,
    _column("score", _TEXT, "what was measured, `iou` for example"),
    _column("name", _TEXT, "of the number; a score may bring several, such as `precision` and `recall`"),
    _column("is_primary", _YES, "whether it is the number that stands for the score"),
    _column("value", _NUMBER, "the number", "that of the score", null="if there is none: see `reason`"),
    _column("reason", _TEXT, "why there is no number; empty if there is"),
    _column("aid", _TEXT, _AID, null="for the words themselves"),
    _column("holding", _TEXT, _HOLDING, null="if no image of the run was looked at"),
    _column("method", _TEXT, _METHOD, null="for scores of features"),
    _column("control", _TEXT, _CONTROL, null="for the feature itself"),
    _column("explainer", _TEXT, "the model that found the words", null="for scores of features"),
    _column("sample", _WHOLE, "number among the answers about the feature in that setting", "from 0"),
    _column("text", _TEXT, "the words that were scored; empty for scores of features"),
    _column("setting", _TEXT, _SAID_IN, "sha256", null="for scores of features"),
    _column("scoring", _TEXT, "identity of the way in which it was scored; see `scorings`", "sha256"),
)

EXEMPLARS = _table(
    "one row for each image that was kept for a feature",
    _RUN,
    _FEATURE,
    _SPLIT,
    _column("part", _TEXT, "what the image may be used for: `explaining` or `scoring`, never both"),
    _column("kind", _TEXT, "why it was kept: `top`, `quantile` or `inactive`"),
    _column("rank", _WHOLE, "among those of its kind and part, the most activating first", "from 0"),
    _column("quantile", _WHOLE, "which part of the activating images it stands for", "from 0", null="for other kinds"),
    _column("activation", _NUMBER, "of the image: mean or maximum over its patches, as was collected", "activation"),
    _column("peak", _NUMBER, "the largest on any patch", "activation"),
    _column("image", _TEXT, "hash of the image's pixels, by which it is known", "sha256"),
    _column("source_id", _TEXT, "its name in the source that it came from"),
    _column("width", _WHOLE, "of the image", "pixels"),
    _column("height", _WHOLE, "of the image", "pixels"),
    _column("grid_rows", _WHOLE, "of its grid of patches", "patches"),
    _column("grid_columns", _WHOLE, "of its grid of patches", "patches"),
    _column("box", pa.list_(_NUMBER), "left, top, right and bottom of what the grid covers", "pixels"),
    _column(
        "heatmap_patches", pa.list_(pa.int32()), "where the feature is active, row by row from the top left", "from 0"
    ),
    _column("heatmap_activations", pa.list_(pa.float32()), "there; all other patches are 0", "activation"),
)

IMAGES = _table(
    "one row for each image, with `--images` alone",
    _column("image", _TEXT, "hash of the original's pixels", "sha256"),
    _column("part", _TEXT, "what it may be used for: `explaining` or `scoring`"),
    _column("width", _WHOLE, "of the original", "pixels"),
    _column("height", _WHOLE, "of the original", "pixels"),
    _column("webp", pa.binary(), "the thumbnail's file, no side above 512 pixels", "WebP"),
)

TABLES: Mapping[str, pa.Schema] = MappingProxyType({
    "runs": RUNS,
    "settings": SETTINGS,
    "features": FEATURES,
    "explanations": EXPLANATIONS,
    "scorings": SCORINGS,
    "scores": SCORES,
    "exemplars": EXEMPLARS,
    "images": IMAGES,
})  # fmt: skip
"""Every table, by name; its file is called after it."""


def described(schema: pa.Schema) -> list[str]:
    """A table's columns as lines of Markdown.

    Args:
        schema: one of `TABLES`.
    """
    said = [(field, *(field.metadata[name].decode() for name in (b"unit", b"meaning"))) for field in schema]
    rows = [f"| `{field.name}` | `{field.type}` | {unit} | {meaning} |" for field, unit, meaning in said]
    return ["| column | type | unit | meaning |", "|---|---|---|---|", *rows]
