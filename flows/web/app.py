"""The routes of the home page."""

import textwrap
from collections.abc import Callable
from html import escape
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException

from conf.errors import FeaturemillError, RecipeError
from conf.runtime import Runtime
from flows.web.guard import FILE_POLICY, REPORT_POLICY
from flows.web.home import Home
from storage.catalog import Entry
from storage.errors import UnknownArtifact
from storage.home import StoreView
from storage.home.beside import Beside, Sight
from storage.home.pictures import SIDES_PX, NoPicture
from tasks.home import find_images, words_for
from tasks.pages.home import ICON, home_page, link, style
from tasks.pages.home.artifacts import artifact_list, artifact_page, overview
from tasks.pages.home.images import (
    PAGE_IMAGES,
    Filter,
    Search,
    Shown,
    dataset_list,
    image_card,
    image_list,
    search_page,
)
from tasks.pages.home.runs import run_list, run_page, unfinished_page
from tasks.pages.shell import element, text, visible

_SHOWN_AS = {".jpg": "image/jpeg", ".png": "image/png"} | dict.fromkeys(
    (".json", ".txt", ".csv", ".md", ".jsonl"), "text/plain; charset=utf-8"
)
_FOREVER = "private, max-age=31536000, immutable"
"""For what is addressed by its content."""


def create_app(runtime: Runtime) -> FastAPI:
    """Return the application over the store of `runtime`; raises StoreError where there is none."""
    home = Home(runtime)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)

    def route(path: str, answer: Callable[..., Any]) -> None:
        app.add_api_route(path, answer, methods=["GET", "HEAD"], response_class=HTMLResponse)

    route("/", lambda: overview(home.view(), home.reports()))
    route("/style.css", lambda: Response(style(), media_type="text/css"))
    route("/icon.svg", lambda: Response(ICON, media_type="image/svg+xml"))
    route("/artifacts", _artifacts(home))
    route("/artifact/{key}", _artifact(home))
    route("/file/{key}/{name:path}", _file(home))
    route("/images", lambda page="": dataset_list(home.view(), _number(page)))
    route("/images/{key}", _images(home))
    route("/picture/{key}/{sha256}", _picture(home))
    route("/search", _search(home))
    route("/runs", lambda page="": run_list(home.view(), _number(page)))
    route("/run/{run_id}", _run(home))
    route("/unfinished", lambda: unfinished_page(home.view()))
    app.add_exception_handler(FeaturemillError, _problem(home))
    app.add_exception_handler(HTTPException, _problem(home))
    return app


def _number(words: str) -> int:
    return int(words) if words.isascii() and words.isdigit() and len(words) < 9 else 1


def _artifacts(home: Home) -> Callable[..., str]:
    def artifacts(kind: str = "", q: str = "", page: str = "") -> str:
        return artifact_list(home.view(), kind=kind, words=q, page=_number(page))

    return artifacts


def _artifact(home: Home) -> Callable[..., str]:
    def artifact(key: str, report: str = "") -> str:
        view = home.view()
        return artifact_page(view, view.manifest(key), report)

    return artifact


def _file(home: Home) -> Callable[..., Response]:
    def file(key: str, name: str) -> Response:
        path = home.file(key, name)
        if path.suffix == ".html":
            headers = {"content-security-policy": REPORT_POLICY, "cache-control": _FOREVER}
            return FileResponse(path, media_type="text/html; charset=utf-8", headers=headers)
        headers = {"content-security-policy": FILE_POLICY, "cache-control": _FOREVER}
        if kind := _SHOWN_AS.get(path.suffix):
            return FileResponse(path, media_type=kind, headers=headers)
        return FileResponse(
            path, media_type="application/octet-stream", filename=path.name, headers=headers
        )

    return file


