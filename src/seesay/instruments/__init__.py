"""The models that scores measure with: segmenters, embedders, synthesisers and judges, each behind a small seam."""
