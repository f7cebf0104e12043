"""An mkdocs hook: README.md, CHANGELOG.md and the plugins' pages join the site, under the paths that they have here.

So a method's page is its plugin's README, and nothing is written twice. The site is the repository with
``docs/`` as its root; links between pages are turned accordingly, and a link to a file that is no page (a script, the
licence) becomes its text.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parent.parent
_LINK = re.compile(r"\[(?P<text>[^\]]*)\]\((?P<path>[^)\s:#]+)(?P<heading>#[^)\s]*)?\)")


def on_files(files: Files, *, config: Any) -> Files:
    """Add the pages that lie outside of ``docs/``."""
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(ROOT.glob("plugins/*/*.md"))]:
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: Any, files: Files) -> str:
    """Links as they are in the repository become links within the site."""
    pages = {Path(file.abs_src_path or ""): file.src_uri for file in files.documentation_pages()}
    folder = Path(page.file.abs_src_path or "").parent

    def link(match: re.Match[str]) -> str:
        target = (folder / match["path"]).resolve()
        if target in pages:
            path = os.path.relpath(pages[target], Path(page.file.src_uri).parent)
            return f"[{match['text']}]({path}{match['heading'] or ''})"
        inside = target.is_relative_to(ROOT / "docs")
        return match["text"] if target.exists() and not inside else match[0]

    return _LINK.sub(link, markdown)
