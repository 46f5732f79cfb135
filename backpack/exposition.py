"""Metrics as text for Prometheus (exposition format 0.0.4)."""

from __future__ import annotations

import os
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from . import __version__
from .backpacks import Backpack
from .meters import BOUNDS

_PREFIX = "backpack_"
_STARTED = time.time()


@dataclass(frozen=True)
class Metric:
    """What is measured: its type, as Prometheus has it, and in words."""

    kind: str
    help: str


METRICS: Mapping[str, Metric] = {
    "info": Metric("gauge", "Always 1; the label has the version."),
    "process_cpu_seconds_total": Metric("counter", "CPU time of the process."),
    "process_resident_memory_bytes": Metric("gauge", "Memory of the process."),
    "process_start_time_seconds": Metric("gauge", "Start of the process, since 1970."),
    "backpacks": Metric("gauge", "Backpacks that there are."),
    "up": Metric("gauge", "1 while a process of the backpack tells its metrics."),
    "server_up": Metric("gauge", "1 while the database server answers."),
    "requests_total": Metric("counter", "HTTP requests answered, by class of status."),
    "request_seconds": Metric("histogram", "Time from a request to the end of its answer."),
    "messages_total": Metric("counter", "Websocket messages handled."),
    "sockets": Metric("gauge", "Websockets that are open."),
    "changes_total": Metric("counter", "Records written."),
    "deliveries_total": Metric("counter", "Broadcasts delivered to websockets."),
}


class Exposition:
    """A page of metrics; each is asked for once, or once for each backpack."""

    CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

    def __init__(self) -> None:
        self._samples: defaultdict[str, list[str]] = defaultdict(list)
        self.value("info", 1, {"version": __version__})

    def value(
        self, name: str, value: float, labels: Mapping[str, str] | None = None, suffix: str = ""
    ) -> None:
        pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in (labels or {}).items())
        where = f"{{{pairs}}}" if pairs else ""
        self._samples[name].append(f"{_name(name)}{suffix}{where} {value:.15g}")

    def process(self) -> None:
        """What the process itself uses."""
        times = os.times()
        self.value("process_cpu_seconds_total", times.user + times.system)
        self.value("process_resident_memory_bytes", _memory())
        self.value("process_start_time_seconds", round(_STARTED, 3))

    def backpack(self, backpack: Backpack) -> None:
        """What the process has done for one backpack."""
        labels = {"backpack": backpack.name}
        meters = backpack.inspector.meters
        classes: defaultdict[str, int] = defaultdict(int)
        for status, count in tuple(meters.statuses.items()):
            classes[f"{status // 100}xx"] += count
        for known, count in sorted(classes.items()):
            self.value("requests_total", count, {**labels, "status": known})
        bounds = [*(f"{bound:g}" for bound in BOUNDS), "+Inf"]
        for bound, count in zip(bounds, accumulate(meters.durations), strict=True):
            self.value("request_seconds", count, {**labels, "le": bound}, "_bucket")
        self.value("request_seconds", meters.seconds, labels, "_sum")
        self.value("request_seconds", meters.requests, labels, "_count")
        counts = backpack.inspector.counts()
        for name in ("messages", "changes", "deliveries"):
            self.value(f"{name}_total", counts[name], labels)
        self.value("sockets", backpack.inspector.levels()["sockets"], labels)

    def add(self, page: str, labels: Mapping[str, str]) -> None:
        """What the page of another process says, with labels beside its own; of what another
        version measures besides, nothing."""
        name = ""
        for line in page.splitlines():
            if line.startswith("# TYPE "):
                name = _KNOWN.get(line.split(" ")[2], "")
            elif name and not line.startswith("#"):
                self._samples[name].append(_labelled(line, labels))

    def text(self) -> str:
        lines: list[str] = []
        for name, metric in METRICS.items():
            if name in self._samples:
                lines += [
                    f"# HELP {_name(name)} {metric.help}",
                    f"# TYPE {_name(name)} {metric.kind}",
                    *self._samples[name],
                ]
        return "\n".join([*lines, ""])


def _name(name: str) -> str:
    # Those of the process have one name everywhere, so that dashboards know them.
    return name if name.startswith("process_") else f"{_PREFIX}{name}"


# The metrics by the names that they are shown by.
_KNOWN = {_name(name): name for name in METRICS}


def _labelled(sample: str, labels: Mapping[str, str]) -> str:
    where, _, value = sample.rpartition(" ")
    name, _, own = where.rstrip("}").partition("{")
    more = [f'{one}="{_escaped(text)}"' for one, text in labels.items() if f'{one}="' not in own]
    return f"{name}{{{','.join([*([own] if own else []), *more])}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _memory() -> int:
    """Bytes of memory that the process has now; its most so far where that is not told."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * resource.getpagesize()
    except (OSError, IndexError, ValueError):
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1_024
