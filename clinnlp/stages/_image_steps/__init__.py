"""The steps of `clinnlp.stages.image_cleaning`: functions of a cleaned image, a file for each family."""
