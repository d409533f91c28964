"""The files: nothing in them runs or loads, everything is in them, and the same run gives the same bytes."""

from __future__ import annotations

import base64
import copy
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from proofglass.report import terminal, write
from proofglass.report.gallery import gallery, pictures
from proofglass.report.page import page
from proofglass.report.run import ReportedRun
from proofglass.types import Image
from report.fake_run import answers, full_run, noisy, scene

EVIL = "</style></bdi><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\"> {{ 7*7 }}"


def hostile(store):
    """Foreign text wherever foreign text can stand."""
    bad = f"{EVIL} \x1b[2J \u202egnp.exe"
    columns = {"reply": bad, "attacked_text": bad, "question": bad, "category": bad, "reason": bad}
    store.add([{"hit": True, "answered": True, **columns}, {"hit": False, "answered": False, **columns}])
    store.add(status="failed", reason=bad, defense=bad)
    store.cards = {"v": {"caveat": bad, bad: [{"k": bad}]}}
    store.extra = {"name": bad, "study_text": bad, "platform": bad}
    return store


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def test_foreign_text_makes_no_element_and_no_handler(store):
    for tag, attributes in Elements(page(ReportedRun(hostile(store)))).seen:
        assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form")
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert tag != "img" or (attributes["src"] or "").startswith("data:image/png;base64,")


def test_foreign_text_is_shown_not_obeyed(store):
    html = page(ReportedRun(hostile(store)))
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "⟨U+202E⟩" in html
    assert "{{ 7*7 }}" in html  # a template in a reply is text
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal(store))
    assert "\x1b" not in console.file.getvalue()
    assert "⟨U+001B⟩" in console.file.getvalue()


def test_markup_of_the_terminal_in_a_label_is_shown(store):
    store.add(answers(1, 2), defense="[red]x[/red]")
    console = Console(file=io.StringIO(), width=200)
    console.print(terminal(store))
    assert "[red]x[/red]" in console.file.getvalue()


def test_a_formula_in_a_label_stays_text_in_every_csv(store):
    store.add(answers(1, 2), attack="=cmd()|' /C calc'!A0", dataset="@sum(1)")
    folder = write(store).parent / "tables"
    cells = [
        c for file in folder.glob("*.csv") for row in csv.reader(io.StringIO(file.read_text(), newline="")) for c in row
    ]
    assert "'=cmd()|' /C calc'!A0" in cells
    assert not [c for c in cells if re.match(r"[=+@\t\r]", c)]


def test_the_policy_allows_the_style_sheet_by_its_hash_and_pictures_only(full):
    html = (full.path / "report" / "index.html").read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html).group(1).replace("&#39;", "'")
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert f"style-src 'sha256-{digest}'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert html.index("Content-Security-Policy") < html.index("<style>")


def test_nothing_is_loaded_from_elsewhere(full):
    html = (full.path / "report" / "index.html").read_text()
    for _, attributes in Elements(html).seen:
        for name in ("src", "href", "action", "data", "poster", "srcset", "background"):
            assert not attributes.get(name) or attributes[name].startswith(("data:image/png;base64,", "#"))
    assert not re.search(r"@import|url\(", html)


def test_the_json_holds_every_table_and_states_the_rule(full):
    told = json.loads((full.path / "report" / "report.json").read_text())
    assert {"headline", "counting_rule", "counts", "tables", "gallery", "manifest", "volatile"} <= told.keys()
    files = {f.stem for f in (full.path / "report" / "tables").glob("*.csv")}
    assert files == told["tables"].keys() | told["volatile"]["tables"].keys()
    cells = {(r["victim"], r["attack"], r["defense"], r["dataset"]) for r in told["tables"]["success"]["rows"]}
    assert len(cells) == len(full.planned)
    assert not {"seconds", "peak_bytes", "started", "versions"} & _keys({**told, "volatile": {}})


def _keys(value):
    if isinstance(value, dict):
        return set(value).union(*(_keys(v) for v in value.values()))
    return set().union(*(_keys(v) for v in value)) if isinstance(value, list) else set()


