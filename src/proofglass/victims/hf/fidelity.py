"""`proofglass victims check` on a user's own weights: is the adapter true to them, and what fits into this memory?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch

from proofglass.faults import first_line
from proofglass.interfaces import Target
from proofglass.types import Ask, Chat, Finding, Sample, Settings
from proofglass.victims.hf import checks
from proofglass.victims.hf.loading import default_form, image_processor
from proofglass.victims.hf.memory import free_bytes, peak_bytes
from proofglass.victims.hf.model import HFModel
from proofglass.weights import quiet

ODD = 20  # pictures on which processors are compared
LOSS = {torch.float32: 1e-5, torch.float64: 1e-5}  # relative; in half precision plain transformers is no better than
HALF = 2e-2
GRADIENT = {torch.float32: 1e-4, torch.float64: 1e-4}
TOKENS = 16
SHARE = 0.8  # of the free memory that a recommended batch may take


def findings(model: HFModel, samples: Sequence[Sample], batch: int) -> Iterator[Finding]:
    """Figures on this very model, each as it is measured. samples: with a picture and a target each; the first picture
    serves all."""
    if not model.family.sees_images:
        yield _replies(model, [sample.chat for sample in samples])
        return
    image = samples[0].chat.images[0]
    pairs = [(sample.chat.with_image(image), sample.target) for sample in samples]
    yield _tokens(model, [chat for chat, _ in pairs])
    yield _loss(model, pairs)
    yield _gradient(model, pairs)
    yield _replies(model, [sample.chat for sample in samples])
    yield _processor(model)
    yield _file(model, pairs[0])
    yield _memory(model, pairs[0], batch)


def _found(check: str, measure: Callable[[], tuple[bool | None, str]], bad: str) -> Finding:
    try:
        with quiet():
            ok, measured = measure()
    except Exception as error:  # what cannot be measured is a finding, too
        return Finding(check, None, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}", "not measured")
    return Finding(check, ok, measured, bad if ok is False else "")


def _tokens(model: HFModel, chats: Sequence[Chat]) -> Finding:
    def measure() -> tuple[bool | None, str]:
        if model.chats.full_processor is None:
            return None, "the folder describes no processor of text and pictures: nothing to compare with"
        said = (
            f"{len(chats)} chats, template of the {model.chats.template_source}, begin token written by "
            f"{model.chats.begin_token}"
        )
        return checks.ids_agree(model, chats), f"{said}{_apart(model, chats[0])}"

    return _found("token ids are the official ones", measure, "The model is shown another text than in deployment.")


def _apart(model: HFModel, chat: Chat) -> str:
    """Where the two usual calls of transformers disagree on this folder: which one is followed."""
    found, other = list(model.encode_chat(chat).ids), checks.in_two_calls(model, chat)
    if other is None or other == found:
        return ""
    return (
        f"; apply_chat_template(tokenize=True) is followed, {len(found)} ids: processor(text=...) on the rendered chat "
        f"gives {len(other)}, mostly a begin token written twice"
    )


def _loss(model: HFModel, pairs: Sequence[tuple[Chat, str]]) -> Finding:
    def measure() -> tuple[bool | None, str]:
        off, limit = checks.loss_difference(model, pairs), LOSS.get(model.family.dtype, HALF)
        return off <= limit, f"largest relative difference {off:.1e} (limit {limit:g}), {len(pairs)} pairs"

    return _found("loss is that of plain transformers", measure, "Attacks would lower another loss than the model's.")


def _gradient(model: HFModel, pairs: Sequence[tuple[Chat, str]]) -> Finding:
    def measure() -> tuple[bool | None, str]:
        off, limit = checks.gradient_difference(model, pairs), GRADIENT.get(model.family.dtype, 10 * HALF)
        if off != off:
            return None, "plain transformers' own gradient is zero or not finite: nothing to compare with"
        return off <= limit, f"largest difference {off:.1e} of the largest entry (limit {limit:g}), {len(pairs)} pairs"

    return _found("gradient is that of plain transformers", measure, "Attacks would follow another gradient.")


def _replies(model: HFModel, chats: Sequence[Chat]) -> Finding:
    def measure() -> tuple[bool | None, str]:
        ours = model.tokens([Ask(chat, Settings(max_new_tokens=TOKENS)) for chat in chats])
        alike = sum(a == checks.plain_reply(model, chat, TOKENS) for a, chat in zip(ours, chats, strict=True))
        said = f"{alike} of {len(chats)} replies equal transformers' generate in all of up to {TOKENS} tokens"
        exact = model.family.dtype in LOSS
        return (alike == len(chats) if exact or alike == len(chats) else None), said

    return _found("replies are those of generate", measure, "A study would record other replies than the model gives.")


def _processor(model: HFModel) -> Finding:
    def measure() -> tuple[bool | None, str]:
        off = checks.processor_difference(model, checks.odd_pictures(ODD))
        kind = f"{type(model.processor).__name__}, {getattr(model.processor, 'backend', 'unknown')}"
        said = f"largest difference {255 * off:.2g} levels of 255, {ODD} odd sizes ({kind}{_form(model)})"
        return off <= 1 / 255 + 1e-6, said

    return _found("twin is the official image processor", measure, "Crafted pixels are not what the model is shown.")


def _form(model: HFModel) -> str:
    """What transformers loads on this machine if it is not told, where that is another form than the one followed."""
    if default_form() == getattr(model.processor, "backend", ""):
        return ", which transformers loads here by default"
    try:
        worst, share = checks.form_difference(
            model, image_processor(model.path, default_form()), checks.odd_pictures(ODD)
        )
    except Exception as error:
        return f" is followed; transformers' default here, {default_form()}, does not run ({first_line(error)})"
    return (
        f" is followed; transformers' default here, {default_form()}, differs from it by up to {worst:.1f} levels, by "
        f'more than half a level in {100 * share:.2f} % of values: deploy with backend="pil" for these very pictures'
    )


def _file(model: HFModel, pair: tuple[Chat, str]) -> Finding:
    def measure() -> tuple[bool | None, str]:
        off = checks.png_difference(model, *pair)
        limit = 1e-3 if model.model.dtype in LOSS else 10 * HALF
        return off <= limit, f"difference {off:.1e} (limit {limit:g})"

    return _found("loss of the pixels is that of the file", measure, "An attack would lose its effect when saved.")


def _memory(model: HFModel, pair: tuple[Chat, Target], batch: int) -> Finding:
    def measure() -> tuple[bool | None, str]:
        rows, pictures = recommended(model, *pair)
        said = f"{free_bytes(model.device) / 2**30:.1f} GiB free: batch up to {rows}, images_per_pass up to {pictures}"
        return batch <= rows, f"{said} (now {batch} and {model.step.images_per_pass})"

    return _found("batch fits into memory", measure, "Set a smaller batch; a batch that fails is halved and said so.")


def recommended(model: HFModel, chat: Chat, target: Target) -> tuple[int, int]:
    """(rows of a batch of replies, pictures of a gradient step) that `SHARE` of the free memory holds, by the growth of
    the peak from one to three of them on this chat; at least 1, at most 4096."""
    settings = Settings(max_new_tokens=TOKENS)
    x = model.pixels(chat.images[0])
    rows = _growth(model, lambda n: model.tokens([Ask(chat, settings)] * n))
    pictures = _growth(
        model,
        lambda n: model.loss_and_grad(x.expand(n, -1, -1, -1), model.prepare([[(chat, target)]] * n)),
    )
    free = SHARE * free_bytes(model.device)
    return tuple(max(1, min(4096, int(free / each))) for each in (rows, pictures))  # type: ignore[return-value]


def _growth(model: HFModel, work: Callable[[int], object]) -> int:
    """Bytes that one more costs; at least those of the inputs' embeddings, where the peak did not move."""
    few, many = (peak_bytes(model.device, lambda n=n: work(n)) for n in (1, 3))  # type: ignore[misc]
    return max((many - few) // 2, 4 * model.embedding_width * 1024)
