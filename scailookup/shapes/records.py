"""ScaiGrid's own model record as a typed one: what the rules of `models.py` would make of it.

msgspec decodes a page of such records straight from its bytes, and encodes them as the
rows they are. A record is taken only when the rules could come to nothing else: each
field of the row is of its kind or not given, and no other field that the rules would
look at is there. One record that is not so sends its whole page through the rules.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from scailookup.shapes.fields import LARGEST
from scailookup.shapes.models import EVERY_CANDIDATE

__all__ = ["ModelRecord"]

_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Count = Annotated[int, msgspec.Meta(gt=0, le=LARGEST)]


class _ModelRow(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """The row's fields, in the row's order; null is the same as not given."""

    slug: _Text
    display_name: _Text
    modality: Literal["chat", "embedding", "image", "audio"] | None = None
    context_window: _Count | None = None
    max_output_tokens: _Count | None = None
    description: str | None = None
    status: _Text | None = None
    health_status: _Text | None = None
    owned_by: _Text | None = None

    def __post_init__(self) -> None:
        """Refuse texts of blanks alone, which the rules pass over."""
        if (
            self.slug.isspace()
            or self.display_name.isspace()
            or (self.status is not None and self.status.isspace())
            or (self.health_status is not None and self.health_status.isspace())
            or (self.owned_by is not None and self.owned_by.isspace())
        ):
            raise ValueError("blank")


ModelRecord: Any = msgspec.defstruct(
    "ModelRecord",
    [(name, None, None) for name in sorted(EVERY_CANDIDATE - set(_ModelRow.__struct_fields__))],
    bases=(_ModelRow,),
    kw_only=True,
    omit_defaults=True,
    gc=False,
    namespace={"__doc__": "A row of ``model_row``; its other candidates may only be null or absent."},
)
