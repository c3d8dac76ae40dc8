"""The page as files and as a browser shows it."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from convergent.errors import StudyError
from convergent.report import load_run, write_report

_QUIET = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


@pytest.fixture(scope="module")
def page_path(make_run: Callable[..., Path]) -> Path:
    return write_report(make_run())


@pytest.fixture(scope="module")
def html(page_path: Path) -> str:
    return page_path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full_page(make_run: Callable[..., Path]) -> Path:
    """The page of a run with the tables about whole layers."""
    return write_report(make_run(layers={"relu1": 10, "fc": 6}, pictures=False, whole_layers=True))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no program named chromium on the path")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=_QUIET)
        yield browser
        browser.close()


def test_every_figure_is_there_as_png_and_pdf_and_nothing_else(page_path: Path) -> None:
    names = {"figure1_relu1", "figure1_features.0", "figure2_relu1", "figure2_features.0"}
    names |= {"figure3", "figure4", "figureS8", "figureS9_relu1", "figureS9_features.0"}
    found = {path.name for path in (page_path.parent / "figures").iterdir()}
    assert found == {f"{name}.{suffix}" for name in names for suffix in ("png", "pdf")}
    with Image.open(page_path.parent / "figures" / "figure4.png") as picture:
        assert picture.size == (round(6.8 * 200), round(2.9 * 200))


def test_the_same_run_gives_the_same_bytes(page_path: Path) -> None:
    files = [page_path, *sorted((page_path.parent / "figures").iterdir())]
    before = [file.read_bytes() for file in files]
    write_report(page_path.parent)
    assert [file.read_bytes() for file in files] == before


@pytest.mark.slow
def test_several_processes_draw_the_same_bytes(make_run: Callable[..., Path]) -> None:
    folder = make_run(layers={f"relu{i}": 6 for i in range(1, 4)}, pictures=False)
    files = [write_report(folder), *sorted((folder / "figures").iterdir())]
    before = [file.read_bytes() for file in files]
    write_report(folder, n_processes=2)
    assert [file.read_bytes() for file in files] == before
    (folder / "statistics/moments.safetensors").unlink()
    with pytest.raises(StudyError, match="moments"):
        write_report(folder, n_processes=2)


@pytest.mark.slow
def test_a_script_without_the_usual_guard_is_told(make_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_run(layers={f"relu{i}": 6 for i in range(1, 4)}, pictures=False)
    script = f"from convergent.report import write_report\nwrite_report({str(folder)!r}, n_processes=2)\n"
    (tmp_path / "script.py").write_text(script)
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "call this under if __name__ == '__main__':, or give n_processes=1" in done.stderr


def test_the_answer_says_what_the_tables_say(page_path: Path, html: str) -> None:
    run = load_run(page_path.parent)
    first = run.pair_matches().query("layer == 'relu1'")
    alike = int((first["best_r"] >= 0.5).sum())
    assert f"Of the 9 living units of relu1 in net1, {alike} have a partner in net2" in html
    assert f"correlate at {first['best_r'].mean():.2f}".replace("0.", ".") in html
    assert "Over all 3 pairs of nets" in html


def test_the_page_names_nets_dead_units_hashes_and_the_study_verbatim(html: str) -> None:
    assert '<td class="n">91.0 %</td>' in html
    assert "1 in relu1" in html
    assert f"{1:064x}" in html
    assert "nets: &lt;several&gt;" in html


def test_names_of_layers_cannot_leave_the_folder_or_the_page(make_run: Callable[..., Path]) -> None:
    page = write_report(make_run(layers={"a<b>/../c": 4}, untrained=(), nets=("x", "y"), pictures=False))
    assert (page.parent / "figures" / "figure1_a%3Cb%3E%2F..%2Fc.png").is_file()
    assert "a<b>" not in page.read_text(encoding="utf-8")


def test_without_pictures_the_page_says_why(make_run: Callable[..., Path]) -> None:
    page = write_report(make_run(layers={"fc": 5}, untrained=(), nets=("x", "y"), pictures=False, dead=0))
    text = page.read_text(encoding="utf-8")
    assert "its inputs are not pictures" in text
    assert 'class="strip"' not in text
    assert "untrained" not in text.lower()
    assert "Over all" not in text


def test_without_the_semi_matching_its_figures_are_left_out(make_run: Callable[..., Path]) -> None:
    folder = make_run(layers={"fc": 5}, pictures=False)
    matches = load_run(folder).matches.assign(best_partner=-1, best_r=np.nan, best_r_held_out=np.nan)
    matches.to_parquet(folder / "tables" / "matches.parquet", index=False)
    text = write_report(folder).read_text(encoding="utf-8")
    assert not (folder / "figures" / "figure3.png").exists()
    assert "did not ask for" in text
    assert 'id="figure2"' not in text
    assert "The one-to-one partners correlate at" in text


def test_the_page_has_all_three_with_their_tables(full_page: Path) -> None:
    html = full_page.read_text(encoding="utf-8")
    assert {f"figure{number}.{kind}" for number in "LCU" for kind in ("png", "pdf")} <= {
        path.name for path in (full_page.parent / "figures").iterdir()
    }
    assert 0 < html.index('id="figure4"') < html.index('id="ladder"') < html.index('id="figureS8"')
    assert "by chance and" in html
    assert '.72 <span class="margin">±.03</span>' in html
    assert "Angular distance" in html
    assert "SVCCA" in html
    assert "Between untrained nets" in html
    assert "q&lt;.05" in html
    assert len(re.findall(r'alt="R² on held-out inputs by same index', html)) == 1


@pytest.mark.page
def test_with_every_table_the_page_never_scrolls_sideways(browser: Browser, full_page: Path) -> None:
    page = browser.new_page()
    page.goto(full_page.as_uri())
    for width in (390, 800, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        scroll = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert scroll[0] <= scroll[1], f"scrolls sideways at {width} pixels"
    page.close()


@pytest.mark.page
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_shows_everything_and_asks_the_network_for_nothing(
    browser: Browser, page_path: Path, scheme: str
) -> None:
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(page_path.as_uri())
    for width in (390, 800, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        scroll = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert scroll[0] <= scroll[1], f"scrolls sideways at {width} pixels"
    page.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    broken = page.evaluate("[...document.images].filter(i => !i.complete || i.naturalWidth == 0 || !i.alt).length")
    shown = page.locator("img").count()
    page.close()
    assert not complaints
    assert [url for url in requests if not url.startswith(("data:", "file:"))] == []
    assert (broken, shown) == (0, 9 + 2 * 2 * 3)


@pytest.mark.page
def test_text_is_dark_on_light_and_light_on_dark(browser: Browser, page_path: Path) -> None:
    def contrast(scheme: str) -> float:
        page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
        page.goto(page_path.as_uri())
        colours = page.evaluate(
            "[getComputedStyle(document.querySelector('.note')).color,"
            " getComputedStyle(document.body).backgroundColor]"
        )
        page.close()
        ink, paper = (_luminance(colour) for colour in colours)
        assert (ink < paper) == (scheme == "light")
        return (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05)

    assert min(contrast("light"), contrast("dark")) >= 4.5


def _luminance(colour: str) -> float:
    """Relative luminance of `rgb(r, g, b)`, as the accessibility guidelines define it."""
    channels = np.array([float(number) for number in re.findall(r"[\d.]+", colour)[:3]]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
