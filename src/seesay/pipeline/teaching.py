"""Teaching: a run's images and validation features make a lens or an adapter, which is kept in the run."""

from collections.abc import Sequence

from seesay.errors import UnusablePath
from seesay.explainers.adapter import Adapter
from seesay.explainers.config import Setting
from seesay.explainers.lens import Lens
from seesay.pipeline.explaining import explain
from seesay.pipeline.progress import ProgressBar
from seesay.pipeline.speakers import Speaker
from seesay.records import Strength
from seesay.store.explanations import explanations
from seesay.store.gallery import RunGallery, explainable
from seesay.store.run import Run
from seesay.store.taught import keep_taught
from seesay.teaching.adapting import adapt
from seesay.teaching.config import Adapting, Teaching
from seesay.teaching.teaching import teach


def teach_lens(
    run: Run,
    speaker: Speaker,
    strength: Strength,
    *,
    teaching: Teaching = Teaching(),  # noqa: B008 (frozen)
    feature_ids: Sequence[int] | None = None,
    progress: ProgressBar,
) -> Lens:
    """Teach a lens for a run, and keep it there in the place of one that was taught before.

    Images of the explaining half alone are looked at, and no feature that is judged.

    Args:
        run: collected, open to be written.
        speaker: who explains.
        strength: by which features are steered.
        teaching: how it is taught.
        feature_ids: features that take part; None for the validation features that some image activates.
        progress: shows how far it is.

    Raises:
        UnusablePath: a run without images, or one that is not collected to the end.
        SeesayError: what cannot be steered or asked.
    """
    run.check_finished("collect")
    assert speaker.sae is not None
    assert speaker.layer is not None
    chosen = explainable(run, "validation") if feature_ids is None else list(feature_ids)
    pictures = RunGallery(run).pictures(teaching.n_looked_at)
    if not pictures:
        raise UnusablePath(f"{run.folder} has no images", expected="some to teach by", remedy="seesay collect first")
    lens = teach(
        speaker.vlm,
        speaker.sae,
        speaker.layer,
        pictures,
        chosen,
        strength,
        teaching=teaching,
        progress=lambda name, total: progress(f"teaching: {name}", total=total),
    )
    keep_taught(run, speaker.voice.lens_key, lens)
    return lens


def teach_adapter(
    run: Run,
    speaker: Speaker,
    strength: Strength,
    teacher: Setting,
    *,
    adapting: Adapting = Adapting(),  # noqa: B008 (frozen)
    feature_ids: Sequence[int] | None = None,
    progress: ProgressBar,
) -> Adapter:
    """Teach an adapter for a run by what is said of its features' images, and keep it there.

    Args:
        run: collected, open to be written.
        speaker: who explains.
        strength: by which features are steered.
        teacher: the way to explain that is learnt from; its words are kept in the run.
        adapting: how it is taught.
        feature_ids: features that take part; None for the validation features that some image activates.
        progress: shows how far it is.

    Raises:
        UnusablePath: a run that is not collected to the end.
        InvalidSetting: next to nothing is said of the features.
        SeesayError: what cannot be steered or asked.
    """
    run.check_finished("collect")
    assert speaker.sae is not None
    assert speaker.layer is not None
    chosen = explainable(run, "validation") if feature_ids is None else list(feature_ids)
    with progress(f"teaching: {teacher.method}", total=len(chosen)) as advance:
        stored = explain(run, speaker, teacher, chosen, on_batch=advance)
    said = {
        feature_id: samples[0].raw_text
        for feature_id, samples in explanations(run, stored, chosen).items()
        # what has come to no end would teach the model to stop in the middle
        if samples[0].status == "ok"
        and len(speaker.vlm.tokenize(samples[0].raw_text)) < teacher.decoding.max_new_tokens
    }
    adapter = adapt(
        speaker.vlm,
        speaker.sae,
        speaker.layer,
        said,
        strength,
        adapting=adapting,
        progress=lambda name, total: progress(f"teaching: {name}", total=total),
    )
    keep_taught(run, speaker.voice.lens_key, adapter)
    return adapter
