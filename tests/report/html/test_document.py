"""The file is one, escapes what it is told, holds each picture once, and says what is not there."""

import json
import re
from html.parser import HTMLParser

import pytest
from PIL import Image
from report.html.conftest import PROMPTS, few, write_run
from report.test_certificate import body

from harness.errors import RecordsError
from harness.report import certificate
from harness.report.figures import render_all
from harness.report.html import document, plots
from harness.report.html.album import FULL, LIGHT, Budget, open_album
from harness.report.html.gallery import gallery
from harness.report.html.scoreboard import scoreboard
from harness.report.html.source import read
from harness.report.html.trials import curve
from harness.report.tables import method_table

HOSTILE = "<script>alert('x')</script>"


class Page(HTMLParser):
    """What a browser would find: tags with attributes, ids, and the JSON of data scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.data, self._script = [], [], {}, None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        held = dict(attributes)
        self.tags.append((tag, held))
        self.ids += [held["id"]] if "id" in held else []
        self._script = held.get("id") if tag == "script" else None

    def handle_data(self, text):
        if self._script:
            self.data[self._script] = json.loads(text)
            self._script = None


def page(*folders, **more):
    return Page(document.render([read(folder) for folder in folders], **more))


def test_nothing_is_loaded_from_elsewhere(file):
    found = Page(file.read_text())
    loading = [
        attributes[name]
        for tag, attributes in found.tags
        for name in ("src", "href", "xlink:href", "srcset", "action")
        if attributes.get(name)
    ]
    assert loading and all(where.startswith(("#", "data:")) for where in loading)
    assert "default-src 'none'" in str(found.tags)


def test_no_id_stands_twice(file):
    ids = Page(file.read_text()).ids
    assert len(ids) == len(set(ids)) and "explorer" in ids


def test_text_is_escaped_wherever_it_comes_from(tmp_path, make):
    records = [
        make(subject=HOSTILE, scores={"dino": 0.5}),
        make("dreambooth_lora", subject="mug", status="failed", error=HOSTILE),
    ]
    records = [record.model_copy(update={"trial": {**record.trial, "title": HOSTILE}}) for record in records]
    text = document.render([read(write_run(tmp_path / "made", records))])
    assert HOSTILE not in text and text.count("<script") == 4
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in text
    assert "Does &lt;i&gt;it&lt;/i&gt; hold?" in text and "<b>in</b>" not in text


def test_the_table_says_what_the_command_says(run):
    board = scoreboard([read(run)])
    told = method_table.table(read(run).selection.records)
    for line in board.lines:
        for heading, cell in zip(board.headings, line.cells, strict=True):
            if heading.shown and cell.mean is not None:
                assert cell.words in told
                assert cell.best == (f"**{cell.words}**" in told) or told.count(cell.words) > 1


def test_numbers_are_the_subjects_own(run, file):
    board = scoreboard([read(run)])
    numbers = Page(file.read_text()).data["numbers"]
    ordered = [line for role in ("floor", "method", "ceiling") for line in board.of(role)]
    assert len(numbers) == len(ordered)
    for line, cells in zip(ordered, numbers, strict=True):
        for cell, held in zip(line.cells, cells, strict=True):
            assert held == pytest.approx(cell.by_subject, rel=1e-5)


def test_every_picture_of_the_explorer_is_the_trials_own(run):
    shown = gallery([read(run)])
    sliders = [strip for strip in shown.data["strips"] if len(strip["steps"]) > 1]
    assert {"λ" in strip["along"] for strip in sliders} == {True, False}
    (along,) = [strip for strip in sliders if "λ" in strip["along"]]
    assert [step["label"] for step in along["steps"]] == ["none", "0", "5", "50", "500", "5k", "50k", "500k"]
    for strip in shown.data["strips"]:
        for step in strip["steps"]:
            for subject, key in step["trials"].items():
                pictures = shown.data["trials"][key]
                assert [each["prompt"] for each in pictures] == list(PROMPTS)
                assert [each["seed"] for each in pictures] == ["0", "1", "2"]
                assert subject in shown.data["subjects"]
    assert all(len(shown.data["photos"][subject]) == 3 for subject in shown.data["subjects"])
    assert len(set(shown.uris)) == len(shown.uris)


def test_without_pictures_it_says_so(tmp_path, make):
    found = page(write_run(tmp_path / "bare", [make(scores={"dino": 0.5})], pictures=False))
    assert "no-pictures" in found.ids and "explorer" not in found.ids and "uris" not in found.data


def test_light_is_webp_of_the_same_size(run):
    full, light = gallery([read(run)]), gallery([read(run)], light=True)
    assert all(uri.startswith("data:image/png;base64,") for uri in full.uris)
    assert all(uri.startswith("data:image/webp;base64,") for uri in light.uris)


def test_a_picture_keeps_its_pixels_and_its_size(tmp_path):
    import base64
    import io

    path = tmp_path / "a.png"
    Image.radial_gradient("L").resize((40, 24)).convert("RGB").save(path)
    for budget in (FULL, LIGHT):
        album = open_album([path], budget)
        assert album.add(path) == album.add(path) == 0 and len(album.uris) == 1
        with Image.open(io.BytesIO(base64.b64decode(album.uris[0].partition(",")[2]))) as picture:
            assert picture.size == (40, 24)
            if budget is FULL:
                assert picture.tobytes() == Image.open(path).tobytes()


def test_what_is_no_picture_has_no_number(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    album = open_album([tmp_path / "a.png"], FULL)
    assert album.add(tmp_path / "a.png") is None and album.add(tmp_path / "none.png") is None


def test_a_spent_budget_leaves_out_whole_prompts_and_says_so(run, monkeypatch):
    monkeypatch.setattr("harness.report.html.gallery.LIGHT", Budget(9_000, webp=True, quality=70))
    shown = gallery([read(run)], light=True)
    kept = {len(pictures) for pictures in shown.data["trials"].values()}
    assert kept == {int(shown.remark.partition(" of 3 prompts")[0])} < {1, 2, 3}


def test_experiments_stand_side_by_side(tmp_path, make):
    folders = [
        write_run(tmp_path / name, [make(scores={"dino": value, "dino_heldout": value})])
        for name, value in (("first", 0.1), ("second", 0.2))
    ]
    found = page(*folders)
    lines = [held for tag, held in found.tags if tag == "tr" and "data-line" in held]
    assert [line["data-experiment"] for line in lines] == ["first", "second"]
    assert [strip["experiment"] for strip in found.data["gallery"]["strips"]] == ["first", "second"]


def test_the_same_records_give_the_same_bytes(tmp_path, make):
    records = [make(shots=shots, scores={"dino": 0.5}, seconds={"fit": 1.0}) for shots in (1, 3)]
    run = write_run(tmp_path / "made", records)
    assert document.render([read(run)]) == document.render([read(run)])


def test_points_carry_their_values(run, file):
    text = file.read_text()
    tips = re.findall(r'class="tip"[^>]*><title>([^<]*)</title>', text)
    (row,) = [r for r in read(run).selection.of("floor") if r.method == "frozen"]
    assert f"Frozen, no shots used\nDINO held out {row.cells['dino_heldout'].mean:.3f}" in "\n".join(tips)
    assert any("DreamBooth-LoRA, 5 shots" in tip and "‖Δε‖₂" in tip and "n 3" in tip for tip in tips)


def test_a_folder_without_records_is_refused(tmp_path):
    with pytest.raises(RecordsError, match="no records yet"):
        document.write([tmp_path], tmp_path / "report.html")


def test_a_file_that_cannot_be_written_is_named(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordsError, match="cannot be written"):
        document.write([run], tmp_path / "file" / "report.html")


@pytest.mark.parametrize("losses", [[], [1.0], ["a", None], [float("nan")]])
def test_too_few_losses_draw_no_curve(losses):
    assert curve(losses) is None


def test_a_curve_goes_from_its_first_loss_to_its_last():
    drawn = curve([3.0, 2.0, 1.0])
    assert 'points="0.0,2.0 60.0,14.0 120.0,26.0"' in drawn and "3 steps, training loss 1 to 3" in drawn


def test_certificates_are_shown_and_a_changed_one_is_not(experiment, tmp_path):
    folder = write_run(tmp_path / "certified", few(experiment))
    assert 'id="certificates"' not in document.render([read(folder)])
    keys = [record.key for record in few(experiment) if record.trial["method"] == "dreambooth"][:2]
    for key in keys:
        data = certificate.to_bytes(certificate.sealed(body(key=key)))
        (folder / key / certificate.FILE).write_bytes(data)
    changed = folder / keys[1] / certificate.FILE
    changed.write_bytes(changed.read_bytes().replace(b"0.95", b"0.96", 1))
    page = document.render([read(folder)])
    Page(page)
    assert page.count('<details class="certificate">') == 2
    assert "training held ‖Δθ‖₂ ≤ 1.25" in page and "Not shown: " in page
    assert page.count("was changed after it was sealed") == 1


def test_every_figure_has_a_title_of_its_own():
    assert plots.TITLES.keys() == render_all.PLOTS.keys()
    assert len(set(plots.TITLES.values())) == len(plots.TITLES)
