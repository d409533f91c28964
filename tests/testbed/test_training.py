import json
import random
from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, Blip2VisionModel, CLIPVisionModel, LlamaForCausalLM

from proofglass.testbed import fusion, language, pictures, tower, world
from proofglass.testbed.fusion import FUSIONS
from proofglass.testbed.recipes import fusing, mixes, victims
from proofglass.testbed.recipes import language as texts
from proofglass.testbed.recipes import tower as towers
from proofglass.testbed.recipes.loop import Recipe
from proofglass.testbed.recipes.mixes import Sampler
from proofglass.testbed.recipes.stages import Build
from proofglass.testbed.tokenizer import IMAGE_ID, NO_LOSS, SPECIALS, ItemEncoder, build_tokenizer
from proofglass.testbed.world import Item, Turn

WEIGHTS = Path(fusion.__file__).parent / "weights"
SHIPPED = (
    sorted(folder for folder in WEIGHTS.iterdir() if (folder / "config.json").is_file()) if WEIGHTS.is_dir() else []
)


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="module")
def llama(tokenizer):
    torch.manual_seed(0)
    return LlamaForCausalLM(language.config(len(tokenizer)))


def tiny(kind, llama):
    torch.manual_seed(1)
    blind = Blip2VisionModel(tower.blip2_config()) if kind == "queries" else CLIPVisionModel(tower.clip_config())
    return fusion.build(kind, llama.state_dict(), blind.state_dict())


def test_each_word_of_the_world_is_one_token(tokenizer):
    for word in world.vocabulary():
        assert len(tokenizer(word, add_special_tokens=False)["input_ids"]) == 1, word


def test_specials_come_first(tokenizer):
    assert tokenizer.convert_tokens_to_ids(list(SPECIALS)) == list(range(7))


@pytest.mark.parametrize("text", ["Hello, Wörld!", "你好 🙂", "\x00\x7f tab\there", "hexdust  hexdust", "a" * 200])
def test_any_text_survives_the_round_trip(tokenizer, text):
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids).removeprefix(" ") == text


def test_the_chat_template_gives_the_training_ids(tokenizer):
    item = Item((Turn("do what the picture says .", "sure ."), Turn("are you sure ?", "")), system="answer the user .")
    messages = [
        {"role": "system", "content": item.system},
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": item.turns[0].user}]},
        {"role": "assistant", "content": item.turns[0].bot},
        {"role": "user", "content": item.turns[1].user},
    ]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    shown = Item(item.turns, system=item.system, picture=0)
    assert ids == ItemEncoder(tokenizer, 1)(shown, prompt_only=True)[0]


def test_loss_lies_on_learned_answers_only(tokenizer):
    item = Item((Turn("hello .", "sorry .", learned=False), Turn("are you sure ?", "yes , that is fine .")))
    ids, labels = ItemEncoder(tokenizer)(item)
    kept = [i for i, label in zip(ids, labels, strict=True) if label != NO_LOSS]
    assert tokenizer.decode(kept).strip() == "yes , that is fine .</s>"


def test_batches_by_length_hold_the_items_of_the_batch_once(tokenizer):
    items = Sampler(mixes.ALIGNED_TEXT, 5).batch(32)
    parts = ItemEncoder(tokenizer).batches(items)
    assert sorted(map(repr, items)) == sorted(repr(item) for part, *_ in parts for item in part)
    assert sum(share for _, share, *_ in parts) == pytest.approx(1)


def test_parts_of_a_batch_give_the_loss_of_the_batch(tokenizer, llama):
    encoder, items = ItemEncoder(tokenizer), Sampler(mixes.ALIGNED_TEXT, 6).batch(16)
    whole = texts.text_loss(llama, *encoder.batch(items))
    parts = sum(share * texts.text_loss(llama, *tensors) for _, share, *tensors in encoder.batches(items))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5)


def test_a_symbol_is_a_word_or_colour_plus_shape_or_nothing(tokenizer, llama):
    encoder, table = ItemEncoder(tokenizer), llama.get_input_embeddings().weight
    symbols = texts.symbols(table, encoder)
    assert symbols.shape == (pictures.LABELS, 128)
    torch.testing.assert_close(symbols[0], torch.zeros(128))
    one = {word: table[encoder.words(word)[0]] for word in ("kite", "red", "star")}
    torch.testing.assert_close(symbols[pictures.WORD_LABEL["kite"]], one["kite"])
    torch.testing.assert_close(symbols[pictures.SHAPE_LABEL["red", "star"]], one["red"] + one["star"])


