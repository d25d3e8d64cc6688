"""What the demo platform holds: two tenants, the same at every start.

Ids are hashes of names: opaque like the platform's, never the same in two
tenants, and they survive a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from itertools import cycle, islice, product
from typing import Any, NamedTuple

__all__ = [
    "BUNKER_LIFECYCLES",
    "BUNKER_STATUSES",
    "KEYS",
    "PLANTED_SECRET",
    "SYSTEM_QUEUES",
    "TENANTS",
    "USERS",
    "Record",
    "Tenant",
    "User",
    "tenant",
]

Record = dict[str, Any]

TENANTS = ("tnt_acme", "tnt_globex")
PLANTED_SECRET = "hunter2-never-leaves"
"""Stands in every bunker's `env_vars`; seen anywhere behind the proxy, it is a leak."""

KEYS = {name: f"sgk_demo_{name.removeprefix('tnt_')}_4f1c9a7e2b6d" for name in TENANTS}
"""Each tenant's ScaiGrid key. Good for the demo platform and nothing else."""

SYSTEM_QUEUES = ("_dead_letter", "_events", "_audit", "_integrity", "_corrections")
BUNKER_STATUSES = (
    "running", "ready", "pending", "provisioning", "paused",
    "failed", "error", "terminating", "terminated", "deleted",
)  # fmt: skip
BUNKER_LIFECYCLES = ("ephemeral", "session", "persistent", "appliance")


class User(NamedTuple):
    """Somebody who can sign in."""

    subject: str
    tenant: str
    roles: tuple[str, ...]


USERS = {
    "viewer": User("usr_acme_vera", "tnt_acme", ("tenant_viewer",)),
    "admin": User("usr_acme_anders", "tnt_acme", ("tenant_admin",)),
    "user": User("usr_acme_ulla", "tnt_acme", ("tenant_user",)),
    "globex": User("usr_globex_hank", "tnt_globex", ("tenant_viewer",)),
}
"""By the name the demo gives their tokens."""


@dataclass(frozen=True)
class Tenant:
    """All records of one tenant; `queues` by scope id."""

    id: str
    models: tuple[Record, ...] = ()
    scopes: tuple[Record, ...] = ()
    queues: dict[str, tuple[Record, ...]] | None = None
    bunkers: tuple[Record, ...] = ()

    def queues_of(self, scope: str) -> tuple[Record, ...] | None:
        """The queues of the scope with this id or slug, None when there is no such scope."""
        for record in self.scopes:
            if scope in (record["id"], record["slug"]):
                return (self.queues or {})[record["id"]]
        return None


# slug | display name | modality | context window | max output tokens | status
_MODELS = """
openai/gpt-4o|GPT-4o|chat|128000|16384
openai/gpt-4o-mini|GPT-4o mini|chat|128000|16384
openai/gpt-4.1|GPT-4.1|chat|1047576|32768
openai/gpt-4.1-mini|GPT-4.1 mini|chat|1047576|32768
openai/gpt-4.1-nano|GPT-4.1 nano|chat|1047576|32768
openai/o3|o3|chat|200000|100000
openai/o4-mini|o4-mini|chat|200000|100000
openai/gpt-3.5-turbo|GPT-3.5 Turbo|chat|16385|4096|deprecated
openai/text-embedding-3-small|Text Embedding 3 Small|embedding|8191|
openai/text-embedding-3-large|Text Embedding 3 Large|embedding|8191|
openai/text-embedding-ada-002|Ada 002|embedding|8191||deprecated
openai/gpt-image-1|GPT Image 1|image||
openai/dall-e-3|DALL·E 3|image|||deprecated
openai/whisper-1|Whisper|audio||
openai/gpt-4o-transcribe|GPT-4o Transcribe|audio|16000|2000
openai/tts-1|TTS 1|audio||
openai/tts-1-hd|TTS 1 HD|audio||
anthropic/claude-opus-4|Claude Opus 4|chat|200000|32000
anthropic/claude-sonnet-4|Claude Sonnet 4|chat|200000|64000
anthropic/claude-3.7-sonnet|Claude 3.7 Sonnet|chat|200000|64000
anthropic/claude-3.5-haiku|Claude 3.5 Haiku|chat|200000|8192
google/gemini-2.5-pro|Gemini 2.5 Pro|chat|1048576|65536
google/gemini-2.5-flash|Gemini 2.5 Flash|chat|1048576|65536
google/gemini-embedding-001|Gemini Embedding|embedding|2048|
google/imagen-4|Imagen 4|image||
mistral/mistral-large|Mistral Large|chat|131072|32768
mistral/mistral-small|Mistral Small|chat|131072|32768
mistral/codestral|Codestral|chat|262144|32768
mistral/ministral-8b|Ministral 8B|chat|131072|32768
mistral/mistral-embed|Mistral Embed|embedding|8192|
mistral/voxtral-small|Voxtral Small|audio|32768|8192
meta/llama-3.3-70b-instruct|Llama 3.3 70B Instruct|chat|131072|8192
meta/llama-4-maverick|Llama 4 Maverick|chat|1048576|16384
meta/llama-3.1-8b-instruct|Llama 3.1 8B Instruct|chat|131072|8192
qwen/qwen3-235b-a22b|Qwen3 235B A22B|chat|131072|16384
qwen/qwen3-coder-30b|Qwen3 Coder 30B|chat|262144|32768
qwen/qwen2.5-vl-72b|Qwen2.5 VL 72B|chat|131072|8192
qwen/qwen3-embedding-8b|Qwen3 Embedding 8B|embedding|32768|
deepseek/deepseek-v3|DeepSeek V3|chat|131072|16384
deepseek/deepseek-r1|DeepSeek R1|chat|131072|32768
cohere/command-a|Command A|chat|256000|8192
cohere/embed-v4|Embed v4|embedding|128000|
bge/bge-m3|BGE M3|embedding|8192|
stability/stable-diffusion-3.5|Stable Diffusion 3.5 Large|image||
bfl/flux-1.1-pro|FLUX 1.1 Pro|image||
bfl/flux-1-schnell|FLUX.1 schnell|image||
elevenlabs/multilingual-v2|Eleven Multilingual v2|audio||
partner/northwind/legal-nl-13b|Northwind Legal NL 13B|chat|32768|4096
partner/northwind/contracts-embed|Northwind Contracts Embed|embedding|4096|
partner/meridian/radiology-v2|Meridian Radiology v2|chat|65536|8192
partner/meridian/dictation|Meridian Dictation|audio||
"""

