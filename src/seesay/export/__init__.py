"""Runs in forms that other programs read: Parquet tables, Neuronpedia's lines, datasets of the Hugging Face Hub."""
