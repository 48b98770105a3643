"""Names that the tried libraries take by `from … import …`, unguarded, and OneFlow lacks.

diffusers 0.35.2 and 0.41.0, transformers 4.57.1 and 5.20.2 would not import without them. Each is
given as a placeholder to that statement alone: `hasattr` and `getattr` answer that it is not
there, and using it raises.
"""

from __future__ import annotations

PLACEHOLDERS: frozenset[str] = frozenset(())
