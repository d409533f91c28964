"""The shape of the language model of every victim: a small Llama."""

from __future__ import annotations

from transformers import LlamaConfig

from proofglass.testbed.tokenizer import BOS_ID, EOS_ID, PAD_ID


def config(vocabulary: int) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=BOS_ID,
        eos_token_id=EOS_ID,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
