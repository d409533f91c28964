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
    # Prompts, walls and asking again.
    "self-reminder": "proofglass.defenses.inference.self_reminder:SelfReminder",
    "goal-priority": "proofglass.defenses.inference.goal_priority:GoalPriority",
    "guard-input": "proofglass.defenses.inference.guard_input:GuardInput",
    "guard-output": "proofglass.defenses.inference.guard_output:GuardOutput",
    "ecso": "proofglass.defenses.inference.ecso:ECSO",
    "adashield-static": "proofglass.defenses.inference.adashield:AdaShieldStatic",
    "adashield": "proofglass.defenses.inference.adashield:AdaShield",
    "ocr-guard": "proofglass.defenses.inference.ocr_guard:OcrGuard",
    "eta": "proofglass.defenses.inference.eta:ETA",
    "dps": "proofglass.defenses.inference.dps:DPS",
}
