"""Reading records of unknown make: typed fields under many names, and model lists in particular.

Plain functions from a raw JSON object to a value or None. None means "not given":
nothing here invents a value, and a value of the wrong type counts as not given.
"""

from scailookup.shapes.fields import at, count, only, prose, text, texts, whole
from scailookup.shapes.models import model_row
from scailookup.shapes.records import ModelRecord

__all__ = ["ModelRecord", "at", "count", "model_row", "only", "prose", "text", "texts", "whole"]
