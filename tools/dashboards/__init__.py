"""The dashboards: which questions they answer, by which queries. `make chart` writes them as JSON.

A module for each question. Every query keeps to the namespace and job that are chosen.
"""

from __future__ import annotations

from tools.dashboards.delivery import DELIVERY
from tools.dashboards.health import HEALTH
from tools.dashboards.roll import ROLL
from tools.dashboards.slow import SLOW

DASHBOARDS = (HEALTH, DELIVERY, SLOW, ROLL)
