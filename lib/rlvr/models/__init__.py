"""Policies: the decoder, tokenizers, loading and saving."""
