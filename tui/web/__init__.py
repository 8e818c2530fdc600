"""The terminal in a browser: who may come in, one process for each session, the page that shows it. Only
``twinloop tui --web`` loads this room; it needs the extra ``web`` (textual-serve, which brings aiohttp)."""
