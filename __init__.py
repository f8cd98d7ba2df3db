"""Errata makes a vision-language model better from its own mistakes."""
