"""How the deidentification stage finds identifiers, and what it puts in their place."""
