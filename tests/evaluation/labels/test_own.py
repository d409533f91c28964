"""Label files of one's own: what is understood, and what a row that is not costs."""

import json

import numpy as np
import pytest

from proofglass import images
from proofglass.errors import UsageError
from proofglass.evaluation.labels import own
from proofglass.types import Image


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_table_with_words_for_yes_and_no(tmp_path):
    path = written(
        tmp_path,
        "mine.csv",
        "id,model,question,response,refused,harmful,kind\n"
        "a,m1,Open?,I will not.,Yes,no,plain\n"
        'b,m1,Open?,"Here:\nturn it.",0,,\n'
        "c,m2,Close?,Never.,refused,1,\n",
    )
    found = own.read(path)
    assert found.name == "mine"
    assert not found.bad
    a, b, c = found.replies
    assert (a.id, a.model, a.cluster, a.kind, a.source) == ("a", "m1", "Open?", "plain", "mine")
    assert [reply.truth for reply in found.replies] == [
        {"refusal": 1.0, "unsafe": 0.0},
        {"refusal": 0.0},
        {"refusal": 1.0, "unsafe": 1.0},
    ]
    assert b.reply == "Here:\nturn it."
    assert a.cluster == b.cluster != c.cluster


def test_json_lines_with_the_labels_of_single_raters(tmp_path):
    path = written(
        tmp_path,
        "mine.jsonl",
        '{"reply": "No.", "refusal": true, "refusal_1": 1, "refusal_2": 0}\n\n{"reply": "x", "unsafe": 0}\n',
    )
    first, second = own.read(path).replies
    assert first.raters == {"refusal": (1.0, 0.0)}
    assert first.truth == {"refusal": 1.0}
    assert (second.id, second.cluster) == ("line 3", "line 3")


def test_a_bad_row_is_told_with_its_line_and_costs_itself(tmp_path):
    path = written(
        tmp_path,
        "mine.csv",
        "id,reply,refusal\na,No.,1\nb,No.,perhaps\nc,No.,\na,Again.,0\nd,too,many,fields\ne,Yes.,0\n",
    )
    found = own.read(path)
    assert [reply.id for reply in found.replies] == ["a", "e"]
    assert found.bad == (
        "mine.csv:3: refusal: expected yes or no (1, 0, true, false, ...), found 'perhaps'",
        "mine.csv:4: no label in refusal, refused, unsafe, harmful, prompt_unsafe, prompt_harmful, image_unsafe, "
        "image_harmful; one is needed",
        "mine.csv:5: id: 'a' stands above already",
        "mine.csv:6: expected 3 fields, found 4",
    )


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("mine.csv", "", "it has none"),
        ("mine.csv", "id,refusal\n1,1\n", r"mine.csv:2: no text in reply, response, completion"),
        ("mine.jsonl", "[1]\n", r"mine.jsonl:1: expected an object, found a list"),
        ("mine.jsonl", "{\n", r"mine.jsonl:1: expected JSON"),
        ("mine.jsonl", '{"reply": 3, "refusal": 1}\n', "no text in reply"),
    ],
)
def test_a_file_without_a_row_that_can_be_used_says_why(tmp_path, name, text, why):
    with pytest.raises(UsageError, match=why):
        own.read(written(tmp_path, name, text))


def test_other_encodings_and_missing_files_are_errors(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_bytes("reply,refusal\nné,1\n".encode("latin-1"))
    with pytest.raises(UsageError, match="expected UTF-8"):
        own.read(path)
    with pytest.raises(UsageError, match="cannot be read"):
        own.read(tmp_path / "none.csv")


def test_a_word_of_another_column_is_no_label(tmp_path):
    found = own.read(
        written(tmp_path, "mine.csv", "reply,refusal,unsafe\nNo.,refused,safe\nNever.,,refused\nOff.,safe,\n")
    )
    assert [reply.truth for reply in found.replies] == [{"refusal": 1.0, "unsafe": 0.0}]
    assert [line.partition(": ")[2] for line in found.bad] == [
        "unsafe: expected yes or no (1, 0, true, false, ...), found 'refused'",
        "refusal: expected yes or no (1, 0, true, false, ...), found 'safe'",
    ]


@pytest.mark.parametrize("torn", ["[" * 100_000, '{"reply": "x", "refusal": ' + "1" * 5_000 + "}"])
def test_json_that_python_gives_up_on_costs_its_line_only(tmp_path, torn):
    found = own.read(written(tmp_path, "mine.jsonl", f'{{"reply": "No.", "refusal": 1}}\n{torn}\n'))
    assert len(found.replies) == 1
    assert found.bad[0].startswith("mine.jsonl:2: expected JSON: ")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[{"reply":"No.","refusal":1}]', "expected a table with a header"),
        ("reply,refusal,refusal\nNo.,1,0\n", "two columns are named 'refusal'"),
    ],
)
def test_a_header_that_is_none_is_an_error(tmp_path, text, why):
    with pytest.raises(UsageError, match=why):
        own.read(written(tmp_path, "mine.csv", text))


