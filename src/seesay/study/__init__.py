"""The study behind steering+: what can be said of features without images, held against methods that look at them."""
