"""The local masked language model of T-PGD: perturbed in one layer, decoded in another, and a measure of likeness."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import UsageError
from proofglass.weights import check_folder, described, readable

if TYPE_CHECKING:
    import torch

AVERAGE = 20  # tokens of a text for which the step has its nominal length
SIXTH = 6  # the authors' layer of decoding
HEADS = {"bert": "cls", "roberta": "lm_head"}


@dataclass(frozen=True)
class Text:
    """A question as tokens. ids: long [1, T] with the special tokens around it; free: bool [T], what may change."""

    ids: torch.Tensor
    free: torch.Tensor


class MaskedLM:
    """BERT or RoBERTa with its masked-LM head, in evaluation, without gradients of its own."""

    def __init__(
        self, folder: Path, classifier: Path | None, perturb_layer: int, decode_layer: int | None, device: str
    ) -> None:
        """Raises UsageError for a folder that holds no such model, and for a layer that it has not."""
        import torch

        self.tokenizer, self.model = _read(folder, "AutoModelForMaskedLM", "ForMaskedLM", "model", device)
        kind = str(self.model.config.model_type)
        if kind not in HEADS:
            raise UsageError(f"t-pgd.model: {folder} is a {kind}; expected {' or '.join(HEADS)}")
        self.head, self.encoder = getattr(self.model, HEADS[kind]), getattr(self.model, kind)
        self.task: Any = None
        if classifier is not None:
            head = "ForSequenceClassification"
            _, self.task = _read(classifier, f"AutoModel{head}", head, "classifier", device)
            _check_alike(self.task.config, self.model.config, classifier)
        self.perturbed: Any = self.model if self.task is None else self.task
        layers = getattr(self.perturbed, kind).encoder.layer
        self.decode_layer = min(SIXTH, len(layers)) if decode_layer is None else decode_layer
        _check_layer("perturb_layer", perturb_layer, len(layers) - 1, folder)
        _check_layer("decode_layer", self.decode_layer, len(layers), folder)
        self.attention = layers[perturb_layer].attention.self
        special = torch.tensor(sorted(set(self.tokenizer.all_special_ids)), device=device)
        self.never = torch.zeros(self.model.config.vocab_size, dtype=torch.bool, device=device)
        self.never[special] = True

    def encoded(self, text: str) -> Text:
        """Raises ValueError for a text without tokens, and for one that is longer than the model takes."""
        import torch

        ids = self.tokenizer(text, return_tensors="pt", truncation=False, verbose=False)["input_ids"]
        most = self._room
        if ids.shape[1] > most:
            raise ValueError(f"the local model takes {most} tokens, the question has {ids.shape[1]}; name a longer one")
        kept = set(self.tokenizer.all_special_ids) - {self.tokenizer.unk_token_id}
        free = torch.tensor([int(token) not in kept for token in ids[0]])
        if not free.any():
            raise ValueError("the question has no token for the local model")
        return Text(ids.to(self.never.device), free.to(self.never.device))

    @property
    def _room(self) -> int:
        """Tokens that it takes, the special ones included."""
        config = self.model.config
        behind = config.pad_token_id + 1 if config.model_type == "roberta" else 0  # where its positions begin
        return int(config.max_position_embeddings) - behind

    def begin(self, text: Text, seed: str, *, init: float, cover: bool) -> Segment:
        """A segment: a perturbation drawn anew, a random token under the mask if `cover`."""
        import torch

        number = int.from_bytes(hashlib.sha256(seed.encode("utf-8", "surrogatepass")).digest()[:8]) >> 1
        rng = torch.Generator().manual_seed(number)
        ids = text.ids.clone()
        if cover and self.tokenizer.mask_token_id is not None:
            places = text.free.nonzero()[:, 0]
            ids[0, places[int(torch.randint(len(places), (1,), generator=rng))]] = self.tokenizer.mask_token_id
        shape = (1, ids.shape[1], int(self.model.config.hidden_size))
        noise = (2 * torch.rand(shape, generator=rng) - 1) * init / (shape[1] * shape[2])
        return Segment(self, text, ids, noise.to(ids.device) * text.free[None, :, None])

    def similarity(self, one: str, other: str) -> float:
        """BERTScore F1 of two texts by the last hidden states: greedy matches, no weights, no baseline. 0 where one of
        them has no token."""
        import torch

        with torch.no_grad():
            first, second = (self._states(text) for text in (one, other))
            if not len(first) or not len(second):
                return 0.0
            cosine = torch.nn.functional.normalize(first, dim=1) @ torch.nn.functional.normalize(second, dim=1).T
        recall, precision = float(cosine.max(1).values.mean()), float(cosine.max(0).values.mean())
        return max(0.0, 2 * precision * recall / (precision + recall)) if precision + recall > 0 else 0.0

    def _states(self, text: str) -> torch.Tensor:
        """Last hidden states of the tokens of `text`, [T, d], the special ones left out."""
        told = self.tokenizer(text, return_tensors="pt", truncation=True, max_length=self._room, verbose=False)
        ids = told["input_ids"].to(self.never.device)
        kept = ~self.never[ids[0]] | (ids[0] == self.tokenizer.unk_token_id)
        found: torch.Tensor = self.encoder(input_ids=ids).last_hidden_state[0][kept]
        return found


class Segment:
    """One climb: a perturbation, the loss and the decoded text that it gives. The model keeps no trace of it."""

    def __init__(self, local: MaskedLM, text: Text, ids: torch.Tensor, perturbation: torch.Tensor) -> None:
        self.local, self.text, self.ids, self.perturbation = local, text, ids, perturbation
        self.clean, self.label = self._first()
        self._look()

    def decoded(self) -> str:
        """The text that the hidden states read as now; tokens around it stay."""
        import torch

        best = self.logits[0].masked_fill(self.local.never, -torch.inf).argmax(-1)
        ids = torch.where(self.text.free, best, self.text.ids[0])
        told = str(self.local.tokenizer.decode(ids[self.text.free].tolist(), clean_up_tokenization_spaces=False))
        return told.strip()  # a byte-level tokenizer writes a blank in front

    def step(self, lr: float, decode_weight: float) -> None:
        """One step of fixed length up the task loss, less the loss of decoding the original."""
        import torch

        free = self.text.free
        decoding = torch.nn.functional.cross_entropy(self.logits[0][free], self.ids[0][free])
        (gradient,) = torch.autograd.grad(self.loss - decode_weight * decoding, self.perturbation)
        gradient = gradient * free[None, :, None]
        norm = gradient.norm()
        if norm > 0:
            length = lr * self.ids.shape[1] / AVERAGE
            self.perturbation = (self.perturbation.detach() + length * gradient / norm).detach()
        self._look()

    def _first(self) -> tuple[torch.Tensor, int]:
        """Mean last hidden state without perturbation, and the label that a classifier gives then."""
        import torch

        with torch.no_grad():
            found = self.local.perturbed(input_ids=self.text.ids, output_hidden_states=True)
        label = 0 if self.local.task is None else int(found.logits[0].argmax())
        return found.hidden_states[-1].mean(1), label

    def _look(self) -> None:
        """Loss and decoded logits of the present perturbation."""
        import torch

        self.perturbation = self.perturbation.detach().requires_grad_()

        def perturbed(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            if args:
                return (args[0] + self.perturbation, *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": kwargs["hidden_states"] + self.perturbation}

        handle = self.local.attention.register_forward_pre_hook(perturbed, with_kwargs=True)
        try:
            found = self.local.perturbed(input_ids=self.ids, output_hidden_states=True)
        finally:
            handle.remove()
        self.logits = self.local.head(found.hidden_states[self.local.decode_layer])
        if self.local.task is None:
            self.loss = 1 - torch.nn.functional.cosine_similarity(found.hidden_states[-1].mean(1), self.clean).mean()
        else:
            self.loss = torch.nn.functional.cross_entropy(found.logits, found.logits.new_tensor([self.label]).long())


def _check_alike(one: Any, other: Any, folder: Path) -> None:
    """Raises UsageError for a classifier whose hidden states the masked-LM head cannot read."""
    found, wanted = ((config.model_type, config.hidden_size, config.vocab_size) for config in (one, other))
    if found != wanted:
        raise UsageError(
            f"t-pgd.classifier: {folder} is a {found[0]} of width {found[1]} and {found[2]} tokens; expected those of "
            f"the model: {wanted[0]}, {wanted[1]}, {wanted[2]}"
        )


def _check_layer(name: str, found: int, most: int, folder: Path) -> None:
    if found > most:
        raise UsageError(f"t-pgd.{name}: expected 0 to {most}, which is what {folder} has, found {found}")


def _read(folder: Path, auto: str, head: str, field: str, device: str) -> tuple[Any, Any]:
    """Tokenizer and model of a folder, whose weights hold the whole of it. head: how its architecture's name ends."""
    import torch
    import transformers

    bars = transformers.logging.is_progress_bar_enabled()
    transformers.logging.disable_progress_bar()  # a bar per model would tear the study's own
    try:
        check_folder(folder)
        stated = described(folder / "config.json").get("architectures") or [""]
        if not str(stated[0]).endswith(head):
            raise UsageError(f"{folder / 'config.json'}: architectures: expected a ...{head}, found {stated[0]!r}")
        safely = {"trust_remote_code": False, "local_files_only": True}
        with readable(folder, "tokenizer", "tokenizer.json and tokenizer_config.json"):
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safely)
        with readable(folder, "model", "a config.json and safetensors of one model"):
            model, found = getattr(transformers, auto).from_pretrained(
                folder, use_safetensors=True, output_loading_info=True, dtype=torch.float32, **safely
            )
        if absent := sorted(found["missing_keys"]):
            raise UsageError(f"{folder}: the weights lack {len(absent)} tensors, the first is {absent[0]}")
    except UsageError as error:
        raise type(error)(f"t-pgd.{field}: {error}") from error
    finally:
        if bars:
            transformers.logging.enable_progress_bar()
    return tokenizer, model.to(device).eval().requires_grad_(False)