# Seen by one tenant only; the tenant's short name stands for {t}.
_OWN_MODELS = """
tenant/{t}/support-tuned|Support, fine-tuned|chat|128000|16384
tenant/{t}/house-style|House style|chat|32768|8192
tenant/{t}/catalogue-embed|Catalogue embeddings|embedding|8192|
tenant/{t}/product-shots|Product shots|image||
scaicore/{t}/triage|Triage core|chat|128000|8192
scaicore/{t}/invoice-reader|Invoice reader core|chat|128000|8192
scaicore/{t}/contract-review|Contract review core|chat|200000|16384
scaicore/{t}/night-watch|Night watch core|chat|65536|4096
scaicore/{t}/meeting-notes|Meeting notes core|audio||
"""

# slug | display name | description | what its queues are about
_SCOPES = """
billing|Billing|Invoices, payments and what follows them|invoices payments refunds dunning
orders|Orders|From basket to parcel|baskets orders returns backorders
support|Customer support|Tickets and conversations|tickets chats callbacks complaints
onboarding|Onboarding|New customers and their checks|signups identity-checks contracts welcomes
documents|Documents|Everything that is scanned or uploaded|scans uploads classifications archives
marketing|Marketing|Campaigns and audiences|campaigns audiences newsletters surveys
logistics|Logistics|Warehouses and carriers|shipments pickups customs stock
risk|Risk and fraud|Signals and decisions|signals cases decisions watchlists
hr|People|Hiring and staff requests|applications interviews leave-requests expenses
research|Research|Experiments and evaluations|experiments datasets evaluations papers
platform|Platform engineering|Builds, deployments and incidents|builds deployments incidents alerts
legal|Legal|Contracts and requests from authorities|reviews disputes subject-requests filings
"""

_IMAGES = (
    "registry.scailabs.ai/bunkers/python:3.11",
    "registry.scailabs.ai/bunkers/jupyter:2026.05",
    "registry.scailabs.ai/bunkers/browser:131",
    "registry.scailabs.ai/bunkers/vllm:0.9.1-cuda12",
    "registry.scailabs.ai/bunkers/postgres:16",
)
_PURPOSES = ("crawler", "notebook", "report-builder", "code-runner", "vector-index", "ocr-worker", "sandbox")
_PRICES = {"chat": (2.5, 10.0), "embedding": (0.1, 0.0), "image": (5.0, 40.0), "audio": (1.5, 6.0)}


def _id(prefix: str, *names: str) -> str:
    return f"{prefix}_{sha256('/'.join(names).encode()).hexdigest()[:16]}"


def _lines(table: str) -> list[list[str]]:
    return [line.split("|") for line in table.strip().splitlines()]


