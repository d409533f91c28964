"""Judges: reply -> score. A table of contents that imports nothing."""

CONTENTS = {
    "not-refused": "proofglass.evaluation.judges.refusal:NotRefused",
    "testbed-content": "proofglass.evaluation.judges.testbed_content:TestbedContent",
    "target-string": "proofglass.evaluation.judges.target_string:TargetString",
}
