"""What an attack was made on is not judged."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from proofglass.attacks.crafting.apart import check_apart, check_context, check_unseen, context
from proofglass.errors import UsageError
from proofglass.types import Chat, Image, Sample


def asked(name, text, grey=None, split="test"):
    parts = [] if grey is None else [Image.from_array(np.full((2, 2, 3), grey, np.uint8))]
    return Sample(name, "toy", Chat.user(*parts, text), split=split)


def test_samples_are_one_by_their_id_or_their_question():
    made_on = [asked("a", "mend a kite")]
    check_apart(made_on, [asked("b", "mend a drum")])
    for other in (asked("a", "mend a drum"), asked("b", " Mend  a KITE")):
        with pytest.raises(UsageError, match=f"sample '{other.id}': is in the crafting split"):
            check_apart(made_on, [other])


def test_one_text_under_several_pictures_is_a_question_with_its_picture_only():
    made_on = [asked("a", "do it", 0), asked("b", "do it", 1)]
    check_apart(made_on, [asked("c", "do it", 2)])
    with pytest.raises(UsageError):
        check_apart(made_on, [asked("c", "do it", 1)])


def test_a_sample_whose_question_is_a_prompt_is_refused():
    check_unseen(asked("a", "what is it ?"), ["what is this ?"])
    with pytest.raises(UsageError, match="one of `prompts`"):
        check_unseen(asked("a", "What  is it ?"), ["what is it ?"])


def test_a_context_is_refused_outside_the_crafting_split():
    sample = asked("a", "mend a kite", split="craft")
    check_context(sample, [context(sample)])
    with pytest.raises(UsageError, match="crafted on this context"):
        check_context(dataclasses.replace(sample, split="test"), [context(sample)])
    check_context(asked("b", "mend a drum"), [context(sample)])