def test_equal_runs_differ_in_volatile_places_only(tmp_path):
    first = full_run(tmp_path / "a", n=12)
    again = copy.deepcopy(first)
    again.path = tmp_path / "b"
    again.extra = {"started": "2027-01-01T00:00:00+00:00", "threads": 64, "platform": "another"}
    for cell in again.planned:
        cell["seconds"], cell["peak_bytes"] = 99.0, 1
    a, b = write(first).parent, write(again).parent
    for file in (a / "tables").glob("*.csv"):
        assert (file.read_bytes() == (b / "tables" / file.name).read_bytes()) == (
            file.stem not in ("volatile", "defense_seconds")
        )
    one, two = (json.loads((folder / "report.json").read_text()) for folder in (a, b))
    assert one.pop("volatile") != two.pop("volatile")
    assert json.dumps(one) == json.dumps(two)
    before = {f: f.read_bytes() for f in a.rglob("*") if f.is_file()}
    write(first)
    assert before == {f: f.read_bytes() for f in a.rglob("*") if f.is_file()}


def test_a_loss_that_is_not_finite_becomes_null_in_strict_json(store):
    trace = {"loss": [1.0, float("nan"), float("inf"), 0.5]}
    store.add(answers(1, 2), attack="qi2023")
    store.planned[0]["craft"] = {
        "artefact": "a",
        "forward": 1,
        "trace": trace,
        "settings": {"x": float("nan")},
    }
    store.cells = lambda: store.planned  # JSON would refuse the numbers that this test is about
    told = json.loads((write(store).parent / "report.json").read_text(), parse_constant=pytest.fail)
    assert [row["loss"] for row in told["tables"]["loss_curves"]["rows"]] == [1.0, None, None, 0.5]


def test_the_report_goes_where_it_is_told(store, tmp_path):
    store.add(answers(1, 2))
    assert write(store, tmp_path / "elsewhere") == tmp_path / "elsewhere" / "index.html"
    assert not (store.path / "report").exists()


def test_the_difference_is_amplified_around_grey_and_undoes_to_the_perturbation(store):
    clean = scene(1)
    attacked = noisy(clean, 8, 2)
    shas = {"clean_image": store.keep(clean), "attacked_images": [store.keep(attacked)]}
    store.add([{"hit": True, "answered": True, **shas}])
    run = ReportedRun(store)
    kinds = {p["kind"]: p for p in pictures(run, gallery(run)[0])}
    pixels = _pixels(kinds["difference"]["uri"]).astype(int)
    change = attacked.array().astype(int) - clean.array()
    assert np.array_equal(pixels, np.clip(128 + 8 * change, 0, 255))
    assert f"largest change {abs(change).max()}/255" in kinds["difference"]["note"]
    assert np.array_equal(_pixels(kinds["attacked"]["uri"]), attacked.array())


def test_a_universal_picture_is_compared_with_the_one_it_was_made_from(store):
    start = scene(3)
    universal = noisy(start, 4, 5)
    craft = {
        "artefact": "a",
        "scope": "universal",
        "image": store.keep(universal),
        "clean": store.keep(start),
    }
    shas = {"clean_image": store.keep(scene(4)), "attacked_images": [universal.sha256]}
    store.add([{"hit": True, "answered": True, **shas}], attack="qi2023", craft=craft)
    run = ReportedRun(store)
    shown = pictures(run, gallery(run)[0])
    assert [p["kind"] for p in shown] == ["clean", "attacked", "difference"]
    assert np.array_equal(_pixels(shown[0]["uri"]), start.array())
    assert "largest change 4/255" in shown[2]["note"]


