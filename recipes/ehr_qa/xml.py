"""FHIR's XML as the JSON that the rest reads (https://hl7.org/fhir/R4/xml.html)."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree  # expat bounds what entities can grow to, and fetches nothing

_DEEPEST = 200
_XHTML = "{http://www.w3.org/1999/xhtml}"


def read_xml(text: str) -> Any:
    """A resource or Bundle; what is there once is no list, which `bundle.at` and `bundle.each` take as one.

    Raises:
        ElementTree.ParseError: it is no XML.
    """
    root = ElementTree.fromstring(text)
    level = [root]
    for _ in range(_DEEPEST):
        level = [child for node in level for child in node]
        if not level:
            return _resource(root)
    raise ElementTree.ParseError(f"it nests deeper than {_DEEPEST} levels")


def _resource(node: ElementTree.Element) -> dict[str, Any]:
    made = _element(node)
    return {"resourceType": _name(node), **(made if isinstance(made, dict) else {})}


def _element(node: ElementTree.Element) -> Any:
    if node.tag.startswith(_XHTML):
        return ElementTree.tostring(node, encoding="unicode")
    value = node.get("value")
    if value is not None:  # what extensions say besides is not read
        return {"true": True, "false": False}.get(value, value)
    if _name(node) in ("resource", "contained") and len(node):
        return _resource(node[0])
    found: dict[str, list[Any]] = {}
    for child in node:
        found.setdefault(_name(child), []).append(_element(child))
    own = {name: text for name, text in node.attrib.items() if name in ("id", "url")}
    return {**own, **{name: items[0] if len(items) == 1 else items for name, items in found.items()}}


def _name(node: ElementTree.Element) -> str:
    return node.tag.rpartition("}")[2]
