"""What a first and a second visit of the page of a running `make serve` load: `python -m bench.page.weight [URL]`."""

from __future__ import annotations

import argparse
import shutil

from playwright.sync_api import Page, sync_playwright

LOADED = """() => {
    const all = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const page = all.filter(({ name }) => !name.includes('/apiv1/'));
    const sum = (what) => page.reduce((total, entry) => total + entry[what], 0);
    const paint = performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? NaN;
    return [page.filter((entry) => entry.transferSize).length, sum('transferSize'), sum('decodedBodySize'), paint];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what a visit of the page loads.")
    parser.add_argument("url", nargs="?", default="http://localhost:5000", help="of a running `make serve`")
    url = parser.parse_args().url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        # A browser counts what a service worker hands over as transferred, although nothing was.
        page = browser.new_context(base_url=url, service_workers="block").new_page()
        report("first visit", page)
        page.goto("about:blank")
        report("second visit", page)
        browser.close()


def report(name: str, page: Page) -> None:
    page.goto("/", wait_until="networkidle")
    requests, transferred, decoded, paint = page.evaluate(LOADED)
    print(
        f"{name}: {requests} requests, {transferred / 1e3:.1f} kB transferred, {decoded / 1e3:.1f} kB decoded,"
        f" first paint after {paint:.0f} ms"
    )


if __name__ == "__main__":
    main()
