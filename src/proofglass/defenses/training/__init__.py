"""Section 5 of the survey: defenses that are trained. A file a published method."""
