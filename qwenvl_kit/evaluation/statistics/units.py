"""Units: the values that a metric is the mean of, with their clusters and groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy
from numpy.typing import NDArray

from qwenvl_kit.errors import EvaluationError
from qwenvl_kit.evaluation.items import EvaluationItem, ScoredItem
from qwenvl_kit.evaluation.metrics import Metric

Numbers: TypeAlias = NDArray[numpy.float64]
Places: TypeAlias = NDArray[numpy.int64]
_Cluster: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Units:
    """The units of a metric, in an order that does not depend on that of the items.

    Attributes:
        values: the value of each unit, (units,).
        clusters: the place of each unit's cluster among all clusters, (units,).
        groups: the place of each unit's group among the groups, (units,); zeros without groups.
        num_groups: the number of groups; 1 without groups.
        num_items: the number of items in all units.
    """

    values: Numbers
    clusters: Places
    groups: Places
    num_groups: int
    num_items: int

    def __len__(self) -> int:
        return len(self.values)

    @property
    def num_clusters(self) -> int:
        """The number of clusters that have a unit."""
        return len(numpy.unique(self.clusters))

    @property
    def is_alone(self) -> bool:
        """True if all units are right or wrong, and each is alone in its cluster."""
        is_whole = bool(numpy.isin(self.values, (0.0, 1.0)).all())
        return is_whole and self.num_clusters == len(self)


def in_order(items: Sequence[ScoredItem]) -> list[ScoredItem]:
    """Return the items that have a score, by their ids."""
    return sorted((each for each in items if each.score is not None), key=lambda each: each.id)


def failed_items(items: Sequence[ScoredItem]) -> list[EvaluationItem]:
    """Return the items that have no score, by their ids."""
    return sorted((each.item for each in items if each.score is None), key=lambda each: each.id)


def cluster_places(items: Sequence[ScoredItem]) -> dict[_Cluster, int]:
    """Return a number for each cluster of items; an item without one is a cluster alone."""
    return {name: at for at, name in enumerate(sorted({cluster_of(each.item) for each in items}))}


def cluster_of(item: EvaluationItem) -> _Cluster:
    """Return the name of an item's cluster; an item without one is named by its id."""
    return (item.cluster, "") if item.cluster else ("", item.id)


def units_of(
    items: Sequence[ScoredItem],
    metric: Metric,
    places: Mapping[_Cluster, int],
    failed: Sequence[EvaluationItem] = (),
) -> Units | None:
    """Return the units of a metric that is no mean of others; None if it has none.

    A unit of which an item failed is left out: of the others nobody can tell if all are right. A
    unit belongs to the cluster and the group of its first item, by the order of ids. Items
    without the group that a metric goes over are left out, and items with None for a fact that
    names the unit: questions without a figure are of no figure.

    Args:
        items: items with scores, by their ids.
        metric: the metric.
        places: the number of each cluster.
        failed: the items that have no score.

    Raises:
        EvaluationError: an item lacks a fact or group that names its unit.
    """
    lost = unit_names(failed, metric)
    counted = [
        each
        for each in items
        if is_counted(each.item, metric) and _unit_name(each.item, metric) not in lost
    ]
    values: dict[tuple[str, ...], float] = {}
    firsts: dict[tuple[str, ...], EvaluationItem] = {}
    for each in counted:
        name = _unit_name(each.item, metric)
        firsts.setdefault(name, each.item)
        values[name] = min(values.get(name, 1.0), value_of(each, metric))
    if not values:
        return None
    groups, num_groups = _group_places(list(firsts.values()), metric.over)
    return Units(
        values=numpy.array(list(values.values()), numpy.float64),
        clusters=numpy.array([places[cluster_of(item)] for item in firsts.values()], numpy.int64),
        groups=groups,
        num_groups=num_groups,
        num_items=len(counted),
    )


def unit_names(items: Iterable[EvaluationItem], metric: Metric) -> set[tuple[str, ...]]:
    """Return the names of the units of a metric that items belong to.

    Raises:
        EvaluationError: an item lacks a fact or group that names its unit.
    """
    return {_unit_name(each, metric) for each in items if is_counted(each, metric)}


def num_left_out(
    items: Sequence[EvaluationItem], failed: Sequence[EvaluationItem], metric: Metric
) -> tuple[int, int]:
    """Return the number of units that are left out as one of their items failed, and of all.

    Args:
        items: all items.
        failed: those of them that failed.
        metric: a metric of units of several items.

    Raises:
        EvaluationError: an item lacks a fact or group that names its unit.
    """
    return len(unit_names(failed, metric)), len(unit_names(items, metric))


def is_counted(item: EvaluationItem, metric: Metric) -> bool:
    """Return True if an item is of a unit and a group of a metric."""
    if metric.over is not None and metric.over not in item.groups:
        return False
    return all(item.facts.get(name, "") is not None for name in metric.unit)


def value_of(found: ScoredItem, metric: Metric) -> float:
    """Return the score of an item as a metric takes it.

    Raises:
        EvaluationError: it has none, or one that is not in [0, 1].
    """
    if found.score is None:
        raise EvaluationError(f"the item {found.id!r} has no score", expected="an answered item")
    strict = found.score.strict if metric.is_strict else None
    value = float(found.score.value if strict is None else strict)
    if not 0.0 <= value <= 1.0:
        raise EvaluationError(
            f"the item {found.id!r} has the score {value:g}",
            expected="a score from 0 to 1",
            hint="a scorer of your own divides by the highest score that there is",
            where=found.item.where,
        )
    return value


def _unit_name(item: EvaluationItem, metric: Metric) -> tuple[str, ...]:
    if not metric.unit:
        return (item.id,)
    missing = [name for name in metric.unit if name not in item.facts and name not in item.groups]
    if missing:
        raise EvaluationError(
            f"the item {item.id!r} has no fact or group {missing[0]!r}, by which the metric "
            f"{metric.name!r} names its units",
            expected=f"the facts or groups {', '.join(metric.unit)}",
            where=item.where,
        )
    return tuple(str(item.facts.get(name, item.groups.get(name))) for name in metric.unit)


def _group_places(items: Sequence[EvaluationItem], over: str | None) -> tuple[Places, int]:
    """The place of each item's group among the groups, and their number."""
    if over is None:
        return numpy.zeros(len(items), numpy.int64), 1
    names = sorted({item.groups[over] for item in items})
    place = {name: at for at, name in enumerate(names)}
    return numpy.array([place[item.groups[over]] for item in items], numpy.int64), len(names)
