"""Records: the journal of answered batches, sealed cells, scores and pictures of a run folder."""
