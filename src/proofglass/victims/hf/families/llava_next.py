"""LLaVA-NeXT: a picture's tiles in the sequence, row by row, the padding left out (Liu et al. 2024,
https://llava-vl.github.io/blog/2024-01-30-llava-next)."""

from __future__ import annotations

from proofglass.victims.hf.families.llava import Tower


class LlavaNext(Tower):
    """LLaVA-1.6: the whole picture, then its tiles put together, cut to the picture, a learnt token behind each row.

    Usual weights (open): llava-hf/llava-v1.6-mistral-7b-hf, llava-hf/llava-v1.6-vicuna-7b-hf and -13b-hf.
    """


class OneVision(Tower):
    """LLaVA-OneVision: up to nine tiles' worth of tokens, larger canvases shrunk to that; one tile for each picture
    where a chat shows several (Li et al. 2024, arXiv:2408.03326).

    Usual weights (open): llava-hf/llava-onevision-qwen2-0.5b-ov-hf, -7b-ov-hf and -72b-ov-hf.
    """