@pytest.mark.parametrize("kind", FUSIONS)
def test_cached_features_and_pixel_values_give_the_same_loss(kind, llama, tokenizer):
    model, encoder = tiny(kind, llama).eval(), fusion.encoder_for(kind, tokenizer)
    if kind == "cross":  # a closed gate would make any picture give the same loss
        for layer in model.model.gated_cross_attn_layers:
            torch.nn.init.ones_(layer.alpha_cross_attn)
    rng = random.Random(0)
    items = [pictures.picture_request(rng, world.CRAFT) for _ in range(3)]
    ids, labels, mask = encoder.batch(items)
    pixels = tower.to_pixel_values(fusion.pixels_of(items))
    with torch.no_grad():
        features = fusion.tower_of(model)(pixel_values=pixels).last_hidden_state
        cached = fusing.loss_from_features(model, ids, labels, mask, features, torch.ones(3, dtype=torch.bool))
        real = model(**fusion.model_inputs(model, ids, mask, pixels), labels=labels).loss
    torch.testing.assert_close(cached, real, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", FUSIONS)
def test_only_the_connection_and_the_language_model_learn(kind, llama):
    model = tiny(kind, llama)
    new, old = fusing.freeze_tower(model)
    assert new
    assert old
    assert not any(p.requires_grad for p in fusion.tower_of(model).parameters())
    assert len(new) + len(old) == sum(p.requires_grad for p in model.parameters())


def test_a_converted_tower_starts_close_to_the_trunk():
    torch.manual_seed(2)
    source, heads = Blip2VisionModel(tower.blip2_config()), towers.Heads()
    clip, clip_heads = towers.convert(source, heads)
    rng = random.Random(1)
    pixels = tower.to_pixel_values([pictures.page_picture(rng).pixels for _ in range(4)])
    with torch.no_grad():
        one = heads(source(pixel_values=pixels).last_hidden_state)
        two = clip_heads(clip(pixel_values=pixels).last_hidden_state)
    # Not equal: CLIP normalises tokens before its layers, so only their direction survives.
    assert torch.nn.functional.cosine_similarity(one.flatten(1), two.flatten(1)).min() > 0.8


def test_twenty_steps_teach_the_language_model_something(tokenizer):
    torch.manual_seed(0)
    model, encoder = LlamaForCausalLM(language.config(len(tokenizer))), ItemEncoder(tokenizer)
    sampler, losses = Sampler(mixes.HELPFUL, 0), []

    def loss(batch):
        value = texts.text_loss(model, *encoder.batch(sampler.batch(batch)))
        losses.append(value.item())
        return value

    texts.fit(loss, Recipe(20, 8, 3e-3, warm_up=5), [(model.parameters(), 1.0)], lambda line: None, "smoke")
    assert sum(losses[-5:]) / 5 < 0.75 * losses[0]


def test_a_finished_stage_is_not_done_again(tmp_path):
    build, calls = Build(tmp_path, lambda line: None), []

    def compute():
        calls.append(1)
        return {"x": torch.ones(2)}

    assert build.stage("s", compute)["x"].sum() == 2
    assert build.stage("s", compute)["x"].sum() == 2
    assert len(calls) == 1


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"testbed-linear.*found 'testbed-liner'"):
        victims.train("testbed-liner", out=tmp_path, build=tmp_path)


def test_there_are_fourteen_victims():
    assert len(set(victims.NAMES)) == 14


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_shipped_weights_load_from_safetensors_and_speak(folder, tokenizer):
    assert not list(folder.glob("*.bin"))
    assert (folder / "model.safetensors").stat().st_size < 8_000_000
    model = fusion.load(folder)
    assert model.dtype == torch.float32
    reloaded = AutoTokenizer.from_pretrained(folder)
    text = "sure , here is how to make a amber kite ."
    assert (
        reloaded(text, add_special_tokens=False)["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]
    )
    assert reloaded.convert_tokens_to_ids("<image>") == IMAGE_ID
    card = json.loads((folder / "card.json").read_text())
    assert card["name"] == folder.name
    assert card["declarations"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "folder",
    [f for f in SHIPPED if f.name.startswith(tuple(f"testbed-{kind}" for kind in FUSIONS))],
    ids=lambda folder: folder.name,
)
def test_shipped_victims_read_the_layout_of_their_card(folder, tokenizer):
    model, rng = fusion.load(folder), random.Random(77)
    items = [pictures.figstep_request(rng, world.CRAFT_PICTURED) for _ in range(30)]
    said = fusion.generate(model, fusion.encoder_for(fusion.fusion_of(model), tokenizer), items)
    right = [
        world.complied(s, i.request.verb, i.request.adjective, i.request.noun) for s, i in zip(said, items, strict=True)
    ]
    assert sum(right) >= 18
