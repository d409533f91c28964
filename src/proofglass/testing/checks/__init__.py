"""What every plug promises, as functions that raise AssertionError. Each is shown to fail on a plug that is broken in
its way (tests/conformance/test_checks_bite.py).

Each check takes plugs and material (samples, chats), never a name: the same checks serve other packages' plugs.
"""

from __future__ import annotations

from proofglass.testing.checks.attacks import (
    apply_is_pure,
    apply_survives_the_store,
    changes_what_it_says,
    converse_ends_with_the_victims_reply,
    crafts_alike_for_one_seed,
    crafts_what_its_scope_says,
)
from proofglass.testing.checks.datasets import (
    crafting_is_disjoint,
    ids_are_unique,
    iterates_alike_twice,
    samples_are_whole,
)
from proofglass.testing.checks.defenses import (
    acts_inside,
    disabled_is_the_identity,
    never_changes_its_ask,
    passes_errors_on,
    wraps_a_victim,
)
from proofglass.testing.checks.judges import (
    never_judges_an_error,
    scores_every_attempt,
)
from proofglass.testing.checks.models import (
    sees_pixels,
)
from proofglass.testing.checks.plugs import (
    is_8_bit,
    is_a_frozen_dataclass,
    key_holds_every_parameter,
    key_is_stable,
    says_what_it_is,
    settings_build_it_again,
    takes_strings_for_paths,
)
from proofglass.testing.checks.victims import (
    answers_alike_twice,
    gives_gradients,
    has_a_card,
    isolates_a_bad_ask,
    keeps_the_token_limit,
    replies_in_order,
)

__all__ = [
    "acts_inside",
    "answers_alike_twice",
    "apply_is_pure",
    "apply_survives_the_store",
    "changes_what_it_says",
    "converse_ends_with_the_victims_reply",
    "crafting_is_disjoint",
    "crafts_alike_for_one_seed",
    "crafts_what_its_scope_says",
    "disabled_is_the_identity",
    "gives_gradients",
    "has_a_card",
    "ids_are_unique",
    "is_8_bit",
    "is_a_frozen_dataclass",
    "isolates_a_bad_ask",
    "iterates_alike_twice",
    "keeps_the_token_limit",
    "key_holds_every_parameter",
    "key_is_stable",
    "never_changes_its_ask",
    "never_judges_an_error",
    "passes_errors_on",
    "replies_in_order",
    "samples_are_whole",
    "says_what_it_is",
    "scores_every_attempt",
    "sees_pixels",
    "settings_build_it_again",
    "takes_strings_for_paths",
    "wraps_a_victim",
]
