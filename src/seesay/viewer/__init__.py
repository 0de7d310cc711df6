"""The viewer: a run's features as pages that one can search and look at, on one's own machine."""
