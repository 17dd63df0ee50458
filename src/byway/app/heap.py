"""The heap of a control plane: most of it stays as long as the mesh does, so looking for garbage in it is mostly in vain.

At Python's own pace (a look at every 700 new objects) a third of the time of a push to a thousand proxies went into that.
"""

from __future__ import annotations

import gc
from typing import Final

_PACE: Final = (20_000, 20, 50)
"""New objects for a look at the new ones; such looks for one at the middle-aged; those for one at all that is not set aside."""


def collect_rarely() -> None:
    """From now on garbage that refers to itself is looked for seldom; all other goes at once, as ever."""
    gc.set_threshold(*_PACE)


def set_aside() -> None:
    """What is there now stays: a full look that walked through it would stop all streams for a second."""
    gc.collect()
    gc.freeze()
