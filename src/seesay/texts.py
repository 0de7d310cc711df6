"""Texts from anyone, made fit to be shown."""

_JOINERS = "\u200c\u200d"  # invisible, but they belong to words and to emoji


def one_line(text: str) -> str:
    """A text as one line that can neither end a line nor steer a terminal; rich lets escape sequences through.

    Args:
        text: anything, from anyone.
    """
    kept = (each if each.isprintable() or each in _JOINERS else " " if each.isspace() else "" for each in text)
    return " ".join("".join(kept).split())
