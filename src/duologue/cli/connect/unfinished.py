"""Whether a text typed so far is JSON that goes on: the editor's question at every Enter.

Only arrays and objects are looked at; other texts are sent as they are. Newlines may stand between
JSON's tokens only, so that a text goes on exactly if what is wrong with it is its end.
"""

from __future__ import annotations

import json

__all__ = ["goes_on"]


def goes_on(text: str) -> bool:
    """Tells whether a text is the beginning of a JSON array or object that a next line may finish.

    Args:
        text: What has been typed. A last line that is empty says that nothing will follow.
    """
    if text.endswith("\n"):
        return False
    text = text.rstrip()
    if not text.lstrip().startswith(("[", "{")):
        return False
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error.pos >= len(text)
    except RecursionError:
        return False
    return False
