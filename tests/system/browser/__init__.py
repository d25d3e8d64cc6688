"""Pages in a real Chromium: Debian's, driven by Playwright."""
