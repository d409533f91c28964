"""What a reader of page, terminal and report.json finds: reasons, money, long texts cut, ways back to samples."""

from __future__ import annotations

import io
import json
import re
from html import unescape

import pytest
from rich.console import Console

from proofglass.console import cut
from proofglass.report import terminal, write
from proofglass.report.charts import loss_curves
from proofglass.report.page import TEMPLATES, page
from proofglass.report.reasons import gathered, reasons
from proofglass.report.run import ReportedRun
from proofglass.report.tables import answering
from report.fake_run import answers


def said(store) -> str:
    console = Console(file=io.StringIO(), width=1000)
    console.print(terminal(store))
    return console.file.getvalue()


# Reasons


def test_reasons_are_counted_per_cell_and_told_everywhere(store):
    for attack in ("figstep", "no-attack"):
        rows = answers(2, 6)
        rows[0] |= {"outcome": "error", "reason": "PNG truncated at byte 8192", "reply": ""}
        rows[1] |= {"outcome": "error", "reason": "PNG truncated at byte 8192", "reply": ""}
        rows[2] |= {"hit": None}
        store.add(rows, attack=attack)
    rows = gathered(reasons(ReportedRun(store)))
    told = [(row["kind"], row["judge"], row["count"], row["cells"], row["sample_id"]) for row in rows]
    assert told == [("failed", "", 4, 2, "s000"), ("unjudged", "testbed-content", 2, 2, "s002")]
    folder = write(store).parent
    assert json.loads((folder / "report.json").read_text())["reasons"] == rows
    assert "PNG truncated at byte 8192" in (folder / "tables" / "reasons.csv").read_text()
    assert "PNG truncated at byte 8192" in page(ReportedRun(store))
    line = "4 failed: PNG truncated at byte 8192 (s000 in v x figstep x none x testbed/restricted and 1 more)"
    assert line in said(store)


def test_a_reason_that_names_its_sample_is_one_reason(store):
    rows = [{"outcome": "error", "reason": f"sample s{k:03d}: no instruction", "reply": ""} for k in range(3)]
    store.add([*rows, *answers(1, 2, sample_id="x")][:4])
    assert [(row["reason"], row["count"]) for row in gathered(reasons(ReportedRun(store)))] == [
        ("sample …: no instruction", 3)
    ]


def test_a_judge_that_raised_is_told_although_another_decides_success(store):
    rows = answers(1, 3)
    for row in rows:
        row["answered"] = None
    store.add(rows)
    assert "3 unjudged by not-refused: no verdict" in said(store)


def test_why_a_cell_was_skipped_is_printed(store):
    store.add(answers(1, 4))
    store.add(attack="qi2023", status="skipped", reason="qi2023 needs gradients")
    assert "skipped: v x qi2023 x none x testbed/restricted: qi2023 needs gradients" in said(store)


def test_one_reason_of_many_cells_is_one_line(store):
    why = "4 asks were not sent; the budget is spent"
    for dataset in ("a", "b", "c"):
        store.add(answers(1, 2), dataset=dataset, status="pending", reason=why)
    assert f"pending: v x figstep x none x a and 2 more cells: {why}" in said(store)
    assert page(ReportedRun(store)).split("This run is not finished")[1].split("</section>")[0].count(why) == 1


def test_skipped_cells_are_no_part_of_what_was_to_be_measured(store):
    store.add(answers(1, 4))
    store.add(attack="b", status="failed", reason="broke")
    store.add(attack="c", status="skipped", reason="needs gradients")
    html = page(ReportedRun(store))  # one of the two that were to run, in headline, alarm and facts alike
    assert "1 of 2 cells holds no result" in html.split("</h1>")[0] + html.split("<h1>")[1].split("</header>")[0]
    assert "<dd>1<small> of 2</small></dd></div>\n<div><dt>skipped</dt><dd>1</dd>" in html


def test_a_judge_that_broke_is_an_alarm_on_the_page(store):
    store.add(answers(1, 4))
    fault = {"replies": 3, "of": 4, "reason": "judge not-refused: NameError: name 'x' is not defined (mine.py:9)"}
    store.planned[-1]["judge_faults"] = {"not-refused": fault}
    alarm = unescape(page(ReportedRun(store))).split('<section class="alarm"')[1].split("</section>")[0]
    assert "1 judge broke" in alarm
    assert "on 3 of 4 replies" in alarm
    assert "mine.py:9" in alarm
    assert "judge not-refused" not in alarm  # its name stands in front already