def _images(home: Home) -> Callable[..., str]:
    def images(
        key: str, q: str = "", label: str = "", split: str = "", status: str = "", page: str = ""
    ) -> str:
        view = home.view()
        ledger = home.pictures.ledger(view, key)
        chosen = Filter(q, label, split, status)
        rows = chosen.rows(ledger)
        last = max(1, -(-len(rows) // PAGE_IMAGES))
        shown = Shown(_entry(view, key), ledger, rows, min(max(1, _number(page)), last), chosen)
        beside = Beside.of(view, key, str(ledger.content))
        sights = beside.sights([row.sha256 for row in shown.here if row.sha256])
        problems = [*filter(None, [home.pictures.problem(view, key)]), *beside.problems]
        told = {"sights": sights, "told_by": beside.told_by, "problems": problems}
        return image_list(view, Shown(**vars(shown) | told))

    return images


def _entry(view: StoreView, key: str) -> Entry:
    if key not in view.by_key:
        raise view.store.unknown(key)
    return view.by_key[key]


def _picture(home: Home) -> Callable[..., Response]:
    def picture(key: str, sha256: str, size: str = "small") -> Response:
        try:
            wanted = size if size in SIDES_PX else "small"
            data = home.pictures.jpeg(home.view(), key, sha256, wanted)
        except NoPicture as problem:
            headers = {"content-security-policy": FILE_POLICY}
            return Response(_words_as_picture(str(problem)), 404, headers, "image/svg+xml")
        headers = {"content-security-policy": FILE_POLICY, "cache-control": _FOREVER}
        return Response(data, media_type="image/jpeg", headers=headers)

    return picture


def _words_as_picture(words: str) -> str:
    """Return a drawing that says why there is no picture: an <img> can show no other words."""
    lines = textwrap.wrap(visible(words), 38)[:9]
    top = 120 - 10 * len(lines)
    said = "".join(
        f'<text x="160" y="{top + 20 * at}" text-anchor="middle" fill="#b3261e" '
        f'font-family="sans-serif" font-size="14">{escape(line)}</text>'
        for at, line in enumerate(lines, start=1)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 320 240" width="320" height="240">'
        f'<rect width="320" height="240" fill="#fbe7e5"/>{said}</svg>'
    )


def _search(home: Home) -> Callable[..., str]:
    def search(features: str = "", q: str = "", encode: str = "") -> str:
        view = home.view()
        chosen = _features(view, features)
        if chosen is None:
            return search_page(view, Search(None))
        known = words_for(view, chosen)
        asked = Search(chosen, q, bool(encode), known)
        if not q.strip():
            return search_page(view, asked)
        try:
            found = find_images(view, chosen, q, home.runtime, encode=bool(encode))
            dataset = str(chosen.made.get("dataset", "dataset"))
            ledger = home.pictures.ledger(view, dataset)
        except FeaturemillError as problem:  # unknown words, weights that are missing, no dataset
            return search_page(view, Search(chosen, q, bool(encode), known, problem=str(problem)))
        place = {sha: at for at, sha in enumerate(ledger.sha256)}
        sights = Beside.of(view, dataset, str(ledger.content)).sights(found.contents)
        cards = [
            image_card(dataset, ledger.row(place[sha]), sights.get(sha, Sight()), cosine)
            for sha, cosine in zip(found.contents, found.cosines, strict=True)
            if sha in place
        ]
        return search_page(view, Search(chosen, q, bool(encode), known, found, cards=cards))

    return search


def _features(view: StoreView, key: str) -> Entry | None:
    """Return the image features to search in: those asked for, else the newest that words fit."""
    if key:
        if not key.startswith("image-features-"):
            raise view.store.unknown(key)
        return _entry(view, key)
    found = [entry for entry in view.entries if entry.kind == "image-features"]
    fit = (e for e in found if e.made.get("dataset") in view.by_key and words_for(view, e))
    return next(fit, next(iter(found), None))


def _run(home: Home) -> Callable[..., str]:
    def run(run_id: str) -> str:
        view = home.view()
        found = next((one for one in view.runs if one.id == run_id), None)
        if found is None:
            raise UnknownArtifact(f"No run {run_id!r} is on record; the page of runs lists all.")
        return run_page(view, found)

    return run


def _problem(home: Home) -> Callable[[Request, Exception], Response]:
    """Return what answers an error: a page that says it, and where to go on."""

    def answer(request: Request, problem: Exception) -> Response:
        if isinstance(problem, HTTPException):
            status, words = problem.status_code, "There is no such page."
        else:
            is_missing = isinstance(problem, UnknownArtifact | RecipeError)
            status, words = 404 if is_missing else 500, str(problem)
        if request.url.path.startswith(("/file/", "/picture/")):
            return PlainTextResponse(f"{words}\n", status)
        body = element("div", element("h2", "That did not work") + element("p", text(words))
                       + link("Back to the overview"), class_="empty")  # fmt: skip
        page = home_page("That did not work", body, active="", store=str(home.store.path))
        return HTMLResponse(page, status)

    return answer
