"""The page of a batch of photos: thumbnails, labels, scores as bars, sorted and filtered."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.pages.shell import cut, element, escaped, page, picture, short, table, visible

Photo = Mapping[str, Any]
SCORES = ("sharpness", "exposure", "noise", "clip_iqa", "brisque")
_SORTS = (
    ("order", "as in the batch", 1), ("sharp", "sharpest", -1), ("sharp", "blurriest", 1),
    ("dark", "darkest", 1), ("dark", "brightest", -1), ("exposure", "best exposed", -1),
    ("noise", "noisiest", -1), ("clip-iqa", "best by CLIP-IQA", -1),
    ("brisque", "best by BRISQUE", -1),
)  # fmt: skip

_STYLE = """
* { box-sizing: border-box; }
body { font-size: 15px; max-width: 1400px; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.3rem; margin: 0 0 .25rem; overflow-wrap: anywhere; } p { margin: .25rem 0; }
td { overflow-wrap: anywhere; }
.bar { display: flex; flex-wrap: wrap; gap: .75rem; align-items: center; position: sticky; top: 0;
  background: Canvas; padding: .6rem 0; border-bottom: 1px solid var(--line); z-index: 1; }
#photos { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: .8rem;
  padding-top: .8rem; align-items: start; }
article { border: 1px solid var(--line); border-radius: 8px; padding: .6rem; min-width: 0; }
article[hidden] { display: none; }
@media (min-width: 560px) { article[data-twins] { grid-column: span 2; } }
.twins { display: grid; grid-template-columns: repeat(auto-fit, minmax(100px, 1fr)); gap: .4rem; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: .8rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
img { max-width: 100%; height: 150px; object-fit: contain; display: block; background: var(--soft);
  width: 100%; }
.none { display: block; height: 150px; background: var(--soft); text-align: center;
  padding-top: 60px; }
dl { display: grid; grid-template-columns: 5.2rem 1fr 2.4rem; gap: 0 .4rem; margin: .4rem 0;
  font-size: .8rem; align-items: center; }
dt, dd { margin: 0; }
meter { width: 100%; height: .8rem; }
.labels { display: flex; flex-wrap: wrap; gap: .25rem; }
.labels span { background: var(--soft); border-radius: 6px; padding: 0 .35rem; font-size: .8rem; }
.why { font-size: .75rem; overflow-wrap: anywhere; }
.facts { max-height: 6em; overflow: auto; }
"""

_SCRIPT = """
"use strict";
const place = document.getElementById("photos"), shown = document.getElementById("shown");
const cards = Array.from(place.children);
const value = (card, name) => {
  const told = card.getAttribute("data-" + name);
  return told === null ? NaN : Number(told);
};
function arrange() {
  const [name, way] = document.getElementById("sort").value.split(" ");
  const label = document.getElementById("label").value;
  const word = document.getElementById("word").value.toLowerCase();
  const twins = document.getElementById("twins").checked;
  let count = 0;
  for (const card of cards) {
    const labels = JSON.parse(card.getAttribute("data-labels"));
    const fits = (!label || labels.includes(label))
      && (!word || card.textContent.toLowerCase().includes(word))
      && (!twins || card.hasAttribute("data-twins"));
    card.hidden = !fits;
    count += fits;
  }
  const sorted = cards.slice().sort((a, b) => {
    const x = value(a, name), y = value(b, name);
    if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
    return (x - y) * Number(way) || value(a, "order") - value(b, "order");
  });
  place.replaceChildren(...sorted);
  shown.textContent = count;
}
for (const id of ["sort", "label", "twins"])
  document.getElementById(id).addEventListener("change", arrange);
document.getElementById("word").addEventListener("input", arrange);
"""


def photo_page(
    batch: Mapping[str, Any],
    contents: Mapping[str, str],
    thumbnails: Mapping[str, bytes],
    *,
    show_private: bool = False,
) -> str:
    """Return the page of `batch`, one HTML text that needs no other file.

    `contents` is the sha256 of each photo's standard image, `thumbnails` a JPEG of each content.
    Where a photo was taken, and by whom, is told only with `show_private`.
    """
    photos = batch["artifacts"]
    cards = [
        _card(at, photo, thumbnails.get(contents.get(photo["photo_id"], "")), show_private)
        for at, photo in enumerate(photos)
    ]
    failed = batch.get("failed", ())
    count = f'<span id="shown">{len(photos)}</span> of {len(photos)} photos shown'
    more = f', <a href="#failed">{len(failed)} failed</a>' if failed else ""
    head = element("h1", f"Photos of {short(batch['batch_id'])}") + element(
        "p", count + more, class_="soft"
    )
    body = head + _controls(photos) + f'<main id="photos">{"".join(cards)}</main>'
    body += _failures(failed)
    return page(f"Photos of {batch['batch_id']}", body, style=_STYLE, script=_SCRIPT)


def _controls(photos: Sequence[Photo]) -> str:
    labels = sorted({label["label"] for photo in photos for label in _labels(photo)})
    sorts = "".join(element("option", t, value=f"{name} {way}") for name, t, way in _SORTS)
    choices = '<option value="">any label</option>' + "".join(
        element("option", escaped(cut(label)), value=label) for label in labels
    )
    return (
        f'<div class="bar"><label>Sort <select id="sort">{sorts}</select></label>'
        f'<label>Label <select id="label">{choices}</select></label>'
        '<label>Find <input id="word" type="search" placeholder="name, camera, label"></label>'
        '<label><input id="twins" type="checkbox"> duplicates only</label></div>'
    )


def _card(at: int, photo: Photo, jpeg: bytes | None, show_private: bool) -> str:
    features = photo.get("features") or {}
    tech, raw = features.get("tech") or {}, features.get("tech_raw") or {}
    uris = [photo["original_uri"], *photo.get("duplicates", ())]
    twins = "".join(_figure(uri, jpeg) for uri in uris[:12])
    more = element("p", f"and {len(uris) - 12} more", class_="soft") if len(uris) > 12 else ""
    labels = "".join(
        element("span", f"{short(label['label'])} {label['confidence']:.0%}")
        for label in _labels(photo)
    )
    return element(
        "article",
        element("div", twins, class_="twins") + more + element("div", labels, class_="labels")
        + _bars(tech) + element("div", _facts(photo, show_private), class_="why facts")
        + _missing(features.get("missing") or {}),
        data_order=at,
        data_sharp=(raw.get("sharpness") or {}).get("log10_tile_p95"),
        data_dark=_middle(raw.get("exposure") or {}),
        data_exposure=tech.get("exposure"),
        data_noise=tech.get("noise"),
        data_clip_iqa=tech.get("clip_iqa"),
        data_brisque=tech.get("brisque"),
        data_labels=_json_list([label["label"] for label in _labels(photo)]),
        data_twins=len(uris) if len(uris) > 1 else None,
    )  # fmt: skip


def _figure(uri: str, jpeg: bytes | None) -> str:
    name = uri.rstrip("/").rpartition("/")[2] or uri
    return element(
        "figure", picture(jpeg, name) + element("figcaption", short(name), title=uri[:500])
    )


def _bars(tech: Mapping[str, float | None]) -> str:
    rows = []
    for name in SCORES:
        value = tech.get(name)
        told = "-" if value is None else f"{value:.2f}"
        bar = "" if value is None else f'<meter min="0" max="1" value="{value:.6f}"></meter>'
        rows.append(f"<dt>{name.replace('_', '-')}</dt><dd>{bar}</dd><dd>{told}</dd>")
    return f"<dl>{''.join(rows)}</dl>"


def _facts(photo: Photo, show_private: bool) -> str:
    exif = photo.get("exif") or {}
    names = ("camera", "lens", "focal_length", "aperture", "shutter_speed", "iso", "datetime")
    known = {n: exif[n] for n in names if exif.get(n) not in (None, "", "Unknown")}
    told = [short(f"ISO {value}" if n == "iso" else value) for n, value in known.items()]
    if show_private:
        told += _where(exif.get("gps"))
        told += [short(photo["owner"])] if photo.get("owner") else []
    return " · ".join(told)


def _where(gps: Any) -> list[str]:
    """Return where a photo was taken; what other pipelines write there may be anything."""
    if isinstance(gps, Mapping):
        return [short(f"{name} {value}") for name, value in gps.items()]
    return [short(gps)] if gps else []


def _missing(missing: Mapping[str, str]) -> str:
    names: dict[str, list[str]] = {}
    for name, reason in missing.items():
        names.setdefault(reason, []).append(name)
    return "".join(
        element("p", f"{short(', '.join(of))}: {short(reason)}", class_="why")
        for reason, of in names.items()
    )


def _failures(failed: Sequence[Photo]) -> str:
    if not failed:
        return ""
    rows = [
        [cut(f.get(name) or "") for name in ("original_uri", "stage", "reason")] for f in failed
    ]
    title = "1 photo failed" if len(failed) == 1 else f"{len(failed)} photos failed"
    return element("h2", title, id="failed") + table(("photo", "stage", "why"), rows)


def _middle(exposure: Mapping[str, Mapping[str, float]]) -> float | None:
    levels = [channel["p50"] for channel in exposure.values() if channel.get("p50") is not None]
    return sum(levels) / len(levels) if levels else None


def _labels(photo: Photo) -> Sequence[Mapping[str, Any]]:
    return (photo.get("features") or {}).get("clip_labels") or ()


def _json_list(words: Sequence[str]) -> str:
    """Return the words as the values of the label filter's options read."""
    return json.dumps([visible(word) for word in words])


def photo_table(photos: Sequence[Photo]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return header and rows of a table for the terminal: name, best label, the five scores."""
    rows = []
    for photo in photos:
        features = photo.get("features") or {}
        tech, best = features.get("tech") or {}, _labels(photo)
        missing = (features.get("missing") or {}).get("photo")
        label = f"{best[0]['label']} {best[0]['confidence']:.0%}" if best else missing or ""
        scores = ["" if tech.get(n) is None else f"{tech[n]:.2f}" for n in SCORES]
        name = photo["original_uri"].rpartition("/")[2]
        rows.append((_shortened(name), _shortened(str(label)), *scores))
    return ("photo", "best label", *SCORES), rows


def _shortened(word: str) -> str:
    """Return at most 48 characters, so that one long name does not widen every line."""
    return word if len(word) <= 48 else f"{word[:30]}...{word[-15:]}"
