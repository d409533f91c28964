"""What a victim that opens itself promises of its tokens, its embeddings and the pictures of a chat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from proofglass.errors import ClosedVictim
from proofglass.interfaces import WhiteBoxVictim
from proofglass.types import Chat, Image

MARK = "mend the kite"
OTHERS = ("mend a boat", "fly", "mend the kite now")  # what may stand in place of it


def takes_pictures_by_slot(victim: WhiteBoxVictim, image: Image, chat: Chat, target: str) -> None:
    """A picture by the name of its slot is that picture; one that is no slot is shown as it is; a slot that no chat has
    is refused."""
    import torch

    pairs = [[(chat.with_image(image), target)]]
    x = victim.pixels(image)
    plain = victim.loss_and_grad(x, victim.prepare(pairs))
    named = victim.loss_and_grad({"image": x}, victim.prepare(pairs, slots=("image",)))
    torch.testing.assert_close(named.loss, plain.loss)
    assert list(named.pixels) == ["image"], "the gradient is not in the form of the pixels"
    torch.testing.assert_close(named.pixels["image"], plain.pixels)
    fixed = victim.loss_and_grad(None, victim.prepare(pairs, slots=()), need_grad=False)
    assert fixed.pixels is None, "a gradient to no picture"
    torch.testing.assert_close(fixed.loss, plain.loss, rtol=1e-4, atol=1e-5)
    try:
        victim.prepare(pairs, slots=("image", "image2"))
    except ValueError:
        return
    raise AssertionError("a slot that no chat has was taken")


def opens_its_text(victim: WhiteBoxVictim, images: Sequence[Image], target: str) -> None:
    """Where it opens its text: a mark's tokens say the mark, candidates have the losses of one at a time, and the
    gradient of a mark leads downhill in the space of its embeddings."""
    import torch

    try:
        ids = victim.encode(MARK)
    except ClosedVictim:
        return
    assert victim.encode(victim.decode(ids)) == ids, "what it writes and reads again are other tokens"
    prepared = victim.prepare([[(Chat.user(*images, f"first {MARK} , then rest"), target)]], slots=(), mark=MARK)
    ((places,),) = prepared.places
    first, last = places.mark or (0, 0)
    found = victim.decode(places.ids[first:last]).strip()
    assert found == MARK, f"the marked tokens say {found!r}"
    spoken = sum(prepared.spans[0][0])
    assert places.target == (len(places.ids) - spoken, len(places.ids)), "the target is not the end of the tokens"
    candidates = [victim.encode(text) for text in OTHERS]
    losses = victim.losses_of(None, prepared, [candidates])
    assert losses.shape == (1, len(candidates)), f"losses of shape {list(losses.shape)}"
    singles = [victim.loss_and_grad(None, prepared.filled([tokens]), need_grad=False).loss[0] for tokens in candidates]
    torch.testing.assert_close(losses[0], torch.stack(singles), rtol=1e-3, atol=1e-4)
    assert losses.std() > 0, "all candidates have one loss"
    try:
        rows = victim.embeddings()
    except ClosedVictim:
        return
    _opens_embeddings(victim, prepared, rows, (first, last), ids)


def _opens_embeddings(victim: WhiteBoxVictim, prepared: Any, rows: Any, mark: tuple[int, int], ids: list[int]) -> None:
    import torch

    assert rows.shape[1] == victim.embedding_width, f"embeddings of shape {list(rows.shape)}"
    allowed = victim.writable()
    assert allowed.shape == rows.shape[:1], f"writable of shape {list(allowed.shape)}"
    assert allowed.dtype == torch.bool
    spaces = [token for token in ids if not victim.decode([token]).strip()]
    assert all(bool(allowed[token]) for token in ids if token not in spaces), "tokens of a text are not writable"
    loss, (grad,) = victim.mark_gradient(None, prepared)
    assert grad.shape == (mark[1] - mark[0], rows.shape[1]), f"a mark's gradient of shape {list(grad.shape)}"
    assert torch.isfinite(grad).all()
    assert grad.abs().max() > 0, "the gradient is zero"
    (places,) = prepared.places[0]
    place = mark[0] - sum(end - begin for begin, end in places.pictures if end <= mark[0])
    text = torch.zeros(prepared.text_tokens[0][0], rows.shape[1])
    text[place : place + len(grad)] = -0.02 * grad.float().cpu() / grad.float().cpu().norm() * _scale(rows)
    lower = victim.loss_and_grad(None, prepared, need_grad=False, text=[[text]]).loss
    assert lower < loss, "uphill"


def _scale(rows: Any) -> float:
    """Usual length of an embedding."""
    return float(rows.float().norm(dim=1).median())