def test_a_picture_of_another_size_is_a_new_picture_and_is_blurred(store):
    text = Image.from_array(np.full((50, 760, 3), 255, np.uint8))
    shas = {"clean_image": store.keep(scene(1)), "attacked_images": [store.keep(text)]}
    store.add([{"hit": True, "answered": True, **shas}])
    run = ReportedRun(store)
    shown = pictures(run, gallery(run)[0])
    assert [(p["kind"], p["new"]) for p in shown] == [("clean", False), ("attacked", True)]
    assert shown[1]["note"] == "new picture"
    assert (shown[1]["width"], shown[1]["size"]) == (384, "760 × 50 px")  # shown smaller, stated as it is
    assert "Reveal: attacked picture" in page(run)


def _pixels(uri: str) -> np.ndarray:
    from proofglass import images

    return images.decode(base64.b64decode(uri.split(",")[1]), "picture of the page").array()


def test_every_picture_has_an_alternative_text(full):
    html = (full.path / "report" / "index.html").read_text()
    alts = [attributes.get("alt") for tag, attributes in Elements(html).seen if tag == "img"]
    assert alts
    assert all(alts)


def test_replies_to_requests_that_should_be_refused_are_veiled_and_others_are_not(store):
    store.add([{"hit": True, "answered": True, "reply": "veiled words"}])
    html = page(ReportedRun(store))
    veiled = re.findall(
        r'<div class="veil"><input type="checkbox"[^>]*><div class="veiled">(.*?)</div></div>',
        html,
        re.DOTALL,
    )
    assert any("veiled words" in part for part in veiled)
    store.rows[0]["expected"] = "comply"
    assert 'class="veil"' not in page(ReportedRun(store))


CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--virtual-time-budget=4000", "--enable-logging=stderr", "--allow-file-access-from-files"),
]
# The page runs no script, so the page around it measures: widths of its frame, title, what was revealed, and what is
# hidden again by a second click.
PROBE = """<body style="margin:0"><iframe id="f" src="REPORT" style="border:0;width:WIDTHpx;height:3000px"></iframe>
<pre id="out"></pre><script>onload = () => { const d = document.getElementById("f").contentDocument;
const veil = d.querySelector(".veil .text"), all = d.getElementById("show-all"), blur = () =>
  veil ? d.defaultView.getComputedStyle(veil).filter : "";
const before = blur(), own = d.querySelector(".veil > input:has(+ .veiled > .text)"), clicks = [];
for (let k = 0; own && k < 2; k++) { own.click(); clicks.push(blur()); }
const crafted = d.querySelector(".crafted"), room = crafted && crafted.parentElement;
if (all) all.click();
document.getElementById("out").textContent = JSON.stringify({title: d.title, wide: d.documentElement.scrollWidth,
  font: d.defaultView.getComputedStyle(d.body).fontSize, scripts: d.scripts.length,
  before, clicks, after: blur(), cut: room ? room.scrollWidth - room.clientWidth : 0}); };</script>"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH")
@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("which", ["full", "hostile"])
def test_in_a_browser_nothing_complains_runs_or_overflows(which, width, full, store, tmp_path):
    report = (full.path / "report" / "index.html") if which == "full" else write(hostile(store))
    probe = tmp_path / "probe.html"
    probe.write_text(PROBE.replace("REPORT", report.as_uri()).replace("WIDTH", str(width)))
    flags = [*FLAGS, f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width + 60},3000"]
    done = subprocess.run([CHROMIUM, *flags, "--dump-dom", probe.as_uri()], capture_output=True, text=True, timeout=60)
    assert "CONSOLE" not in done.stderr
    measured = re.search(r'<pre id="out">(.+?)</pre>', done.stdout)
    assert measured, done.stderr[-2000:]
    found = json.loads(measured.group(1).replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    assert found["title"].endswith("Proofglass report")  # the injected handlers would have set "owned"
    assert found["wide"] <= width
    assert found["font"] == "15px"  # the policy let the style sheet in
    assert found["scripts"] == 0
    assert (found["before"], found["after"]) == ("blur(6px)", "none")
    assert found["clicks"] == ["none", "blur(6px)"]
    assert width < 1440 or found["cut"] == 0  # the table of crafting fits
