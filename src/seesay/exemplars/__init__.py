"""What one pass over images tells of every feature: exemplars, heatmaps and statistics."""
