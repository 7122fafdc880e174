"""Parse YAML into nodes, without aliases and anchors."""

from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.resolver import Resolver

try:
    from yaml.cyaml import CParser  # type: ignore[attr-defined] # not in its stub
except ImportError:  # built without libyaml
    CParser = None  # type: ignore[assignment,misc]

_ALIAS = "aliases are not allowed: write the value out, a text with * in quotes"
_ANCHOR = "anchors are not allowed: write a text that begins with & in quotes"


class _Strict(Composer):
    """Rejects aliases and anchors, so that no node can contain itself and no text is lost."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[attr-defined] # the parser's
        mark: Any = getattr(event, "start_mark", None)
        if isinstance(event, yaml.AliasEvent):
            raise yaml.MarkedYAMLError(problem=_ALIAS, problem_mark=mark)
        if getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(problem=_ANCHOR, problem_mark=mark)
        return super().compose_node(parent, index)


class _PreciseLoader(_Strict, yaml.SafeLoader):
    """PyYAML's own parser, whose errors are more precise."""


def parse(text: str) -> tuple[SafeConstructor, yaml.Node | None]:
    """Return a loader, to construct values with, and the document's root.

    libyaml's parser is four times as fast, which counts for thousands of values. Raises YAMLError,
    or RecursionError if the text nests too deeply.
    """
    loader: Any
    if CParser is not None:
        try:
            loader = _FastLoader(text)
            return loader, loader.get_single_node()
        except (yaml.YAMLError, UnicodeEncodeError):
            pass  # the other parser says what is wrong
    loader = _PreciseLoader(text)
    return loader, loader.get_single_node()


if CParser is not None:

    class _FastLoader(_Strict, CParser, SafeConstructor, Resolver):
        """libyaml's parser; the nodes are made by PyYAML."""

        def __init__(self, text: str) -> None:
            CParser.__init__(self, text)
            Composer.__init__(self)
            SafeConstructor.__init__(self)
            Resolver.__init__(self)
