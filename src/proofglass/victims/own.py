"""A user's own `nn.Module` as a white-box victim: four short methods are enough (docs/own-model.md).

Every pass is a plain one: rows of equal length together, no cache, no padding, gradients by autograd. A model of the
transformers library is better off as `hf`, where prompts share their work.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from proofglass.errors import ClosedVictim, ImageError, TooLong, UsageError
from proofglass.faults import stops_the_run, told
from proofglass.interfaces import (
    SLOTS,
    Count,
    Layer,
    LossAndGrad,
    Pixels,
    Target,
    Weighting,
    WhiteBoxVictim,
    by_slot,
    checked,
    in_form_of,
    key_of,
)
from proofglass.types import Ask, Chat, Cost, Image, Reply, Settings
from proofglass.victims.own_code import own_code
from proofglass.victims.own_passes import (
    decode,
    device_of,
    features_of,
    grad_of,
    logits_of,
    scored,
    see,
    step,
    weighted,
    with_chances,
)
from proofglass.victims.shared.choosing import Rules, draw_seed
from proofglass.victims.shared.marks import marks_in
from proofglass.victims.shared.prepared import Pair, Prepared, Prompt, Slot, pair_of, prepared_of
from proofglass.victims.shared.tasks import chunks, perturbations, tasks_of

if TYPE_CHECKING:
    import torch

METHODS = ("see", "forward", "tokens", "text")


@dataclass(frozen=True)
class OwnModule(WhiteBoxVictim):
    """A user's own `nn.Module`, with four methods and two attributes.

    see(pixels): float32 [N, 3, H, W] in [0, 1] -> features [N, ...]; normalisation happens inside. forward(ids,
    features): int64 [R, T] and [R, ...], None without a picture -> logits [R, T, V], row t of token t + 1; all rows of
    a call are of one length, so nothing is padded. tokens(text) -> ids, text(ids) -> str. size: side of its pictures,
    or (height, width). end: id that ends a reply, None for none. Optional, prompt(chat) -> str: how a dialogue is
    written; the default is the text of each turn and a line break; context_window: tokens of prompt and reply that it
    takes at the most, None for no limit; embedding: the `torch.nn.Embedding` through which `forward` sends its ids,
    which opens the text side. A chat shows one picture at most.

    The module is put into evaluation mode and frozen. Raises UsageError where a method or attribute is missing.

    module: the module, or where to import it: "package.file:Name" of a module, or of what makes one without arguments.
    name: how this victim is called. batch: rows per forward pass; in float32 it changes no reply, in half precision
    other batches round otherwise.
    """

    module: Any
    name: str = "own"  # type: ignore[misc]
    batch: Count = 16

    not_in_key = ("batch",)

    @cached_property
    def net(self) -> Any:
        """The module, checked, frozen and in evaluation mode."""
        import torch

        found = _imported(self.module) if isinstance(self.module, str) else self.module
        if isinstance(self.module, str) and not isinstance(found, torch.nn.Module):
            found = found()
        if not isinstance(found, torch.nn.Module):
            raise UsageError(f"module: expected a torch.nn.Module, found {type(found).__name__}")
        absent = [f"{method}(...)" for method in METHODS if not callable(getattr(found, method, None))]
        absent += [name for name in ("size", "end") if not hasattr(found, name)]
        if absent:
            raise UsageError(f"module: {type(found).__name__} has no {', '.join(absent)}; see docs/own-model.md")
        return found.eval().requires_grad_(False)

    @cached_property
    def key(self) -> str:
        """Holds the name, the weights, the source of the class and of every module of the user's own that it imports
        (`own_code`). Raises UsageError where there is no source (a class typed into a shell)."""
        return key_of([type(self).__name__, self.name, self.version, self.weights_hash, self._source])

    @cached_property
    def weights_hash(self) -> str:
        import torch

        digest = hashlib.sha256()
        for name, tensor in sorted(self.net.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
        return digest.hexdigest()

    @property
    def _source(self) -> list[str]:
        try:
            own = hashlib.sha256(inspect.getsource(type(self.net)).encode()).hexdigest()
            return [own, *own_code(self.net)]
        except (OSError, TypeError) as error:
            raise UsageError(
                f"module: the source of class {type(self.net).__name__} is not to be found, so that results before and "
                "after a change of it would look alike; put the class into a file"
            ) from error

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of its pictures."""
        size = self.net.size
        return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))

    @property
    def image_size(self) -> tuple[int, int] | None:  # type: ignore[override]
        return self.size[::-1]

    @property
    def context_window(self) -> int | None:  # type: ignore[override]
        stated = getattr(self.net, "context_window", None)
        return None if stated is None else int(stated)

    @property
    def device(self) -> torch.device:
        return device_of(self.net)

    def card(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "class": type(self.net).__name__,
            "parameters": sum(parameter.numel() for parameter in self.net.parameters()),
            "weights_sha256": self.weights_hash,
            "image_size": list(self.size),
        }

    def gradient_path(self) -> str:
        return "plain: a module of the user's own, by autograd"

    # ---- asking -----------------------------------------------------------------------------------------------------

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        replies: list[Reply | None] = [None] * len(asks)
        alike: dict[Any, list[tuple[int, list[int], torch.Tensor | None]]] = {}
        for k, ask in enumerate(asks):
            try:
                ids = self._prompt(ask.chat)
                new, window = ask.settings.max_new_tokens, self.context_window
                if window is not None and len(ids) + new > window:
                    raise TooLong(len(ids), new, window)
                shown = [self.pixels(image) for image in ask.chat.images]
                kind = (replace(ask.settings, draw=0), len(ids), len(shown))
                alike.setdefault(kind, []).append((k, ids, shown[0] if shown else None))
            except UsageError:
                raise  # the module lacks a part, whatever is asked
            except BaseException as error:
                if stops_the_run(error):
                    raise
                if isinstance(error, (ValueError, ImageError)):
                    replies[k] = Reply.unaskable(error)
                else:
                    replies[k] = Reply.error(told(error, "victim", self.net))
        for rows in alike.values():
            for part in chunks(rows, self.batch):
                for (k, _, _), reply in zip(part, self._answers(asks, part), strict=True):
                    replies[k] = reply
        return [reply or Reply.error("no reply was produced") for reply in replies]

    def _prompt(self, chat: Chat) -> list[int]:
        if len(chat.images) > 1:
            raise ValueError(f"chat: this victim takes one picture, found {len(chat.images)}")
        written = getattr(self.net, "prompt", _written)(chat)
        if not (ids := list(self.net.tokens(written))):
            raise ValueError("prompt: expected at least one token, found none")
        return ids

    def _answers(self, asks: Sequence[Ask], rows: Sequence[tuple[int, list[int], Any]]) -> list[Reply]:
        """Replies to rows of one length and one `Settings`; what fails together is asked one by one."""
        settings = asks[rows[0][0]].settings
        try:
            found = self._decode([asks[k] for k, _, _ in rows], rows, settings)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            if len(rows) > 1:  # memory may do for each alone
                return [reply for row in rows for reply in self._answers(asks, [row])]
            if stops_the_run(error):
                raise
            return [Reply.error(told(error, "victim", self.net))]
        replies = [self._read(new, len(ids), settings) for new, (_, ids, _) in zip(found, rows, strict=True)]
        return with_chances(self, replies, [asks[k].chat for k, _, _ in rows], settings.choices)

    def _decode(self, asks: Sequence[Ask], rows: Sequence[tuple[int, list[int], Any]], settings: Settings) -> Any:
        """New token ids of each row, the end token included."""
        import torch

        rules = Rules(settings.max_new_tokens, self._ends, settings.temperature, settings.top_p)
        drawn = settings.temperature > 0
        draws = [torch.Generator().manual_seed(draw_seed(ask)) if drawn else None for ask in asks]
        prompts = torch.tensor([ids for _, ids, _ in rows], device=self.device)
        with torch.no_grad():
            pictures = [shown for _, _, shown in rows if shown is not None]
            features = features_of(self.net, torch.cat(pictures)) if pictures else None
        return decode(self.net, prompts, features, rules, draws, lambda new: self._over(new, settings))

    @property
    def _ends(self) -> frozenset[int]:
        return frozenset() if self.net.end is None else frozenset([int(self.net.end)])

    def _over(self, new: list[int], settings: Settings) -> bool:
        if new[-1] in self._ends or len(new) >= settings.max_new_tokens:
            return True
        return bool(settings.stop) and any(mark in self.net.text(new) for mark in settings.stop)

    def _read(self, new: list[int], prompt: int, settings: Settings) -> Reply:
        said = new[:-1] if new[-1] in self._ends else new
        text = str(self.net.text(said)).strip()
        cut = [at for mark in settings.stop if (at := text.find(mark)) >= 0]
        ended = len(said) < len(new) or bool(cut)
        cost = Cost(forward=1, queries=1, tokens_in=prompt, tokens_out=len(said))
        return Reply(text[: min(cut)] if cut else text, finish="stop" if ended else "length", cost=cost)

    # ---- white box --------------------------------------------------------------------------------------------------

    def pixels(self, image: Image) -> torch.Tensor:
        import numpy as np
        import torch

        from proofglass.images.resize import resize

        levels = torch.from_numpy(np.array(image.array())).permute(2, 0, 1)[None]
        return resize(levels, self.size).to(self.device).float() / 255

    def prepare(
        self,
        pairs: Sequence[Sequence[tuple[Chat, Target]]],
        *,
        append_eos: bool = False,
        slots: Sequence[str] = SLOTS,
        mark: str | Sequence[str] = "",
    ) -> Prepared:
        if append_eos and self.net.end is None:
            raise UsageError(f"victim {self.name!r}: has no end token to append; set `end` on its module")
        end = self.net.end if append_eos else None
        marks = [mark] * len(pairs) if isinstance(mark, str) else mark

        def pair(chat: Chat, target: Target, marked: str) -> Pair:
            parts = [self.encode(part) for part in ((target,) if isinstance(target, str) else target)]
            # A picture stands nowhere among the token ids: its features come beside them.
            shown = tuple(Slot(0, 0, image, size=self.size) for image in chat.images)
            prompt = Prompt(tuple(self._prompt(chat)), shown).named(slots)
            return pair_of(prompt, parts, end, marks_in(prompt.ids, marked, self.decode) if marked else ())

        rows = zip(pairs, marks, strict=True)
        return prepared_of([[pair(chat, target, marked) for chat, target in row] for row, marked in rows], slots)

    def loss_and_grad(
        self,
        pixels: Pixels,
        prepared: Any,
        *,
        weighting: Weighting = "token",
        need_grad: bool = True,
        text: Sequence[Sequence[torch.Tensor]] | None = None,
    ) -> LossAndGrad[Pixels]:
        import torch

        x = self._checked(pixels, prepared, "loss_and_grad")
        added = None
        if text is not None:
            added = perturbations(text, prepared, self.embedding_width, self.device, need_grad)
        nll: list[list[torch.Tensor]] = []
        loss: list[torch.Tensor] = []
        grads: list[torch.Tensor] = []
        for these in chunks(range(len(prepared)), self.batch):
            rows = tasks_of(prepared.rows(these), weighting, None if added is None else [added[b] for b in these])
            part = x[these[0] : these[-1] + 1]
            found, grad = step(self.net, part, rows, self.batch, need_grad, self.pixels)
            nll += [[found[task].mean() for task in row] for row in rows]
            loss += [torch.stack([weighted(found[task], task) for task in row]).sum() for row in rows]
            grads.append(grad)
        table = torch.full((len(prepared), max(map(len, nll))), float("nan"), device=self.device)
        for b, row in enumerate(nll):
            table[b, : len(row)] = torch.stack(row)
        slopes = dict.fromkeys(prepared.slots, torch.cat(grads))
        wanted = None if added is None else tuple(tuple(map(grad_of, row)) for row in added)
        return LossAndGrad(table, torch.stack(loss), in_form_of(pixels, slopes), wanted)

    def target_logits(self, pixels: Any, prepared: Any) -> list[list[torch.Tensor]]:
        import torch

        x, found = self._checked(pixels, prepared, "target_logits"), []
        with torch.no_grad():
            for b, row in enumerate(tasks_of(prepared, "sum")):
                tasks = [replace(task, owner=min(task.owner, 0)) for task in row]
                features, places = see(self.net, x[b : b + 1], tasks, self.pixels)
                parts = scored(self.net, tasks, features, places, self.batch)
                seen = dict(pair for part in parts for pair in part)
                found.append([seen[task] for task in tasks])
        return found

    def next_token_logits(self, chats: Sequence[Chat]) -> torch.Tensor:
        import torch

        found = []
        with torch.no_grad():
            for chat in chats:
                seen = features_of(self.net, self.pixels(chat.images[0])) if chat.images else None
                found.append(logits_of(self.net, torch.tensor([self._prompt(chat)], device=self.device), seen)[:, -1])
        return torch.cat(found)

    def features(self, pixels: torch.Tensor, layer: Layer = "pooled") -> torch.Tensor:
        """What `see` gives: "patches" [N, n, d], all axes between first and last as one; "pooled" is their mean."""
        if layer not in ("pooled", "patches"):
            raise ValueError(f"layer: expected pooled or patches, found {layer!r}")
        found = features_of(self.net, checked(pixels, "features", self.device)).float()
        patches = found[:, None] if found.dim() == 2 else found.flatten(1, -2)
        return patches.mean(1) if layer == "pooled" else patches

    def _checked(self, pixels: Any, prepared: Prepared, port: str) -> torch.Tensor:
        """Those of its only slot [B, 3, H, W], no picture at all where there is none. Raises ValueError for pixels that
        `prepared` is not of."""
        import torch

        for found in by_slot(pixels, prepared.slots, port).values():
            x = checked(found.detach(), port, self.device)
            if len(x) != len(prepared):
                raise ValueError(f"pixels: {len(x)} pictures for {len(prepared)} prepared rows")
            if tuple(x.shape[-2:]) != self.size:
                raise ValueError(f"pixels: expected height x width {self.size}, found {tuple(x.shape[-2:])}")
            return x
        return torch.zeros(0, 3, *self.size, device=self.device)

    # ---- its text side ----------------------------------------------------------------------------------------------

    def encode(self, text: str) -> list[int]:
        return list(self.net.tokens(text))

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.net.text(list(ids)))

    @property
    def embedding_width(self) -> int:
        return int(self._embedding.embedding_dim)

    def embeddings(self) -> torch.Tensor:
        import torch

        layer = self._embedding
        with torch.no_grad():
            found: torch.Tensor = layer(torch.arange(layer.num_embeddings, device=self.device))
        return found

    @property
    def _embedding(self) -> Any:
        import torch

        found = getattr(self.net, "embedding", None)
        if not isinstance(found, torch.nn.Embedding):
            raise ClosedVictim(
                f"victim {self.name!r}: does not open its embeddings; let `embedding` of its module be the "
                "torch.nn.Embedding through which it sends its ids"
            )
        return found


def _written(chat: Chat) -> str:
    return "".join(f"{message.text}\n" for message in chat.messages)


def _imported(named: str) -> Any:
    module, _, name = named.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"module: cannot import {named!r} ({error}); expected 'package.file:Name', importable from here (add its "
            "folder to PYTHONPATH)"
        ) from error
