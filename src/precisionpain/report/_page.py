"""What the HTML pages share: the templates, pictures inside the page, texts without ids."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **context: Any) -> str:
    """Render a template of this room, with its styles; whatever is put in is escaped."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    css = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(css=css, **context)


def picture(image: bytes, alt: str, scale: float = 0.64) -> dict[str, Any]:
    """Return a PNG as it goes into a page.

    Width and height stand in its header; by default shown at 96 dots per inch for 150 drawn.
    """
    width, height = (int.from_bytes(image[a : a + 4], "big") for a in (16, 20))
    return {
        "src": f"data:image/png;base64,{base64.b64encode(image).decode()}",
        "alt": alt,
        "width": round(width * scale),
        "height": round(height * scale),
    }


def redactor(ids: Iterable[Any], instead: str = "[person]") -> Callable[[str], str]:
    """Return a function that takes subject ids out of a text."""
    known = sorted(map(str, ids), key=len, reverse=True)
    # A short number is as likely a count; only as a quoted value is it an id.
    short = [re.escape(i) for i in known if i.isdigit() and len(i) < 4]
    long = [re.escape(i) for i in known if not (i.isdigit() and len(i) < 4)]
    parts = [rf"(?<![\w-])(?:{'|'.join(long)})(?![\w])"] if long else []
    parts += [rf"(?<=['\"])(?:{'|'.join(short)})(?=['\"])"] if short else []
    pattern = re.compile("|".join(parts)) if parts else None
    return lambda text: text if pattern is None else pattern.sub(instead, text)


def redacted(value: Any, clean: Callable[[str], str]) -> Any:
    """Clean every text in a nest of lists and mappings; keys stay."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: redacted(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item, clean) for item in value]
    return value