def test_what_is_missing_of_a_rate_by_phrases_stands_beside_that_rate(store):
    store.world = ""
    rows = [*answers(4, 4), *answers(0, 1, outcome="error", reason="HTTP 503", reply="")]
    store.add(answers(0, 4), victim="open")
    store.add([{**row, "sample_id": f"b{k}"} for k, row in enumerate(rows)], victim="open", attack="no-attack",
              dataset="testbed/benign", expected="comply")  # fmt: skip
    table = re.sub(r"<[^>]+>", " ", page(ReportedRun(store)).split('id="utility"')[1].split('id="cost"')[0])
    # 4 of 4 not refused and 1 failed: over-refusal lies between 0 and 20 %; compliance has no number and no bounds
    assert re.search(r"—\s+0.%\s+\[0,.\d+\]\s+no success rate\s+1 failed\s+0 to 20.% with these", table)


def test_what_was_not_sent_is_waiting_and_has_not_failed(store):
    store.add(answers(1, 2), status="pending", reason="5 asks were not sent; the budget is spent")
    store.planned[-1]["unsent"] = 5  # their samples have no record
    store.add([{"outcome": "error", "reason": "HTTP 503", "reply": ""}], attack="no-attack")
    run = ReportedRun(store)
    assert (run.counts["failed"], run.counts["unsent"]) == (1, 5)
    assert [row["reason"] for row in reasons(run)] == ["HTTP 503"]
    assert "5 asks not sent yet" in said(store)
    assert "5 asks not sent" in page(run)


# Money


def test_money_spent_possibly_paid_and_cap_are_told(store):
    store.add(answers(1, 4))
    store.cards = {"v": {"money": {"spent": 1.88, "possibly_paid": 0.42, "cap": 2.3, "currency": "USD"}}}
    assert "money, v: 1.88 USD spent, up to 0.42 possibly paid (asked, no answer came), cap 2.3" in said(store)
    cost = page(ReportedRun(store)).split('id="cost"')[1].split('id="loss"')[0]
    assert all(f'<td class="num">{value}</td>' in cost for value in ("1.88", "0.42", "2.3"))
    told = json.loads((write(store).parent / "report.json").read_text())
    assert told["tables"]["money"]["rows"] == [
        {"victim": "v", "spent": 1.88, "possibly_paid": 0.42, "cap": 2.3, "currency": "USD"}
    ]


def test_a_victim_that_costs_nothing_has_no_money_section(store):
    store.add(answers(1, 4))
    assert "<h3>Money</h3>" not in page(ReportedRun(store))
    assert "money" not in said(store)


def test_an_answer_that_two_cells_share_is_paid_once(store):
    for dataset, new in (("a", 0.5), ("b", 0.0)):  # the second cell was answered out of the journal
        store.add(answers(1, 2, money=0.25), dataset=dataset)
        store.planned[-1]["money_new"] = new
    assert answering(ReportedRun(store)).rows[0]["money"] == 0.5


def test_the_tries_of_a_search_are_no_reason_why_something_is_missing(store):
    store.add(answers(1, 2, reason="tries 3, successes 1, first at 2"))
    store.add(answers(1, 2, reason="typography overflows the canvas; tries 9, successes 0, first at 0"), attack="other")
    told = [(row["reason"], row["count"]) for row in reasons(ReportedRun(store))]
    assert told == [("typography overflows the canvas", 2)]


def test_what_helpers_were_asked_stands_beside_the_victims_queries(store):
    store.add(answers(1, 4))
    assert "of helpers" not in page(ReportedRun(store))
    store.planned[-1]["helpers"] = {"a": {"queries": 6}, "b": {"queries": 4}}
    assert answering(ReportedRun(store)).rows[0]["helper_queries"] == 2.5
    assert "of helpers" in page(ReportedRun(store))


# Long texts


@pytest.mark.parametrize("where", ["reply", "attacked_text", "question", "reason", "category", "sample_id"])
def test_five_megabytes_are_cut_with_their_length_and_place(store, where):
    text = "long words " * 500_000
    store.add([{"hit": True, "answered": True, where: text}, *answers(0, 2, question="q")])
    folder = write(store).parent
    html, told = (folder / "index.html").read_text(), (folder / "report.json").read_text()
    assert len(html) < 150_000
    assert len(told) < 100_000
    assert max(len(file.read_bytes()) for file in (folder / "tables").glob("*.csv")) < 50_000
    assert len(said(store)) < 20_000
    assert "of 5,500,000 characters" in html
    if where in ("reply", "attacked_text", "question"):
        assert f"the whole is column {where} of cell 0000 in the records" in html


