from __future__ import annotations

from pathlib import Path

import pytest

from proofglass import registry
from proofglass.errors import UnknownName, UsageError
from proofglass.studies import load, located, shipped
from proofglass.studies.configure import parameters
from proofglass.types import Budget, Settings

SMALL = """\
name: small
victims: [echo]
datasets: [lines]
"""


def test_what_a_study_leaves_out_has_a_default(study) -> None:
    found = study(SMALL)
    assert [i.label for i in found.attacks + found.defenses + found.judges] == [
        "no-attack",
        "none",
        "not-refused",
        "unsafe",
    ]
    assert (found.seed, found.chunk, found.budget, found.success) == (0, 100, None, "unsafe")
    assert found.settings == Settings()


@pytest.mark.parametrize(
    ("victims", "datasets", "judges"),
    [
        ("testbed-linear", "testbed", ["not-refused", "testbed-content"]),
        ("testbed-linear", "lines", ["not-refused"]),  # the exact judge knows the testbed's questions only
        ("echo, testbed-linear", "testbed", ["not-refused"]),  # no judge of success is right about both
    ],
)
def test_the_judge_that_a_study_leaves_out_fits_its_victims_and_questions(study, victims, datasets, judges) -> None:
    found = study(SMALL.replace("echo", victims).replace("lines", datasets))
    assert [item.label for item in found.judges] == judges
    assert found.success == judges[-1]


def test_a_study_is_read_whole(study) -> None:
    found = study(
        """\
name: whole
seed: 7
settings: {max_new_tokens: 48, temperature: 0, stop: ["."]}
chunk: 3
budget: 900
victims: [echo, echo: {pause_s: 0.5}, label: slow]
attacks:
  - no-attack
  - speck: {epsilon: 16/255, sizes: [1/2, 1e-3, 2]}
    label: small speck
defenses: [none, ask-twice]
datasets:
  - lines: {n: 2}
  - lines: {part: second, root: data/x}
    attacks: [small speck]
judges: [long]
""".replace(
            "[echo, echo: {pause_s: 0.5}, label: slow]",
            "\n  - echo\n  - echo: {pause_s: 0.5}\n    label: slow",
        )
    )
    assert found.settings == Settings(max_new_tokens=48, temperature=0, stop=(".",))
    assert [v.label for v in found.victims] == ["echo", "slow"]
    speck = found.attacks[1].plug
    assert speck.epsilon == 16 / 255
    assert speck.sizes == (0.5, 1e-3, 2.0)
    assert [d.label for d in found.datasets] == ["lines/first", "lines/second"]
    assert [d.only for d in found.datasets] == [None, ("small speck",)]
    assert [j.label for j in found.judges] == ["not-refused", "long"]
    assert (found.success, found.budget, found.chunk) == ("long", Budget(900), 3)


def test_a_relative_path_is_relative_to_the_study_wherever_the_command_runs(scripted: None, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SMALL.replace("lines", "lines: {root: data}"))
    assert load(tmp_path / "s.yaml").datasets[0].plug.root == tmp_path / "data"


