"""Everything that can go wrong by a user's hand, as one tree.

Each error says *what* was given, what was *expected*, and what to do (*remedy*), and prints as one line. The command
line turns any of them into exit code 2; a traceback is for our own mistakes only.
"""

from collections.abc import Collection


class SeesayError(Exception):
    """Base of every error that a user can mend.

    Args:
        what: what was found, with the offending value.
        expected: what would have been right.
        remedy: what to do next.
    """

    def __init__(self, what: str, *, expected: str = "", remedy: str = "") -> None:
        self.what = what
        self.expected = expected
        self.remedy = remedy
        parts = [what, f"expected {expected}" if expected else "", remedy]
        super().__init__("; ".join(" ".join(part.split()) for part in parts if part))


class FeatureNotFound(SeesayError):
    """A feature id that the SAE does not have, or a feature selection that cannot be read."""


class LayerNotFound(SeesayError):
    """A block that the vision encoder does not have, or that the language model cannot see."""


class InvalidStrength(SeesayError):
    """A steering strength that is no finite number, or in a unit that cannot be had here."""


class InvalidDecoding(SeesayError):
    """A way of choosing words that cannot be: no tokens at all, or a negative temperature."""


class InvalidTraining(SeesayError):
    """A training that cannot be: fewer features than a patch is to activate, or a rate at which nothing is learnt."""


class InvalidCollection(SeesayError):
    """A number of exemplars that cannot be kept."""


class InvalidSetting(SeesayError):
    """A way of explaining that cannot be: images for a method that shows none, or a control of what is not there."""


class LeakedImage(SeesayError):
    """An image that an explainer was shown, where only images that none was shown may be looked at."""


class Busy(SeesayError):
    """A model that more people wait for than it can answer soon, or that took too long."""


class UnknownChoice(SeesayError):
    """A word where one of a few is meant."""


class UnreadableModel(SeesayError):
    """A checkpoint that is missing, damaged, or of a kind that seesay does not load."""


class UnreadableSAE(SeesayError):
    """A sparse autoencoder that is missing, damaged, unsafe to read, or of an unknown format."""


class MismatchedSAE(SeesayError):
    """A sparse autoencoder of another width than the model that it is used with."""


class UnknownPhrase(SeesayError):
    """Words outside the embedded world's grammar."""


class UnusableScorer(SeesayError):
    """A scorer of a user's own that cannot be loaded, or does not keep to what a scorer promises."""


class MissingExtra(SeesayError):
    """A command that needs a package of an extra that is not installed."""


class UnreadablePrompt(SeesayError):
    """A prompt that is missing, or lacks a placeholder that it needs."""


class UnusablePath(SeesayError):
    """A file or folder that cannot be read or written."""


class UnreadableWords(SeesayError):
    """A table or folder of explanations that is missing or damaged, or a row of it that cannot be taken."""


class UnreadableImage(SeesayError):
    """An image that is damaged, or of a kind that cannot be turned into RGB."""


class UnreadableImages(SeesayError):
    """A source of images that is missing, empty, damaged or of an unknown kind, or too many unreadable images."""


class MismatchedEncoder(SeesayError):
    """An explainer whose vision encoder is not the subject's."""


class NotFinite(SeesayError):
    """Numbers that overflowed: a number format too narrow for the model, or damaged weights."""


class NotEnoughMemory(SeesayError):
    """A model, or a single feature or image, that does not fit into memory."""


class UnavailableDevice(SeesayError):
    """A device or number format that this machine does not have."""


class UnusableCluster(SeesayError):
    """Workers that cannot be reached, do not find room, keep dying, or do not have what the others have."""


def check_choice(found: object, choices: Collection[str], what: str) -> None:
    """Check that a word is one of those that are meant.

    Args:
        found: the word that was given.
        choices: those that would do.
        what: what it chooses, for the message.

    Raises:
        UnknownChoice: it is not.
    """
    if found not in choices:
        raise UnknownChoice(f"{what} {found!r}", expected=f"one of {', '.join(choices)}")
