"""Section 5 of the survey: defenses that train the model. A file a published method."""
