"""Bookmark files and JSON lines, in and out."""

from __future__ import annotations
