"""The findings of a run as a page of the repository: Markdown, figures as WebP beside it."""

import re
from pathlib import Path

from PIL import Image

_FIGURE = re.compile(r"\]\(figures/([^)]+)\.png\)")


def publish(run: Path, page: Path, introduction: str) -> Path:
    """Write `page` from the `findings.md` of a run folder, and its figures into a folder of the page's name.

    Args:
        run: the run folder, whose report was written.
        page: the Markdown file.
        introduction: a paragraph that stands under the title.
    """
    title, rest = (run / "findings.md").read_text(encoding="utf-8").split("\n", 1)
    figures = page.parent / page.stem
    figures.mkdir(parents=True, exist_ok=True)
    for name in _FIGURE.findall(rest):
        with Image.open(run / "figures" / f"{name}.png") as picture:
            picture.convert("RGB").save(figures / f"{name}.webp", quality=85, method=6)
    linked = _FIGURE.sub(rf"]({page.stem}/\1.webp)", rest)
    page.write_text(f"{title}\n\n{introduction}\n{linked}", encoding="utf-8")
    return page
