"""The report: one file, no names, readable by machines and by people who can't see it."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pandas as pd
import pytest

from precisionpain.cohort import Cohort
from precisionpain.report import render_report

_VOID = {"meta", "img", "br", "hr", "link", "input"}


class _Page(HTMLParser):
    """Collects elements and texts, and checks that elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open[-1:] == [tag], f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(data for tag, data in self.texts if tag != "style")


@pytest.fixture(scope="module")
def raw(folder) -> str:
    return (folder / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(raw) -> _Page:
    return _Page(raw)


def test_elements_are_closed_and_ids_are_unique(page):
    assert page.open == []
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    targets = [a["href"] for a in page.named("a")]
    assert {t.removeprefix("#") for t in targets if t} <= set(ids)


def test_nothing_is_loaded_and_nothing_runs(raw, page):
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for _, attrs in page.elements:
        assert not any(name.startswith("on") for name in attrs)
        for name in ("src", "href"):
            value = attrs.get(name)
            assert value is None or value.startswith(("#", "data:image/png;base64,"))
    style = next(data for tag, data in page.texts if tag == "style")
    assert "url(" not in style
    assert "@import" not in style
    assert len(raw.encode()) < 2_000_000


def test_no_person_is_named_even_where_the_cleaning_log_does(raw, page, study):
    assert "pt-0007x" in str(study.cohort.provenance["detail"].iloc[0])
    assert not any(identifier in raw for identifier in study.cohort.subject_ids)
    assert "the age of [person] was corrected" in page.text


def test_short_numeric_ids_go_only_where_they_are_quoted():
    from precisionpain.report.html import _redactor

    class Fake:
        cohort = Cohort(pd.DataFrame({"age": [50.0, 60.0]}, index=["12", "1001"]))

    clean = _redactor(Fake())  # type: ignore[arg-type]
    assert clean("12 values of '12' and 1001") == "12 values of '[person]' and [person]"


def test_synthetic_people_are_announced(page, raw):
    assert "Synthetic data." in page.text
    assert page.text.count("Synthetic data.") >= 2  # banner and footer
    alts = [img["alt"] for img in page.named("img")]
    assert all(alt is not None and alt.startswith("Synthetic data.") for alt in alts)


def test_real_people_have_no_synthetic_banner(study):
    import dataclasses

    real = Cohort(**{**study.cohort._parts(), "synthetic": False})
    image = base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    names = ["flow", "availability", "auc_forest", "roc", "fold_auc", "permutation",
             "decision_curve", *(f"calibration_{m}" for m in study.shap),
             *(f"shap_{m}" for m in study.shap)]  # fmt: skip
    text = render_report(
        dataclasses.replace(study, cohort=real), dict.fromkeys(names, (image, "a dot"))
    )
    page = _Page(text)
    assert "ynthetic" not in page.text.replace("hidden truth of synthetic data", "")
    assert page.text.count("esearch use only") == 2


def test_research_use_only_stands_in_header_and_footer(page):
    assert page.text.count("esearch use only") == 2


def test_it_is_accessible(page):
    assert page.named("html")[0]["lang"] == "en"
    assert "width=device-width" in str(page.named("meta")[1]["content"])
    assert all(img.get("alt") for img in page.named("img"))
    assert all(th.get("scope") in ("col", "row") for th in page.named("th"))
    assert len(page.named("caption")) == len(page.named("table")) > 10
    assert len(page.named("h1")) == 1
    assert len(page.named("main")) == len(page.named("nav")) == 1
    regions = [div for div in page.named("div") if div.get("role") == "region"]
    assert len(regions) == len(page.named("table")) + len(page.named("img"))
    assert all(r["tabindex"] == "0" and r["aria-label"] for r in regions)


def test_every_section_is_there(page):
    sections = [s["id"] for s in page.named("section")]
    assert sections == ["summary", "people", "table1", "predictors", "models", "calibration",
                        "explanations", "checks", "methods", "provenance", "versions"]  # fmt: skip


def test_the_numbers_are_those_of_the_study(page, study):
    for sentence in study.headline:
        assert sentence in page.text
    for result in study.results.values():
        assert f"{result.summary().loc['brier', 'estimate']:.3f}" in page.text
    assert study.primary.fold_key in page.text
    assert "Riley" in page.text
    assert "p is at least 0.0500" in page.text  # 19 permutations


def test_names_are_escaped(raw):
    assert "made &lt;up&gt; &amp; small" in raw
    assert "<up>" not in raw


def test_pictures_are_those_that_were_saved(page, folder):
    sources = [str(img["src"]) for img in page.named("img")]
    inside = {base64.b64decode(source.partition(",")[2]) for source in sources}
    assert inside == {path.read_bytes() for path in (folder / "figures").glob("*.png")}


def test_dark_mode_print_and_narrow_screens_have_rules(page):
    style = next(data for tag, data in page.texts if tag == "style")
    for rule in ("prefers-color-scheme: dark", "@media print", "max-width: 40rem"):
        assert rule in style
    assert re.search(r"\.scroll\s*{[^}]*overflow-x: auto", style)
