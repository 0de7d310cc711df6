"""Images from anywhere in one seam: folders, Hugging Face datasets, WebDataset shards, and what others add."""

from seesay.images.sources.first import First
from seesay.images.sources.opening import open_source
from seesay.images.sources.source import Content, Entry, ImageSource, IndexedSource

__all__ = ["Content", "Entry", "First", "ImageSource", "IndexedSource", "open_source"]
