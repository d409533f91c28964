"""Is a data set clean? Duplicates within it and across others, what cannot be read, what is empty, how its labels lie.

prints      what a sample is known by: its pixels, its words, and hashes under which similar ones lie close
duplicates  pairs of samples that are the same, or nearly, within a data set and across several
check       all of it about one data set, as figures and findings
card        the same as a page (Markdown) and as MLCommons' metadata (Croissant)
"""
