"""A user's own module: the very code of the docs, losses and gradients by hand, and what is said of a bad module."""

from __future__ import annotations

import dataclasses
import importlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import proofglass as pg
from proofglass.errors import ClosedVictim, UsageError
from proofglass.types import Ask, Chat, Image, Sample, Settings
from proofglass.victims.own import OwnModule
from toy_module import Toy

PAGE = Path(__file__).parents[2] / "docs" / "own-model.md"
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
PICTURE = Image.from_array(np.random.default_rng(0).integers(0, 256, (30, 17, 3), np.uint8))
PAIRS = [
    (Chat.user(PICTURE, "what is it?"), "a cat"),
    (Chat.user(PICTURE, "what was it?"), "a red kite"),
    (Chat.user(PICTURE, "why is it"), "so"),
    (Chat.user("without"), "a dog"),
]


@pytest.fixture
def victim() -> OwnModule:
    return OwnModule(Toy())


# ---------------------------------------------------------------- the docs


def test_the_ten_lines_of_the_docs_are_attacked_by_the_code_of_the_docs(tmp_path: Path) -> None:
    """Both blocks as one file, run by themselves; an attack of 20 steps lowers the loss."""
    (tmp_path / "my_model.py").write_text("\n".join(BLOCKS))
    ran = subprocess.run([sys.executable, "my_model.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    first, last = map(float, ran.stdout.split("->"))
    assert last < first


def test_the_protocol_is_as_short_as_the_docs_say() -> None:
    made = BLOCKS[0].partition("    def __init__")
    kept = made[0] + made[2].partition("    def see")[1] + made[2].partition("    def see")[2]
    lines = [line for line in kept.splitlines() if line.strip() and not line.startswith("import")]
    assert len(lines) <= 12


def test_the_command_of_the_docs_finds_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_model.py").write_text(BLOCKS[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    named = re.search(r"--set module=(\S+)", PAGE.read_text())
    assert named
    victim = pg.victim("own", module=named[1])
    assert victim.reply([Ask(Chat.user("hi"), Settings(max_new_tokens=2))])[0].outcome == "ok"
    sys.modules.pop("my_model")


# ---------------------------------------------------------------- losses and gradients, by hand


def by_hand(victim: OwnModule, x: torch.Tensor, chat: Chat, target: str) -> torch.Tensor:
    """NLL of every target token: one pass over one row."""
    prompt, answer = list(f"{chat.messages[0].text}\n".encode()), list(target.encode())
    features = victim.net.see(x) if chat.images else None
    logits = victim.net(torch.tensor([prompt + answer]), features)[0, len(prompt) - 1 : -1]
    return F.cross_entropy(logits, torch.tensor(answer), reduction="none")


@pytest.mark.parametrize("weighting", ["token", "pair", "sum"])
def test_loss_and_gradient_are_those_of_plain_autograd(victim: OwnModule, weighting: str) -> None:
    x = victim.pixels(PICTURE).requires_grad_()
    each = [by_hand(victim, x, chat, target) for chat, target in PAIRS]
    wanted = {"token": torch.cat(each).mean(), "sum": torch.cat(each).sum()} | {
        "pair": torch.stack([tokens.mean() for tokens in each]).mean()
    }
    (gradient,) = torch.autograd.grad(wanted[weighting], x)
    found = victim.loss_and_grad(x, victim.prepare([PAIRS]), weighting=weighting)  # type: ignore[arg-type]
    torch.testing.assert_close(found.loss[0], wanted[weighting].detach(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.nll[0], torch.stack([tokens.mean() for tokens in each]).detach())
    assert gradient.abs().max() > 0
    assert (found.pixels - gradient).abs().max() <= 1e-5 * gradient.abs().max()


def test_gradient_is_the_slope_of_the_loss(victim: OwnModule) -> None:
    victim.net.double()
    x, prepared = victim.pixels(PICTURE).double() * 0.9 + 0.05, victim.prepare([PAIRS])
    way = victim.loss_and_grad(x, prepared).pixels
    up, down = (victim.loss_and_grad(x + h * way.sign(), prepared, need_grad=False).loss for h in (1e-5, -1e-5))
    assert float(up - down) / 2e-5 == pytest.approx(float((way * way.sign()).sum()), rel=1e-6)


def test_given_weights_and_soft_labels(victim: OwnModule) -> None:
    x, prepared = victim.pixels(PICTURE), victim.prepare([PAIRS[:1]])
    hard = by_hand(victim, x, *PAIRS[0])
    given = victim.loss_and_grad(x, prepared.weighted([[[0.0, 2.0, 0.0, 0.0, 0.0]]]), weighting="given")
    torch.testing.assert_close(given.loss[0], 2 * hard[1])
    (logits,) = victim.target_logits(x, prepared)[0]
    assert logits.shape == (5, 256)
    torch.testing.assert_close(F.cross_entropy(logits, torch.tensor(list(b"a cat")), reduction="none"), hard)
    soft = victim.loss_and_grad(x, prepared.taught([[logits]]), weighting="token")
    entropy = -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean()  # cross-entropy with itself
    torch.testing.assert_close(soft.loss[0], entropy)


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_a_batch_of_pictures_equals_its_single_runs(batch: int) -> None:
    victim = OwnModule(Toy(), batch=batch)
    x = torch.cat([victim.pixels(PICTURE), 1 - victim.pixels(PICTURE), victim.pixels(PICTURE) / 2])
    rows = [PAIRS[:2], PAIRS[1:3], PAIRS[2:]]
    whole = victim.loss_and_grad(x, victim.prepare(rows))
    for b, row in enumerate(rows):
        alone = victim.loss_and_grad(x[b : b + 1], victim.prepare([row]))
        torch.testing.assert_close(alone.loss[0], whole.loss[b])
        torch.testing.assert_close(alone.pixels[0], whole.pixels[b])


def test_a_target_of_parts_and_an_end_token(victim: OwnModule) -> None:
    prepared = victim.prepare([[(PAIRS[0][0], ("a", " cat"))]], append_eos=True)
    assert prepared.spans == (((1, 5),),)
    assert prepared.text_tokens == ((len(b"what is it?\n"),),)
    assert prepared.pairs[0][0].ids[-1] == Toy.end


def test_features_are_what_the_module_sees(victim: OwnModule) -> None:
    x = victim.pixels(PICTURE)
    assert x.shape == (1, 3, 12, 8)
    torch.testing.assert_close(victim.features(x, "patches"), victim.net.see(x))
    torch.testing.assert_close(victim.features(x), victim.net.see(x).mean(1))


def test_what_is_closed_says_so(victim: OwnModule) -> None:
    x, prepared = victim.pixels(PICTURE), victim.prepare([PAIRS])
    with pytest.raises(ClosedVictim, match="does not open its embeddings"):
        victim.loss_and_grad(x, prepared, text=[[torch.zeros(12, 16)] * 4])
    with pytest.raises(ClosedVictim, match="embeddings"):
        victim.embedding_width  # noqa: B018
    with pytest.raises(ClosedVictim, match="layers"):
        victim.hidden_states([Chat.user("hi")])


# ---------------------------------------------------------------- replies


def test_replies_are_those_of_a_plain_greedy_loop(victim: OwnModule) -> None:
    chats = [chat for chat, _ in PAIRS]
    replies = victim.reply([Ask(chat, Settings(max_new_tokens=6)) for chat in chats])
    for chat, reply in zip(chats, replies, strict=True):
        ids = list(f"{chat.messages[0].text}\n".encode())
        new: list[int] = []
        while len(new) < 6 and 0 not in new:
            features = victim.net.see(victim.pixels(PICTURE)) if chat.images else None
            new.append(int(victim.net(torch.tensor([ids + new]), features)[0, -1].argmax()))
        assert reply.text == bytes(token for token in new if token).decode(errors="replace").strip()
        assert reply.finish == ("stop" if 0 in new else "length")
        torch.testing.assert_close(
            victim.next_token_logits([chat])[0].argmax(), torch.tensor(new[0]), msg="another first token"
        )


def test_an_end_token_and_a_stop_string_end_a_reply() -> None:
    class Counts(Toy):
        """Says the letter after the last one."""

        def forward(self, ids, features):
            return F.one_hot((ids + 1) % 256, 256).float()

    class EndsAtE(Counts):
        end = ord("e")

        def prompt(self, chat):
            return "a"

    whole, short = OwnModule(Counts()), OwnModule(EndsAtE())
    (cut,) = whole.reply([Ask(Chat.user("x"), Settings(max_new_tokens=3))])
    assert (cut.text, cut.finish) == ("\x0b\x0c\r".strip(), "length")
    (ended,) = short.reply([Ask(Chat.user("x"), Settings(max_new_tokens=9))])
    assert (ended.text, ended.finish, ended.cost.tokens_out) == ("bcd", "stop", 3)
    (stopped,) = short.reply([Ask(Chat.user("x"), Settings(max_new_tokens=9, stop=("c",)))])
    assert (stopped.text, stopped.finish) == ("b", "stop")


def test_drawn_replies_depend_on_the_ask_alone(victim: OwnModule) -> None:
    settings = Settings(max_new_tokens=8, temperature=1.0)
    a, b = Ask(Chat.user("one"), settings), Ask(Chat.user("two"), settings)
    assert victim.reply([a, b])[0] == victim.reply([b, a])[1] == victim.reply([a])[0]
    other = dataclasses.replace(a, settings=dataclasses.replace(settings, draw=1))
    assert victim.reply([a, other])[0] != victim.reply([a, other])[1]


def test_a_bad_ask_costs_itself_only() -> None:
    class Fragile(Toy):
        def forward(self, ids, features):
            if (ids == ord("!")).any():
                raise RuntimeError("no exclamation")
            return super().forward(ids, features)

    victim = OwnModule(Fragile())
    asks = [Ask(Chat.user(text), Settings(max_new_tokens=2)) for text in ("one", "tw!", "six")]
    asks.append(Ask(Chat.user(PICTURE, PICTURE, "two"), Settings(max_new_tokens=2)))
    first, bad, third, two = victim.reply(asks)
    assert (first.outcome, third.outcome) == ("ok", "ok")
    assert bad.reason == "RuntimeError: no exclamation (test_own.py:204)"
    assert two.reason == "ValueError: chat: this victim takes one picture, found 2"


# ---------------------------------------------------------------- identity and bad modules


def test_a_chat_beyond_the_window_that_the_module_states_is_too_long_for_it() -> None:
    class Short(Toy):
        context_window = 8  # "hello\n" is 6 tokens

    victim = OwnModule(Short())
    fits, long = victim.reply([Ask(Chat.user("hello"), Settings(n)) for n in (2, 3)])
    assert (victim.context_window, fits.outcome, long.fault) == (8, "ok", "length")
    assert OwnModule(Toy()).context_window is None


def test_the_key_holds_weights_source_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = OwnModule(Toy()).key
    assert OwnModule("toy_module:Toy").key == key
    other = Toy()
    torch.nn.init.zeros_(other.head)
    source = Path(importlib.import_module("toy_module").__file__ or "").read_text()
    (tmp_path / "changed_toy.py").write_text(source.replace("/ 4", "/ 5"))
    monkeypatch.syspath_prepend(str(tmp_path))
    keys = {key, OwnModule(other).key, OwnModule(Toy(), name="mine").key, OwnModule("changed_toy:Toy").key}
    assert len(keys) == 4


def test_the_key_holds_every_file_of_ones_own_that_the_module_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The class stays as it is; a constant changes two imports away.
    package = tmp_path / "ownpack"
    package.mkdir()
    source = Path(importlib.import_module("toy_module").__file__ or "").read_text()
    model = source.replace("import torch\n", "import torch\n\nfrom ownpack.parts import scale\n", 1)
    (package / "model.py").write_text(model.replace("/ 4", "/ scale()"))
    (package / "parts.py").write_text("from ownpack import numbers\n\n\ndef scale():\n    return numbers.SCALE\n")
    (package / "__init__.py").write_text("")
    (package / "unused.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))

    def key(numbers: str) -> str:
        (package / "numbers.py").write_text(numbers)
        for name in [name for name in sys.modules if name.startswith("ownpack")]:
            monkeypatch.delitem(sys.modules, name)
        importlib.invalidate_caches()
        return OwnModule("ownpack.model:Toy").key

    one, other, same = key("SCALE = 4\n"), key("SCALE = 5\n"), key("SCALE = 4\n")
    assert one == same != other
    (package / "unused.py").write_text("nobody imports this")
    assert key("SCALE = 4\n") == one


def test_a_class_without_source_has_no_key() -> None:
    scope: dict = {}
    exec(BLOCKS[0], scope)
    with pytest.raises(UsageError, match="put the class into a file"):
        OwnModule(scope["MyModel"]()).key  # noqa: B018


class Blind(Toy):
    see = None


class Flat(Toy):
    def forward(self, ids, features):
        return super().forward(ids, features)[:, -1]


class Merged(Toy):
    def see(self, pixels):
        return super().see(pixels).flatten(0, 1)


def test_a_module_that_lacks_a_part_is_told_which() -> None:
    with pytest.raises(UsageError, match=r"module: Blind has no see\(\.\.\.\); see docs/own-model\.md"):
        OwnModule(Blind()).reply([Ask(Chat.user("hi"))])
    with pytest.raises(UsageError, match=r"Linear has no see\(\.\.\.\), tokens\(\.\.\.\), text\(\.\.\.\), size, end"):
        OwnModule(torch.nn.Linear(2, 2)).key  # noqa: B018
    with pytest.raises(UsageError, match=r"expected a torch\.nn\.Module, found str"):
        OwnModule("platform:node").key  # noqa: B018
    with pytest.raises(UsageError, match=r"cannot import 'no\.such:Thing' .*PYTHONPATH"):
        OwnModule("no.such:Thing").key  # noqa: B018


def test_shapes_that_are_wrong_are_told() -> None:
    (reply,) = OwnModule(Flat()).reply([Ask(Chat.user("hi"))])
    assert reply.reason == "ValueError: forward: expected logits [1, 3, V], found shape [1, 256]"
    merged = OwnModule(Merged())
    with pytest.raises(ValueError, match=r"see: expected features of 1 pictures, found shape \[12, 16\]"):
        merged.features(merged.pixels(PICTURE))


def test_pixels_of_another_range_number_or_size_are_refused(victim: OwnModule) -> None:
    x, prepared = victim.pixels(PICTURE), victim.prepare([PAIRS])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        victim.loss_and_grad(x + 1, prepared)
    with pytest.raises(ValueError, match="2 pictures for 1 prepared"):
        victim.loss_and_grad(torch.cat([x, x]), prepared)
    with pytest.raises(ValueError, match=r"expected height x width \(12, 8\), found \(12, 12\)"):
        victim.loss_and_grad(torch.zeros(1, 3, 12, 12), prepared)


def test_pgd_makes_the_module_say_what_it_wants(victim: OwnModule) -> None:
    """Free pixels of a picture that the toy sees strongly: its first token is the target's."""
    sample = Sample("s", "d", Chat.user(PICTURE, "what is it?"), target="a")
    (artefact,) = pg.attack("pgd", steps=60, epsilon=1.0, step_size=0.05).craft(victim, [sample], seed=0)
    asked = Ask(sample.chat.with_image(artefact.images[0]), Settings(max_new_tokens=1))
    before, after = victim.reply([Ask(sample.chat, asked.settings), asked])
    assert before.text != "a"
    assert after.text == "a"


def test_a_reply_tells_the_chances_of_the_choices_that_were_asked_for(victim: OwnModule) -> None:
    chats = [chat for chat, _ in PAIRS]
    plainly, told = (
        victim.reply([Ask(chat, Settings(3, choices=some)) for chat in chats]) for some in ((), ("Yes", "N"))
    )
    wanted = victim.next_token_logits(chats).softmax(-1)[:, [ord("Y"), ord("N")]].tolist()
    for reply, before, chances in zip(told, plainly, wanted, strict=True):
        assert (reply.text, before.choices) == (before.text, {})
        assert reply.choices == pytest.approx(dict(zip(("Yes", "N"), chances, strict=True)), rel=1e-4)
        assert reply.cost.forward == before.cost.forward + 1
    (reply,) = victim.reply([Ask(chats[0], Settings(3, choices=("Yes", "Yeah", "N")))])  # bytes: both begin with Y
    assert set(reply.choices) == {"N"}


def test_a_direction_gives_the_gradient_of_any_function_of_the_logits() -> None:
    # Of the NLL itself: softmax(z) - one-hot.
    toy = OwnModule(Toy())
    x = torch.rand(1, 3, *toy.size, generator=torch.Generator().manual_seed(4))
    prepared = toy.prepare([[(Chat.user(Image.from_array(np.zeros((12, 8, 3), np.uint8)), "why?"), "so")]])
    ((logits,),), ((place,),) = toy.target_logits(x, prepared), prepared.places
    ids = torch.tensor(place.ids[slice(*place.target)])
    way = logits.softmax(-1) - torch.nn.functional.one_hot(ids, logits.shape[-1])
    found = toy.loss_and_grad(x, prepared.along([[way]]), weighting="sum").pixels
    torch.testing.assert_close(found, toy.loss_and_grad(x, prepared, weighting="sum").pixels, rtol=1e-4, atol=1e-6)