FAULTS = {
    "unknown attack": ("attacks: [specks]", 4, ["attacks[0]", "'specks'", "Did you mean 'speck'"]),
    "unknown field": (
        "attacks:\n  - speck:\n      epsilom: 1/255",
        6,
        [
            "attacks[0].speck.epsilom",
            "no such parameter",
            "Speck takes epsilon, sizes",
            "Did you mean 'epsilon'",
        ],
    ),
    "epsilon in grey levels": (
        "attacks:\n  - no-attack\n  - speck: {epsilon: 16}",
        6,
        ["attacks[1].speck.epsilon", "write 16/255?"],
    ),
    "wrong type": (
        "attacks:\n  - speck:\n      epsilon: large",
        6,
        ["attacks[0].speck.epsilon", "found 'large'", "valid number"],
    ),
    "yes is no number": ("attacks:\n  - speck: {epsilon: yes}", 5, ["found True", "true and false"]),
    "nought below": ("attacks:\n  - speck: {epsilon: 1/0}", 5, ["found '1/0'"]),
    "parameters without a name": (
        "attacks:\n  - speck: 16/255",
        5,
        ["attacks[0].speck", "Expected parameters"],
    ),
    "no parameters": ("defenses:\n  - wall: {height: 3}", 5, ["Wall takes no parameters"]),
    "a field beside its name": (
        "attacks:\n  - speck:\n    epsilon: 1/255",
        5,
        ["found 2 names", "Indent 'epsilon' below 'speck'"],
    ),
    "what a name settles": (
        "judges:\n  - qwen3guard:\n      helper: echo\n      contract: llama-guard-4",
        7,
        [
            "judges[0].qwen3guard.contract",
            "expected 'qwen3guard', which qwen3guard stands for",
            "found 'llama-guard-4'",
        ],
    ),
    "what the name of a rubric settles": (
        "judges:\n  - strongreject:\n      helpers: [echo]\n      rubric: harmbench",
        7,
        ["judges[0].strongreject.rubric", "expected 'strongreject', which strongreject stands for, found 'harmbench'"],
    ),
    "what the name of a metric settles": (
        "metrics:\n  - linf:\n      figure: ssim",
        6,
        ["metrics[0].linf.figure", "expected 'linf', which linf stands for, found 'ssim'"],
    ),
    "a device that there is none of": (
        "judges:\n  - toxicity:\n      device: gpu",
        6,
        ["judges[0].toxicity.device", "expected auto, cpu, mps, cuda or cuda:NUMBER, found 'gpu'"],
    ),
    "a field without effect": (
        "judges:\n  - qwen3guard:\n      helper: echo\n      threshold: 0.9",
        7,
        ["judges[0].qwen3guard.threshold", "or by: probability beside it, found 0.9"],
    ),
    "an address of a class": ("judges:\n  - qwen3guard: {helper: a.b:C}", 5, ["no such model: 'a.b:C'"]),
    "two of one label": (
        "attacks:\n  - speck\n  - speck: {epsilon: 1/255}",
        6,
        ["attacks[1]", "'speck' stands twice, first in line 5", "label:"],
    ),
    "empty label": ("attacks:\n  - speck:\n    label: ''", 6, ["attacks[0].label"]),
    "a number for a name": ("attacks: [3]", 4, ["attacks[0]", "found 3"]),
    "empty list": ("attacks: []", 4, ["attacks", "at least one"]),
    "no list": ("attacks: speck", 4, ["attacks", "Expected a list"]),
    "unknown section": ("atacks: [speck]", 4, ["atacks", "no such field", "Did you mean 'attacks'"]),
    "setting": ("settings: {max_tokens: 3}", 4, ["settings.max_tokens", "Did you mean 'max_new_tokens'"]),
    "setting out of range": ("settings: {top_p: 0}", 4, ["settings.top_p", "0 < top_p"]),
    "chunk": ("chunk: 0", 4, ["chunk", "at least 1"]),
    "seed": ("seed: x", 4, ["seed", "found 'x'", "whole number"]),
    "twice": ("victims: [echo]", 4, ["victims", "stands twice, first in line 2"]),
    "success of nobody": ("judges: [long]\nsuccess: lung", 5, ["success", "'lung'", "Did you mean 'long'"]),
    "success to choose": ("judges: [long, loud]", 1, ["success: missing", "long, loud"]),
    "not YAML": ("attacks: [speck", 5, ["not YAML"]),
    "a tab": ("attacks:\n\t- speck", 5, ["not YAML"]),
    "code": ("attacks: !!python/object/apply:os.getcwd []", 4, ["not YAML", "python/object"]),
    "an alias of itself": ("attacks: &a [*a]", 4, ["contains itself"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_file_line_and_fix(study, fault: str) -> None:
    text, line, parts = FAULTS[fault]
    with pytest.raises(UsageError) as caught:
        study(SMALL + text + "\n")
    message = str(caught.value)
    assert message.startswith(f"study.yaml:{line}: "), message
    for part in parts:
        assert part in message, message
    assert "\n" not in message


def test_a_data_set_says_which_attacks_it_takes_by_their_labels(study) -> None:
    text = "victims: [echo]\nattacks: [speck]\ndatasets:\n  - lines\n  - lines: {part: b}\n    attacks: [speak]\n"
    with pytest.raises(UsageError, match=r"study\.yaml:6: datasets\[1\]\.attacks\[0\]: found 'speak'.*'speck'"):
        study(text)


def test_an_unknown_name_keeps_its_kind(study) -> None:
    with pytest.raises(UnknownName):
        study(SMALL.replace("echo", "ecco"))


@pytest.mark.parametrize("missing", ["victims", "datasets"])
def test_a_study_needs_victims_and_data(study, missing: str) -> None:
    text = "\n".join(line for line in SMALL.splitlines() if missing not in line)
    with pytest.raises(UsageError, match=f"{missing}: missing"):
        study(text)


@pytest.mark.parametrize(("text", "message"), [("", "is empty"), ("# only\n", "is empty"), ("- a\n", "found a list")])
def test_a_file_that_is_no_study_is_told(study, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        study(text)


def test_a_missing_file_names_the_shipped_studies_and_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"quikstart: no such file.*demo.*quickstart.*mean 'quickstart'"):
        load("quikstart")


def test_a_folder_of_the_same_name_does_not_hide_a_shipped_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quickstart").mkdir()
    assert load("quickstart").name == load(Path("quickstart")).name == "quickstart"
    with pytest.raises(UsageError, match="is a folder"):  # said to be one
        load("./quickstart")
    (tmp_path / "demo").write_text("- mine\n")
    with pytest.raises(UsageError, match="found a list"):  # a file of that name is meant
        load("demo")


def test_a_folder_and_bytes_are_no_study(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        load(tmp_path)
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="UTF-8"):
        load(tmp_path / "b.yaml")


def test_merge_keys_and_aliases_are_read(study) -> None:
    found = study(SMALL + "attacks:\n  - speck: &p {epsilon: 1/255}\n  - speck: {<<: *p, sizes: [1]}\n    label: b\n")
    assert [a.plug.epsilon for a in found.attacks] == [1 / 255, 1 / 255]


def test_a_credential_in_the_study_is_in_no_text_of_it(study) -> None:
    found = study(SMALL.replace("[echo]", '\n  - echo: {api_key: "hunter2", pause_s: 0}  # ü'))
    assert found.victims[0].plug.api_key == "hunter2"
    assert "hunter2" not in found.text
    assert 'api_key: "***", pause_s: 0}  # ü' in found.text


def test_a_credential_of_a_wrong_type_is_not_shown(study) -> None:
    with pytest.raises(UsageError) as caught:
        study(SMALL.replace("echo", "echo: {api_key: [hunter2]}"))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["demo", "quickstart"])
def test_a_shipped_study_loads_by_its_name_and_says_so(name: str) -> None:
    assert name in shipped()
    found = load(name)
    assert found.name == name
    assert found.success == "testbed-content"
    assert [item.label for item in found.judges] == ["not-refused", "testbed-content"]


@pytest.mark.parametrize("kind", ["victims", "attacks", "defenses", "datasets", "judges"])
def test_every_built_in_plug_can_be_configured_by_a_study(kind: registry.Kind) -> None:
    source = located.parse("a: {nonsense: 1}", "study.yaml")
    for found in registry.entries(kind).values():
        # The types of all fields are resolved before the unknown one is told.
        with pytest.raises(UsageError, match=r"study\.yaml:1: a\.nonsense: no such parameter"):
            parameters(found.load(), {"nonsense": 1}, source, ("a",))


def test_a_judge_of_refusals_decides_no_success(tmp_path: Path) -> None:
    text = "name: s\nvictims: [testbed-linear]\ndatasets: [testbed]\njudges: [refusal]\n"
    (tmp_path / "s.yaml").write_text(text)
    assert load(tmp_path / "s.yaml").success == "not-refused"
    (tmp_path / "s.yaml").write_text(text + "success: refusal\n")
    with pytest.raises(UsageError, match="whose 1 says that the victim refused"):
        load(tmp_path / "s.yaml")
