"""What `scailookup demo` tells people once it serves."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from shlex import quote
from shutil import which

from scailookup.demo.faults import FAULTS_PATH
from scailookup.demo.issuer import AUDIENCE

__all__ = ["guide", "program"]

_TEXT = """\
scailookup demo: a made-up Scai platform, and the real service in front of it.

  page      {url}/console     (open it in a browser: every lookup, the upstreams, a switch for faults)
  lookups   {url}/api/v1        (the same under {url}/v1)
  metrics   {metrics}
  platform  {upstream}   (ScaiGrid with ScaiQueue and ScaiBunker, and ScaiKey)

Paste these first. The tokens live 24 hours and are good for this demo only:

URL='{url}'
PLATFORM='{upstream}'
{tokens}

Viewer and admin are of tnt_acme; so is the user, who lacks scaicore:view; globex is
a viewer of tnt_globex. Now ask:

{lookups}

The first of them as a table:

{call}

Somebody who may not (403), and whether the tenant has a ScaiGrid key:

{others}

How a lookup goes, step by step:

{doctor}

Break the platform, look, and mend it:

{faults}

Other faults: {{"delay":3}} {{"envelope":"items"}} {{"reset":true}} {{"html":true}} {{"empty":true}}
{{"redirect":true}} {{"rate_limit":false}}, each with a "path" prefix if you like. A list asked for before is
held in memory for minutes and hides them; the switch on the page empties it. Ctrl-C ends it all.
"""

_LOOKUPS = (
    "/scaigrid/models",
    "/scaigrid/models?modality=embedding&limit=5",
    "/scaiqueue/scopes",
    "/scaiqueue/scopes/billing/queues",
    "/scaibunker/bunkers",
)

_DOCTOR = (
    'printf %s "$ADMIN_TOKEN" | SCAIGRID_BASE_URL="$PLATFORM" SCAIKEY_BASE_URL="$PLATFORM" '
    f"SCAIKEY_AUDIENCE={AUDIENCE} {{program}} doctor --token-file -"
)

_CALL = 'SCAIKEY_TOKEN="$VIEWER_TOKEN" {program} call scaigrid/models --url "$URL"'


def _ask(path: str, user: str = "VIEWER") -> str:
    return f'curl -s -H "Authorization: Bearer ${user}_TOKEN" "$URL/api/v1{path}"'


def program(bin_dir: Path, path: str | None = None) -> str:
    """How a shell finds this `scailookup`: by its name where ``path`` leads to it, else by its place."""
    here = bin_dir / "scailookup"
    found = which("scailookup", path=path)
    if not here.exists() or (found is not None and Path(found).samefile(here)):
        return "scailookup"
    return quote(str(here))


def guide(url: str, admin_url: str | None, upstream: str, tokens: Mapping[str, str]) -> str:
    """The text: what runs where, the tokens as shell variables, and lines to paste."""
    own = program(Path(sys.executable).parent)
    switch = f'"$PLATFORM{FAULTS_PATH}"'
    faults = (
        f"curl -s -X POST -d '{{\"status\":500}}' {switch}",
        _ask("/scaigrid/models", "GLOBEX") + "   # globex has not asked yet: memory would hide it",
        f"curl -s -X DELETE {switch}",
    )
    return _TEXT.format(
        url=url,
        upstream=upstream,
        metrics=f"{admin_url}/metrics" if admin_url else "off",
        tokens="\n".join(f"{name.upper()}_TOKEN='{token}'" for name, token in tokens.items()),
        lookups="\n".join(map(_ask, _LOOKUPS)),
        others="\n".join((_ask("/scaigrid/models", "USER"), _ask("/tenants/me/scaigrid_credentials"))),
        faults="\n".join(faults),
        doctor=_DOCTOR.format(program=own),
        call=_CALL.format(program=own),
    )
