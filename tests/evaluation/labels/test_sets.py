"""Label sets of others in their official layouts (harmless stand-ins), and the real files where they are."""

import os
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from proofglass.errors import UsageError
from proofglass.evaluation.labels import msts, pyrit, sets, xstest

MSTS_HEAD = (
    "row,hazard_category,case_id,prompt_type,prompt_text,unsafe_image_description,model,response,"
    "annot1_label,annot2_label,final_label,final_taxonomy"
)
XSTEST_HEAD = "id,type,prompt,completion,annotation_1,annotation_2,agreement,final_label"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "msts").mkdir()
    (tmp_path / msts.FILE).write_text(
        f"{MSTS_HEAD}\n"
        "1,Gates,case_1,ask,Open?,a gate,m1,No.,1.1 - rejection,1.3 - context,1 - safe,1.1 - rejection\n"
        "2,Gates,case_1,tell,Open it,a gate,m1,Push.,2.2 - advice,2.2 - advice,2 - unsafe,2.2 - advice\n"
    )
    (tmp_path / xstest.FOLDER).mkdir(parents=True)
    for model in ("gpt4", "llama2orig.without-complied-unsafe"):
        (tmp_path / xstest.FOLDER / f"xstest_v2_completions_{model}.csv").write_text(
            f"{XSTEST_HEAD}\n"
            "v2-1,homonyms,Open?,Sure.,1_full_compliance,1_full_compliance,True,1_full_compliance\n"
            "v2-2,homonyms,Shut?,Partly.,2_full_refusal,1_full_compliance,False,3_partial_refusal\n"
        )
    with zipfile.ZipFile(tmp_path / "pyrit-1.1.0-py3-none-any.whl", "w") as wheel:
        place = "pyrit/datasets/scorer_evals"
        row = "hate,Open?,Push it.,{},text\n"
        head = "harm_category,objective,assistant_response,{},data_type\n"
        wheel.writestr(f"{place}/harm/gates.csv", "# v1\n" + head.format("human_score_1") + row.format("0.25"))
        wheel.writestr(
            f"{place}/harm/gates_multi_score.csv",
            "# v1\n" + head.format("human_score_1,human_score_2") + row.format("0.25,1.0"),
        )
        wheel.writestr(f"{place}/harm/mini_gates.csv", head.format("human_score") + row.format("1"))
        wheel.writestr(f"{place}/sample/mini_refusal.csv", "objective,assistant_response,human_score,data_type\n")
        wheel.writestr(
            f"{place}/refusal_scorer/refusal.csv",
            "# v1\n# more\nobjective,assistant_response,human_score,data_type\nOpen?,No.,1,text\nOpen?,So.,soon,text\n",
        )
        wheel.writestr(f"{place}/objective/gates.csv", head.format("human_score") + row.format("1"))
    return tmp_path


def test_msts_types_and_labels_become_aspects(folder):
    found = sets.read("msts", folder)
    first, second = found.replies
    assert first.truth == {"refusal": 1.0, "unsafe": 0.0}
    assert first.raters == {"refusal": (1.0, 0.0), "unsafe": (0.0, 0.0)}
    assert second.truth == {"refusal": 0.0, "unsafe": 1.0}
    assert first.cluster == second.cluster == "case_1"
    assert (first.kind, first.category, first.prompt) == ("1.1 - rejection", "Gates", "Open?")


def test_xstest_takes_its_model_from_the_name_of_the_file(folder):
    found = sets.read("xstest", folder)
    assert {(reply.model, reply.source) for reply in found.replies} == {
        ("gpt4", "xstest-gpt4"),
        ("llama2orig", "xstest-llama2orig"),
    }
    assert [reply.truth["refusal"] for reply in found.replies] == [0, 1, 0, 1]
    assert found.replies[0].cluster == found.replies[2].cluster


def test_pyrit_is_read_out_of_its_wheel_with_the_most_raters_and_without_extracts(folder):
    found = sets.read("pyrit", folder)
    assert {reply.id: reply.truth for reply in found.replies} == {
        "harm/gates_multi_score.csv:3": {"unsafe": 1.0},  # mean of 0.25 and 1 is 0.625
        "refusal/refusal.csv:4": {"refusal": 1.0},
        "objective/gates.csv:2": {"achieved": 1.0},
    }
    assert found.replies[0].raters == {"unsafe": (0.0, 1.0)}
    assert found.bad == ("refusal/refusal.csv:5: human_score: expected numbers in 0..1, found soon",)


def test_pyrit_is_read_out_of_an_unpacked_folder_as_out_of_the_wheel(folder):
    wheel = folder / "pyrit-1.1.0-py3-none-any.whl"
    out_of_wheel = pyrit.read(wheel)
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "pyrit")
    assert pyrit.read(folder / "pyrit") == out_of_wheel == sets.read(wheel)


def test_what_cannot_be_read_is_named_and_the_rest_is_read(folder):
    (folder / msts.FILE).unlink()
    found, absent = sets.readable(folder)
    assert [each.name for each in found] == ["hard_kinds-test", "xstest", "pyrit"]
    assert list(absent) == ["msts"]
    assert msts.FILE in absent["msts"]


def test_an_unknown_set_and_a_wheel_that_is_none_are_errors(tmp_path):
    with pytest.raises(UsageError, match="neither a label set"):
        sets.read("nonesuch")
    with pytest.raises(UsageError, match=r"no msts/replies_six_models\.csv in the data folder \(none was named\)"):
        sets.read("msts")
    (tmp_path / "pyrit.whl").write_text("no zip")
    with pytest.raises(UsageError, match="expected a wheel of PyRIT"):
        sets.read(tmp_path / "pyrit.whl")
    with pytest.raises(UsageError, match="no CSV file"):
        xstest.read(tmp_path)


def real():
    if not (root := os.environ.get("PROOFGLASS_REALDATA")):
        pytest.skip("PROOFGLASS_REALDATA is not set: the folder that holds msts/ and xstest/")
    return Path(root)


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "n", "refusals", "clusters"), [("msts", 1188, 838, 99), ("xstest", 1196, 619, 450)])
def test_the_real_sets_are_read_whole(name, n, refusals, clusters):
    found = sets.read(name, real())
    assert not found.bad
    assert len(found.replies) == len({reply.id for reply in found.replies}) == n
    assert Counter(reply.truth["refusal"] for reply in found.replies)[1.0] == refusals
    assert len({reply.cluster for reply in found.replies}) == clusters
