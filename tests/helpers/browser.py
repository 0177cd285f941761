"""The system's chromium, and pages of it whose failing scripts and requests to elsewhere fail a test."""

import contextlib
import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
TIMEOUT = 180_000  # milliseconds, for whatever a busy machine does in between


@contextlib.contextmanager
def launched(subject):
    """Yield a browser, or skip the test and say that ``subject`` is not driven."""
    sync_api = pytest.importorskip("playwright.sync_api", reason=f"{subject} is not driven: no playwright")
    if CHROMIUM is None:
        pytest.skip(f"{subject} is not driven: no chromium here")
    with sync_api.sync_playwright() as driver:
        try:
            words = {"executable_path": CHROMIUM, "args": ["--no-sandbox"], "timeout": TIMEOUT}
            browser = driver.chromium.launch(**words)
        except sync_api.Error as error:  # some systems install a placeholder
            pytest.skip(f"{subject} is not driven: {CHROMIUM} does not start: {str(error)[:200]}")
        yield browser
        browser.close()


@contextlib.contextmanager
def strict_page(browser, width=1280, height=800, **options):
    """Yield a page; ``page.wrong`` lists what must not happen and is empty at the end."""
    viewport = {"width": width, "height": height}
    with contextlib.closing(browser.new_context(viewport=viewport, **options)) as context:
        context.set_default_timeout(TIMEOUT)
        page = context.new_page()
        page.wrong = []
        page.on("pageerror", lambda error: page.wrong.append(str(error)))
        page.on("request", lambda request: page.wrong.extend([request.url] * (not _is_here(request.url))))
        page.on(
            "console",
            lambda message: page.wrong.extend([message.text] * ("Content Security" in message.text)),
        )
        page.on("dialog", lambda dialog: dialog.accept())
        try:
            yield page
        except Exception as error:
            with contextlib.suppress(Exception):  # it may be gone
                error.add_note(f"the page says: {page.inner_text('body')}")
            raise
        assert page.wrong == []


def _is_here(url):
    return "127.0.0.1" in url or url.startswith("data:")
