"""What the viewer asks its models: what a picture activates, and what is said when features are pushed."""

import io
import secrets
import shlex
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, ClassVar, final

from PIL import Image
from pydantic import ConfigDict, TypeAdapter, ValidationError

from seesay.errors import FeatureNotFound, InvalidSetting, InvalidStrength
from seesay.explainers.config import METHODS, Empty, Positions, Setting
from seesay.records import Control, Decoding, Explanation, Method, Mode, SightingOrder, Strength, StrengthUnit
from seesay.selection import parse_along
from seesay.store.bookmarks import Bookmark, Reply, add_bookmark
from seesay.store.run import Run
from seesay.texts import exact
from seesay.viewer.brought import Brought
from seesay.viewer.catalogue import Catalogue
from seesay.viewer.worker import Job, News, Worker

if TYPE_CHECKING:
    from seesay.sae import SAE
    from seesay.vlm import VLM, Encoder

MOST_STRENGTHS = 16
LONGEST_PROMPT = 2000
_MOST_TOKENS = 256
_MOST_REMEMBERED = 64
_LARGEST_KEPT = 32 * 2**20


@final
@dataclass(frozen=True, eq=False)
class Loaded:
    """The models of a run.

    Args:
        vlm: who sees and says.
        sae: of the run's features, on the device of its encoder.
        layer: the run's block.
        eyes: the subject's encoder.
        encoder_differs_in: the first tensor in which the explainer's encoder is not the subject's.
        strength: what to begin with.
        command: what names them on the command line: `--subject`, `--sae`, and whatever else is not as usual.
    """

    vlm: "VLM"
    sae: "SAE"
    layer: int
    eyes: "Encoder"
    encoder_differs_in: str
    strength: Strength
    command: tuple[str, ...]

    @property
    def prompts(self) -> Mapping[Method, str]:
        """What is asked by each method that shows no exemplars; empty for one that asks nothing."""
        texts = self.vlm.prompts.texts
        return {
            method: texts.get(way.prompt or "", "")
            for method, way in METHODS.items()
            if way.steers and not way.shows and (way.prompt is None or way.prompt in texts)
        }


@final
@dataclass(frozen=True)
class Push:
    """What is to be pushed, on what, and what is asked then; the same as `seesay steer` takes.

    Args:
        run: number of the run.
        feature: the one in question.
        strengths: each is an answer.
        unit: of all strengths.
        along: features that are pushed along, as `17:-1.5,99:2`.
        layer: the block; None for the run's.
        method: how words are found; one that shows no exemplars.
        mode: how it is pushed; None for the method's own way.
        empty: the image, where none is brought.
        positions: where it is pushed.
        picture: name of a picture that was brought; empty for none.
        prompt: what to ask instead; empty for the method's own question.
        random: whether a random direction is pushed, too, as hard as the middle one of the strengths says.
        temperature: of the words; 0 for the most probable ones.
        max_new_tokens: of an answer.
        seed: of all that is drawn.
    """

    run: int
    feature: int
    strengths: tuple[float, ...]
    unit: StrengthUnit = "coefficient"
    along: str = ""
    layer: int | None = None
    method: Method = "steering"
    mode: Mode | None = None
    empty: Empty = "white"
    positions: Positions = "all"
    picture: str = ""
    prompt: str = ""
    random: bool = False
    temperature: float = 0.0
    max_new_tokens: int = 64
    seed: int = 0

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    def setting(self, strength: float | None, control: Control | None = None) -> Setting:
        """One of its questions, for the library.

        Args:
            strength: how hard to push; None for not at all.
            control: what takes the feature's place.

        Raises:
            SeesayError: there is no such question.
        """
        if self.method not in METHODS or METHODS[self.method].shows:
            raise InvalidSetting(f"{self.method}, which shows exemplars", expected="a method that does not")
        if not 1 <= self.max_new_tokens <= _MOST_TOKENS:
            raise InvalidSetting(f"{self.max_new_tokens} tokens", expected=f"1 to {_MOST_TOKENS}")
        if len(self.prompt) > LONGEST_PROMPT:
            raise InvalidSetting(f"a question of {len(self.prompt)} characters", expected=f"at most {LONGEST_PROMPT}")
        return Setting(
            method=self.method,
            strength=None if strength is None else Strength(strength, self.unit),
            control="none" if strength is None else control,
            mode=self.mode,
            empty=self.empty,
            positions=self.positions,
            decoding=Decoding(self.max_new_tokens, self.temperature, seed=self.seed),
            seed=self.seed,
        )

    @property
    def middle(self) -> float:
        """The strength that stands for all of them."""
        return self.strengths[len(self.strengths) // 2]

    @property
    def settings(self) -> list[Setting]:
        """All questions: nothing pushed, each strength, and a random direction if that is asked for.

        Raises:
            SeesayError: there are no such questions.
        """
        if not 1 <= len(self.strengths) <= MOST_STRENGTHS:
            raise InvalidSetting(f"{len(self.strengths)} strengths", expected=f"1 to {MOST_STRENGTHS}")
        if self.unit == "max_activation" or (self.unit == "kl" and min(self.strengths) <= 0):
            raise InvalidStrength(
                f"strengths of {', '.join(map(exact, self.strengths))} in {self.unit}",
                expected="numbers above 0 for kl, or another unit, which is known without a run's images",
            )
        if self.empty == "mean":
            raise InvalidSetting("the mean image", expected="an empty image that needs no others")
        unsteered = [self.setting(None)] if METHODS[self.method].generates else []
        random = [self.setting(self.middle, "random")] if self.random else []
        return [*unsteered, *map(self.setting, self.strengths), *random]

    def command(self, loaded: Loaded, picture: str = "FILE") -> str:
        """The same on the command line, at the middle one of the strengths.

        Args:
            loaded: the models.
            picture: what a picture of one's own is called.
        """
        usual = Push(self.run, self.feature, self.strengths)
        options: dict[str, object] = {
            "features": self.feature,
            "strength": exact(self.middle),
            "strength-unit": self.unit,
        }
        for name in ("along", "method", "mode", "positions", "prompt", "temperature", "seed", "max_new_tokens"):
            if getattr(self, name) != getattr(usual, name):
                options[name.replace("_", "-")] = getattr(self, name)
        layer = loaded.layer if self.layer is None else self.layer
        if layer != loaded.sae.provenance.layer:
            options["layer"] = layer
        if self.picture:
            options["image"] = picture
        elif self.empty != usual.empty:
            options["empty"] = self.empty
        words = ["seesay", "steer", *loaded.command]
        for name, value in options.items():
            # What begins with a dash would be taken for an option.
            words += [f"--{name}={value}"] if str(value).startswith("-") else [f"--{name}", str(value)]
        return shlex.join(words)


_PUSH = TypeAdapter(Push)


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


def push_of(bookmark: Bookmark, number: int) -> Push:
    """What a bookmark's question was.

    Args:
        bookmark: of a run that may be a stranger's.
        number: of the run.

    Raises:
        InvalidSetting: it is no question that could have been asked.
    """
    try:
        push = _PUSH.validate_python({**bookmark.settings, "run": number})
        _ = push.settings
    except ValidationError as error:
        what = "; ".join(str(each["loc"][0]) for each in error.errors())
        raise InvalidSetting(f"bookmark {bookmark.bookmark_id} is damaged: {what}", expected="a question") from error
    return push


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