def _model(index: int, line: list[str]) -> Record:
    slug, name, modality, context, output, status = [*line, "active"][:6]
    paid, earned = _PRICES[modality]
    backends = 1 + index % 3
    sick = index % 17 == 11
    record: Record = {
        "slug": slug,
        "display_name": name,
        "description": f"{name}, a model for {modality}, served by {slug.split('/')[0]}.",
        "modality": modality,
        "status": status,
        "health_status": "degraded" if sick else "healthy",
        "active_backend_count": backends - sick,
        "total_backend_count": backends,
        "input_price_per_mtok": paid,
        "output_price_per_mtok": earned,
    }
    numbers = {"context_window": context, "max_output_tokens": output}
    return record | {field: int(text) for field, text in numbers.items() if text}


def _scope(tenant: str, line: list[str]) -> Record:
    slug, name, description, _ = line
    return {
        "id": _id("scp", tenant, slug),
        "slug": slug,
        "display_name": name,
        "description": description,
        "state": "active",
    }


def _queue(scope: Record, index: int, slug: str) -> Record:
    system = slug.startswith("_")
    broadcast = slug in ("_events", "_audit") or (not system and index % 5 == 4)
    return {
        "id": _id("que", scope["id"], slug),
        "scope_id": scope["id"],
        "slug": slug,
        "display_name": slug.strip("_").replace("-", " ").replace("_", " ").capitalize(),
        "consumer_mode": "broadcast" if broadcast else "competing",
        "ordering": "fifo" if system else ("fifo", "priority", "deadline")[index % 3],
        "max_retries": 0 if system else 3 + index % 4,
        "max_depth": 100_000,
        "visibility_timeout_s": 30 * (1 + index % 4),
        "depth_pending": (index * 37) % 211,
        "depth_claimed": (index * 13) % 7,
        "state": "paused" if index % 29 == 28 else "active",
    }


def _queues(scope: Record, topics: str, steps: tuple[str, ...]) -> tuple[Record, ...]:
    slugs = [f"{topic}-{step}" for topic, step in product(topics.split(), steps)]
    return tuple(_queue(scope, i, slug) for i, slug in enumerate([*slugs, *SYSTEM_QUEUES]))


def _bunker(tenant: str, index: int, status: str, lifecycle: str) -> Record:
    name = f"{_PURPOSES[index % len(_PURPOSES)]}-{index + 1:02d}"
    gpu = index % 5 == 3
    return {
        "bunker_id": _id("bnk", tenant, name),
        "tenant_id": tenant,
        "name": name,
        "image_ref": _IMAGES[index % len(_IMAGES)],
        "lifecycle": lifecycle,
        "status": status,
        "network_profile": ("isolated", "egress-allowlist", "internal")[index % 3],
        "cpu_millicores": 500 * (1 + index % 8),
        "memory_mb": 1024 * (1 + index % 8),
        "disk_mb": 10_240 * (1 + index % 4),
        "gpu_count": int(gpu),
        "gpu_type": "l40s" if gpu else None,
        "label_set": {"team": _lines(_SCOPES)[index % 12][0], "env": "prod" if index % 2 else "dev"},
        "created_at": f"2026-05-{1 + index % 28:02d}T08:{index % 60:02d}:00Z",
        "env_vars": {"DEMO_PASSWORD": PLANTED_SECRET, "LOG_LEVEL": "info", "WORKER": str(index)},
    }


def _build(
    tenant: str, models: str, scopes: int, steps: tuple[str, ...], states: list[tuple[str, str]]
) -> Tenant:
    lines = _lines(_SCOPES)[:scopes]
    made = [_scope(tenant, line) for line in lines]
    return Tenant(
        tenant,
        tuple(_model(i, line) for i, line in enumerate(_lines(models))),
        tuple(made),
        {scope["id"]: _queues(scope, line[3], steps) for scope, line in zip(made, lines, strict=True)},
        tuple(_bunker(tenant, i, *state) for i, state in enumerate(states)),
    )


@cache
def tenant(tenant_id: str) -> Tenant:
    """The tenant of this id; one the platform does not know has nothing."""
    own = _OWN_MODELS.replace("{t}", tenant_id.removeprefix("tnt_")).strip()
    if tenant_id == "tnt_acme":
        states = list(product(BUNKER_STATUSES, BUNKER_LIFECYCLES))
        return _build(tenant_id, f"{_MODELS.strip()}\n{own}", 12, ("intake", "review", "export"), states)
    if tenant_id == "tnt_globex":
        public = _MODELS.strip().splitlines()[:14:2]
        few = list(islice(zip(BUNKER_STATUSES, cycle(BUNKER_LIFECYCLES), strict=False), 6))
        return _build(tenant_id, "\n".join([*public, *own.splitlines()[:2]]), 3, ("intake", "export"), few)
    return Tenant(tenant_id)
