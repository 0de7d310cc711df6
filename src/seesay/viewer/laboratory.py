"""What the viewer asks its models: what a picture activates, and what is said when features are pushed."""

import io
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import final

from PIL import Image

from seesay.errors import FeatureNotFound, InvalidSetting
from seesay.records import Explanation, SightingOrder
from seesay.selection import parse_along
from seesay.store.bookmarks import Bookmark, Reply, add_bookmark
from seesay.store.run import Run
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.pushes import Loaded, Push
from seesay.viewer.worker import Job, News, Worker

_MOST_REMEMBERED = 64
_LARGEST_KEPT = 32 * 2**20


@final
@dataclass(frozen=True)
class Answered:
    """What came of a push.

    Args:
        push: what was asked.
        replies: to each question.
    """

    push: Push
    replies: Sequence[Reply]


@final
class Laboratory:
    """Asks the models of runs, one question after the other.

    Args:
        catalogue: of the runs.
        loaded: the models of each run, by its number.
        brought: pictures of people's own.
        worker: owns the models.
    """

    def __init__(
        self, catalogue: Catalogue, loaded: Mapping[int, Loaded], brought: Brought, worker: Worker | None = None
    ) -> None:
        self._catalogue, self._loaded, self.brought = catalogue, loaded, brought
        self.worker = worker or Worker(told=catalogue.told)
        self._lock = threading.Lock()
        self._answered: dict[str, Answered] = {}

    def loaded(self, number: int) -> Loaded:
        """The models of a run.

        Args:
            number: of the run, from outside.

        Raises:
            FeatureNotFound: there is no such run.
        """
        self._catalogue.folder(number)
        return self._loaded[number]

    def ask(self, number: int, picture: str, n: int, order: SightingOrder) -> Job:
        """Ask what a picture activates.

        Args:
            number: of the run.
            picture: name of one that was brought.
            n: how many features to tell, at most.
            order: which of them.

        Raises:
            FeatureNotFound: there is no such run or picture.
            Busy: too many wait.
        """
        loaded, folder = self.loaded(number), self._catalogue.folder(number)
        self.brought.small(picture)  # refused now, not when it is its turn

        def work(job: Job) -> News:
            from seesay.asking import sighting  # torch, which only whoever has models waits for

            job.check()
            with Run.open(folder) as run:
                known = run if run.finished("collect") is not None or run.rows("SELECT 1 FROM settings") else None
                image = self.brought.image(picture)
                seen = sighting(loaded.eyes, loaded.sae, loaded.layer, image, n, order, known)
            return {"sighting": seen.as_json(), "heats": [each.heat for each in seen]}

        return self.worker.submit(work)

    def steer(self, push: Push) -> Job:
        """Push, and ask what is seen.

        Args:
            push: from outside.

        Raises:
            SeesayError: it cannot be done, as far as that can be told beforehand.
            Busy: too many wait.
        """
        loaded, settings = self.loaded(push.run), push.settings
        along = tuple(parse_along(push.along).items())
        loaded.sae.directions([push.feature, *(feature_id for feature_id, _value in along)])
        layer = loaded.layer if push.layer is None else push.layer
        loaded.vlm.encoder.check_layer(layer, steered=True)
        if push.picture:
            self.brought.small(push.picture)

        def work(job: Job) -> News:
            from seesay.explainers.sights import Ground
            from seesay.explainers.steering import image_free

            image = self.brought.image(push.picture) if push.picture else None
            replies: list[Reply] = []
            for number, setting in enumerate(settings):
                job.check()

                def watch(said: Sequence[str], number: int = number) -> None:
                    job.check()
                    job.tell({"number": number, "words": loaded.vlm.prompts.clean(said[0])})

                explainer = image_free(
                    loaded.vlm,
                    loaded.sae,
                    [push.feature],
                    setting,
                    layer=layer,
                    encoder_differs_in=loaded.encoder_differs_in,
                    ground=Ground(image, () if setting.control == "none" else along),
                    prompt=push.prompt or None,
                    watch=watch,
                )
                ((explanation,),) = explainer.explain([push.feature])
                replies.append(_reply(explanation))
                job.tell({"number": number, "answer": asdict(replies[-1])})
            command = push.command(loaded)
            return {"result": self._remember(Answered(push, replies)), "command": command}

        return self.worker.submit(work)

    def answered(self, result: str) -> Answered:
        """What came of a push, as long as it is remembered.

        Args:
            result: its name, from outside.

        Raises:
            FeatureNotFound: there is none.
        """
        found = self._answered.get(result)
        if found is None:
            raise FeatureNotFound("this answer", expected="one that was given lately", remedy="steer again")
        return found

    def keep(self, result: str, name: str) -> Bookmark:
        """Keep what came of a push, in its run.

        Args:
            result: its name.
            name: what to call it.

        Raises:
            FeatureNotFound: nobody remembers it.
            InvalidSetting: no name, or one that is too long.
            UnusablePath: the run cannot be written.
        """
        found = self.answered(result)
        picture = None
        if found.push.picture:
            picture = _as_kept(self.brought.image(found.push.picture))
        settings = {name: value for name, value in asdict(found.push).items() if name != "run"}
        with Run.noting(self._catalogue.folder(found.push.run)) as run:
            return add_bookmark(run, name, settings, found.replies, picture)

    def close(self) -> None:
        """End the thread that owns the models."""
        self.worker.close()

    def _remember(self, answered: Answered) -> str:
        name = secrets.token_urlsafe(9)
        with self._lock:
            self._answered[name] = answered
            while len(self._answered) > _MOST_REMEMBERED:
                del self._answered[next(iter(self._answered))]
        return name


def _as_kept(image: Image.Image) -> bytes:
    """The pixels alone: what else a file says may be nobody's business, such as where it was taken."""
    file = io.BytesIO()
    image.save(file, "PNG")
    if file.tell() > _LARGEST_KEPT:
        raise InvalidSetting(
            f"a picture of {image.width}x{image.height} pixels, which would take {file.tell() / 2**20:.0f} MiB",
            expected=f"at most {_LARGEST_KEPT // 2**20} MiB to be kept in a run",
            remedy="make it smaller, and steer on that one",
        )
    return file.getvalue()


def _reply(explanation: Explanation) -> Reply:
    strength = explanation.strength
    return Reply(
        control=explanation.control,
        strength=None if strength is None else strength.value,
        unit=None if strength is None else strength.unit,
        coefficient=explanation.coefficient,
        status=explanation.status,
        text=explanation.text,
        raw_text=explanation.raw_text,
        reason=explanation.reason,
        log_probability=explanation.mean_log_probability,
    )
