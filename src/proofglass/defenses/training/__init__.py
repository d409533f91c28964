"""Section 5.2 of the survey: defenses that are trained."""
