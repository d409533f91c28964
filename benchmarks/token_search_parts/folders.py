"""A folder of a text-only victim, written so that transformers 4 reads the same model out of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

RAISED = 'raise_exception("'


def exported(folder: Path, tokenizer: Any, place: Path) -> Path:
    """A copy of `folder` at `place`: same weights, token ids and template, in the older spelling of configurations.

    nanoGCG takes the begin token out of the template and expects its tokenizer to write it: ours is told to.
    """
    place.mkdir(parents=True, exist_ok=True)
    config = json.loads((folder / "config.json").read_text())
    rope = config.pop("rope_parameters", None) or {}
    config["rope_theta"] = rope.get("rope_theta", config.get("rope_theta", 10000.0))
    config["torch_dtype"] = config.pop("dtype", "float32")
    (place / "config.json").write_text(json.dumps(config))
    for weights in folder.glob("*.safetensors*"):
        shutil.copyfile(weights, place / weights.name)
    words = json.loads((folder / "tokenizer.json").read_text())
    begin = tokenizer.bos_token
    if begin and str(tokenizer.chat_template).lstrip().startswith("{{ bos_token }}"):
        words["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": begin, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {begin: {"id": begin, "ids": [tokenizer.bos_token_id], "tokens": [begin]}},
        }
    (place / "tokenizer.json").write_text(json.dumps(words))
    told = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": begin,
        "eos_token": tokenizer.eos_token,
        "pad_token": tokenizer.pad_token,
        "clean_up_tokenization_spaces": False,
        "chat_template": tokenizer.chat_template,
    }
    (place / "tokenizer_config.json").write_text(json.dumps(told))
    return place
