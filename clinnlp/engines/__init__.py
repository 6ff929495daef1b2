"""Where a pipeline runs over a corpus."""