def test_names_of_fields_count_in_any_case_and_a_semicolon_table_is_told_what_is_wrong(tmp_path):
    found = own.read(written(tmp_path, "mine.csv", "Reply, Refusal ,Kind\nI will not.,1,plain\n"))
    assert (found.replies[0].truth, found.replies[0].kind) == ({"refusal": 1.0}, "plain")
    with pytest.raises(UsageError, match="a table is parted by commas"):
        own.read(written(tmp_path, "other.csv", "reply;refusal\nI will not.;1\n"))


def picture(path):
    images.write(Image.from_array(np.full((3, 4, 3), 90, np.uint8)), path)


def test_prompts_and_pictures_have_labels_of_their_own(tmp_path):
    picture(tmp_path / "pics" / "a.png")
    picture(tmp_path / "b.png")
    found = own.read(
        written(
            tmp_path,
            "mine.csv",
            "prompt,image,images,prompt_unsafe,image_unsafe,reply,unsafe,prompt_unsafe_1,prompt_unsafe_2\n"
            "Open?,pics/a.png,,unsafe,safe,,,1,0\n"
            ",,pics/a.png; b.png,,0,,,,\n"
            "Close?,,,0,,Never.,1,,\n",
        )
    )
    assert not found.bad
    first, second, third = found.replies
    assert first.truth == {"unsafe prompt": 1.0, "unsafe image": 0.0}
    assert first.raters == {"unsafe prompt": (1.0, 0.0)}
    assert (first.reply, first.cluster, len(first.images)) == ("", "Open?", 1)
    assert (second.truth, len(second.images)) == ({"unsafe image": 0.0}, 2)
    assert second.cluster == "+".join(each.sha256 for each in second.images)
    assert third.truth == {"unsafe": 1.0, "unsafe prompt": 0.0}


def test_a_list_of_pictures_and_no_reply_in_json_lines(tmp_path):
    picture(tmp_path / "b.png")
    path = written(tmp_path, "mine.jsonl", '{"prompt": "Open?", "images": ["b.png", "b.png"], "prompt_unsafe": true}\n')
    (row,) = own.read(path).replies
    assert (len(row.images), row.reply, row.truth) == (2, "", {"unsafe prompt": 1.0})


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"prompt": "x", "image": "../a.png", "prompt_unsafe": 1}, "'../a.png': leads out of"),
        ({"prompt": "x", "image": "none.png", "prompt_unsafe": 1}, "none.png: cannot be read"),
        ({"prompt": "x", "image": "torn.png", "prompt_unsafe": 1}, "torn.png: not a picture"),
        ({"prompt": "x", "image": "a\x00.png", "prompt_unsafe": 1}, "cannot be read"),
        ({"prompt": "x", "image": 3, "prompt_unsafe": 1}, "image, images: expected the name of a file"),
        ({"prompt": "x", "images": {"a": 1}, "prompt_unsafe": 1}, "image, images: expected the name of a file"),
        ({"prompt": "x", "images": ["a"] * 101, "prompt_unsafe": 1}, "at most 100 pictures, found 101"),
        ({"prompt": "x", "image_unsafe": 1}, "no picture in image, images, and a label of it"),
        ({"prompt": " ", "prompt_unsafe": 1}, "neither prompt nor picture, and a label of it"),
        ({"prompt": "x", "prompt_unsafe": 1, "unsafe": 0}, "no text in reply, response, completion"),
        ({"prompt": "x", "prompt_unsafe": 1, "reply": 7}, "no text in reply, response, completion"),
        ({"prompt": "x", "prompt_unsafe": "controversial"}, "prompt_unsafe: expected yes or no"),
    ],
)
def test_a_picture_or_label_that_cannot_be_used_costs_its_row(tmp_path, row, why):
    (tmp_path / "torn.png").write_bytes(b"\x89PNG torn")
    good = {"reply": "No.", "refusal": 1}
    found = own.read(written(tmp_path, "mine.jsonl", f"{json.dumps(row)}\n{json.dumps(good)}\n"))
    assert len(found.replies) == 1
    assert found.bad[0].startswith("mine.jsonl:1: ")
    assert why in found.bad[0]
