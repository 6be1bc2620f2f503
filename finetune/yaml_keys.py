"""YAML in which a key that stands twice is a fault: YAML forbids it, and PyYAML takes the last unasked."""

from __future__ import annotations

from typing import Any

import yaml


class TwiceError(yaml.YAMLError):
    """A key stands in a mapping twice, the second time at `line`."""

    def __init__(self, key: str, line: int):
        self.key, self.line = key, line


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which raises TwiceError."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """A mapping of a node, whose keys are all different."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise TwiceError(key.value, key.start_mark.line + 1)
                seen.add(key.value)
        return super().construct_mapping(node, deep)
