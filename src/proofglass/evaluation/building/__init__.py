"""A new benchmark from natural pictures (the survey's section 6.1): a model drafts questions, each with a control twin;
judge and filters drop what does not hold; people review; a versioned data set with its card comes out.

scenes    pictures with what is known of them: a folder, COCO's layout, the pictures of another data set
drafting  the dialogue with the model that writes, and what is read from its answers
filters   which drafts are dropped, and why
build     all of it, into a folder that the data set `built` reads
"""
