"""Pictures for docs/screenshots: what a test has in Chromium or in tmux, if SPLICER_SCREENSHOTS names a directory."""

from __future__ import annotations

import os
from io import StringIO
from pathlib import Path

from playwright.sync_api import Browser
from rich.color import Color
from rich.console import Console
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

_THEME = DIMMED_MONOKAI
# Rich reverses named colours only, so the terminal's own are named: at the beginning, and where tmux goes back to them.
_INK, _PAPER = _THEME.foreground_color, _THEME.background_color
_PLAIN = Style(color=Color.from_triplet(_INK), bgcolor=Color.from_triplet(_PAPER))
_BACK = {"\x1b[39m": "\x1b[38;2;{};{};{}m".format(*_INK), "\x1b[49m": "\x1b[48;2;{};{};{}m".format(*_PAPER)}
_STYLE = "margin: 0; padding: 12px; font: 14px/1.25 'DejaVu Sans Mono', monospace; width: max-content"
_PAGE = (
    f'<body style="margin: 0; background: {{background}}"><pre style="{_STYLE}; color: {{foreground}}">{{code}}</pre>'
)


def keep(name: str, png: bytes) -> None:
    """Write a picture into the directory, if there is one."""
    if directory := os.environ.get("SPLICER_SCREENSHOTS"):
        (Path(directory) / name).write_bytes(png)


def terminal_picture(browser: Browser, screen: str, width: int) -> bytes:
    """A terminal's screen as a browser draws it.

    Args:
        browser: draws it.
        screen: its lines with their colours (ECMA-48), as `tmux capture-pane -e` has them.
        width: characters of a line.
    """
    console = Console(file=StringIO(), record=True, width=width, color_system="truecolor", force_terminal=True)
    for code, named in _BACK.items():
        screen = screen.replace(code, named)
    console.print(Text.from_ansi(screen, style=_PLAIN), end="", soft_wrap=True)
    page = browser.new_page(viewport={"width": 1600, "height": 300})
    try:
        page.set_content(console.export_html(theme=_THEME, inline_styles=True, code_format=_PAGE))
        return page.locator("pre").screenshot()
    finally:
        page.close()
