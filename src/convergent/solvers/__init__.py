"""Tensors to tensors: numerical answers that know no labels."""