@pytest.mark.parametrize("place", ["card", "setting", "caveat", "study"])
def test_a_card_a_setting_or_a_study_of_megabytes_is_cut_too(store, place):
    text = "x" * 5_000_000
    store.add(answers(1, 2), attack="qi2023")
    if place == "setting":
        store.planned[0]["craft"] = {"artefact": "a", "forward": 1, "settings": {"prompt": text}, "trace": {}}
    elif place == "study":
        store.extra = {"study_text": text}
    else:
        store.cards = {"v": {"caveat" if place == "caveat" else "k": text, text: 1}}
    folder = write(store).parent
    assert len((folder / "index.html").read_bytes()) < 150_000
    assert len((folder / "report.json").read_bytes()) < 150_000


def test_two_long_ids_that_begin_alike_stay_two():
    assert cut("a" * 1000 + "b", 10) != cut("a" * 1000 + "c", 10)
    assert cut("short", 10) == "short"


# Ways through the page


def test_a_cell_leads_to_its_sample(full):
    html = page(ReportedRun(full))
    targets = set(re.findall(r'class="to" href="#([^"]+)"', html))
    assert targets
    assert targets <= set(re.findall(r' id="([^"]+)"', html))
    item = html.split(f'id="{min(targets)}"')[1]
    assert item.index("<dt>none") < 10


def test_the_study_lies_beside_the_page_and_the_command_names_it(store):
    store.add(answers(1, 2))
    store.extra = {"limit": 20}
    folder = write(store).parent
    html = (folder / "index.html").read_text()
    (command,) = re.findall(r"<code>(proofglass run [^<]*)</code>", html)
    assert command == "proofglass run quickstart.yaml --out again --limit 20"
    assert (folder / "quickstart.yaml").read_text() == store.manifest()["study_text"]


def test_a_run_from_python_names_no_study_file(store):
    store.add(answers(1, 2))
    store.extra = {"study_text": ""}
    folder = write(store).parent
    assert not list(folder.glob("*.yaml"))
    assert "made in Python" in (folder / "index.html").read_text()


def test_a_study_whose_name_is_no_file_name_still_repeats(store):
    store.add(answers(1, 2))
    store.extra = {"name": "../../etc/x"}
    folder = write(store).parent
    assert [file.name for file in folder.glob("*.yaml")] == ["study.yaml"]


def test_the_font_that_was_replaced_is_said_once(store):
    note = "font 'FreeMonoBold' is not installed: text is drawn in DejaVuSansMono-Bold instead"
    for defense in ("none", "a", "b"):
        store.add(answers(1, 2), defense=defense, craft={"artefact": "f", "notes": [note]})
    html = unescape(page(ReportedRun(store)))
    assert html.count("is not installed") == 1
    assert said(store).count("is not installed") == 1


def test_a_loss_that_changes_its_measure_says_where(store):
    trace = {"loss": [4.0, 3.9, 3.8, 1.0], "loss_plain_from": 3}
    store.add(answers(1, 2), attack="qi2023", craft={"artefact": "a", "forward": 9, "trace": trace, "settings": {}})
    (chart,) = loss_curves(ReportedRun(store))
    frame = chart["frame"]
    assert chart["plain_from"] == 3
    assert chart["plain_x"] == frame.at_x(2.5)  # between the last sampled value and the first plain one
    html = page(ReportedRun(store))
    assert "dotted: step 3" in html
    assert "the measure changed and not the picture" in html
    del store.planned[0]["craft"]["trace"]["loss_plain_from"]
    assert "dotted" not in page(ReportedRun(store)).split('id="loss"')[1]


def test_no_sentence_depends_on_the_colour_scheme(full):
    """In dark mode the less safe cell is the brighter one."""
    assert "darker" not in page(ReportedRun(full))


def test_paper_shows_closed_tables_and_leaves_out_what_was_not_shown():
    style = (TEMPLATES / "style.css").read_text()
    printed = style.split("@media print")[1]
    assert "details:not(.card)::details-content { display: block; content-visibility: visible; }" in printed
    assert ".veil:has(> input:not(:checked))" in printed
    assert "@media (max-width" not in style  # a sheet of paper is narrow, and is no phone
