"""A real browser for the tests of the report's page.

`SD_TEST_BROWSER` names the browser's program; `SD_TEST_BROWSER=none` skips those tests, for
machines that cannot have one. Unset: Chromium or Chrome from PATH, or playwright's own. A missing
browser fails the tests: a page that nobody looked at must not pass in silence.

It may ask nothing of any network, its own chores for its maker included.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
#: No updates, no safe-browsing lists, no QUIC: a browser in a test says nothing to anybody.
OPTIONS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
    "--no-pings",
)
FIX = (
    "install one: apt-get install chromium, or playwright install chromium; or name it: "
    "SD_TEST_BROWSER=/path/to/chrome; or skip these tests: SD_TEST_BROWSER=none"
)


@contextmanager
def browser() -> Iterator[Browser]:
    """A headless one; skips or fails the test where there is none, as the module says."""
    named = os.environ.get("SD_TEST_BROWSER", "")
    if named == "none":
        pytest.skip("SD_TEST_BROWSER=none: this machine has no browser")
    try:
        from playwright.sync_api import Error, sync_playwright
    except ModuleNotFoundError:
        pytest.fail(
            "no playwright to look at the report with\nfix: pip install playwright", pytrace=False
        )
    program = named or next(filter(None, map(shutil.which, NAMES)), None)
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(executable_path=program, args=_options())
        except Error as error:
            # It says why in its first line, and goes on for a page.
            why = str(error).splitlines()[0]
        else:
            try:
                yield started
            finally:
                started.close()
            return
    pytest.fail(f"no browser to look at the report with: {why}\nfix: {FIX}", pytrace=False)


def _options() -> list[str]:
    # Chromium refuses its sandbox to root, which a container's only user often is.
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    return [*OPTIONS, *(["--no-sandbox"] if root else [])]
