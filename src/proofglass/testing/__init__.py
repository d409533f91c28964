"""The contract of every plug as checks that anybody can run: `proofglass check KIND NAME`, or a test of one's own.

    import pytest
    from proofglass import testing

    @pytest.mark.parametrize("case", testing.cases(lambda: AskTwice()), ids=str)
    def test_ask_twice(case):
        case()

or, without pytest, `testing.check(lambda: AskTwice())`. `checks` holds them one by one, `suite` chooses those of a plug
and gives them something to work on (`material`).
"""

from __future__ import annotations

from proofglass.testing.suite import Case, cases, check, findings

__all__ = ["Case", "cases", "check", "findings"]
