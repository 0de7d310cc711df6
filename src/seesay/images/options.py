"""What can be shown, in words. Free of everything heavy, so that the command line starts at once."""

from typing import Literal

EmptyImage = Literal["white", "black", "grey", "noise"]
"""The kinds of empty image that can be drawn; the paper uses white and compares black and Gaussian noise."""

Overlay = Literal["plain", "mask", "heatmap", "crop"]
"""What is done to an image: nothing; all but the active patches painted over; these tinted green; or cut out."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

BLACK: Colour = (0, 0, 0)
"""What patches are painted over with in the paper."""
