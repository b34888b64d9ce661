"""Words of a query and how links are ranked."""

from __future__ import annotations

TAG, TITLE, HOST, NOTE = 4, 3, 2, 1
