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
    "calibrated": "proofglass.defenses.inference.calibrated:CalibratedDefense",
    "ocr-guard": "proofglass.defenses.inference.ocr_guard:OcrGuard",
    "eta": "proofglass.defenses.inference.eta:ETA",
    "dps": "proofglass.defenses.inference.dps:DPS",
    # Purified pictures, smoothing and detectors.
    "jpeg": "proofglass.defenses.inference.jpeg:JPEG",
    "bit-depth": "proofglass.defenses.inference.bit_depth:BitDepth",
    "resize": "proofglass.defenses.inference.resize:Resize",
    "blur": "proofglass.defenses.inference.blur:Blur",
    "random-crop": "proofglass.defenses.inference.random_crop:RandomCrop",
    "random-resize-pad": "proofglass.defenses.inference.random_resize_pad:RandomResizePad",
    "smooth-vlm": "proofglass.defenses.inference.smooth_vlm:SmoothVLM",
    "jailguard": "proofglass.defenses.inference.jailguard:JailGuard",
    "mirrorcheck": "proofglass.defenses.inference.mirrorcheck:MirrorCheck",
    "cider": "proofglass.defenses.inference.cider:CIDER",
    "bluesuffix": "proofglass.defenses.inference.bluesuffix:BlueSuffix",
    "purify-endpoint": "proofglass.defenses.inference.purify_endpoint:PurifyEndpoint",
    # The model is trained.
    "safety-tuning": "proofglass.defenses.training.safety_tuning:SafetyTuning",
    "dpo": "proofglass.defenses.training.dpo:DPO",
    "dress": "proofglass.defenses.training.dress:DRESS",
    "fare": "proofglass.defenses.training.fare:FARE",
    "tecoa": "proofglass.defenses.training.tecoa:TeCoA",
    "textual-unlearning": "proofglass.defenses.training.textual_unlearning:TextualUnlearning",
    "rloo": "proofglass.defenses.training.rloo:RLOO",
    # Models beside it are trained.
    "mllm-protector": "proofglass.defenses.training.mllm_protector:MLLMProtector",
}
