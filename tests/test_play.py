"""The page: what it computes and draws, what its server answers, and all of it in a browser."""

from __future__ import annotations

import base64
import inspect
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from puzzlemix import objective, puzzle_mix, spectral_saliency
from puzzlemix.demo import cli, play
from puzzlemix.demo.figures import arrows
from puzzlemix.demo.photographs import PHOTOGRAPHS

ROOT = Path(__file__).parents[1]
TERMS = ["saliency", "label_smoothness", "data_smoothness", "prior", "transport", "total"]


def picture(seed: int, side: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def file(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, kind)
    return data.getvalue()


def image(pixels: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)[None].contiguous()


PAIR = (picture(0), picture(1))
PLANES = tuple(spectral_saliency(image(pixels))[0].numpy() for pixels in PAIR)


def test_solve_is_puzzle_mix() -> None:
    settings = play.Settings(lam=0.4, grid=8, labels=4, beta=0.5, cut="exact", cycles=2)
    done = play.solve(settings, PAIR, PLANES)
    x1, x2 = map(image, PAIR)
    s1, s2 = (torch.from_numpy(plane)[None] for plane in PLANES)
    weights = {"labels": 4, "beta": 0.5, "eta": 0.05, "xi": 0.05}
    result = puzzle_mix(x1, x2, s1, s2, 0.4, grid=8, cut="exact", cycles=2, **weights)
    assert np.array_equal(done.mix.pixels, result.images[0].permute(1, 2, 0).numpy())
    assert np.array_equal(done.mix.mask, result.mask[0].numpy())
    assert done.mix.ratio == float(result.ratio)
    z = done.mix.mask.repeat(8, 0).repeat(8, 1)[..., None]
    first, second = done.mix.parts
    assert np.allclose(z * first + (1 - z) * second, done.mix.pixels, atol=1e-6)
    assert list(done.terms) == TERMS
    assert done.terms["total"] == pytest.approx(float(result.objective), abs=1e-12)
    terms = objective(x1, x2, s1, s2, 0.4, result.mask, result.source1, result.source2, **weights)
    assert done.terms == {name: float(value) for name, value in terms._asdict().items()}
    # The line of Python does the same.
    scope = {"x1": x1, "x2": x2, "saliency1": s1, "saliency2": s2, "puzzle_mix": puzzle_mix}
    assert torch.equal(eval(done.call, scope).images, result.images)


@pytest.mark.parametrize("slider", play.SLIDERS, ids=lambda slider: slider.name)
@pytest.mark.parametrize("end", ["least", "most"])
def test_every_slider_may_stand_at_its_ends(slider: play.Slider, end: str) -> None:
    settings = play.Settings(**{slider.name: getattr(slider, end)})
    done = play.solve(settings, PAIR, PLANES)
    assert all(np.isfinite(value) for value in done.terms.values())
    assert done.mix.mask.shape == (settings.grid, settings.grid)
    assert all(play.draw(done).values())


@pytest.mark.parametrize("grid", [5, 7, 63])
def test_a_grid_need_not_divide_the_pictures(grid: int) -> None:
    done = play.solve(play.Settings(grid=grid), PAIR, PLANES)
    side = done.mix.pixels.shape[0]
    assert side % grid == 0
    assert abs(side - 64) <= grid / 2


def test_the_page_starts_like_the_demo() -> None:
    demo = vars(cli._parser().parse_args(["demo"]))
    for name, value in vars(play.Settings()).items():
        assert demo[name] == value, name
    assert play.PHOTOGRAPHS is PHOTOGRAPHS
    taken = {*vars(play.Settings()), "x1", "x2", "saliency1", "saliency2", "mean", "std"}
    left_out = {"neighborhood", "transport_grid"}
    assert taken | left_out == set(inspect.signature(puzzle_mix).parameters)


def test_draw_shows_the_mix_and_its_moves() -> None:
    done = play.solve(play.Settings(grid=8, xi=0.0), PAIR, PLANES)
    parts = play.draw(done)
    data = re.search(r"base64,([^\"]+)", parts["mix"])
    assert data
    with Image.open(io.BytesIO(base64.b64decode(data[1]))) as shown:
        assert np.abs(np.asarray(shown) / 255 - done.mix.pixels).max() < 1 / 255
    assert arrows(done.mix, 0)
    assert arrows(done.mix, 1)
    for number in range(2):
        drawn = re.search(r'class="arrows" d="([^"]*)"', parts[f"moved{number + 1}"])
        assert drawn
        lines = re.findall(r"M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)M", drawn[1])
        centres = [[float(end) // 8 for end in line] for line in lines]
        assert centres == [
            [source % 8, source // 8, target % 8, target // 8]
            for source, target in arrows(done.mix, number)
        ]
    still = play.draw(play.solve(play.Settings(transport=None), PAIR, PLANES))
    assert still["moves"] == "no blocks moved"
    assert 'd=""' in still["moved1"]


def test_saliency_of_the_network_and_without_one(monkeypatch: pytest.MonkeyPatch) -> None:
    found = play.saliencies()
    assert list(found) == ["spectral", "EfficientNet-Lite0"]
    plane = found["EfficientNet-Lite0"](image(PAIR[0]))
    assert plane.shape == (1, 64, 64)
    assert float(plane.max()) > 0
    monkeypatch.delitem(sys.modules, "puzzlemix.demo.network")
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)  # type: ignore[arg-type]
    assert list(play.saliencies()) == ["spectral"]


@pytest.fixture(scope="module")
def server() -> Iterator[play.Server]:
    with play.Server("127.0.0.1", 0) as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def ask(server: play.Server, path: str, data: bytes | None = None) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(server.url + path, data, timeout=60) as response:
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def settings(**changes: Any) -> bytes:
    given = {"pictures": ["chelsea", "coffee"], "saliency": "spectral", **changes}
    return json.dumps(given).encode()


def test_the_server_mixes_what_was_sent(server: play.Server) -> None:
    status, page = ask(server, "")
    assert status == 200
    text = page.decode()
    assert all(f'name="{slider.name}"' in text for slider in play.SLIDERS)
    assert "<!-- controls -->" not in text
    assert "/* colors */" not in text
    assert "http" not in text
    status, answer = ask(server, "picture", file(picture(2, 300), "JPEG"))
    assert status == 200
    name = json.loads(answer)["name"]
    status, thumbnail = ask(server, f"picture/{name}")
    with Image.open(io.BytesIO(thumbnail)) as shown:
        assert (status, shown.size) == (200, (256, 256))
    status, answer = ask(server, "mix", settings(pictures=["chelsea", name], transport="none"))
    assert status == 200
    parts = json.loads(answer)
    assert parts["moves"] == "no blocks moved"
    # What the page has a place for is what is sent.
    assert all(f'id="{part}"' in text for part in parts)


def test_saliency_is_computed_once_a_picture(
    server: play.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    seen = server._saliencies["spectral"]
    counted = lambda images: calls.append(1) or seen(images)  # noqa: E731
    monkeypatch.setitem(server._saliencies, "spectral", counted)
    name = json.loads(ask(server, "picture", file(picture(3)))[1])["name"]
    for lam in (0.2, 0.8):
        assert ask(server, "mix", settings(pictures=[name, name], lam=lam))[0] == 200
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("path", "data", "status", "word"),
    [
        ("moon", None, 404, "page"),
        ("picture/../play.py", None, 404, "page"),
        ("moon", b"", 404, "page"),
        ("picture", b"not a picture", 400, "not a picture"),
        ("picture", file(picture(0))[:3000], 400, "not a picture"),
        ("picture", file(256 * picture(0)[..., 0].astype(np.uint16)), 400, "8 bits"),
        ("mix", b"{", 400, "property name"),
        ("mix", b"[]", 400, "list"),
        ("mix", b'"a"', 400, "str"),
        ("mix", b"{}", 400, "pictures"),
        ("mix", settings(pictures=["moon", "coffee"]), 400, "moon"),
        ("mix", settings(pictures=["coffee"]), 400, "values"),
        ("mix", settings(saliency="moon"), 400, "moon"),
        ("mix", settings(colour=1), 400, "colour"),
        ("mix", settings(lam=2), 400, "lam"),
        ("mix", settings(lam=float("nan")), 400, "lam"),
        ("mix", settings(grid=65), 400, "grid"),
        ("mix", settings(grid=0), 400, "grid"),
        ("mix", settings(grid="8"), 400, "grid"),
        ("mix", settings(beta=None), 400, "beta"),
        ("mix", settings(transport="lorry"), 400, "transport"),
    ],
)
def test_the_server_says_what_is_wrong(
    server: play.Server, path: str, data: bytes | None, status: int, word: str
) -> None:
    code, answer = ask(server, path, data)
    assert code == status, answer
    message = json.loads(answer)["error"]
    assert word in message
    assert len(message.splitlines()) <= 1


def test_what_is_too_large_is_not_read(server: play.Server) -> None:
    request = urllib.request.Request(server.url + "picture", b"x", {"Content-Length": "99999999"})
    with pytest.raises(urllib.error.HTTPError) as error:
        urllib.request.urlopen(request, timeout=60)
    with error.value as answer:
        assert answer.code == 413


def test_old_uploads_are_forgotten(server: play.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "KEPT", 2)
    server._pictures = {
        name: pixels for name, pixels in server._pictures.items() if name in PHOTOGRAPHS
    }
    names = [server.add(file(picture(seed)))["name"] for seed in (5, 6, 7)]
    assert list(server._pictures)[-2:] == names[1:]
    assert len(server._pictures) == len(PHOTOGRAPHS) + 2


class Page:
    """The real command, and a browser that looks at it."""

    def __init__(self, driver: Any, url: str) -> None:
        self.driver, self.url = driver, url
        driver.get(url)
        self.until(lambda: self.text("total"))

    def text(self, what: str) -> str:
        name = "terms tr:last-child td" if what == "total" else what
        return str(
            self.driver.execute_script(
                "return document.querySelector(arguments[0])?.textContent ?? ''", f"#{name}"
            )
        )

    def html(self, name: str) -> str:
        return str(self.driver.find_element("id", name).get_attribute("innerHTML"))

    def until(self, true: Callable[[], Any]) -> None:
        end = time.monotonic() + 60
        while not true():
            assert time.monotonic() < end, self.text("error")
            time.sleep(0.02)

    def idle(self) -> None:
        self.until(lambda: self.driver.execute_script("return !busy"))
        assert self.text("error") == ""

    def set(self, name: str, value: object) -> None:
        """Set a field as a user would: its value, then the event that tells the page."""
        self.driver.execute_script(
            "const f = form.elements[arguments[0]]; f.value = arguments[1];"
            "f.dispatchEvent(new Event('input', {bubbles: true}))",
            name,
            str(value),
        )
        self.idle()


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, helper = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not helper:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in (
        "headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run",
        "disable-background-networking", "disable-component-update", "disable-sync",
        "window-size=1400,1000",
    ):  # fmt: skip
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    command = [sys.executable, "-m", "puzzlemix", "play", "--port", "0", "--no-browser"]
    served = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background inherit that it is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    driver = None
    try:
        assert served.stdout is not None
        line = served.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:\d+/", line)
        assert found, line
        driver = webdriver.Chrome(options, webdriver.ChromeService(helper))
        yield Page(driver, found[0])
    finally:
        if driver is not None:
            driver.quit()
        served.send_signal(signal.SIGINT)
        try:
            _, err = served.communicate(timeout=60)
        finally:
            served.kill()
            served.communicate()
    assert (served.returncode, err) == (130, "")


def test_the_mix_follows_sliders_and_selects(page: Page) -> None:
    for name, value in (("lam", 0.9), ("grid", 9), ("xi", 0), ("transport", "none")):
        before = page.html("mix"), page.text("total")
        page.set(name, value)
        assert page.html("mix") != before[0], name
        assert page.text("total") != before[1], name
    assert page.text("moves") == "no blocks moved"
    assert "grid=9" in page.text("call")
    start = before[0]
    page.driver.find_element("css selector", "button[type=reset]").click()
    page.until(lambda: "grid=16" in page.text("call"))
    page.idle()
    assert page.html("mix") != start


def test_the_last_of_many_changes_counts(page: Page) -> None:
    page.driver.execute_script(
        "for (const v of [0.2, 0.3, 0.4, 0.7]) { form.lam.value = v;"
        "form.lam.dispatchEvent(new Event('input', {bubbles: true})); }"
    )
    page.until(lambda: "saliency2, 0.7," in page.text("call"))
    page.idle()


def test_no_slider_breaks_it(page: Page) -> None:
    for slider in play.SLIDERS:
        for value in (slider.least, slider.most):
            page.set(slider.name, value)
        page.set(slider.name, getattr(play.Settings(), slider.name))
    for slider in play.SLIDERS:  # and all at once
        page.set(slider.name, slider.most)
    page.driver.find_element("css selector", "button[type=reset]").click()
    page.until(lambda: "grid=16" in page.text("call"))
    page.idle()


def test_a_picture_is_uploaded(page: Page, tmp_path: Path) -> None:
    before = page.html("mix")
    path = tmp_path / "noise.png"
    path.write_bytes(file(picture(0, 100)))
    upload = page.driver.find_element("css selector", "input[type=file]")
    upload.send_keys(str(path))
    page.until(lambda: page.html("mix") != before)
    page.idle()
    path.write_bytes(b"not a picture")
    upload.send_keys(str(path))
    page.until(lambda: page.text("error"))
    assert page.text("error") == "noise.png: not a picture that can be read"
    page.set("saliency", "EfficientNet-Lite0")


def test_the_mix_and_its_call_are_saved_and_copied(page: Page) -> None:
    find = page.driver.find_element
    save = find("id", "save")
    assert save.get_attribute("download") == "puzzle-mix.png"
    assert save.get_attribute("href").startswith("data:image/png;base64,")
    assert save.get_attribute("href") == find("css selector", "#mix img").get_attribute("src")
    given = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.driver.execute_cdp_cmd("Browser.grantPermissions", given)
    for button, kind in (("copy-mix", "image/png"), ("copy-call", "text/plain")):
        find("id", button).click()
        page.until(lambda button=button: page.text(button) == "Copied")
        kinds = page.driver.execute_async_script(
            "navigator.clipboard.read().then(items => arguments[0](items[0].types))"
        )
        assert kinds == [kind]
    text = page.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")
    assert text == page.text("call")
    page.idle()


def test_each_greek_letter_is_explained(page: Page) -> None:
    for name in ("lam", "beta", "gamma", "eta", "xi"):
        about = page.driver.find_element("css selector", f"summary[aria-label='about {name}']")
        assert not about.find_element("xpath", "..").get_attribute("open")
        about.click()
        shown = about.find_element("xpath", "..").text.removeprefix("?").strip()
        assert shown.lower().rstrip(".") == cli.HELP[name].lower()
        about.click()


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_nothing_is_wider_than_the_window(page: Page, width: int) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    wide = page.driver.execute_script("return document.documentElement.scrollWidth")
    page.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert wide <= width


def test_no_other_host_is_asked(page: Page) -> None:
    """Last in the file: it reads the log of all that went before."""
    messages = [json.loads(entry["message"]) for entry in page.driver.get_log("performance")]
    asked = [
        message["message"]["params"]["request"]["url"]
        for message in messages
        if message["message"]["method"] == "Network.requestWillBeSent"
    ]
    assert any(url == page.url for url in asked)
    assert {url for url in asked if not url.startswith(("data:", page.url))} == set()
    complaints = [
        entry for entry in page.driver.get_log("browser") if "400" not in entry["message"]
    ]
    assert complaints == []
