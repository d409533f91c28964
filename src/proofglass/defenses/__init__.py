"""Section 5 of the survey: defenses. A table of contents that imports nothing, in the order of Table 3."""

CONTENTS = {
    "none": "proofglass.defenses.inference.none:NoDefense",
    "system-prompt": "proofglass.defenses.inference.system_prompt:SystemPrompt",
    "self-moderation": "proofglass.defenses.inference.self_moderation:SelfModeration",
    # inside the model: its layers or logits are needed
    "inferaligner": "proofglass.defenses.inference.inferaligner:InferAligner",
    "hiddendetect": "proofglass.defenses.inference.hiddendetect:HiddenDetect",
    "astra": "proofglass.defenses.inference.astra:Astra",
    "coca": "proofglass.defenses.inference.coca:CoCA",
    "immune": "proofglass.defenses.inference.immune:Immune",
}
