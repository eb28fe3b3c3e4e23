"""The page in a real browser: sorting, filtering, sliding, enlarging, and a telephone's width.

Needs Chromium and its driver on the PATH (CONTRIBUTING.md says how to get them) and the package selenium.
"""

from __future__ import annotations

import shutil

import pytest

from harness.report.html.scoreboard import scoreboard
from harness.report.html.source import read

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
pytest.importorskip("selenium.webdriver.support.ui")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium and chromedriver on the PATH")

SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage",
)  # fmt: skip


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for switch in (*SWITCHES, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(chromium, file):
    """The report freshly opened; nothing it did may have reached the console."""
    resize(chromium, 1200)
    chromium.get(file.as_uri())
    wait = webdriver.support.ui.WebDriverWait(chromium, 30)
    wait.until(lambda driver: all_of(driver, "#explorer .strip .cell img"))  # drawn after the page is loaded
    yield chromium
    assert chromium.get_log("browser") == []


def resize(driver, width):
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def all_of(driver, selector):
    return driver.find_elements("css selector", selector)


def one(driver, selector):
    (found,) = all_of(driver, selector)
    return found


def choose(driver, selector, value):
    one(driver, f"{selector} option[value='{value}']").click()


def column(driver, title):
    """The words of a column in the order of the rows that are seen."""
    script = """
        const heads = [...document.querySelectorAll("#scores thead th[data-column]")];
        const head = heads.find((each) => each.textContent.startsWith(arguments[0]));
        const rows = [...document.querySelectorAll("#scores tr[data-line]")].filter((row) => !row.hidden);
        return rows.map((row) => [row.parentElement.className,
            row.querySelector(`td[data-column="${head.dataset.column}"]`).textContent]);
    """
    return driver.execute_script(script, title)


def means(pairs):
    return [float(words.split(" ")[0].replace("−", "-")) for role, words in pairs if role == "method"]


def test_sorting_turns_methods_and_leaves_floors_and_ceilings(page):
    before = column(page, "DINO held out")
    (button,) = (b for b in all_of(page, "#scores thead button") if b.text.startswith("DINO held out"))
    button.click()
    best_first = column(page, "DINO held out")
    assert means(best_first) == sorted(means(before), reverse=True) != means(before)
    assert [role for role, _ in best_first] == sorted(
        (role for role, _ in before), key=("floor", "method", "ceiling").index
    )
    button.click()
    assert means(column(page, "DINO held out")) == sorted(means(before))
    button.click()
    assert column(page, "DINO held out") == before


def test_filters_keep_the_chosen_methods_and_what_is_pinned(page, run):
    everything = read(run).selection.rows
    choose(page, "#filters [name=shots]", "5")
    kept = [row for row in everything if row.shots in (0, 5)]
    assert len(column(page, "DINO held out")) == len(kept) < len(everything)
    choose(page, "#filters [name=method]", "dreambooth_lora")
    assert [role for role, _ in column(page, "DINO held out")] == ["floor", "method", "ceiling"]
    choose(page, "#filters [name=shots]", "3")
    assert one(page, "#nothing").is_displayed()


def test_a_subject_shows_its_own_numbers(page, run):
    board = scoreboard([read(run)])
    (place,) = [i for i, h in enumerate(board.headings) if h.column.name == "dino_heldout"]
    subject = min(board.lines[0].cells[place].by_subject)
    choose(page, "#filters [name=subject]", subject)
    expected = [
        line.cells[place].by_subject[subject]
        for role in ("floor", "method", "ceiling")
        for line in board.of(role)
    ]
    shown = [float(words.replace("−", "-")) for _, words in column(page, "DINO held out")]
    assert shown == pytest.approx(expected, abs=0.0006)
    assert not all_of(page, "#scores td.best")


def test_columns_are_chosen(page):
    head = next(h for h in all_of(page, "#scores thead th") if "CLIP-I ↑" in h.get_attribute("textContent"))
    assert not head.is_displayed()
    one(page, ".columns summary").click()
    one(page, f"[data-shows='{head.get_attribute('data-column')}']").click()
    assert head.is_displayed()


def test_the_slider_swaps_the_pictures_of_its_strip(page):
    slider = next(s for s in all_of(page, "#explorer input") if "λ" in s.get_attribute("aria-label"))
    strip = slider.find_element("xpath", "ancestor::div[contains(@class, 'strip')]")

    def sources():
        return [image.get_attribute("src") for image in strip.find_elements("css selector", ".cell img")]

    seen, labels = set(), []
    slider.send_keys(*["\ue012"] * 10)  # the left arrow
    for _ in range(8):
        seen.add(tuple(sources()))
        labels.append(slider.get_attribute("aria-valuetext"))
        slider.send_keys("\ue014")
    assert labels == ["none", "0", "5", "50", "500", "5k", "50k", "500k"]
    assert len(seen) == 8 and all(src.startswith("data:image/png") for each in seen for src in each)


def test_another_subject_and_all_subjects_are_shown(page, run):
    first = one(page, "#explorer .strip:nth-child(2) .cell:first-child img").get_attribute("src")
    subjects = sorted({record.trial["subject"] for record in read(run).selection.records})
    choose(page, "#choice [name=subject]", subjects[1])
    assert one(page, "#explorer .strip:nth-child(2) .cell:first-child img").get_attribute("src") != first
    choose(page, "#choice [name=subject]", "*")
    assert [span.text for span in all_of(page, "#explorer .captions span")] == subjects
    assert one(page, "#explorer .strip:nth-child(2) .cell:first-child img").get_attribute("src") == first


def test_a_click_enlarges_and_arrows_go_on(page):
    cells = all_of(page, "#explorer .strip:nth-child(2) .cell")
    cells[0].click()
    assert one(page, "#enlarged").is_displayed()
    assert "a mug on a table" in one(page, "#words").text and "clip_t 0.250" in one(page, "#words").text
    one(page, "#next").click()
    assert "a mug <b>in</b> the snow" in one(page, "#words").text
    one(page, "#close").click()
    assert not one(page, "#enlarged").is_displayed()


def test_a_point_says_its_values(page):
    mark = all_of(page, "#figures figure:last-of-type circle.tip")[-1]  # of the bars: no other is near
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", mark)
    page.execute_async_script(  # the scroll is over, and told to the page, after two frames
        "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => done()))"
    )
    webdriver.ActionChains(page).move_to_element(mark).perform()
    assert one(page, "#tip").is_displayed()
    assert one(page, "#tip").text == mark.get_attribute("data-words") != ""


def test_nothing_is_wider_than_a_telephone(page):
    resize(page, 400)
    assert page.execute_script("return document.documentElement.scrollWidth") <= 400
    assert one(page, "#explorer").is_displayed() and one(page, "#filters").is_displayed()
