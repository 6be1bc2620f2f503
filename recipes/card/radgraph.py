"""RadGraph F1 of reports, where the package radgraph and its model are installed; nothing is fetched."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

Graph = Mapping[str, Mapping[str, Any]]
"""Entities by number: `tokens`, `label`, `relations` as pairs of a kind and the number of another entity."""


@lru_cache(maxsize=1)
def _model() -> Any:
    """The annotator, None where it is not installed or its model is not on this machine."""
    from huggingface_hub import constants

    before, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, True  # its package would fetch what is missing
    try:
        from radgraph import RadGraph

        return RadGraph()
    except Exception:  # not installed, no weights, or not for this version of transformers
        return None
    finally:
        constants.HF_HUB_OFFLINE = before


def radgraph(said: str, gold: str) -> dict[str, float]:
    """F1 of the graphs of two reports at RadGraph's three levels; nothing where its model is not here."""
    model = _model()
    if model is None:
        return {}
    made = model([said or "none", gold])
    own, true = (made[key]["entities"] for key in ("0", "1"))
    return {f"radgraph_{level}": value for level, value in graph_f1(own, true).items()}


def graph_f1(own: Graph, true: Graph) -> dict[str, float]:
    """F1 over entities with their labels (`simple`), and whether they have a relation (`partial`), or with their
    relations (`complete`); Delbrouck et al. 2022, arXiv 2210.12186, section 3.2.
    """
    return {level: _f1(_facts(own, level), _facts(true, level)) for level in ("simple", "partial", "complete")}


def _facts(graph: Graph, level: str) -> set[tuple[Any, ...]]:
    facts: set[tuple[Any, ...]] = set()
    for entity in graph.values():
        name, relations = (str(entity["tokens"]).lower(), entity["label"]), entity["relations"]
        if level == "simple":
            facts.add(name)
        elif level == "partial" or not relations:
            facts.add((*name, bool(relations)))
        else:
            facts |= {(*name, kind, str(graph[str(number)]["tokens"]).lower()) for kind, number in relations}
    return facts


def _f1(own: set[tuple[Any, ...]], true: set[tuple[Any, ...]]) -> float:
    return 2 * len(own & true) / (len(own) + len(true)) if own or true else 1.0
