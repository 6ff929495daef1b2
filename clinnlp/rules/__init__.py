"""Rules as data, a folder per language."""
