"""The repairs of `clinnlp.stages.cleaning`: functions of a text that give edits, a file for each family."""
