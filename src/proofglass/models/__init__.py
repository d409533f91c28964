"""Models that help a method: encoders, detectors, painters, the roles of Inspect. A table of contents: no imports."""

from typing import Any

_ENCODER = "proofglass.models.testbed:TestbedEncoder"
_DETECTOR = "proofglass.models.testbed:TestbedDetector"

CONTENTS: dict[str, str | tuple[str, dict[str, Any]]] = {
    "testbed-clip": (_ENCODER, {"variant": "testbed-clip"}),
    "surrogate-vit": (_ENCODER, {"variant": "surrogate-vit"}),
    "surrogate-cnn": (_ENCODER, {"variant": "surrogate-cnn"}),
    "surrogate-clip": (_ENCODER, {"variant": "surrogate-clip"}),
    "testbed-detector": (_DETECTOR, {"variant": "testbed-detector"}),
    "testbed-detector-held": (_DETECTOR, {"variant": "testbed-detector-held"}),
    "hf-encoder": "proofglass.models.hf_encoder:HFEncoder",
    "timm-encoder": "proofglass.models.timm_encoder:TimmEncoder",
    "open-clip-encoder": "proofglass.models.open_clip_encoder:OpenClipEncoder",
    "efficientnet-lite0": "proofglass.models.efficientnet_lite:EfficientNetLite0",
    "centerface": "proofglass.models.centerface:CenterFace",
    "mtcnn": "proofglass.models.mtcnn:MTCNN",
    "open-nsfw": "proofglass.models.open_nsfw:OpenNSFW",
    "easyocr-recogniser": "proofglass.models.easyocr_recogniser:EasyOCRRecogniser",
    "testbed-writer": "proofglass.models.testbed_writer:TestbedWriter",
    "testbed-rephraser": "proofglass.models.testbed_rephraser:TestbedRephraser",
    "testbed-painter": "proofglass.models.testbed_painter:TestbedPainter",
    "image-endpoint": "proofglass.models.image_endpoint:ImageEndpoint",
    "inspect-role": "proofglass.models.inspect_role:InspectRole",
}
