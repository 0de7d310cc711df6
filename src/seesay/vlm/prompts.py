"""What the explainer is asked, kept in text files, and how its answer is cleaned."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import ImageColor

from seesay.errors import UnreadablePrompt
from seesay.images.options import BLACK, Colour

PACKAGED = Path(__file__).with_name("prompts")
"""The folder of prompts that comes with seesay."""

_OPENING, _START, _FILL = "opening", "start", "mask_fill"
_PLACEHOLDER = "{opening}"
_PHRASE = "{phrase}"


@dataclass(frozen=True)
class Prompts:
    """The prompts of one folder.

    Args:
        texts: name (`steering`) to the text of the user's turn, ready to be sent.
        opening: the words that answers are asked to begin with and that cleaning strips, without an article; may be
            empty.
        start: what an answer begins with up to its first word that tells something; where one word alone is looked at,
            it is the one that follows.
        mask_fill: what is painted over the patches that a mask hides, as the prompts speak of it.
    """

    texts: Mapping[str, str]
    opening: str = ""
    start: str = ""
    mask_fill: Colour = BLACK

    def __getitem__(self, name: str) -> str:
        """Return a prompt by its name.

        Raises:
            UnreadablePrompt: there is none of that name.
        """
        if name not in self.texts:
            raise UnreadablePrompt(
                f"no prompt named {name!r}", expected=f"one of {sorted(self.texts)}", remedy=f"add a file {name}.txt"
            )
        return self.texts[name]

    def instead(self, name: str, text: str) -> "Prompts":
        """The same prompts with another text in the place of one.

        Args:
            name: of the prompt.
            text: that takes its place; `{opening}` in it stands for the words that answers are asked to begin with.
        """
        return replace(self, texts={**self.texts, name: text.strip().replace(_PLACEHOLDER, self.opening)})

    def filled_in(self, name: str) -> str:
        """Return a prompt that is asked as it is.

        Args:
            name: of the prompt.

        Raises:
            UnreadablePrompt: there is none of that name, or a placeholder is left in it.
        """
        left = re.search(r"\{\w+\}", self[name])
        if left:
            raise UnreadablePrompt(
                f"{left[0]} in the prompt {name}", expected=f"no placeholder but {_PLACEHOLDER}", remedy="take it out"
            )
        return self[name]

    def about(self, name: str, phrase: str) -> str:
        """Return a prompt that asks about a phrase, which stands in it as one line.

        Args:
            name: of the prompt.
            phrase: what takes the place of `{phrase}`; braces in it mean nothing.

        Raises:
            UnreadablePrompt: there is none of that name, or it has no place for a phrase.
        """
        text = self[name]
        if _PHRASE not in text:
            raise UnreadablePrompt(
                f"the prompt {name} has no place for what it asks about", expected=f"{_PHRASE} in {name}.txt"
            )
        return text.replace(_PHRASE, " ".join(phrase.split()))

    def start_of(self, name: str) -> str:
        """What an answer to a prompt begins with up to its first word that tells something.

        Nothing if the prompt does not ask for the opening that others ask for.

        Args:
            name: of the prompt.
        """
        return self.start if self.opening in self[name] else ""

    def clean(self, answer: str) -> str:
        """Strip an answer of the opening it was asked for; see [seesay.vlm.prompts.clean][]."""
        return clean(answer, self.opening)


def read_prompts(folder: Path) -> Prompts:
    """Read a folder of prompts.

    Every `NAME.txt` is a prompt, save `opening.txt`, whose words replace `{opening}` in the others; `start.txt`, by
    default the opening and an "a"; and `mask_fill.txt`, a colour such as `#ff00ff`, by default black. A folder stands
    for itself: nothing is taken from seesay's own.

    Args:
        folder: holds the text files, in UTF-8.

    Raises:
        UnreadablePrompt: the folder holds no prompt, a file cannot be read, a prompt names an opening that is not
            there, or the colour is none.
    """
    if not folder.is_dir():
        raise UnreadablePrompt(f"no folder {folder}", expected="one with steering.txt")
    try:
        texts = {path.stem: path.read_text("utf-8").strip() for path in sorted(folder.glob("*.txt"))}
    except (OSError, UnicodeDecodeError) as error:
        raise UnreadablePrompt(f"{folder}: {error}", expected="text files in UTF-8") from error
    opening = texts.pop(_OPENING, "")
    start = texts.pop(_START, f"{opening} a" if opening else "")
    fill = _colour(texts.pop(_FILL), folder) if _FILL in texts else BLACK
    if not texts:
        raise UnreadablePrompt(f"{folder} holds no prompt", expected="a folder with steering.txt")
    for name, text in texts.items():
        if _PLACEHOLDER in text and not opening:
            raise UnreadablePrompt(
                f"{folder / name}.txt asks for {_PLACEHOLDER}", expected=f"its words in {folder / _OPENING}.txt"
            )
    return Prompts({name: text.replace(_PLACEHOLDER, opening) for name, text in texts.items()}, opening, start, fill)


def _colour(text: str, folder: Path) -> Colour:
    try:
        red, green, blue, *_opacity = ImageColor.getrgb(text)
    except ValueError as error:
        raise UnreadablePrompt(
            f"{folder / _FILL}.txt: {text!r} is no colour", expected="one such as #ff00ff or black"
        ) from error
    return red, green, blue


def clean(answer: str, opening: str = "") -> str:
    """Reduce an answer to the words that describe.

    Markdown stars go, white space becomes single blanks, and the opening goes together with the article after it, be
    it "a", "an" or "the". Letter case stays as the model chose it.

    Args:
        answer: the model's own words.
        opening: the words the answer was asked to begin with, without an article.
    """
    words = " ".join(answer.replace("*", "").split())
    if not opening:
        return words
    start = r"\s+".join(map(re.escape, opening.split()))
    return re.sub(rf"^{start}\b[\s:]*((a|an|the)\b\s*)?", "", words, count=1, flags=re.IGNORECASE)
