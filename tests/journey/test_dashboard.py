"""The dashboard in a real browser: signing in, charts and their tables, what somebody without the right is told."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.journey import browser
from tests.journey.browser import Tab
from tests.journey.running import Mesh
from tests.journey.test_rest import token_in

SIGNED_IN = "!document.querySelector('#reports').hidden"
SIGNED_OUT = "document.querySelector('#sign-in').hidden === false"
DONE = "document.documentElement.dataset.shown > 1"  # the first round finds that nobody is signed in


@pytest.fixture
async def page(mesh: Mesh, tmp_path: Path) -> AsyncIterator[Tab]:
    chromium = browser.found()
    if chromium is None:
        pytest.skip("no Chromium on this machine: install one, or name it in CHROMIUM")
    async with browser.tab(chromium, tmp_path / "profile") as opened:
        await opened.call("Page.navigate", url=f"{mesh.url}/console/analytics")
        await opened.until(f"document.querySelector('#sign-in') && ({SIGNED_OUT})")
        yield opened


async def sign_in(page: Tab, email: str, password: str) -> None:
    filled = json.dumps({"email": email, "password": password})
    await page.run(
        f"(() => {{ const form = document.querySelector('#sign-in'), given = {filled};"
        " form.email.value = given.email; form.password.value = given.password; form.requestSubmit() })()"
    )


async def test_an_administrator_sees_figures_charts_and_tables(mesh: Mesh, page: Tab) -> None:
    await sign_in(page, *mesh.administrator)
    await page.until(SIGNED_IN)
    await page.until(DONE)

    # The administrator is the first account, and what there is to draw.
    await page.until("document.querySelectorAll('[data-path=\"users/growth\"] tbody tr').length === 30")
    drawn = "Chart.getChart(document.querySelector('[data-path=\"users/growth\"] canvas')).data.datasets[0].data.at(-1)"
    assert await page.run(drawn) >= 1
    assert await page.run("document.querySelectorAll('#tiles dd').length") == 10
    # There is no step before the first.
    steps = "[...document.querySelectorAll('[data-path=\"users/funnel\"] tbody tr:first-child td')]"
    await page.until(f"{steps}.length")  # it may have been counted after the panel was filled: then in the next round
    cells = await page.run(f"{steps}.map((cell) => cell.textContent)")
    assert (cells[0], cells[2:]) == ("registered", ["–", "100%"])
    assert "startDate" not in await page.run("document.body.innerText")
    # A chart that is not drawn yet, or that has nothing to show, says nothing.
    shown = "[...document.querySelectorAll('.plot:not([hidden]) canvas')]"
    await page.until(f"{shown}.length && {shown}.every((canvas) => canvas.getAttribute('aria-label'))")
    await page.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=1, mobile=True)
    await page.until("document.documentElement.scrollWidth <= 360")
    await page.run("document.querySelector('#sign-out').click()")
    await page.until(SIGNED_OUT)
    assert not [each for each in page.complaints if "Content Security Policy" in each or "exception" in each.lower()]


async def test_a_wrong_password_and_a_missing_right_are_told(mesh: Mesh, page: Tab) -> None:
    await sign_in(page, mesh.administrator[0], "not this one at all")
    await page.until("!document.querySelector('#notice').hidden")
    assert await page.run(SIGNED_OUT)

    person = ("dashboard@example.com", "a long walk to the reports")
    async with aiohttp.ClientSession(mesh.url) as http:
        await http.post("/api/auth/signup", json={"email": person[0], "password": person[1], "name": "Ada"})
        token = token_in(await mesh.mail_to(person[0]))
        await http.post("/api/auth/verify-email", json={"token": token})
    await sign_in(page, *person)
    await page.until("document.querySelector('#notice').textContent.includes('analysts and administrators')")

    assert not await page.run(SIGNED_IN)
