"""What `clinnlp.stages.values` reads: numbers, units, measurements, patterns of dates and drugs, a file for each."""
