"""Look through the built documentation site: no page may load anything from elsewhere.

    python tools/check_site.py site

Links to other sites are none of its business: they are followed by people, not by browsers by themselves.
"""

import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

_LOADING = frozenset({"src", "srcset", "poster", "data", "background"})
_LOADING_RELATIONS = frozenset({"stylesheet", "icon", "preload", "prefetch", "modulepreload", "preconnect", "manifest"})
_ELSEWHERE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
_IN_STYLES = re.compile(r"(?:url\(\s*['\"]?|@import\s+['\"])((?:https?:)?//[^'\")\s]*)", re.IGNORECASE)


class _Page(HTMLParser):
    """What a page makes a browser load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        loading = [value for name, value in values.items() if name in _LOADING]
        if tag == "link" and _LOADING_RELATIONS & set(values.get("rel", "").lower().split()):
            loading.append(values.get("href", ""))
        self.found += [f"<{tag}> {value}" for value in loading if _ELSEWHERE.match(value)]
        self.found += _IN_STYLES.findall(values.get("style", ""))


def loaded_from_elsewhere(site: Path) -> Iterator[str]:
    """What pages and styles of a site load from other places, as `file: what`.

    Args:
        site: the folder that was built.
    """
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        page = _Page()
        page.feed(text)
        styles = re.findall(r"<style.*?</style>", text, re.DOTALL | re.IGNORECASE)
        for what in (*page.found, *_IN_STYLES.findall("\n".join(styles))):
            yield f"{path.relative_to(site)}: {what}"
    for path in sorted(site.rglob("*.css")):
        for what in _IN_STYLES.findall(path.read_text(encoding="utf-8")):
            yield f"{path.relative_to(site)}: {what}"


def main(arguments: list[str]) -> int:
    """Print what is found; 1 if there is anything, or no page at all."""
    site = Path(arguments[0])
    pages = len(list(site.rglob("*.html")))
    found = list(loaded_from_elsewhere(site))
    print(*found, f"{pages} pages, {len(found)} things that are loaded from elsewhere", sep="\n")
    return int(bool(found) or not pages)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
